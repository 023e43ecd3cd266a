// Rates out of sums, partitions that stand out, and shares of successful probes.

import assert from "node:assert/strict";
import {
  countsOf,
  latenciesOf,
  type LoadAnswer,
  percentileMs,
  ratesByPartition,
  ratesByTable,
  requestRate,
} from "../../../roles/load_rates.ts";
import { registerLoad } from "../../../roles/replica/load_handlers.ts";
import { RequestMetrics } from "../../../roles/request_metrics.ts";
import { Availability } from "../../../roles/meta/availability.ts";
import { HotspotWatch } from "../../../roles/meta/hotspots.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import { openMetrics } from "../../../src/observe/metrics.ts";
import type { RpcServer } from "../../../src/rpc/contract.ts";
import { Get } from "../../../src/schema/client_rpc.ts";
import { ReplicaLoad } from "../../../src/schema/load_rpc.ts";

function answer(at: number, gets: number, puts: number, incarnation = 1): LoadAnswer {
  const load = {
    ...{ status: "primary" as const, ballot: 1, committed: 1, applied: 1, durable: 1 },
    ...{ lastPrepared: 1, bytes: 10, writeBytes: puts * 100, readBytes: gets * 50 },
    ...{ writeUnits: puts, readUnits: gets, errors: 0 },
  };
  return {
    ...{ at, incarnation, shard: 0, residentBytes: 1, heapBytes: 1, cpuMs: 1 },
    ...{ logBytes: 5, logFailed: false, diskFull: false },
    operations: ["get", "put"],
    partitions: [0, 1].map((index) => ({
      ...load,
      partition: partitionId(1, index),
      requests: [gets, puts],
    })),
    bounds: [0.001, 0.01],
    latencies: [{ tableId: 1, operation: "get", counts: [gets, gets, 0] }],
  };
}

Deno.test("rates are differences of two answers of one start, summed over servers", () => {
  const pair = { before: answer(1000, 10, 0), after: answer(3000, 210, 40) };
  const other = { before: answer(5000, 0, 0), after: answer(6000, 5, 0) };
  const restarted = { before: answer(1000, 10, 0, 1), after: answer(3000, 999, 0, 2) };
  const young = { before: undefined, after: answer(3000, 999, 0) };
  const rates = ratesByPartition([pair, other, restarted, young]);
  const first = rates.get(partitionId(1, 0))!;
  assert.deepEqual([...first.operations], [["get", 105], ["put", 20]]);
  assert.deepEqual([first.readUnits, first.writeUnits, first.writeBytes], [105, 20, 2000]);
  const table = ratesByTable(rates).get(1)!;
  assert.deepEqual([requestRate(table, "read"), requestRate(table, "write")], [210, 40]);
  const latency = countsOf(latenciesOf([pair]), "read", 1);
  assert.deepEqual(countsOf(latenciesOf([pair]), "write"), { bounds: [0.001, 0.01], counts: [] });
  assert.deepEqual(countsOf(latenciesOf([pair, pair]), "read").counts, [400, 400, 0]);
  assert.deepEqual(latency, { bounds: [0.001, 0.01], counts: [200, 200, 0] });
  assert.equal(percentileMs(latency, 0.25), 0.5);
  assert.ok(Math.abs(percentileMs(latency, 0.75)! - 5.5) < 1e-9);
  assert.equal(percentileMs({ bounds: [1], counts: [0, 0] }, 0.5), null);
});

Deno.test("latencies of a table that a shard did not have before are no part of what happened since", () => {
  const without = { ...answer(1000, 0, 0), partitions: [], latencies: [] };
  const back = { before: without, after: answer(3000, 999, 0) };
  assert.deepEqual(countsOf(latenciesOf([back]), "read", 1).counts, []);
  const first = { before: { ...answer(1000, 0, 0), latencies: [] }, after: answer(3000, 7, 0) };
  assert.deepEqual(countsOf(latenciesOf([first]), "read", 1).counts, [7, 7, 0]);
});

