// The chapters of the suite: each starts what it measures, measures it and tells the numbers.

import { openCluster, type Table } from "../../../src/client/mod.ts";
import { type Aim, atMost, judge, type Judged, type Pace, rate, time } from "./aims.ts";
import { type Result, SuiteCluster } from "./cluster.ts";
import {
  isAlone,
  type Line,
  READS,
  SCANS,
  SHARDS,
  sizeLines,
  UNSYNCED,
  WRITES,
  YCSB,
} from "./lines.ts";
import type { FigureRow, WorkloadRow } from "./table.ts";
import { whole } from "./table.ts";
import { megabytes, Watch } from "./watch.ts";

/** How much is measured. */
export interface Extent {
  /** Factor of all numbers of operations and of all waits. */
  readonly scale: number;
  /** How long the steady load lasts, times the scale. */
  readonly minutes: number;
  /** Numbers of rows that are compared with 10 000. */
  readonly rows: readonly number[];
  /** See aims.ts. */
  readonly pace: Pace;
}

/** Takes the numbers as they come. */
export interface Record {
  workload(row: WorkloadRow): void;
  figure(row: FigureRow): void;
}

type Chapter = (extent: Extent, record: Record) => Promise<void>;

const HASH_ROWS = 400_000;
const HASH_ROWS_MIN = 1000;
const PUT_ROWS = 500;
const PARTITIONS = 256;
const SETTLE_MS = 120_000;
const IDLE_MS = 60_000;
/** In less the memory would not be looked at in both halves. */
const STEADY_SECONDS_MIN = 10;
const RESIDENT_MB = atMost(350, "MB");

/** All chapters by name, in their order. */
export const CHAPTERS: Readonly<{ [name: string]: Chapter }> = {
  load: loadChapter,
  steady: steadyChapter,
  rows: rowsChapter,
  unsynced: (extent, record) => linesChapter(UNSYNCED, extent, record, [], ['fsync = "none"']),
  shards: (extent, record) => linesChapter(SHARDS, extent, record, ["--shards", "2"]),
  idle: idleChapter,
};

/** Reads, writes, scans and YCSB on one cluster of 8 partitions, with what its servers need meanwhile. */
async function loadChapter(extent: Extent, record: Record): Promise<void> {
  await withCluster(async (cluster) => {
    await pause(IDLE_MS * extent.scale);
    const idle = (await cluster.samples("replica")).map((each) => megabytes(each.residentBytes));
    const idleMb = Math.max(...idle);
    figure(record, extent, "idle server, 8 partitions", `${whole(idleMb)} MB`, [
      [atMost(90, "MB"), idleMb],
    ]);
    const watch = await Watch.start(cluster);
    try {
      await runLines(cluster, READS, extent, record);
      await runLines(cluster, WRITES, extent, record);
      await hashScan(cluster, extent, record);
      await runLines(cluster, SCANS, extent, record);
      await runLines(cluster, YCSB, extent, record);
      const lateMs = 1000 * await watch.delayOf(0.999);
      const { highestMb } = watch;
      figure(record, extent, "a server under all of this, highest", `${whole(highestMb)} MB`, [
        [RESIDENT_MB, highestMb],
      ]);
      figure(record, extent, "delay of event loops, P999", `${lateMs.toFixed(1)} ms`, [
        [time(20, "ms"), lateMs],
      ]);
    } finally {
      watch.end();
    }
  });
}

/** YCSB A at full speed for minutes: memory must not grow. */
async function steadyChapter(extent: Extent, record: Record): Promise<void> {
  const { minutes, scale } = extent;
  const seconds = Math.max(STEADY_SECONDS_MIN, Math.round(60 * minutes * scale));
  await withCluster(async (cluster) => {
    const watch = await Watch.start(cluster);
    try {
      const line: Line = {
        name: `YCSB A for ${Number((seconds / 60).toFixed(1))} min, 100-byte values`,
        workload: "a",
        records: 20_000,
        operations: 1e9 / scale,
        flags: ["--duration", `${seconds}s`],
        peer: "",
      };
      await runLines(cluster, [line], extent, record);
      const { looks } = watch;
      const middle = looks[Math.floor(looks.length / 2)]!.atMs;
      const highest = (isLate: boolean) =>
        Math.max(
          ...looks.filter((look) => look.atMs >= middle === isLate).map((look) => look.residentMb),
        );
      const [early, late] = [highest(false), highest(true)];
      figure(
        record,
        extent,
        "highest in the first and in the second half",
        `${whole(early)}, ${whole(late)} MB`,
        [
          [RESIDENT_MB, Math.max(early, late)],
          [atMost(1.1, "times the first half"), late / early],
        ],
      );
    } finally {
      watch.end();
    }
  });
}

/** The same work with more rows. */
async function rowsChapter(extent: Extent, record: Record): Promise<void> {
  await withCluster(async (cluster) => {
    for (const rows of extent.rows) {
      await runLines(cluster, sizeLines(rows), extent, record);
      await fullScan(cluster, rows, extent, record);
    }
  });
}

