// What a benchmark does: the named workloads as shares of operations. YCSB's core workloads A-F keep their
// definitions (mix, distribution, scan length); the others measure one operation each.

import type { DistributionName } from "./distribution.ts";

/** Operations a target must offer. */
export const OPERATIONS = [
  "get",
  "set",
  "insert",
  "readModifyWrite",
  "scan",
  "multiSet",
  "multiGet",
  "incr",
  "del",
] as const;
export type OperationName = (typeof OPERATIONS)[number];

/** One named workload. */
export interface Workload {
  readonly brief: string;
  /** Shares of the operations; they add up to 1. */
  readonly mix: Partial<Readonly<Record<OperationName, number>>>;
  readonly distribution: DistributionName;
  /** Rows that share a hash key. */
  readonly rowsPerHashKey: number;
  /** Whether the records must exist before. */
  readonly load: boolean;
}

const one = (
  brief: string,
  operation: OperationName,
  rowsPerHashKey = 1,
  load = true,
): Workload => ({
  brief,
  mix: { [operation]: 1 },
  distribution: "uniform",
  rowsPerHashKey,
  load,
});

/** All workloads by name. */
export const WORKLOADS: Readonly<Record<string, Workload>> = {
  fill: one("insert every record once, in order", "insert", 1, false),
  set: one("overwrite random records", "set", 1, false),
  get: one("read random records", "get"),
  read: one("the same as get", "get"),
  mixed: {
    brief: "half get, half set",
    mix: { get: 0.5, set: 0.5 },
    distribution: "uniform",
    rowsPerHashKey: 1,
    load: true,
  },
  scan: one("read all rows of random hash keys", "scan", 100),
  multi_set: one("set 100 rows of one hash key at once", "multiSet", 100, false),
  multi_get: one("read 100 rows of one hash key at once", "multiGet", 100),
  multi: {
    brief: "half multi_get, half multi_set, of 100 rows",
    mix: { multiGet: 0.5, multiSet: 0.5 },
    distribution: "uniform",
    rowsPerHashKey: 100,
    load: true,
  },
  incr: one("increment random counters", "incr", 1, false),
  del: one("delete random records", "del"),
  a: {
    brief: "YCSB A: 50 % get, 50 % set, zipfian",
    mix: { get: 0.5, set: 0.5 },
    distribution: "zipfian",
    rowsPerHashKey: 1,
    load: true,
  },
  b: {
    brief: "YCSB B: 95 % get, 5 % set, zipfian",
    mix: { get: 0.95, set: 0.05 },
    distribution: "zipfian",
    rowsPerHashKey: 1,
    load: true,
  },
  c: {
    brief: "YCSB C: get only, zipfian",
    mix: { get: 1 },
    distribution: "zipfian",
    rowsPerHashKey: 1,
    load: true,
  },
  d: {
    brief: "YCSB D: 95 % get of the latest, 5 % insert",
    mix: { get: 0.95, insert: 0.05 },
    distribution: "latest",
    rowsPerHashKey: 1,
    load: true,
  },
  e: {
    brief: "YCSB E: 95 % scan of one hash key's 100 rows, 5 % insert",
    mix: { scan: 0.95, insert: 0.05 },
    distribution: "zipfian",
    rowsPerHashKey: 100,
    load: true,
  },
  f: {
    brief: "YCSB F: 50 % get, 50 % read-modify-write, zipfian",
    mix: { get: 0.5, readModifyWrite: 0.5 },
    distribution: "zipfian",
    rowsPerHashKey: 1,
    load: true,
  },
};

/** The name a user meant: YCSB's letters also in capitals or as "ycsb-a". */
export function workloadNameOf(word: string): string {
  return word.toLowerCase().replace(/^ycsb[-_]?/, "");
}

/** Whether a workload changes anything. */
export function isWriting({ mix }: Workload): boolean {
  return Object.keys(mix).some((name) => !READS.has(name));
}

const READS: ReadonlySet<string> = new Set<OperationName>(["get", "scan", "multiGet"]);

/** Progress while it runs: things done, of how many, seconds since the start. */
export type Progress = (done: number, total: number, seconds: number) => void;

/** What is measured: a store that can do the operations on numbered records. */
export interface Target {
  readonly name: string;
  get(record: number): Promise<unknown>;
  set(record: number): Promise<unknown>;
  /** Reads a record and writes it back changed. */
  readModifyWrite(record: number): Promise<unknown>;
  /** All rows that share the record's hash key; resolves to how many. */
  scan(record: number): Promise<number>;
  multiSet(record: number): Promise<number>;
  multiGet(record: number): Promise<number>;
  incr(record: number): Promise<unknown>;
  del(record: number): Promise<unknown>;
  /**
   * Brings what was loaded into the shape it has in the long run: the debt of a load would be paid by the
   * operations after it. Absent if the store has none. Ends early, without an error, when `signal` fires.
   */
  settle?(progress: Progress, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
