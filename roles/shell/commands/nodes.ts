// nodes: the replica servers, and what they carry, use and do.

import type { NodeInfo } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import type { Args, Command } from "../declare.ts";
import { type NodeLoad, sampleLoad } from "../load_sample.ts";
import { counted, formatBytes, type Json } from "../render.ts";
import { namesOf, RESOLVE } from "./host_names.ts";
import { INTERVAL, intervalOf, serverCells, tellMissing } from "./stats.ts";

/** A group of columns: its head, and the cells of a server. */
interface Columns {
  readonly head: readonly string[];
  cells(node: NodeInfo, load: NodeLoad | undefined): Json[];
}

const BASIC: Columns = {
  head: ["address", "status"],
  cells: (node) => [node.node, statusOf(node)],
};

const DETAILED: Columns = {
  head: [
    ...["replica_count", "primary_count", "secondary_count", "disk_free", "disk_total"],
    ...["draining", "shards", "http_port", "beacon_age_ms", "labels"],
  ],
  cells: (node) => [
    node.replicas,
    node.primaries,
    node.replicas - node.primaries,
    node.stats === undefined ? null : formatBytes(node.stats.diskFreeBytes),
    node.stats === undefined ? null : formatBytes(node.stats.diskTotalBytes),
    node.stats?.draining ?? null,
    node.shardPorts.length,
    node.httpPort,
    node.beaconAgeMs,
    [...node.labels].map((pair) => pair.join("=")).join(","),
  ],
};

const USAGE: Columns = {
  head: ["memory", "heap", "data", "disk_free_percent", "disk_min_percent"],
  cells: (node, load) => {
    const answers = load?.pairs.map(({ after }) => after) ?? [];
    const sum = (of: (answer: (typeof answers)[number]) => number) =>
      answers.length === 0 ? null : formatBytes(answers.reduce((all, one) => all + of(one), 0));
    const percent = (free: number, total: number) =>
      total > 0 ? Math.round(100 * free / total) : null;
    const { stats } = node;
    const disks = stats?.disks.map(({ freeBytes, totalBytes }) => percent(freeBytes, totalBytes)) ??
      [];
    const known = disks.filter((share) => share !== null);
    const whole = stats === undefined ? null : percent(stats.diskFreeBytes, stats.diskTotalBytes);
    return [
      answers.length === 0 ? null : formatBytes(answers[0]!.residentBytes),
      sum(({ heapBytes }) => heapBytes),
      sum(({ partitions }) => partitions.reduce((all, { bytes }) => all + bytes, 0)),
      whole,
      known.length === 0 ? whole : Math.min(...known),
    ];
  },
};

const RATES: Columns = {
  head: ["cpu_percent", "reads", "writes", "RCU", "WCU", "errors", "read_p99_ms", "write_p99_ms"],
  cells: (_node, load) => {
    if (load === undefined || load.pairs.length === 0) return RATES.head.map(() => null);
    const [, cpu, , , , ...rates] = serverCells(load);
    return [cpu!, ...rates];
  },
};

/** See the file comment. */
export const NODES_COMMAND: Command = {
  name: "nodes",
  aliases: ["node_stat"],
  group: "cluster",
  brief: "List the replica servers; with -d, -u, -q what they carry, use and do",
  details: [
    "Rates are per second and measured for one second; RCU and WCU are capacity units of 4 KiB.",
  ],
  examples: ["nodes -d", "nodes -u -q --watch 2"],
  positionals: [],
  flags: [
    { name: "detailed", short: "d", type: "bool", brief: "Also replicas, disks and beacons" },
    { name: "resource_usage", short: "u", type: "bool", brief: "Also memory, data and disks" },
    { name: "qps", short: "q", type: "bool", brief: "Also processor, rates and latencies" },
    {
      name: "status",
      short: "s",
      type: "text",
      brief: "Only servers in this state",
      choices: ["all", "alive", "unalive"],
      default: "all",
    },
    INTERVAL,
    RESOLVE,
  ],
  async run(context, args) {
    const all = await context.admin.listNodes();
    const status = args.text("status") ?? "all";
    const shown = all.filter((n) => status === "all" || n.alive === (status === "alive"));
    shown.sort((a, b) => a.node < b.node ? -1 : 1);
    const columns = [BASIC];
    if (args.has("detailed")) columns.push(DETAILED);
    if (args.has("resource_usage")) columns.push(USAGE);
    if (args.has("qps")) columns.push(RATES);
    const loads = await loadsOf(context, args);
    const named = await namesOf(context, args, shown.map(({ node }) => node));
    const rows = shown.map((node) => {
      const load = loads.find((load) => load.node.node === node.node);
      const [address, ...cells] = columns.flatMap(({ cells }) => cells(node, load));
      return [named(String(address)), ...cells];
    });
    context.answerTable(columns.flatMap(({ head }) => head), rows);
    tellMissing(context, loads);
    const alive = all.filter((node) => node.alive).length;
    context.note(`${counted(all.length, "node")}, ${alive} alive, ${all.length - alive} unalive`);
  },
};

/** What the servers tell, if a column needs it. */
function loadsOf(context: Context, args: Args): Promise<NodeLoad[]> {
  if (args.has("qps")) return sampleLoad(context, intervalOf(args));
  return args.has("resource_usage") ? sampleLoad(context, 0) : Promise.resolve([]);
}

function statusOf(node: NodeInfo): string {
  if (!node.alive) return "UNALIVE";
  return node.stats?.draining === true ? "DRAINING" : "ALIVE";
}
