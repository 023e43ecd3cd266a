// Commands on the data directories of replica servers: how full they are, what is where, and moves between the
// directories of one server. See docs/operations.md, "Disks".

import { formatPartition, parsePartition, tableOf } from "../../../src/base/ids.ts";
import { pause } from "../../../src/client/meta_client.ts";
import type { DiskInfo } from "../../../src/schema/types.ts";
import type { Context } from "../context.ts";
import { type Command, eitherText, type Flag, UsageProblem } from "../declare.ts";
import { counted, formatBytes, type Json } from "../render.ts";
import { outputLines } from "./targets.ts";

/** How often a move is looked at, ms, and for how long without any change. */
const POLL_MS = 500;
const STILL_MS = 60_000;

const NODE_FLAG: Flag = {
  name: "node",
  short: "n",
  type: "node",
  brief: "Only this server",
};

/** One replica as its server tells it. */
interface StoredReplica {
  readonly partition: string;
  readonly status: string;
  readonly disk: string;
  readonly bytes: number;
}

const diskCapacity: Command = {
  name: "disk_capacity",
  group: "cluster",
  brief: "List the data directories of the servers: state, room, replicas",
  details: [
    "good: takes new replicas; low: too little room for that; bad: not used, its replicas are elsewhere.",
  ],
  positionals: [],
  flags: [NODE_FLAG],
  async run(context, args) {
    const only = args.text("node");
    const nodes = (await context.admin.listNodes()).filter(({ node }) =>
      only === undefined || node === only
    );
    if (nodes.length === 0) throw new UsageProblem(`There is no server "${only}"; see nodes`);
    nodes.sort((a, b) => a.node < b.node ? -1 : 1);
    const disks = nodes.flatMap(({ node, stats }) =>
      (stats?.disks ?? []).map((disk) => ({ node, disk }))
    );
    const rows = disks.map(({ node, disk }) => [node, ...diskCells(context, disk)]);
    context.answerTable(CAPACITY_HEAD, rows);
    const bad = disks.filter(({ disk }) => disk.state === "bad");
    for (const { node, disk } of bad) context.note(`${node} ${disk.tag}: ${disk.reason}`);
    context.isNegative = bad.length > 0;
  },
};

const CAPACITY_HEAD = [
  ...["node", "disk", "state", "free", "total", "free_percent"],
  ...["replicas", "primaries", "path"],
];

function diskCells(context: Context, disk: DiskInfo): Json[] {
  const { tag, path, state, freeBytes, totalBytes, replicas, primaries } = disk;
  const bytes = (count: number): Json =>
    totalBytes === 0 ? null : context.json ? count : formatBytes(count);
  const percent = totalBytes === 0 ? null : Math.round(100 * freeBytes / totalBytes);
  return [tag, state, bytes(freeBytes), bytes(totalBytes), percent, replicas, primaries, path];
}

const diskReplica: Command = {
  name: "disk_replica",
  group: "cluster",
  brief: "List in which data directory every replica is",
  examples: ["disk_replica -n 127.0.0.1:34801 --table temp"],
  positionals: [],
  flags: [NODE_FLAG, { name: "table", type: "table", brief: "Only replicas of this table" }],
  async run(context, args) {
    const only = args.text("node");
    const name = args.text("table");
    const table = name === undefined ? undefined : (await context.admin.tableConfig(name)).tableId;
    const nodes = (await context.admin.listNodes()).filter(({ node, alive }) =>
      only === undefined ? alive : node === only
    );
    if (nodes.length === 0) throw new UsageProblem(`There is no server "${only}"; see nodes`);
    const answers = await Promise.all(nodes.map(({ node }) => replicasOf(context, node)));
    const rows = nodes.flatMap(({ node }, i) =>
      answers[i]!.filter((replica) => table === undefined || tableIdOf(replica) === table)
        .map(({ disk, partition, status, bytes }) => [
          ...[node, disk, partition, status],
          context.json ? bytes : formatBytes(bytes),
        ])
    );
    rows.sort((a, b) => String(a) < String(b) ? -1 : 1);
    context.answerTable(["node", "disk", "partition", "status", "bytes"], rows);
  },
};

function tableIdOf({ partition }: StoredReplica): number {
  return tableOf(parsePartition(partition) ?? 0);
}

/** What a server stores, by its own account. */
async function replicasOf({ admin }: Context, node: string): Promise<StoredReplica[]> {
  const output = await admin.remoteCommand(node, "disk-replicas", []);
  return outputLines(output).map((line) => JSON.parse(line) as StoredReplica);
}

