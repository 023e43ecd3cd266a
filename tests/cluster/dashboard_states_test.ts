// The dashboard's page in states that pass too quickly in a small real cluster: servers that learn, a partition
// without a primary, a hot partition, a planned balance. The page is the real one; what it shows is made up.

import assert from "node:assert/strict";
import { dashboardHandlers } from "../../roles/http/dashboard/handlers.ts";
import { Router } from "../../roles/http/route.ts";
import { DASHBOARD_ROUTES } from "../../roles/http/routes.ts";
import { serveHttp } from "../../roles/http/server.ts";
import type { MetaAsk } from "../../roles/meta/meta_ask.ts";
import type { ServerNumbers } from "../../roles/meta/load_history.ts";
import { partitionId } from "../../src/base/ids.ts";
import { SILENT } from "../../src/observe/logger.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import { missing } from "../missing.ts";
import { NOTHING_WATCHED } from "../unit/roles/fake_watching.ts";
import { BROWSER_MISSING, photograph, renderedPage } from "./browser.ts";

const NODES = ["10.0.0.1:34801", "10.0.0.2:34801", "10.0.0.3:34801"];

/** Partition `index` of table 1: the second server leads, the third learns. Partition 7 has no primary. */
function config(index: number): PartitionConfig {
  return {
    partition: partitionId(1, index),
    ballot: 5,
    primary: index === 7 ? "" : NODES[1]!,
    secondaries: index === 7 ? [] : [NODES[0]!],
    lastDrops: [],
    maxReplicaCount: 3,
    committedHint: 0,
  };
}

const NUMBERS: ServerNumbers = {
  ...{
    engineBytes: 5e9,
    logBytes: 1e8,
    logFailed: false,
    diskFull: false,
    memoryBytes: 4e8,
    cpu: 0.4,
  },
  ...{ errorsPerSecond: 0, learning: [] },
};

const GIB = 2 ** 30;

function node(address: string, primaries: number) {
  return {
    ...{ node: address, alive: true, incarnation: 1, shardPorts: [1], httpPort: 0 },
    ...{ replicas: 7, primaries, beaconAgeMs: 300 },
    stats: {
      ...{ replicas: 7, primaries, draining: false },
      ...{ diskTotalBytes: 100 * GIB, diskFreeBytes: 60 * GIB, disks: [] },
    },
  };
}

const ANSWERS: Readonly<Record<string, unknown>> = {
  clusterInfo: {
    ...{ cluster: "states", metaServers: ["10.0.0.9:34601"], primaryMeta: "10.0.0.9:34601" },
    ...{ coordinator: "", level: "steady", details: new Map() },
  },
  listNodes: { nodes: [node(NODES[0]!, 0), node(NODES[1]!, 7), node(NODES[2]!, 0)] },
  listTables: { tables: [{ tableId: 1, name: "users", maxReplicaCount: 3 }], health: [] },
  queryConfig: { partitions: Array.from({ length: 8 }, (_, index) => config(index)) },
  balance: {
    ...{ running: false, waitsFor: "", moving: 0, started: 0 },
    next: [{ partition: partitionId(1, 0), kind: "movePrimary", from: NODES[1], to: NODES[0] }],
  },
};

const ask =
  ((name: string) =>
    Promise.resolve({ error: 0, detail: "", answer: ANSWERS[name] })) as unknown as MetaAsk;

Deno.test("dashboard page shows who learns, what is hot, what would move, and what is not served", async () => {
  const router = new Router("");
  router.add(
    DASHBOARD_ROUTES,
    dashboardHandlers({
      ask,
      httpPortOf: () => Promise.resolve(0),
      remote: () => Promise.resolve(""),
      changes: () => [],
      watching: {
        ...NOTHING_WATCHED,
        availability: { minute: 1, hour: 0.99989, day: 0.9999 },
        numbersOf: (address) => ({
          ...NUMBERS,
          learning: address === NODES[2] ? ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6"] : [],
        }),
        hotspots: () =>
          Promise.resolve([{
            ...{ app_name: "users", gpid: "1.3", partition_index: 3, kind: "read", rate: 9000 },
            ...{ score: 12, looks: 5, primary: NODES[1]! },
          }]),
      },
    }),
  );
  const http = await serveHttp("127.0.0.1:0", router, SILENT);
  try {
    const url = `http://${http.address}`;
    const page = await renderedPage(url);
    if (page === undefined) return missing(BROWSER_MISSING);
    assert.match(page, /1 critical problem; 1 partition not fully served/);
    assert.match(page, /7 of 8 partitions being copied to another server/);
    assert.equal(page.match(/<td class="learner"/g)?.length, 7);
    assert.match(page, /class="[a-z]+ hot"[^>]*>3▲◆</);
    assert.match(page, /1 move in the next round; "balance" in the shell starts it/);
    assert.match(page, /available 99.98 % \(last hour\)/, "never rounded up");
    assert.match(page, /1\.7[^<]*no primary/);
    await photograph(url, "states.png", false);
  } finally {
    await http.close();
  }
});
