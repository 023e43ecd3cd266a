// The leader's collector against a fake cluster: rates, hot partitions, searches that start by themselves, and a
// standby that forgets.

import assert from "node:assert/strict";
import type { LoadAnswer } from "../../../roles/load_rates.ts";
import { Collector } from "../../../roles/meta/collector.ts";
import type { MetaAsk } from "../../../roles/meta/meta_ask.ts";
import { Prober } from "../../../roles/meta/prober.ts";
import { waitFor } from "../../../roles/onebox/processes.ts";
import { OPERATIONS } from "../../../roles/request_metrics.ts";
import { Err } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import { openMetrics } from "../../../src/observe/metrics.ts";
import type { CallDone, RpcClient } from "../../../src/rpc/contract.ts";

const WAIT_MS = 20_000;
const GET = OPERATIONS.indexOf("get");

/** Two servers with two shards each; partition 1.3 has ten times the reads of the others. */
class FakeServers {
  leads = true;
  searches: unknown[] = [];
  #looks = new Map<string, number>();

  readonly ask: MetaAsk = ((name: string) => {
    if (!this.leads) return Promise.resolve({ error: Err.FORWARD_TO_OTHERS, detail: "" });
    const node = (address: string, alive: boolean) => ({
      ...{ node: address, alive, shardPorts: [1, 2], httpPort: 0 },
    });
    const nodes = [node("a:1", true), node("b:1", true), node("dead:1", false)];
    return Promise.resolve({ error: 0, detail: "", answer: name === "listNodes" ? { nodes } : {} });
  }) as unknown as MetaAsk;

  readonly client = {
    call: (address: string, rpc: { name: string }, request: unknown) => {
      assert.ok(!address.startsWith("dead"), "the dead are not asked");
      if (address === "b:2") return Promise.reject(new Error("Silent"));
      if (rpc.name === "detect_hotkey") {
        this.searches.push({ address, request });
        return Promise.resolve({});
      }
      const look = (this.#looks.get(address) ?? 0) + 1;
      this.#looks.set(address, look);
      return Promise.resolve(this.#load(address, look));
    },
  } as unknown as RpcClient;

  #load(address: string, look: number): LoadAnswer {
    const own = address === "a:1" ? [0, 1] : address === "a:2" ? [2, 3] : [4, 5];
    const same = { ballot: 1, committed: 1, applied: 1, durable: 1, lastPrepared: 1, bytes: 10 };
    const none = { writeBytes: 0, readBytes: 0, writeUnits: 0, readUnits: 0, errors: 0 };
    return {
      ...{ at: look * 1000, incarnation: 1, shard: 0, residentBytes: 5, heapBytes: 1, cpuMs: 1 },
      ...{
        logBytes: 1,
        logFailed: false,
        diskFull: false,
        operations: [...OPERATIONS],
        bounds: [1],
        latencies: [],
      },
      partitions: own.map((index) => ({
        ...{ partition: partitionId(1, index), status: "primary" as const, ...same, ...none },
        requests: OPERATIONS.map((_, slot) => slot === GET ? look * (index === 3 ? 2000 : 200) : 0),
      })),
    };
  }
}

Deno.test("Collector finds the hot partition, starts a search, and forgets when it does not lead", async () => {
  const servers = new FakeServers();
  const collector = new Collector({
    ask: servers.ask,
    client: servers.client,
    logger: SILENT,
    settings: {
      ...{ loadIntervalMs: 5, hotkeyAuto: true },
      ...{ hotspotScore: 3, hotspotRateMin: 100, hotspotLooks: 2 },
    },
  });
  try {
    assert.ok(await waitFor(() => Promise.resolve(collector.hotspots.length > 0), WAIT_MS));
    const [hot] = collector.hotspots;
    assert.deepEqual([hot!.partition, hot!.kind, hot!.rate, hot!.address], [
      ...[partitionId(1, 3), "read", 2000, "a:2"],
    ]);
    assert.ok(await waitFor(() => Promise.resolve(servers.searches.length > 0), WAIT_MS));
    assert.deepEqual(servers.searches, [{
      address: "a:2",
      request: { partition: partitionId(1, 3), kind: "read", action: "start" },
    }]);
    assert.equal(collector.points.at(-1)!.total.readsPerSecond, 3000);
    assert.equal(collector.numbersOf("a:1")!.memoryBytes, 5);
    assert.equal(collector.numbersOf("b:1")!.engineBytes, 20, "of the shard that answers");
    assert.equal(collector.numbersOf("dead:1"), undefined);
    servers.leads = false;
    assert.ok(await waitFor(() => Promise.resolve(collector.points.length === 0), WAIT_MS));
    assert.deepEqual([collector.hotspots.length, collector.rates.size], [0, 0]);
  } finally {
    collector.close();
  }
});

Deno.test("Prober tells what it saw while it leads, and nothing of it afterwards", async () => {
  let leads = true;
  const ask = (() => {
    if (!leads) return Promise.resolve({ error: Err.FORWARD_TO_OTHERS, detail: "b:1" });
    const tables = [{ tableId: 1, name: "__stat", partitionCount: 2 }];
    return Promise.resolve({ error: 0, detail: "", answer: { tables, health: [] } });
  }) as unknown as MetaAsk;
  // No partition can be reached.
  const client = {
    onTick: undefined as (() => void) | undefined,
    start: (...[, , , , done]: [unknown, unknown, unknown, number, CallDone<unknown>]) => {
      setTimeout(() => done(Err.APP_NOT_EXIST, undefined, "Nothing here"), 0);
    },
    close: () => Promise.resolve(clearInterval(beat)),
  };
  const beat = setInterval(() => client.onTick?.(), 5);
  const registry = openMetrics();
  const prober = new Prober({
    ...{ ask, client: client as unknown as RpcClient, meta: "a:1", logger: SILENT },
    settings: { probeTable: "__stat", probeIntervalMs: 5, probeTimeoutMs: 50 },
    metrics: registry.live.meta,
  });
  const told = async () => {
    prober.collect();
    return (await registry.text()).includes("pegasus_availability_ratio{");
  };
  try {
    assert.ok(await waitFor(() => Promise.resolve(prober.shares.day === 0), WAIT_MS));
    assert.equal(await told(), true);
    leads = false;
    assert.ok(await waitFor(() => Promise.resolve(prober.shares.day === null), WAIT_MS));
    assert.equal(await told(), false);
  } finally {
    await prober.close();
  }
});