const diskMigrate: Command = {
  name: "disk_migrate",
  isLong: true,
  changes: true,
  group: "cluster",
  brief: "Move a replica to another data directory of its server",
  details: [
    "The replica leaves its group, is copied, comes back and learns what it missed: the partition is",
    "one member short meanwhile. A primary does not move; pass the leadership on first, for example",
    "with propose GPID DOWNGRADE_TO_SECONDARY NODE.",
  ],
  examples: [
    "disk_migrate 1.3 127.0.0.1:34801 data2",
    "disk_migrate -g 1.3 -n 127.0.0.1:34801 -t data2",
  ],
  positionals: [
    { name: "partition", type: "text", brief: "The partition, as in 1.3", optional: true },
    { name: "server", type: "node", brief: "host:port of the server", optional: true },
    {
      name: "disk",
      type: "text",
      brief: "The disk it shall be on, as disk_capacity names it",
      optional: true,
    },
  ],
  flags: [
    { name: "gpid", short: "g", type: "text", brief: "As the argument" },
    { name: "node", short: "n", type: "node", brief: "As the argument" },
    { name: "from", short: "f", type: "text", brief: "Refuse if it is on another disk than this" },
    { name: "to", short: "t", type: "text", brief: "As the argument" },
  ],
  async run(context, args) {
    const gpid = eitherText(args, "partition", "gpid");
    const partition = parsePartition(gpid);
    if (partition === undefined) {
      throw new UsageProblem(`"${gpid}" is no partition, expected e.g. 1.3`);
    }
    const [node, to] = [eitherText(args, "server", "node"), eitherText(args, "disk", "to")];
    const from = args.text("from");
    const held = from === undefined
      ? undefined
      : (await replicasOf(context, node)).find((r) => r.partition === formatPartition(partition));
    if (held?.disk !== from) {
      throw new Error(`${gpid} is on ${held?.disk ?? `no disk of ${node}`}, not on ${from}`);
    }
    const hasMoved = await migrate(context, partition, node, to);
    context.isNegative = !hasMoved;
    const name = formatPartition(partition);
    const text = hasMoved
      ? `OK, ${name} is on ${to}`
      : `${name} has not come back on ${to} yet; see disk_replica and the server's log`;
    context.answer({ partition: name, node, disk: to, moved: hasMoved }, text);
  },
};

/** @returns Whether it is there, and no less than it was before. */
async function migrate(
  context: Context,
  partition: number,
  node: string,
  to: string,
): Promise<boolean> {
  const { admin } = context;
  const name = formatPartition(partition);
  const look = async () => (await replicasOf(context, node)).find((r) => r.partition === name);
  const before = await look();
  const said = (await admin.remoteCommand(node, "disk-migrate", [name, to])).split("\n")
    .map((line) => line.replace(/^shard \d+: /, "")).find((line) => line !== "") ?? "";
  if (said.startsWith("waits")) {
    await admin.propose(partition, "DOWNGRADE_TO_INACTIVE", { target: "", node });
  }
  let shown = "";
  for (let changedAt = performance.now(); performance.now() - changedAt < STILL_MS;) {
    const replica = await look();
    const isBack = replica?.status === before?.status || replica?.status === "secondary";
    if (replica?.disk === to && isBack) return true;
    const text = replica === undefined
      ? `${name}: on its way`
      : `${name}: ${replica.status} on ${replica.disk}`;
    if (text !== shown) {
      context.note(text);
      changedAt = performance.now();
    }
    shown = text;
    if (context.signal.aborted) return false;
    await pause(POLL_MS);
  }
  return false;
}

const diskBalance: Command = {
  name: "disk_balance",
  isLong: true,
  changes: true,
  group: "cluster",
  brief: "Move replicas between the data directories of a server until all hold equally many",
  details: ["One replica at a time, as disk_migrate does it; secondaries only."],
  examples: ["disk_balance 127.0.0.1:34801 --dry_run"],
  positionals: [{ name: "node", type: "node", brief: "host:port of the server" }],
  flags: [{ name: "dry_run", type: "bool", brief: "Only print the moves" }],
  async run(context, args) {
    const node = args.needText("node");
    const found = (await context.admin.listNodes()).find((info) => info.node === node);
    if (found === undefined) throw new UsageProblem(`There is no server "${node}"; see nodes`);
    const good = (found.stats?.disks ?? []).filter(({ state }) => state === "good");
    const moves = evenOut(good.map(({ tag }) => tag), await replicasOf(context, node));
    const rows = moves.map(({ partition, from, to }) => [partition, from, to]);
    if (args.has("dry_run")) return context.answerTable(["partition", "from", "to"], rows);
    let done = 0;
    for (const { partition, to } of moves) {
      if (context.signal.aborted) break;
      const hasMoved = await migrate(context, parsePartition(partition)!, node, to);
      if (!hasMoved) break;
      done++;
      context.note(`${done} of ${moves.length} moved: ${partition} to ${to}`);
    }
    context.isNegative = done < moves.length;
    const text = moves.length === 0
      ? "OK, nothing to move"
      : `${done === moves.length ? "OK, moved" : "Stopped after"} ${counted(done, "replica")}`;
    context.answer({ node, planned: moves.length, moved: done }, text);
  },
};

interface DiskMove {
  readonly partition: string;
  readonly from: string;
  readonly to: string;
}

/** Moves after which the disks hold equally many replicas, as far as secondaries can bring that about. */
export function evenOut(tags: readonly string[], replicas: readonly StoredReplica[]): DiskMove[] {
  const moves: DiskMove[] = [];
  const held = new Map(tags.map((tag) => [tag, replicas.filter(({ disk }) => disk === tag)]));
  for (;;) {
    const order = [...held].sort(([, a], [, b]) => b.length - a.length);
    const [to, least] = order.at(-1) ?? ["", []];
    // The fullest that has something to give.
    const giver = order.find(([, list]) =>
      list.length - least.length >= 2 && list.some(({ status }) => status === "secondary")
    );
    if (giver === undefined) return moves;
    const [from, list] = giver;
    const chosen = list.find(({ status }) => status === "secondary")!;
    moves.push({ partition: chosen.partition, from, to });
    held.set(from, list.filter((replica) => replica !== chosen));
    held.set(to, [...least, { ...chosen, status: "moved" }]);
  }
}

/** See the file comment. */
export const DISK_COMMANDS: readonly Command[] = [
  diskCapacity,
  diskReplica,
  diskMigrate,
  diskBalance,
];