/** 256 partitions at rest. */
async function idleChapter(extent: Extent, record: Record): Promise<void> {
  await withCluster(async (cluster) => {
    const client = openCluster({ meta: [cluster.meta] });
    try {
      await client.admin.createTable("many", { partitionCount: PARTITIONS, replicaCount: 3 });
    } finally {
      await client.close();
    }
    await pause(SETTLE_MS * extent.scale);
    const cpu = async (role: "meta" | "replica") =>
      (await cluster.samples(role)).reduce((sum, each) => sum + each.cpuSeconds, 0);
    const before = { replica: await cpu("replica"), meta: await cpu("meta") };
    const startedAt = performance.now();
    await pause(IDLE_MS * extent.scale);
    const seconds = (performance.now() - startedAt) / 1000;
    const share = async (role: "meta" | "replica") =>
      100 * (await cpu(role) - before[role]) / seconds;
    const [servers, meta] = [await share("replica"), await share("meta")];
    const text = `${servers.toFixed(2)} % of a core, and ${meta.toFixed(2)} % for meta`;
    figure(record, extent, `three idle servers, ${PARTITIONS} partitions`, text, [
      [atMost(3, "%"), servers],
    ]);
  });
}

async function linesChapter(
  lines: readonly Line[],
  extent: Extent,
  record: Record,
  flags: readonly string[],
  settings: readonly string[] = [],
): Promise<void> {
  await withCluster((cluster) => runLines(cluster, lines, extent, record), flags, settings);
}

async function runLines(
  cluster: SuiteCluster,
  lines: readonly Line[],
  extent: Extent,
  record: Record,
): Promise<void> {
  for (const line of lines) {
    const report = await cluster.run(line, extent.scale);
    record.workload({
      name: line.name,
      peerName: line.peer,
      report,
      judged: judged(line, report, extent),
    });
  }
}

function judged(line: Line, report: Result, extent: Extent): Judged[] {
  const { aims = {} } = line;
  const pace = isAlone(line) ? extent.pace.one : extent.pace.many;
  const { throughput, rowsPerSecond, latency, against } = report;
  const pairs: [Aim | undefined, number][] = [
    [aims.throughput, throughput],
    [aims.rows, rowsPerSecond],
    [aims.p50, latency.p50],
    [aims.p99, latency.p99],
    [aims.ratio, throughput / (against?.throughput ?? NaN)],
  ];
  return pairs.flatMap(([aim, measured]) => aim === undefined ? [] : [judge(aim, measured, pace)]);
}

/** One hash key with many rows, read by one scan. */
async function hashScan(cluster: SuiteCluster, extent: Extent, record: Record): Promise<void> {
  const count = Math.max(HASH_ROWS_MIN, Math.round(HASH_ROWS * extent.scale));
  await withTable(cluster, "temp", async (table) => {
    for (let at = 0; at < count; at += PUT_ROWS) {
      const rows = Array.from({ length: Math.min(PUT_ROWS, count - at) }, (_, i) => {
        return {
          sortKey: String(at + i).padStart(8, "0"),
          value: crypto.getRandomValues(new Uint8Array(100)),
        };
      });
      await table.multiSet("suite/hash_scan", rows);
    }
    const seconds = await secondsOf(table.scan("suite/hash_scan"), count);
    const perSecond = count / seconds;
    figure(
      record,
      extent,
      `scan of one hash key, ${whole(count)} rows`,
      `${whole(perSecond)} rows/s`,
      [
        [rate(300_000, "rows/s"), perSecond],
      ],
    );
  });
}

async function fullScan(
  cluster: SuiteCluster,
  rows: number,
  extent: Extent,
  record: Record,
): Promise<void> {
  await withTable(cluster, `rows_${rows}`, async (table) => {
    const seconds = await secondsOf(table.fullScan(), rows);
    const text = `${seconds.toFixed(2)} s, ${whole(rows / seconds)} rows/s`;
    figure(record, extent, `full scan of ${whole(rows)} rows`, text, [
      [time(5 * rows / 1e6, "s"), seconds],
    ]);
  });
}

/** @throws {Error} If other than `count` rows come. */
async function secondsOf(scan: AsyncIterable<unknown>, count: number): Promise<number> {
  const startedAt = performance.now();
  let found = 0;
  for await (const _ of scan) found++;
  if (found !== count) throw new Error(`The scan found ${found} rows, ${count} are there`);
  return (performance.now() - startedAt) / 1000;
}

async function withTable(
  cluster: SuiteCluster,
  name: string,
  use: (table: Table) => Promise<void>,
): Promise<void> {
  const client = openCluster({ meta: [cluster.meta] });
  try {
    await use(client.table(name));
  } finally {
    await client.close();
  }
}

async function withCluster(
  use: (cluster: SuiteCluster) => Promise<void>,
  flags: readonly string[] = [],
  settings: readonly string[] = [],
): Promise<void> {
  const cluster = await SuiteCluster.start(flags, settings);
  try {
    await use(cluster);
  } finally {
    await cluster.stop();
  }
}

function figure(
  record: Record,
  { pace }: Extent,
  name: string,
  text: string,
  aims: readonly (readonly [Aim, number])[],
): void {
  record.figure({
    name,
    text,
    judged: aims.map(([aim, measured]) => judge(aim, measured, pace.many)),
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
