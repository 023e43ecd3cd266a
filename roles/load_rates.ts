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
export function isWriteOperation(operation: string): boolean {
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
    const old = new Map(pair.before!.partitions.map((load) => [load.partition, load]));
    for (const load of pair.after.partitions) {
      let sum = all.get(load.partition);
      if (sum === undefined) all.set(load.partition, sum = noRates());
      addRates(sum, ratesOf(old.get(load.partition), load, pair.after.operations, seconds));
    }
  }
  return all;
}

function ratesOf(
  before: PartitionLoad | undefined,
  after: PartitionLoad,
  names: readonly string[],
  seconds: number,
): Rates {
  const rates = noRates();
  after.requests.forEach((count, slot) => {
    const grown = count - (before?.requests[slot] ?? 0);
    if (grown > 0 && names[slot]) rates.operations.set(names[slot]!, grown / seconds);
  });
  for (const name of AMOUNTS) {
    rates[name] = Math.max(0, after[name] - (before?.[name] ?? 0)) / seconds;
  }
  return rates;
}

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

/** Buckets of what requests took between two answers, of the tables and operations that pass, over all shards. */
export function latencyCounts(
  pairs: Iterable<LoadPair>,
  passes: (tableId: number, operation: string) => boolean,
): { readonly bounds: readonly number[]; readonly counts: number[] } {
  let bounds: readonly number[] = [];
  const counts: number[] = [];
  for (const pair of pairs) {
    if (secondsBetween(pair) === 0) continue;
    const { before, after } = pair;
    bounds = after.bounds;
    const old = new Map(
      before!.latencies.map((row) => [`${row.tableId} ${row.operation}`, row.counts]),
    );
    for (const { tableId, operation, counts: now } of after.latencies) {
      if (!passes(tableId, operation)) continue;
      const then = old.get(`${tableId} ${operation}`);
      now.forEach((count, i) => {
        counts[i] = (counts[i] ?? 0) + Math.max(0, count - (then?.[i] ?? 0));
      });
    }
  }
  return { bounds, counts };
}

/** The percentile in ms, evenly spread within its bucket; above all bounds the highest; `null` without requests. */
export function percentileMs(
  { bounds, counts }: { readonly bounds: readonly number[]; readonly counts: readonly number[] },
  share: number,
): number | null {
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
