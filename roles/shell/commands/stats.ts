// Commands on load and sizes: rates of tables, partitions and servers, taken from two looks.

import { formatPartition, indexOf, tableOf } from "../../../src/base/ids.ts";
import {
  addRates,
  countsOf,
  type Latencies,
  latenciesOf,
  type LoadPair,
  noRates,
  percentileMs,
  type Rates,
  ratesByPartition,
  requestRate,
} from "../../load_rates.ts";
import type { Context } from "../context.ts";
import type { Args, Command, Flag } from "../declare.ts";
import { type NodeLoad, sampleLoad } from "../load_sample.ts";
import { formatBytes, type Json } from "../render.ts";
import { boundedInt } from "./scan_flags.ts";
import { askAll, outputLines, type Target, TARGET_FLAGS, targetsOf } from "./targets.ts";

/** Head of a column and the operations it counts; the names are the original's. */
const COLUMNS: readonly (readonly [string, readonly string[]])[] = [
  ["GET", ["get", "ttl"]],
  ["MGET", ["multi_get", "sortkey_count"]],
  ["BGET", ["batch_get"]],
  ["PUT", ["put"]],
  ["MPUT", ["multi_put"]],
  ["DEL", ["remove"]],
  ["MDEL", ["multi_remove"]],
  ["INCR", ["incr"]],
  ["CAS", ["check_and_set"]],
  ["CAM", ["check_and_mutate"]],
  ["SCAN", ["get_scanner", "scan"]],
];

/** How long rates are measured. */
export const INTERVAL: Flag = {
  name: "sample_interval_ms",
  short: "i",
  type: "int",
  brief: "How long the rates are measured, 100 to 60000 ms",
  default: "1000",
};

/** The value of {@link INTERVAL}. */
export function intervalOf(args: Args): number {
  return boundedInt(args, INTERVAL.name, 100, 60_000) ?? 1000;
}

/** One line of app_stat. */
interface Line {
  readonly name: string;
  readonly rates: Rates;
  readonly bytes: number;
  readonly replicas: number;
  readonly tableId: number;
}

const USAGE_HEAD = ["RCU", "WCU", "read_bytes", "write_bytes", "errors"];
const SIZE_HEAD = ["replicas", "size"];

function shown(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 10) / 10;
}

function rateCells(rates: Rates): number[] {
  return COLUMNS.map(([, operations]) =>
    shown(operations.reduce((sum, name) => sum + (rates.operations.get(name) ?? 0), 0))
  );
}

const appStat: Command = {
  name: "app_stat",
  aliases: ["table_stat", "partition_stat"],
  group: "stats",
  brief: "Print requests, capacity units and latencies per second by table, or by partition",
  details: [
    "app_stat prints a line for each table; app_stat users one for each partition of users.",
    "Columns in which nothing happened are left out. RCU and WCU are capacity units of 4 KiB per second.",
    "Latencies are those of the interval, measured by the servers; sizes are of all replicas together, as",
    "of their last checkpoints.",
  ],
  examples: ["app_stat", "app_stat users -q -i 5000"],
  positionals: [{ name: "table", type: "table", brief: "Its partitions", optional: true }],
  flags: [
    { name: "app_name", short: "a", type: "table", brief: "As the argument" },
    { name: "only_qps", short: "q", type: "bool", brief: "Only requests and latencies" },
    { name: "only_usage", short: "u", type: "bool", brief: "Only capacity units and sizes" },
    INTERVAL,
  ],
  async run(context, args) {
    const table = args.text("table") ?? args.text("app_name");
    const { tables } = await context.admin.listTables("available");
    if (table !== undefined) await context.admin.tableConfig(table);
    const loads = await sampleLoad(context, intervalOf(args));
    const pairs = loads.flatMap((load) => load.pairs);
    const latencies = latenciesOf(pairs);
    const names = new Map(tables.map(({ tableId, name }) => [tableId, name]));
    const lines = table === undefined
      ? tableLines(pairs, names)
      : partitionLines(pairs, tables.find(({ name }) => name === table)?.tableId ?? 0);
    const head = [table === undefined ? "app_name" : "pidx", ...headOf(args)];
    const rows = lines.map((
      line,
    ) => [line.name, ...cellsOf(line, latencies, args, table !== undefined)]);
    if (lines.length > 1) {
      rows.push(["(total)", ...cellsOf(totalOf(lines), latencies, args, table !== undefined)]);
    }
    context.answerWideTable(head, rows);
    tellMissing(context, loads);
  },
};

