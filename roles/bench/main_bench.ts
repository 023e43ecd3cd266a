// The bench role: loads records if the workload needs them, runs the workload, prints what it measured.
// docs/benchmark.md says how to repeat published numbers.

import {
  type AnySetting,
  bool,
  choice,
  duration,
  hostPorts,
  int,
  keyOf,
  text,
  type Values,
} from "../../src/config/field.ts";
import { readFlags } from "../../src/config/flags.ts";
import { suggestion } from "../../src/config/suggest.ts";
import { readClientSecurity, SECURITY_FLAGS } from "../client_security.ts";
import { type Cluster, Err, openCluster, StoreError } from "../../src/client/mod.ts";
import { DISTRIBUTIONS } from "./distribution.ts";
import { PegasusTarget } from "./pegasus_target.ts";
import { describeMachine, renderComparison, renderReport, type Report } from "./report.ts";
import { load, type Progress, Runner, type RunResult } from "./runner.ts";
import { type Target, type Workload, WORKLOADS } from "./workload.ts";

const FLAGS = {
  ...SECURITY_FLAGS,
  meta: hostPorts({ default: ["127.0.0.1:34601"], doc: "Meta servers" }),
  workload: text({ default: "mixed", doc: `One of ${Object.keys(WORKLOADS).join(", ")}` }),
  table: text({ default: "temp", doc: "Table to use; created if it does not exist" }),
  partitions: int({ default: 8, min: 1, max: 1024, doc: "Partitions of a table that is created" }),
  records: int({ default: 100_000, min: 1, max: 1e9, doc: "Records of the data set" }),
  operations: int({ default: 100_000, min: 1, max: 1e9, doc: "Operations to measure" }),
  concurrency: int({ default: 32, min: 1, max: 100_000, doc: "Operations outstanding" }),
  valueSize: int({ default: 100, min: 1, max: 900_000, doc: "Bytes of a value" }),
  distribution: choice(["workload", ...DISTRIBUTIONS], {
    default: "workload",
    doc: "Which records are touched; workload = as the workload says",
  }),
  rate: int({ default: 0, min: 0, max: 1e7, doc: "Operations per second to start; 0 = no pause" }),
  warmUp: int({ default: 0, min: 0, max: 1e9, doc: "Operations before measuring" }),
  durationMs: duration({
    default: "0ms",
    min: "0ms",
    max: "24h",
    doc: "End after this; 0ms = never",
  }),
  seed: text({ default: "1", doc: "Seed of all chance" }),
  skipLoad: bool({ default: false, doc: "The records are there already" }),
  json: bool({ default: false, doc: "Print the result as one JSON object" }),
  out: text({ default: "", doc: "Also write the result as JSON to this file" }),
  compare: text({ default: "", doc: "Two result files A,B: print B beside A and end" }),
} as const satisfies Record<string, AnySetting>;

type Options = Values<typeof FLAGS>;

/** Runs the role. @returns 0 measured, 1 failed or operations failed, 2 wrong usage */
export async function runBench(args: string[]): Promise<number> {
  const byKey = new Map(Object.entries(FLAGS).map(([name, f]) => [keyOf(name, f), f] as const));
  const flags = readFlags(byKey, args);
  if (flags.help) {
    console.log(helpText());
    return 0;
  }
  const problems = [...flags.problems, ...flags.words.map((word) => `Unexpected word "${word}"`)];
  const options = Object.fromEntries(
    Object.entries<AnySetting>(FLAGS).map(([name, field]) => {
      const key = keyOf(name, field);
      const given = flags.given.get(key);
      if (given === undefined) return [name, field.default];
      const parsed = field.parse(given);
      if (!parsed.ok) problems.push(`Flag "--${key}": expected ${parsed.expected}, got "${given}"`);
      return [name, parsed.ok ? parsed.value : field.default];
    }),
  ) as Options;
  const workload = Object.hasOwn(WORKLOADS, options.workload)
    ? WORKLOADS[options.workload]
    : undefined;
  if (workload === undefined) {
    const names = Object.keys(WORKLOADS);
    const hint = suggestion(options.workload, names) || `: expected one of ${names.join(", ")}`;
    problems.push(`Unknown workload "${options.workload}"${hint}`);
  }
  if (problems.length > 0 || workload === undefined) {
    for (const problem of problems) console.error(problem);
    return 2;
  }
  try {
    if (options.compare !== "") return compare(options.compare);
    return await measure(options, workload);
  } catch (cause) {
    console.error(cause instanceof Error ? cause.message : String(cause));
    return 1;
  }
}

