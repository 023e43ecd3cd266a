// Arithmetic and words of the dashboard: rates and percentiles from two looks, what counts as a problem.

import assert from "node:assert/strict";
import { healthOf, type NodeView, type TableView } from "../../../roles/http/dashboard/overview.ts";
import { problemsOf } from "../../../roles/http/dashboard/problems.ts";
import { RecentChanges } from "../../../roles/http/dashboard/recent_changes.ts";
import {
  noWork,
  percentileMs,
  ratesOf,
  readSample,
  trafficBetween,
} from "../../../roles/http/dashboard/samples.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { SECONDS } from "../../../src/observe/metric.ts";
import { openMetrics } from "../../../src/observe/metrics.ts";

Deno.test("readSample() and trafficBetween() give rates from the real text of metrics", async () => {
  const registry = openMetrics();
  const { requests, engine, process } = registry.live;
  const gets = requests.operationSeconds.child("get", "users");
  const puts = requests.operationSeconds.child("put", "users");
  engine.bytes.child("users").set(4096);
  process.residentBytes.child().set(77);
  gets.record(0.0002);
  const before = readSample(await registry.text(), 1000);
  for (let i = 0; i < 20; i++) gets.record(0.0002);
  for (let i = 0; i < 4; i++) puts.record(0.03);
  const after = readSample(await registry.text(), 3000);
  assert.equal(after.engineBytes.get("users"), 4096);
  assert.equal(after.sums.get("process_resident_memory_bytes"), 77);
  const rates = ratesOf(trafficBetween(before, after)!.tables.get("users")!);
  assert.deepEqual([rates.readsPerSecond, rates.writesPerSecond], [10, 2]);
  assert.ok(rates.readP99Ms! > 0.1 && rates.readP99Ms! <= 0.25);
  assert.ok(rates.writeP50Ms! > 25 && rates.writeP50Ms! <= 50);
});

Deno.test("trafficBetween() counts a restarted server from zero", () => {
  const sample = (at: number, count: number) =>
    readSample(
      `pegasus_operation_seconds_bucket{operation="put",table="t",le="+Inf"} ${count}\n`,
      at,
    );
  const traffic = trafficBetween(sample(0, 100), sample(1000, 7))!;
  assert.equal(ratesOf(traffic.tables.get("t")!).writesPerSecond, 7);
  assert.equal(trafficBetween(sample(5, 1), sample(5, 2)), undefined);
});

Deno.test("percentileMs() stays within its bucket, and is null without requests", () => {
  assert.equal(percentileMs(noWork().reads, 0.5), null);
  const slow = noWork().reads;
  slow[SECONDS.length] = 5;
  assert.equal(percentileMs(slow, 0.5), 10_000, "above all bounds");
  const first = noWork().reads.map(() => 10);
  assert.ok(Math.abs(percentileMs(first, 0.5)! - 0.025) < 1e-9);
});

const NODE: NodeView = {
  node: "a:1",
  alive: true,
  draining: false,
  replicas: 3,
  primaries: 1,
  learners: 0,
  beaconAgeMs: 4000,
  httpPort: 1,
  diskTotalBytes: 0,
  diskFreeBytes: 0,
  numbers: null,
};
const PARTITION = {
  partition: "1.0",
  index: 0,
  ballot: 1,
  health: "healthy",
  primary: "a:1",
  secondaries: ["b:1"],
  learners: [],
} as const;
const TABLE: TableView = {
  id: 1,
  name: "users",
  maxReplicaCount: 2,
  partitions: [PARTITION],
  bytes: 0,
  rates: ratesOf(noWork()),
};

Deno.test("problemsOf() says what is wrong, worst first", () => {
  const nodes = [NODE, { ...NODE, node: "b:1" }];
  assert.deepEqual(problemsOf({ level: "steady", nodes, tables: [TABLE] }), []);
  const drained = problemsOf({ level: "steady", nodes: [{ ...NODE, draining: true }], tables: [] });
  assert.deepEqual(drained, [
    { level: "info", text: "Server a:1 is being drained: still a member of 3 partitions" },
  ]);
  const partitions = [
    { ...PARTITION, health: "degraded", learners: ["b:1"] } as const,
    { ...PARTITION, partition: "1.1", health: "unreadable", primary: "" } as const,
    { ...PARTITION, partition: "1.2", health: "unwritable" } as const,
  ];
  const problems = problemsOf({
    level: "freezed",
    nodes: [NODE, { ...NODE, node: "b:1", alive: false, beaconAgeMs: 180_000 }],
    tables: [{ ...TABLE, partitions }],
  });
  assert.deepEqual(problems.map(({ level, text }) => `${level}: ${text}`), [
    "critical: Server b:1 is dead: last heard of 3 minutes ago, still a member of 3 partitions",
    "critical: Table users: 1 of 3 partitions without a primary, no reads and no writes (1.1)",
    "critical: Table users: 1 of 3 partitions with too few members, reads only, no writes (1.2)",
    "warning: Table users: 1 of 3 partitions with fewer than 2 members, reads and writes work (1.0)",
    "warning: Table users wants 2 members but only 1 server is alive: start another one",
    'warning: Meta cures nothing while its function level is "freezed"',
    "info: Table users: 1 of 3 partitions being copied to another server (1.0)",
  ]);
});

Deno.test("healthOf() counts a member on a dead server as none", () => {
  const config = {
    partition: partitionId(1, 0),
    ballot: 3,
    primary: "a",
    secondaries: ["b", "c"],
    lastDrops: [],
    maxReplicaCount: 3,
    committedHint: 0,
  };
  assert.equal(healthOf(config, new Set(["a", "b", "c"])), "healthy");
  assert.equal(healthOf(config, new Set(["a", "c"])), "degraded");
  assert.equal(healthOf(config, new Set(["a"])), "unwritable");
  assert.equal(healthOf(config, new Set(["b", "c"])), "unreadable");
  assert.equal(healthOf({ ...config, primary: "" }, new Set(["b", "c"])), "unreadable");
  const single = { ...config, secondaries: [], maxReplicaCount: 1 };
  assert.equal(healthOf(single, new Set(["a"])), "healthy");
});

Deno.test("RecentChanges keeps the last 200, newest first, and leaves noise out", () => {
  const changes = new RecentChanges();
  for (let ballot = 0; ballot < 250; ballot++) {
    changes.noted("config", { ballot });
    changes.noted("staleBeacon", {});
  }
  const list = changes.list();
  assert.equal(list.length, 200);
  assert.deepEqual([list[0]!.details["ballot"], list.at(-1)!.details["ballot"]], [249, 50]);
});
