// What the leader remembers of load, for the dashboard: the last minutes of every table's rates and latencies, and what
// every server uses now. Pure: answers and times are passed in. Bounds: HISTORY_MS and POINTS_MAX.

import { formatPartition, type PartitionId, tableOf } from "../../src/base/ids.ts";
import {
  addRates,
  countsOf,
  type Latencies,
  latenciesOf,
  type LoadPair,
  noRates,
  percentileMs,
  type Rates,
  ratesByTable,
  requestRate,
  secondsBetween,
} from "../load_rates.ts";

const HISTORY_MS = 600_000;
const POINTS_MAX = 400;

/** What people want to know of the requests of a table. */
export interface RequestRates {
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  readonly readUnitsPerSecond: number;
  readonly writeUnitsPerSecond: number;
  /** `null` = there were none. */
  readonly readP50Ms: number | null;
  readonly readP99Ms: number | null;
  readonly writeP50Ms: number | null;
  readonly writeP99Ms: number | null;
}

/** One moment. */
export interface LoadPoint {
  /** Unix ms. */
  readonly at: number;
  readonly total: RequestRates;
  /** By table id. */
  readonly tables: ReadonlyMap<number, RequestRates>;
}

/** What one server uses now. */
export interface ServerNumbers {
  readonly engineBytes: number;
  readonly logBytes: number;
  readonly logFailed: boolean;
  /** It refuses writes for want of space. */
  readonly diskFull: boolean;
  readonly memoryBytes: number;
  /** Processors busy: 1 = one of them all the time; `null` before the second look. */
  readonly cpu: number | null;
  readonly errorsPerSecond: number | null;
  /** Partitions that learn there, as "1.3". */
  readonly learning: readonly string[];
}

/** No requests. */
export function noRequests(): RequestRates {
  return requestRates(noRates(), { bounds: [], tables: new Map() });
}

/** Of a table; of all tables if none is named. */
function requestRates(rates: Rates, latencies: Latencies, tableId?: number): RequestRates {
  const reads = countsOf(latencies, "read", tableId);
  const writes = countsOf(latencies, "write", tableId);
  return {
    readsPerSecond: requestRate(rates, "read"),
    writesPerSecond: requestRate(rates, "write"),
    readUnitsPerSecond: rates.readUnits,
    writeUnitsPerSecond: rates.writeUnits,
    readP50Ms: percentileMs(reads, 0.5),
    readP99Ms: percentileMs(reads, 0.99),
    writeP50Ms: percentileMs(writes, 0.5),
    writeP99Ms: percentileMs(writes, 0.99),
  };
}

/** See the file comment. */
export class LoadHistory {
  #points: LoadPoint[] = [];

  /** Oldest first. */
  get points(): readonly LoadPoint[] {
    return this.#points;
  }

  /** Adds what happened between two looks at all shards; `partitions` are the rates of `pairs`. */
  add(
    at: number,
    pairs: readonly LoadPair[],
    partitions: ReadonlyMap<PartitionId, Rates>,
  ): void {
    if (pairs.every((pair) => secondsBetween(pair) === 0)) return;
    const tables = new Map<number, RequestRates>();
    const total = noRates();
    const latencies = latenciesOf(pairs);
    for (const [tableId, rates] of ratesByTable(partitions)) {
      addRates(total, rates);
      tables.set(tableId, requestRates(rates, latencies, tableId));
    }
    this.#points.push({ at, total: requestRates(total, latencies), tables });
    this.#points = this.#points.filter((point) => point.at > at - HISTORY_MS).slice(-POINTS_MAX);
  }

  clear(): void {
    this.#points = [];
  }
}

/** What a server uses, from what its shards told; `undefined` if none did. */
export function numbersOf(pairs: readonly LoadPair[]): ServerNumbers | undefined {
  const [first] = pairs;
  if (first === undefined) return undefined;
  const answers = pairs.map(({ after }) => after);
  const sum = (of: (answer: (typeof answers)[number]) => number) =>
    answers.reduce((all, answer) => all + of(answer), 0);
  // One that missed the last look has nothing to compare with.
  const compared = pairs.filter((pair) => secondsBetween(pair) > 0);
  const partitions = answers.flatMap((answer) => answer.partitions);
  return {
    engineBytes: partitions.reduce((all, { bytes }) => all + bytes, 0),
    logBytes: sum(({ logBytes }) => logBytes),
    logFailed: answers.some(({ logFailed }) => logFailed),
    diskFull: answers.some(({ diskFull }) => diskFull),
    // Every shard tells the memory and the processor time of the one process.
    memoryBytes: first.after.residentBytes,
    cpu: compared.length === 0 ? null : cpuBetween(compared[0]!),
    errorsPerSecond: compared.length === 0
      ? null
      : compared.reduce((all, pair) => all + errorRate(pair), 0),
    learning: partitions.filter(({ status }) => status === "learner")
      .map(({ partition }) => formatPartition(partition)),
  };
}

function cpuBetween(pair: LoadPair): number {
  return (pair.after.cpuMs - pair.before!.cpuMs) / 1000 / secondsBetween(pair);
}

/** Errors per second of one shard. */
function errorRate(pair: LoadPair): number {
  const old = new Map(pair.before!.partitions.map(({ partition, errors }) => [partition, errors]));
  let grown = 0;
  for (const { partition, errors } of pair.after.partitions) {
    grown += Math.max(0, errors - (old.get(partition) ?? 0));
  }
  return grown / secondsBetween(pair);
}

/** Bytes of all replicas by table. */
export function bytesByTable(pairs: readonly LoadPair[]): Map<number, number> {
  const bytes = new Map<number, number>();
  for (const { after } of pairs) {
    for (const load of after.partitions) {
      const tableId = tableOf(load.partition);
      bytes.set(tableId, (bytes.get(tableId) ?? 0) + load.bytes);
    }
  }
  return bytes;
}
