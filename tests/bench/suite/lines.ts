// The workloads of the suite: what is run, against whom, and what is aimed for. Pure.

import { type Aim, atLeast, rate, time } from "./aims.ts";

/** One run of the bench role. */
export interface Line {
  readonly name: string;
  readonly workload: string;
  readonly records: number;
  readonly operations: number;
  readonly warmUp?: number;
  /** Further flags. */
  readonly flags?: readonly string[];
  /** How the peer is called in the table; "" = there is none. */
  readonly peer: string;
  readonly aims?: LineAims;
}

/** Aims by what of the result they judge. */
export interface LineAims {
  readonly throughput?: Aim;
  readonly rows?: Aim;
  readonly p50?: Aim;
  readonly p99?: Aim;
  readonly ratio?: Aim;
}

const redis = ["--against", "redis"];
const etcd = ["--against", "etcd"];
const alone = ["--concurrency", "1"];
const REDIS_SAFE = "Redis, WAIT 2";
const REDIS_FAST = "Redis, pipelined";

/** Whether one operation is outstanding at a time. */
export function isAlone({ flags = [] }: Line): boolean {
  return flags.includes(alone[0]!);
}

export const READS: readonly Line[] = [
  {
    name: "get, 32 outstanding",
    workload: "get",
    records: 10_000,
    operations: 400_000,
    warmUp: 100_000,
    flags: redis,
    peer: REDIS_FAST,
    aims: { throughput: rate(60_000, "op/s"), p99: time(3000, "us P99") },
  },
  {
    name: "get, 32 outstanding",
    workload: "get",
    records: 10_000,
    operations: 300_000,
    flags: [...redis, "--against-connections", "each"],
    peer: "Redis, 32 connections",
  },
  {
    name: "get, 1 outstanding",
    workload: "get",
    records: 10_000,
    operations: 60_000,
    warmUp: 5000,
    flags: [...redis, ...alone],
    peer: "Redis",
    aims: { p50: time(100, "us P50") },
  },
  {
    name: "get, 32 outstanding",
    workload: "get",
    records: 10_000,
    operations: 30_000,
    flags: etcd,
    peer: "etcd, 3 members",
  },
];

export const WRITES: readonly Line[] = [
  {
    name: "set, 32 outstanding",
    workload: "set",
    records: 10_000,
    operations: 150_000,
    warmUp: 100_000,
    flags: redis,
    peer: REDIS_SAFE,
    aims: { throughput: rate(20_000, "op/s"), p99: time(8000, "us P99") },
  },
  {
    name: "set, 32 outstanding",
    workload: "set",
    records: 10_000,
    operations: 40_000,
    warmUp: 20_000,
    flags: etcd,
    peer: "etcd, 3 members",
  },
  {
    name: "set, 1 outstanding",
    workload: "set",
    records: 10_000,
    operations: 10_000,
    warmUp: 1000,
    flags: [...redis, ...alone],
    peer: REDIS_SAFE,
    aims: { p50: time(500, "us P50") },
  },
  {
    name: "multi_set of 100 rows",
    workload: "multi_set",
    records: 100_000,
    operations: 8000,
    warmUp: 1000,
    flags: redis,
    peer: "Redis HSET, WAIT 2",
    aims: { rows: rate(150_000, "rows/s") },
  },
  {
    name: "incr, 32 outstanding",
    workload: "incr",
    records: 10_000,
    operations: 100_000,
    warmUp: 20_000,
    flags: redis,
    peer: REDIS_SAFE,
  },
];

export const SCANS: readonly Line[] = [
  {
    name: "scan of 100 rows each, 32 outstanding",
    workload: "scan",
    records: 100_000,
    operations: 40_000,
    warmUp: 2000,
    peer: "",
    aims: { rows: rate(300_000, "rows/s") },
  },
];

/** YCSB's core workloads: zipfian (D: latest), 1 000-byte values. */
export const YCSB: readonly Line[] = [..."abcdef"].map((letter) => ({
  name: `YCSB ${letter.toUpperCase()}`,
  workload: letter,
  records: 20_000,
  operations: letter === "e" ? 20_000 : letter === "a" || letter === "f" ? 60_000 : 120_000,
  warmUp: letter === "e" ? 3000 : 40_000,
  flags: [...redis, "--value-size", "1000"],
  peer: letter === "c" ? REDIS_FAST : REDIS_SAFE,
}));

/** The same rate whatever the rows: a large table and one of 10 000 rows in turns. @param rows Of the large one. */
export function sizeLines(rows: number): readonly Line[] {
  const turns = ["--rounds", "8", "--table", `rows_${rows}`];
  const other = ["--against", "pegasus", "--against-table", "rows_10000"];
  const flags = [...turns, ...other, "--against-records", "10000"];
  const aims = { ratio: atLeast(0.8, "x") };
  const peer = "10 000 rows";
  const of = `${rows.toLocaleString("en-US").replaceAll(",", " ")} rows`;
  const warmUp = 100_000;
  return [
    {
      name: `get, ${of}`,
      workload: "get",
      records: rows,
      operations: 800_000,
      warmUp,
      flags,
      peer,
      aims,
    },
    {
      name: `set, ${of}`,
      workload: "set",
      records: rows,
      operations: 200_000,
      warmUp: 20_000,
      flags: [...flags, "--skip-load"],
      peer,
      aims,
    },
  ];
}

/** Without the sync, one at a time: what the sync costs. */
export const UNSYNCED: readonly Line[] = [{
  name: "set, 1 outstanding, fsync = none",
  workload: "set",
  records: 10_000,
  operations: 20_000,
  warmUp: 2000,
  flags: alone,
  peer: "",
  aims: { p50: time(300, "us P50") },
}];

/** What servers with another number of threads are asked. */
export const SHARDS: readonly Line[] = ["get", "set"].map((workload) => ({
  name: `${workload}, 32 outstanding, --shards 2`,
  workload,
  records: 10_000,
  operations: workload === "get" ? 300_000 : 100_000,
  warmUp: workload === "get" ? 100_000 : 50_000,
  peer: "",
}));
