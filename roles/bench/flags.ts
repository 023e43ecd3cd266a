// Flags of the bench role, and their help.

import {
  type AnySetting,
  bool,
  choice,
  duration,
  int,
  keyOf,
  text,
  type Values,
} from "../../src/config/field.ts";
import { readFlags } from "../../src/config/flags.ts";
import { suggestion } from "../../src/config/suggest.ts";
import { SECURITY_FLAGS } from "../client_security.ts";
import { DISTRIBUTIONS } from "./distribution.ts";
import { META, otherTable } from "./other_table.ts";
import { type Workload, workloadNameOf, WORKLOADS } from "./workload.ts";

const FLAGS = {
  ...SECURITY_FLAGS,
  meta: META,
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
    doc: "Measure each store for so long at most, in all its turns; 0ms = no limit",
  }),
  seed: text({ default: "1", doc: "Seed of all chance" }),
  skipLoad: bool({ default: false, doc: "The records are there already" }),
  settle: bool({ default: true, doc: "After the load, compact the table before measuring" }),
  against: choice(["none", "redis", "etcd", "pegasus"], {
    default: "none",
    doc: "Run the same on this store in turns, and print the ratio; pegasus = another table",
  }),
  againstSetup: choice(["auto", "single", "replicated"], {
    default: "auto",
    doc:
      "One server, or three with synced logs; auto = Redis alone if nothing is written, else three",
  }),
  againstAddress: text({
    default: "",
    doc:
      "host:port of a server of it that runs, several with commas; empty = start one, or this cluster",
  }),
  againstTable: text({ default: "", doc: "To pegasus: its table; empty = the same name" }),
  againstRecords: int({ default: 0, min: 0, max: 1e9, doc: "Records of it; 0 = as many" }),
  againstConnections: choice(["shared", "each"], {
    default: "shared",
    doc: "To Redis: all reads pipelined over one, or one for each operation outstanding",
  }),
  rounds: int({ default: 4, min: 1, max: 1000, doc: "Turns of each store with --against" }),
  json: bool({ default: false, doc: "Print the result as one JSON object" }),
  out: text({ default: "", doc: "Also write the result as JSON to this file" }),
  compare: text({ default: "", doc: "Two result files A,B: print B beside A and end" }),
} as const satisfies Record<string, AnySetting>;

/** What a user asked for. */
export type BenchOptions = Values<typeof FLAGS>;

/** Words of a command line, understood. */
export type BenchRequest =
  | { readonly kind: "help" }
  | { readonly kind: "invalid"; readonly problems: readonly string[] }
  | { readonly kind: "run"; readonly options: BenchOptions; readonly workload: Workload };

/** Reads the flags. */
export function readBenchFlags(args: readonly string[]): BenchRequest {
  const byKey = new Map(Object.entries(FLAGS).map(([name, f]) => [keyOf(name, f), f] as const));
  const flags = readFlags(byKey, args);
  if (flags.help) return { kind: "help" };
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
  ) as BenchOptions;
  const name = workloadNameOf(options.workload);
  const workload = Object.hasOwn(WORKLOADS, name) ? WORKLOADS[name] : undefined;
  if (workload === undefined) {
    const names = Object.keys(WORKLOADS);
    const hint = suggestion(name, names) || `: expected one of ${names.join(", ")}`;
    problems.push(`Unknown workload "${options.workload}"${hint}`);
  }
  if (options.againstAddress !== "" && options.against === "none") {
    problems.push('Flag "--against-address" needs --against redis, etcd or pegasus');
  }
  if (options.againstRecords !== 0 && options.against === "none") {
    problems.push('Flag "--against-records" needs --against redis, etcd or pegasus');
  }
  if (options.againstTable !== "" && options.against !== "pegasus") {
    problems.push('Flag "--against-table" needs --against pegasus');
  }
  if (options.against === "pegasus") {
    const other = otherTable(options);
    if (typeof other === "string") problems.push(other);
  }
  if (workload?.mix.incr !== undefined && options.against === "etcd") {
    problems.push('Workload "incr" cannot run on etcd: it has no increment');
  }
  if (problems.length > 0 || workload === undefined) return { kind: "invalid", problems };
  return { kind: "run", options: { ...options, workload: name }, workload };
}

/** The text of --help. */
export function benchHelp(): string {
  const flags = Object.entries<AnySetting>(FLAGS).map(([name, field]) => {
    const shown = field.format(field.default);
    return `  --${keyOf(name, field).padEnd(16)} ${field.doc}${shown === "" ? "" : ` [${shown}]`}`;
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