function helpText(): string {
  const flags = Object.entries<AnySetting>(FLAGS).map(([name, field]) => {
    const shown = field.format(field.default);
    return `  --${keyOf(name, field).padEnd(14)} ${field.doc}${shown === "" ? "" : ` [${shown}]`}`;
  });
  const workloads = Object.entries(WORKLOADS).map(([name, { brief }]) =>
    `  ${name.padEnd(10)} ${brief}`
  );
  return [
    "Measures throughput and latency of a cluster.",
    "",
    "Usage: pegasus bench [flags]",
    "",
    "Flags:",
    ...flags,
    "",
    "Workloads:",
    ...workloads,
  ].join("\n");
}

function compare(files: string): number {
  const [before, after] = files.split(",").map((file) =>
    JSON.parse(Deno.readTextFileSync(file.trim())) as Report
  );
  if (before === undefined || after === undefined) {
    console.error('Flag "--compare": expected two files separated by a comma');
    return 2;
  }
  console.log(renderComparison(before, after));
  return 0;
}

async function measure(options: Options, workload: Workload): Promise<number> {
  const target = await openTarget(options, workload);
  const show = progressLine(!options.json);
  try {
    if (workload.load && !options.skipLoad) {
      await load(target, options.records, workload.rowsPerHashKey, show("load"));
    }
    const runner = new Runner(target, {
      workload,
      distribution: options.distribution === "workload"
        ? workload.distribution
        : options.distribution,
      records: options.records,
      operations: options.operations,
      concurrency: options.concurrency,
      rate: options.rate,
      warmUp: options.warmUp,
      durationMs: options.durationMs,
      seed: options.seed,
    });
    const onInterrupt = () => runner.stop();
    Deno.addSignalListener("SIGINT", onInterrupt);
    const result = await runner.run(show("run"));
    Deno.removeSignalListener("SIGINT", onInterrupt);
    print(options, target, result);
    return result.errors === 0 ? 0 : 1;
  } finally {
    await target.close();
  }
}

function print(options: Options, target: Target, result: RunResult): void {
  const report: Report = {
    target: target.name,
    workload: options.workload,
    at: new Date().toISOString(),
    ...result,
    settings: options,
    machine: describeMachine(),
  };
  const json = JSON.stringify(report);
  if (options.out !== "") Deno.writeTextFileSync(options.out, `${json}\n`);
  console.log(options.json ? json : renderReport(report));
}

async function openTarget(options: Options, workload: Workload): Promise<Target> {
  const security = await readClientSecurity(options);
  const cluster = await openCluster({
    meta: [...options.meta],
    timeoutMs: 10_000,
    role: "bench",
    ...security,
  });
  try {
    await ensureTable(cluster, options);
  } catch (cause) {
    await cluster.close();
    throw cause;
  }
  const layout = { rowsPerHashKey: workload.rowsPerHashKey, valueBytes: options.valueSize };
  return new PegasusTarget(cluster.table(options.table), layout, () => cluster.close());
}

async function ensureTable(cluster: Cluster, options: Options): Promise<void> {
  const { tables } = await cluster.admin.listTables("available");
  if (tables.some(({ name }) => name === options.table)) return;
  const alive = (await cluster.admin.listNodes()).filter((node) => node.alive).length;
  if (alive === 0) {
    throw new StoreError(Err.NOT_ENOUGH_MEMBER, "The cluster has no live replica server");
  }
  await cluster.admin.createTable(options.table, {
    partitionCount: options.partitions,
    replicaCount: Math.min(3, alive),
  });
}

/** One line on a terminal's stderr that is written over; nothing elsewhere. */
function progressLine(wanted: boolean): (phase: string) => Progress {
  const encoder = new TextEncoder();
  if (!wanted || !Deno.stderr.isTerminal()) return () => () => {};
  return (phase) => (done, total, seconds) => {
    const rate = Math.round(done / Math.max(seconds, 0.001));
    const left = Math.round((total - done) / Math.max(rate, 1));
    const line = `\r${phase}: ${done}/${total} (${rate}/s, ${left} s left)\x1b[K`;
    Deno.stderr.writeSync(encoder.encode(done >= total ? `${line}\n` : line));
  };
}
