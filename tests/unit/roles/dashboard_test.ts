// Arithmetic and words of the dashboard: rates and percentiles from two looks, what counts as a problem.

import assert from "node:assert/strict";
import { healthOf, type NodeView, type TableView } from "../../../roles/http/dashboard/overview.ts";
import { problemsOf } from "../../../roles/http/dashboard/problems.ts";
import { RecentChanges } from "../../../roles/http/dashboard/recent_changes.ts";
import { type LoadAnswer, type LoadPair, ratesByPartition } from "../../../roles/load_rates.ts";
import { LoadHistory, noRequests, numbersOf } from "../../../roles/meta/load_history.ts";
import { partitionId } from "../../../src/base/ids.ts";

const LOAD = {
  ...{ status: "primary" as const, ballot: 1, committed: 1, applied: 1, durable: 1 },
  ...{ lastPrepared: 1, bytes: 4096, writeBytes: 0, readBytes: 0, errors: 0 },
  partition: partitionId(1, 0),
};

/** What a shard told after so many reads and writes. */
function told(at: number, reads: number, writes: number, incarnation = 1): LoadAnswer {
  const latency = (operation: string, counts: number[]) => ({ tableId: 1, operation, counts });
  return {
    ...{ at, incarnation, shard: 0, residentBytes: 77, heapBytes: 1, cpuMs: at / 2 },
    ...{
      logBytes: 9,
      logFailed: false,
      diskFull: false,
      operations: ["get", "put"],
      bounds: [0.001, 0.01],
    },
    partitions: [{ ...LOAD, requests: [reads, writes], readUnits: reads, writeUnits: writes }],
    latencies: [latency("get", [reads, 0, 0]), latency("put", [0, writes, 0])],
  };
}

Deno.test("LoadHistory keeps rates and latencies of the last minutes", () => {
  const history = new LoadHistory();
  const add = (at: number, pairs: LoadPair[]) => history.add(at, pairs, ratesByPartition(pairs));
  add(1000, [{ before: undefined, after: told(0, 5, 5) }]);
  assert.equal(history.points.length, 0, "one look is no rate");
  const pair = { before: told(1000, 1, 0), after: told(3000, 21, 4) };
  add(3000, [pair]);
  const [point] = history.points;
  const users = point!.tables.get(1)!;
  assert.deepEqual([users.readsPerSecond, users.writesPerSecond], [10, 2]);
  assert.deepEqual(point!.total, users);
  assert.ok(users.readP99Ms! <= 1 && users.writeP50Ms! > 1 && users.writeP50Ms! <= 10);
  add(3000 + 600_000, [pair]);
  assert.equal(history.points.length, 1, "ten minutes are kept");
  add(4000 + 600_000, [{ before: told(0, 0, 0, 1), after: told(9, 9, 9, 2) }]);
  assert.equal(history.points.length, 1, "a restarted server has no rates");
});

Deno.test("numbersOf() sums up the shards of a server", () => {
  const pair = { before: told(1000, 0, 0), after: told(3000, 0, 0) };
  const learner = { ...told(3000, 0, 0), partitions: [{ ...LOAD, ...LEARNER }] };
  assert.deepEqual(numbersOf([pair, { before: undefined, after: learner }]), {
    ...{
      engineBytes: 8192,
      logBytes: 18,
      logFailed: false,
      diskFull: false,
      memoryBytes: 77,
      cpu: 0.5,
    },
    ...{ errorsPerSecond: 0, learning: ["1.3"] },
  });
  assert.equal(numbersOf([]), undefined);
  // A shard that missed the last look: its errors of a lifetime are no news.
  const failing = (at: number, errors: number) => {
    const answer = told(at, 0, 0);
    return { ...answer, partitions: answer.partitions.map((load) => ({ ...load, errors })) };
  };
  const known = { before: failing(1000, 10), after: failing(3000, 30) };
  const missed = { before: undefined, after: failing(3000, 1000) };
  for (const pairs of [[known, missed], [missed, known]]) {
    const numbers = numbersOf(pairs)!;
    assert.deepEqual([numbers.errorsPerSecond, numbers.cpu], [10, 0.5]);
  }
  assert.equal(numbersOf([missed])!.errorsPerSecond, null);
});

