// From sums to rates: what happened per second between two answers of replica_load, by partition and by table.
// Pure. Used by the collector of the meta leader and by the shell. A shard that started anew in between has no
// rates; a partition is the sum over all servers that answered for it.

import { type PartitionId, tableOf } from "../src/base/ids.ts";
import type { PartitionLoad, ReplicaLoad } from "../src/schema/load_rpc.ts";
import type { ResponseOf } from "../src/schema/rpc.ts";

/** One answer. */
export type LoadAnswer = ResponseOf<typeof ReplicaLoad>;

const WRITE_OPERATIONS: ReadonlySet<string> = new Set([
  ...["put", "remove", "multi_put", "multi_remove", "incr", "check_and_set", "check_and_mutate"],
]);

/** What happened per second. */
export interface Rates {
  /** By operation; only those that happened. */
  readonly operations: Map<string, number>;
  readUnits: number;
  writeUnits: number;
  readBytes: number;
  writeBytes: number;
  errors: number;
}

/** Whether an operation writes. */
function isWriteOperation(operation: string): boolean {
  return WRITE_OPERATIONS.has(operation);
}

/** Nothing yet. */
export function noRates(): Rates {
  return {
    operations: new Map(),
    ...{ readUnits: 0, writeUnits: 0, readBytes: 0, writeBytes: 0, errors: 0 },
  };
}

/** Adds `more` to `to`. */
export function addRates(to: Rates, more: Rates): void {
  for (const [operation, rate] of more.operations) {
    to.operations.set(operation, (to.operations.get(operation) ?? 0) + rate);
  }
  for (const name of AMOUNTS) to[name] += more[name];
}

const AMOUNTS = ["readUnits", "writeUnits", "readBytes", "writeBytes", "errors"] as const;

/** Sum of the operations that write, or of the others. */
export function requestRate({ operations }: Rates, kind: "read" | "write"): number {
  let sum = 0;
  for (const [operation, rate] of operations) {
    if (WRITE_OPERATIONS.has(operation) === (kind === "write")) sum += rate;
  }
  return sum;
}

/** Two answers of one shard; `before` absent, or of another start: no rates. */
export interface LoadPair {
  readonly before: LoadAnswer | undefined;
  readonly after: LoadAnswer;
}

/** Seconds between two answers; 0 if they cannot be compared. */
export function secondsBetween({ before, after }: LoadPair): number {
  if (before === undefined || before.incarnation !== after.incarnation) return 0;
  return Math.max(0, (after.at - before.at) / 1000);
}

/** Rates by partition, summed over the answers of all shards of all servers. */
export function ratesByPartition(pairs: Iterable<LoadPair>): Map<PartitionId, Rates> {
  const all = new Map<PartitionId, Rates>();
  for (const pair of pairs) {
    const seconds = secondsBetween(pair);
    if (seconds === 0) continue;
    const old = new Map<PartitionId, PartitionLoad>();
    for (const load of pair.before!.partitions) old.set(load.partition, load);
    const slots = namedSlots(pair.after.operations);
    for (const load of pair.after.partitions) {
      let sum = all.get(load.partition);
      if (sum === undefined) all.set(load.partition, sum = noRates());
      addLoad(sum, old.get(load.partition), load, slots, seconds);
    }
  }
  return all;
}

/** Slots of the counts that stand for an operation. */
function namedSlots(names: readonly string[]): { slot: number; name: string }[] {
  return names.map((name, slot) => ({ slot, name })).filter(({ name }) => name !== "");
}

/** A replica that was not there before counts from zero, as its server does (RequestMetrics.keepOnly). */
function addLoad(
  to: Rates,
  before: PartitionLoad = NOT_THERE,
  after: PartitionLoad,
  slots: readonly { readonly slot: number; readonly name: string }[],
  seconds: number,
): void {
  const { operations } = to;
  for (let i = 0; i < slots.length; i++) {
    const { slot, name } = slots[i]!;
    const grown = (after.requests[slot] ?? 0) - (before.requests[slot] ?? 0);
    if (grown > 0) operations.set(name, (operations.get(name) ?? 0) + grown / seconds);
  }
  to.readUnits += Math.max(0, after.readUnits - before.readUnits) / seconds;
  to.writeUnits += Math.max(0, after.writeUnits - before.writeUnits) / seconds;
  to.readBytes += Math.max(0, after.readBytes - before.readBytes) / seconds;
  to.writeBytes += Math.max(0, after.writeBytes - before.writeBytes) / seconds;
  to.errors += Math.max(0, after.errors - before.errors) / seconds;
}