Deno.test("a partition that leaves a server and comes back has the load of since then", () => {
  let mono = 0;
  const clock = { now: () => ({ mono, wall: mono }) };
  const requests = new RequestMetrics(openMetrics().live.requests);
  const tableName = () => "users";
  requests.tableName = tableName;
  const partition = partitionId(1, 3);
  const state = { ballot: 1, committed: 1, applied: 1, durable: 1, lastPrepared: 1, bytes: 10 };
  const more = { maxPrepared: 1, disk: "", mutationBallot: 1 };
  const report = { partition, status: "primary" as const, ...state, ...more };
  let isHere = true;
  const handlers = new Map<unknown, (request: unknown, call: unknown) => void>();
  const server = {
    handle: (rpc: unknown, handler: (request: unknown, call: unknown) => void) => {
      handlers.set(rpc, handler);
    },
  } as unknown as RpcServer;
  const stop = registerLoad(server, {
    ...{ clock, incarnation: 1, shard: 0, requests, tableName },
    holds: () => isHere,
    reports: () => isHere ? [report] : [],
    log: { bytes: 0, poisoned: false },
    isFull: () => false,
  });
  const ask = (times: number) => {
    for (let i = 0; i < times; i++) requests.started(Get, { partition }, 10);
  };
  let before: LoadAnswer | undefined;
  const look = () => {
    mono += 1000;
    let after: LoadAnswer | undefined;
    handlers.get(ReplicaLoad)!({}, { reply: (told: LoadAnswer) => after = told });
    const rates = ratesByPartition([{ before, after: after! }]).get(partition);
    before = after;
    return rates === undefined ? 0 : requestRate(rates, "read");
  };
  try {
    look();
    ask(5000);
    assert.equal(look(), 5000);
    isHere = false;
    assert.equal(look(), 0);
    isHere = true;
    ask(3);
    assert.equal(look(), 3);
  } finally {
    stop();
  }
});

const SETTINGS = { hotspotScore: 3, hotspotRateMin: 100, hotspotLooks: 3 };

/** Rates of 8 partitions around 1000 with noise; the first one has `hot`. */
function rates(prng: Prng, hot: number) {
  return Array.from({ length: 8 }, (_, index) => ({
    partition: partitionId(1, index),
    rate: index === 0 ? hot : 900 + prng.below(200),
  }));
}

Deno.test("a partition is hot after it stood out several times, and only while it does", () => {
  for (let seed = 1; seed < 20; seed++) {
    const prng = new Prng(seed);
    const watch = new HotspotWatch("read", SETTINGS);
    for (let i = 0; i < 20; i++) assert.deepEqual(watch.look(rates(prng, 1000)), [], `${seed}`);
    assert.deepEqual(watch.look(rates(prng, 5000)), []);
    assert.deepEqual(watch.look(rates(prng, 5000)), []);
    const [hot] = watch.look(rates(prng, 5000));
    assert.ok(hot!.partition === partitionId(1, 0) && hot!.score > 10 && hot!.looks === 3);
    assert.deepEqual(watch.look(rates(prng, 1000)), []);
    assert.deepEqual(watch.look(rates(prng, 5000)), [], "it begins anew");
  }
});

Deno.test("little traffic and a single partition are never hot", () => {
  const watch = new HotspotWatch("write", { ...SETTINGS, hotspotLooks: 1 });
  const quiet = [99, 0, 0, 0].map((rate, i) => ({ partition: partitionId(1, i), rate }));
  assert.deepEqual(watch.look(quiet), []);
  const single = new HotspotWatch("write", { ...SETTINGS, hotspotLooks: 1 });
  assert.deepEqual(single.look([{ partition: partitionId(1, 0), rate: 1e6 }]), []);
});

Deno.test("availability is the share of successful probes in the last minute, hour and day", () => {
  const seen = new Availability();
  const minute = 60_000;
  assert.equal(seen.share("day", 0), null);
  for (let i = 0; i < 10; i++) seen.add(false, 0);
  for (let at = 90 * minute; at < 120 * minute; at += 3000) seen.add(true, at);
  seen.add(false, 120 * minute);
  const now = 120 * minute + 1;
  assert.ok(Math.abs(seen.share("minute", now)! - 20 / 21) < 0.001);
  assert.ok(Math.abs(seen.share("hour", now)! - 600 / 601) < 0.001);
  assert.ok(Math.abs(seen.share("day", now)! - 600 / 611) < 0.001);
  assert.equal(seen.share("minute", now + 3 * minute), null);
});