const LEARNER = {
  ...{ status: "learner" as const, partition: partitionId(1, 3), requests: [0, 0] },
  ...{ readUnits: 0, writeUnits: 0 },
};

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
  badDisks: [],
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
  readsPerSecond: null,
  writesPerSecond: null,
} as const;
const TABLE: TableView = {
  id: 1,
  name: "users",
  maxReplicaCount: 2,
  partitions: [PARTITION],
  bytes: 0,
  rates: noRequests(),
};

const STEADY = { level: "steady", warning: "", hotspots: [] };

Deno.test("problemsOf() tells hot partitions, full disks and servers that lead too much", () => {
  const hotspot = {
    ...{ app_name: "users", gpid: "1.3", partition_index: 3, kind: "write", rate: 900, score: 7 },
    ...{ looks: 3, primary: "a:1" },
  };
  const nodes = [
    { ...NODE, primaries: 9, badDisks: ["ssd1 is not used: gone"] },
    { ...NODE, node: "b:1", primaries: 1 },
  ];
  const partitions = Array.from({ length: 10 }, () => PARTITION);
  const tables = [{ ...TABLE, partitions }];
  const problems = problemsOf({ ...STEADY, hotspots: [hotspot], nodes, tables });
  assert.deepEqual(problems.map(({ level, text }) => `${level}: ${text}`), [
    "warning: Server a:1: data directory ssd1 is not used: gone",
    "warning: Partition 1.3 of table users is hot: 900 writes per second, 7 deviations above the " +
    'others; "detect_hotkey users 3 -t write" finds the key',
    'info: Server a:1 leads 9 of 10 partitions, its share is 5: "balance" spreads them',
  ]);
});

Deno.test("problemsOf() says what is wrong, worst first", () => {
  const nodes = [NODE, { ...NODE, node: "b:1" }];
  assert.deepEqual(problemsOf({ ...STEADY, nodes, tables: [TABLE] }), []);
  const lost = problemsOf({ ...STEADY, warning: "The store is lost", nodes: [], tables: [] });
  assert.deepEqual(lost, [{ level: "critical", text: "The store is lost" }]);
  const drained = problemsOf({ ...STEADY, nodes: [{ ...NODE, draining: true }], tables: [] });
  assert.deepEqual(drained, [
    { level: "info", text: "Server a:1 is being drained: still a member of 3 partitions" },
  ]);
  const numbers = { ...NODE.numbers!, diskFull: true };
  assert.deepEqual(problemsOf({ ...STEADY, nodes: [{ ...NODE, numbers }], tables: [] }), [
    { level: "critical", text: "Server a:1 takes no writes: a disk is full" },
  ]);
  const partitions = [
    { ...PARTITION, health: "degraded", learners: ["b:1"] } as const,
    { ...PARTITION, partition: "1.1", health: "unreadable", primary: "" } as const,
    { ...PARTITION, partition: "1.2", health: "unwritable" } as const,
  ];
  const problems = problemsOf({
    ...STEADY,
    level: "freezed",
    nodes: [NODE, { ...NODE, node: "b:1", alive: false, beaconAgeMs: 180_000 }],
    tables: [{ ...TABLE, partitions }],
  });
  assert.deepEqual(problems.map(({ level, text }) => `${level}: ${text}`), [
    "critical: Server b:1 is dead: last heard of 3 minutes ago, still a member of 3 partitions",
    "critical: Table users: 1 of 3 partitions without a primary, no reads and no writes (1.1)",
    "critical: Table users: 1 of 3 partitions with too few members, reads only, no writes (1.2)",
    "warning: Table users: 1 of 3 partitions with fewer than 2 members, reads and writes work (1.0)",
    "warning: Table users: 2 members are wanted, but only 1 server is alive: start another one",
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
  // What the servers take for writable, not two members whatever is wanted.
  const pair = { ...config, secondaries: ["b"], maxReplicaCount: 2 };
  assert.equal(healthOf(pair, new Set(["a"])), "degraded");
  const five = { ...config, secondaries: ["b", "c", "d", "e"], maxReplicaCount: 5 };
  assert.equal(healthOf(five, new Set(["a", "b"])), "unwritable");
  assert.equal(healthOf(five, new Set(["a", "b", "e"])), "degraded");
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