const NOT_THERE: PartitionLoad = {
  ...{ partition: 0, status: "inactive", ballot: 0, committed: 0, applied: 0, durable: 0 },
  ...{ lastPrepared: 0, bytes: 0, requests: [], writeBytes: 0, readBytes: 0, writeUnits: 0 },
  ...{ readUnits: 0, errors: 0 },
};

/** Sums up partitions by table. */
export function ratesByTable(partitions: ReadonlyMap<PartitionId, Rates>): Map<number, Rates> {
  const tables = new Map<number, Rates>();
  for (const [partition, rates] of partitions) {
    const tableId = tableOf(partition);
    let sum = tables.get(tableId);
    if (sum === undefined) tables.set(tableId, sum = noRates());
    addRates(sum, rates);
  }
  return tables;
}

/** How long requests took between two answers: how many up to each bound, by table and operation. */
export interface Latencies {
  readonly bounds: readonly number[];
  readonly tables: ReadonlyMap<number, ReadonlyMap<string, readonly number[]>>;
}

/** Latencies over all shards of all servers, in one pass. */
export function latenciesOf(pairs: Iterable<LoadPair>): Latencies {
  let bounds: readonly number[] = [];
  const tables = new Map<number, Map<string, number[]>>();
  for (const pair of pairs) {
    if (secondsBetween(pair) === 0) continue;
    const { before, after } = pair;
    bounds = after.bounds;
    const known = new Set(before!.partitions.map(({ partition }) => tableOf(partition)));
    const old = new Map(
      before!.latencies.map((row) => [`${row.tableId} ${row.operation}`, row.counts]),
    );
    for (const { tableId, operation, counts: now } of after.latencies) {
      // A shard tells the latencies of its tables only, since its start: nothing to compare those of a table with
      // that it did not have before.
      if (!known.has(tableId)) continue;
      let table = tables.get(tableId);
      if (table === undefined) tables.set(tableId, table = new Map());
      const then = old.get(`${tableId} ${operation}`);
      addCounts(
        table,
        operation,
        now.map((count, i) => Math.max(0, count - (then?.[i] ?? 0))),
      );
    }
  }
  return { bounds, tables };
}

function addCounts(to: Map<string, number[]>, operation: string, more: readonly number[]): void {
  const sum = to.get(operation);
  if (sum === undefined) to.set(operation, [...more]);
  else more.forEach((count, i) => sum[i] = (sum[i] ?? 0) + count);
}

/** Reads or writes of a table together; of all tables if none is named. */
export function countsOf(
  { bounds, tables }: Latencies,
  kind: "read" | "write",
  tableId?: number,
): LatencyCounts {
  const counts: number[] = [];
  const chosen = tableId === undefined ? tables.values() : [tables.get(tableId) ?? new Map()];
  for (const table of chosen) {
    for (const [operation, more] of table) {
      if (isWriteOperation(operation) !== (kind === "write")) continue;
      for (let i = 0; i < more.length; i++) counts[i] = (counts[i] ?? 0) + more[i]!;
    }
  }
  return { bounds, counts };
}

/** How many up to each bound, and above all of them. */
export interface LatencyCounts {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

/** The percentile in ms, evenly spread within its bucket; above all bounds the highest; `null` without requests. */
export function percentileMs({ bounds, counts }: LatencyCounts, share: number): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  const wanted = total * share;
  let below = 0;
  for (let i = 0; i < bounds.length; i++) {
    const within = counts[i] ?? 0;
    if (within > 0 && below + within >= wanted) {
      const from = i === 0 ? 0 : bounds[i - 1]!;
      return 1000 * (from + (bounds[i]! - from) * (wanted - below) / within);
    }
    below += within;
  }
  return 1000 * bounds.at(-1)!;
}