function headOf(args: Args): string[] {
  const rates = [...COLUMNS.map(([name]) => name), "read_p99_ms", "write_p99_ms"];
  return [
    ...(args.has("only_usage") ? [] : rates),
    ...(args.has("only_qps") ? [] : [...USAGE_HEAD, ...SIZE_HEAD]),
  ];
}

function cellsOf(line: Line, latencies: Latencies, args: Args, byPartition: boolean): Json[] {
  const { rates, bytes, replicas, tableId } = line;
  // Latencies are kept by table: a partition has none of its own.
  const quantiles = byPartition
    ? [null, null]
    : [latency(latencies, tableId, "read"), latency(latencies, tableId, "write")];
  const usage = [rates.readUnits, rates.writeUnits].map(shown);
  const bytesPerSecond = [rates.readBytes, rates.writeBytes].map(formatBytes);
  return [
    ...(args.has("only_usage") ? [] : [...rateCells(rates), ...quantiles]),
    ...(args.has("only_qps")
      ? []
      : [...usage, ...bytesPerSecond, shown(rates.errors), replicas, formatBytes(bytes)]),
  ];
}

/** P99 of reads or writes of a table; table 0 = of all. */
function latency(latencies: Latencies, tableId: number, kind: "read" | "write"): number | null {
  const ms = percentileMs(countsOf(latencies, kind, tableId === 0 ? undefined : tableId), 0.99);
  return ms === null ? null : Math.round(ms * 100) / 100;
}

function totalOf(lines: readonly Line[]): Line {
  const rates = noRates();
  for (const line of lines) addRates(rates, line.rates);
  const sum = (name: "bytes" | "replicas") => lines.reduce((total, line) => total + line[name], 0);
  return { name: "", rates, bytes: sum("bytes"), replicas: sum("replicas"), tableId: 0 };
}

function tableLines(pairs: readonly LoadPair[], names: ReadonlyMap<number, string>): Line[] {
  const rates = ratesByPartition(pairs);
  return [...names].map(([tableId, name]) => {
    const own = [...rates].filter(([partition]) => tableOf(partition) === tableId);
    const sum = noRates();
    for (const [, one] of own) addRates(sum, one);
    return { name, rates: sum, tableId, ...stored(pairs, (id) => tableOf(id) === tableId) };
  });
}

function partitionLines(pairs: readonly LoadPair[], tableId: number): Line[] {
  const rates = ratesByPartition(pairs);
  const partitions = new Set(
    pairs.flatMap(({ after }) => after.partitions.map(({ partition }) => partition))
      .filter((partition) => tableOf(partition) === tableId),
  );
  return [...partitions].sort((a, b) => a - b).map((partition) => ({
    name: String(indexOf(partition)),
    rates: rates.get(partition) ?? noRates(),
    tableId,
    ...stored(pairs, (id) => id === partition),
  }));
}

function stored(
  pairs: readonly LoadPair[],
  passes: (partition: number) => boolean,
): { bytes: number; replicas: number } {
  let [bytes, replicas] = [0, 0];
  for (const { after } of pairs) {
    for (const load of after.partitions) {
      if (!passes(load.partition)) continue;
      bytes += load.bytes;
      replicas++;
    }
  }
  return { bytes, replicas };
}

/** Names the servers whose numbers are missing. */
export function tellMissing(context: Context, loads: readonly NodeLoad[]): void {
  for (const { node, error } of loads) {
    if (error !== "") context.note(`Without ${node.node}: ${error}`);
  }
}

const SERVER_HEAD = [
  "address",
  "role",
  "memory",
  "cpu_percent",
  "primaries",
  "secondaries",
  "learners",
  "reads",
  "writes",
  "RCU",
  "WCU",
  "errors",
  "read_p99_ms",
  "write_p99_ms",
  "error",
];

/** What one server does per second: the cells of {@link SERVER_HEAD} from memory to write_p99_ms. */
export function serverCells({ pairs }: NodeLoad): Json[] {
  const count = (status: string) =>
    pairs.flatMap(({ after }) => after.partitions).filter((load) => load.status === status).length;
  const rates = noRates();
  for (const one of ratesByPartition(pairs).values()) addRates(rates, one);
  const latencies = latenciesOf(pairs);
  const [first] = pairs;
  const before = first?.before;
  const seconds = before === undefined ? 0 : (first!.after.at - before.at) / 1000;
  const busy = before === undefined ? 0 : (first!.after.cpuMs - before.cpuMs) / 1000;
  return [
    formatBytes(first?.after.residentBytes ?? -1),
    seconds > 0 ? Math.round(100 * busy / seconds) : null,
    ...["primary", "secondary", "learner"].map(count),
    ...[requestRate(rates, "read"), requestRate(rates, "write")].map(shown),
    ...[rates.readUnits, rates.writeUnits, rates.errors].map(shown),
    latency(latencies, 0, "read"),
    latency(latencies, 0, "write"),
  ];
}

