// What the dashboard takes from the metrics of a replica server, and what two looks at them say: rates and
// percentiles. Pure. Invariants: a counter that went back belongs to a process that restarted, and counts
// from zero; a percentile comes from buckets, so it is as exact as they are. Metrics: docs/metrics.md.

import { SECONDS } from "../../../src/observe/metric.ts";

/** Operations by what they do; names as in src/schema/client_rpc.ts. */
const WRITES: ReadonlySet<string> = new Set([
  ...["put", "remove", "multi_put", "multi_remove"],
  ...["incr", "check_and_set", "check_and_mutate"],
]);

/** Requests by duration: how many took at most `SECONDS[i]`; the last entry counts all. */
export type Durations = number[];

/** Requests of one table. */
export interface TableWork {
  readonly reads: Durations;
  readonly writes: Durations;
}

/** One look at a server. Everything that grows counts from the start of its process. */
export interface ServerSample {
  /** Milliseconds on any clock that does not jump. */
  readonly at: number;
  readonly work: ReadonlyMap<string, TableWork>;
  /** Bytes of the engines by table. */
  readonly engineBytes: ReadonlyMap<string, number>;
  /** Metrics that are one number, or whose series are worth their sum, by name. */
  readonly sums: ReadonlyMap<string, number>;
}

const SUMMED: ReadonlySet<string> = new Set([
  "pegasus_request_errors_total",
  "pegasus_log_shared_bytes",
  "pegasus_log_failed",
  "process_resident_memory_bytes",
  "process_cpu_seconds_total",
]);
const DURATIONS = "pegasus_operation_seconds_bucket";
const ENGINE_BYTES = "pegasus_engine_bytes";
const INDEX_OF_BOUND: ReadonlyMap<number, number> = new Map(
  [...SECONDS, Infinity].map((bound, index) => [bound, index]),
);

/** No requests. */
export function noWork(): TableWork {
  return { reads: noDurations(), writes: noDurations() };
}

function noDurations(): Durations {
  return new Array<number>(SECONDS.length + 1).fill(0);
}

/** Reads the text of /metrics; lines it does not know are left out. */
export function readSample(text: string, at: number): ServerSample {
  const work = new Map<string, TableWork>();
  const engineBytes = new Map<string, number>();
  const sums = new Map<string, number>();
  for (const line of text.split("\n")) {
    const name = /^\w+/.exec(line)?.[0] ?? "";
    if (name !== DURATIONS && name !== ENGINE_BYTES && !SUMMED.has(name)) continue;
    const value = Number(line.slice(line.lastIndexOf(" ") + 1));
    if (!Number.isFinite(value)) continue;
    const table = label(line, "table");
    if (name === DURATIONS) addDuration(work, table, line, value);
    else if (name === ENGINE_BYTES) add(engineBytes, table, value);
    else add(sums, name, value);
  }
  return { at, work, engineBytes, sums };
}

function addDuration(
  work: Map<string, TableWork>,
  table: string,
  line: string,
  value: number,
): void {
  const le = label(line, "le");
  const index = INDEX_OF_BOUND.get(le === "+Inf" ? Infinity : Number(le));
  if (index === undefined) return;
  let own = work.get(table);
  if (own === undefined) work.set(table, own = noWork());
  const durations = WRITES.has(label(line, "operation")) ? own.writes : own.reads;
  durations[index]! += value;
}

/** Labels of ours need no escapes: names of tables have none of the characters that do. */
function label(line: string, name: string): string {
  return new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? "";
}

function add(to: Map<string, number>, key: string, value: number): void {
  to.set(key, (to.get(key) ?? 0) + value);
}

/** What happened per second between two looks. */
export interface Traffic {
  readonly tables: ReadonlyMap<string, TableWork>;
  readonly errors: number;
  /** Processors busy: 1 = one of them all the time. */
  readonly cpu: number;
}

/** What happened per second between two looks at one server; `undefined` if no time went by. */
export function trafficBetween(before: ServerSample, after: ServerSample): Traffic | undefined {
  const seconds = (after.at - before.at) / 1000;
  if (seconds <= 0) return undefined;
  const rate = (name: string) =>
    grown(before.sums.get(name) ?? 0, after.sums.get(name) ?? 0) / seconds;
  const tables = new Map<string, TableWork>();
  for (const [table, { reads, writes }] of after.work) {
    const old = before.work.get(table) ?? noWork();
    tables.set(table, {
      reads: reads.map((count, index) => grown(old.reads[index]!, count) / seconds),
      writes: writes.map((count, index) => grown(old.writes[index]!, count) / seconds),
    });
  }
  return {
    tables,
    errors: rate("pegasus_request_errors_total"),
    cpu: rate("process_cpu_seconds_total"),
  };
}

function grown(before: number, after: number): number {
  return after < before ? after : after - before;
}

/** Adds `more` to `to`. */
export function addWork(to: TableWork, more: TableWork): void {
  for (let index = 0; index <= SECONDS.length; index++) {
    to.reads[index]! += more.reads[index]!;
    to.writes[index]! += more.writes[index]!;
  }
}

/** What people want to know of requests. */
export interface Rates {
  readonly readsPerSecond: number;
  readonly writesPerSecond: number;
  /** `null` = there were none. */
  readonly readP50Ms: number | null;
  readonly readP99Ms: number | null;
  readonly writeP50Ms: number | null;
  readonly writeP99Ms: number | null;
}

/** Sums up the work of a second. */
export function ratesOf({ reads, writes }: TableWork): Rates {
  return {
    readsPerSecond: reads.at(-1)!,
    writesPerSecond: writes.at(-1)!,
    readP50Ms: percentileMs(reads, 0.5),
    readP99Ms: percentileMs(reads, 0.99),
    writeP50Ms: percentileMs(writes, 0.5),
    writeP99Ms: percentileMs(writes, 0.99),
  };
}

/** The percentile, evenly spread within its bucket; above all bounds: the highest bound. */
export function percentileMs(durations: Durations, share: number): number | null {
  const total = durations.at(-1)!;
  if (total <= 0) return null;
  const wanted = total * share;
  for (const [index, bound] of SECONDS.entries()) {
    const below = index === 0 ? 0 : durations[index - 1]!;
    if (durations[index]! < wanted) continue;
    const from = index === 0 ? 0 : SECONDS[index - 1]!;
    const within = durations[index]! - below;
    return 1000 * (from + (bound - from) * (within > 0 ? (wanted - below) / within : 1));
  }
  return 1000 * SECONDS.at(-1)!;
}