const serverStat: Command = {
  name: "server_stat",
  group: "stats",
  brief: "Print memory, processor, replicas and rates of every server, or of some",
  examples: ["server_stat -t replica-server --watch 2"],
  positionals: [],
  flags: [...TARGET_FLAGS, INTERVAL],
  async run(context, args) {
    const targets = await targetsOf(context, args);
    const nodes = new Set(targets.map(({ address }) => address));
    const loads = await sampleLoad(context, intervalOf(args), ({ node }) => nodes.has(node));
    const metas = await askAll(
      targets.filter(({ role }) => role !== "replica"),
      ({ address }) => context.admin.remoteCommand(address, "server-stat", []),
    );
    const blank = SERVER_HEAD.slice(3, -1).map((): Json => null);
    const rows: Json[][] = metas.map(({ target, value, error }) => {
      const memory = /memory (\d+ \w+)/.exec(value ?? "")?.[1] ?? null;
      return [target.address, "meta", memory, ...blank, error];
    });
    for (const load of loads) {
      const { node, pairs, error } = load;
      const cells = pairs.length === 0 ? [null, ...blank] : serverCells(load);
      rows.push([node.node, "replica", ...cells, error]);
    }
    context.answerTable(SERVER_HEAD, rows);
    context.isNegative = rows.some((row) => row.at(-1) !== "");
  },
};

const appDisk: Command = {
  name: "app_disk",
  group: "stats",
  brief: "Print how much disk a table takes",
  details: ["Sizes are those of the engines, as of the last checkpoints; logs are not counted."],
  examples: ["app_disk users -d"],
  positionals: [{ name: "name", type: "table", brief: "Name of the table" }],
  flags: [{ name: "detailed", short: "d", type: "bool", brief: "Also print every replica" }],
  async run(context, args) {
    const name = args.needText("name");
    const { tableId, partitionCount } = await context.admin.tableConfig(name);
    const loads = await sampleLoad(context, 0);
    const replicas = loads.flatMap(({ node, pairs }) =>
      pairs.flatMap(({ after }) =>
        after.partitions.filter(({ partition }) => tableOf(partition) === tableId)
          .map((load) => ({ ...load, node: node.node }))
      )
    ).sort((a, b) => a.partition - b.partition);
    tellMissing(context, loads);
    if (args.has("detailed")) {
      const rows = replicas.map(({ partition, node, status, bytes }): Json[] => [
        ...[formatPartition(partition), node, status, context.json ? bytes : formatBytes(bytes)],
      ]);
      return context.answerTable(["gpid", "node", "status", "size"], rows);
    }
    const primaries = replicas.filter(({ status }) => status === "primary");
    const sum = (list: readonly { bytes: number }[]) =>
      list.reduce((all, one) => all + one.bytes, 0);
    const size = (list: readonly { bytes: number }[]) =>
      context.json ? sum(list) : formatBytes(sum(list));
    context.answerPairs([
      ["app_name", name],
      ["partition_count", partitionCount],
      ["primaries_counted", primaries.length],
      ["primaries_size", size(primaries)],
      ["replicas_counted", replicas.length],
      ["replicas_size", size(replicas)],
    ]);
  },
};

const dataVersion: Command = {
  name: "data_version",
  group: "stats",
  brief: "Print in which version the rows of a table are stored, by server",
  examples: ["data_version users"],
  positionals: [{ name: "name", type: "table", brief: "Name of the table" }],
  flags: [],
  async run(context, args) {
    const { tableId } = await context.admin.tableConfig(args.needText("name"));
    const nodes = (await context.admin.listNodes()).filter(({ alive }) => alive)
      .toSorted((a, b) => a.node < b.node ? -1 : 1);
    const targets = nodes.map((node): Target => ({ address: node.node, role: "replica", node }));
    const replies = await askAll(
      targets,
      ({ address }) => context.admin.remoteCommand(address, "data-version", [String(tableId)]),
    );
    const rows = replies.map(({ target: { address }, value, error }): Json[] => {
      if (value === undefined) return [address, null, error];
      // A server need not have a replica of the table.
      const versions = new Set(outputLines(value).map((line) => line.split(" ")[1]!));
      return [address, [...versions].sort().join(",") || "-", ""];
    });
    context.isNegative = rows.some((row) => row[1] === null);
    context.answerTable(["address", "data_version", "error"], rows);
  },
};

/** See the file comment. */
export const STATS_COMMANDS: readonly Command[] = [appStat, serverStat, appDisk, dataVersion];
