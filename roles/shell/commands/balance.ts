// Commands that move replicas between servers: balance, drain, undrain, forget_node. They start what meta does
// and watch it; ended by Ctrl-C they leave it running. See docs/meta.md, "Balancer", and docs/operations.md.

import { formatPartition, parsePartition } from "../../../src/base/ids.ts";
import type { BalanceState } from "../../../src/client/admin.ts";
import { pause } from "../../../src/client/meta_client.ts";
import type { NodeInfo } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, type Flag, UsageProblem } from "../declare.ts";
import { counted, formatSeconds, type Json } from "../render.ts";

/** How often the progress is looked at, ms. */
const POLL_MS = 500;

/** Looks in a row that must show no progress possible before a drain is called finished. */
const STILL_LOOKS = 20;

/** Rows of a plan that people are shown. */
const SHOWN_MAX = 30;

const NO_WAIT: Flag = {
  name: "no_wait",
  type: "bool",
  brief: "Only start it; do not wait for the end",
};

/** The original's names of moves. */
const MOVE_KINDS = {
  move_pri: "movePrimary",
  copy_pri: "copyPrimary",
  copy_sec: "copySecondary",
} as const;
const ONE_MOVE = ["gpid", "type", "from", "to"] as const;

const MOVE_HEAD = ["partition", "move", "from", "to"];
const SHARE_HEAD = ["node", "primaries", "planned", "replicas", "planned_replicas"];

const balance: Command = {
  name: "balance",
  isLong: true,
  changes: true,
  group: "cluster",
  brief: "Move replicas until all servers carry equal shares",
  details: [
    "Prints the plan, starts it and waits for the end. About ten moves run at a time; the next begin",
    "only while every partition is healthy. For continuous balancing: set_meta_level lively.",
    "With --gpid, --type, --from and --to it is one move of that partition instead.",
  ],
  examples: [
    "balance --dry_run",
    "balance -g 1.3 -p move_pri -f 10.0.0.1:34801 -t 10.0.0.2:34801",
  ],
  positionals: [],
  flags: [
    { name: "dry_run", type: "bool", brief: "Only print the plan" },
    { name: "stop", type: "bool", brief: "End a run" },
    { name: "gpid", short: "g", type: "text", brief: "Partition of one move, as in 1.3" },
    {
      name: "type",
      short: "p",
      type: "text",
      brief: "Pass the leadership to a member, or copy a primary or a secondary",
      choices: Object.keys(MOVE_KINDS),
    },
    {
      name: "from",
      short: "f",
      type: "node",
      brief: "Server that the replica, or the lead, leaves",
    },
    { name: "to", short: "t", type: "node", brief: "Server that gets it" },
    NO_WAIT,
  ],
  async run(context, args) {
    const { admin } = context;
    if (ONE_MOVE.some((name) => args.text(name) !== undefined)) return await moveOne(context, args);
    if (args.has("stop")) {
      if (args.has("dry_run")) throw new UsageProblem("Choose one of --stop and --dry_run");
      await admin.balance("stop");
      return context.answer("OK", "OK, stopped");
    }
    const plan = await admin.balance("plan");
    const shares = sharesOf(plan, await admin.listNodes());
    if (args.has("dry_run")) {
      return context.answer(planJson(plan, shares), planText(context, plan, shares));
    }
    const shown = planText(context, plan, shares);
    if (!context.json) context.answer([], shown);
    await admin.balance("start");
    if (args.has("no_wait")) return context.answer({ started: true }, "OK, started");
    const startedAt = performance.now();
    const { started, isDone } = await watchBalance(context);
    // A run that was going on has begun some already.
    const moves = started - (plan.running ? plan.started : 0);
    const seconds = Math.round(performance.now() - startedAt) / 1000;
    context.isNegative = !isDone;
    const text = !isDone
      ? `Interrupted after ${counted(moves, "move")}; the balancer goes on, balance --stop ends it`
      : moves === 0
      ? "OK, shares are equal"
      : `OK, after ${counted(moves, "move")} in ${formatSeconds(seconds)}`;
    context.answer({ moves, seconds, done: isDone }, text);
  },
};

/** One move that the operator chose. */
async function moveOne(context: Context, args: Args): Promise<void> {
  const [gpid, type, from, to] = ONE_MOVE.map((name) => args.text(name) ?? "");
  const partition = parsePartition(gpid!);
  if (partition === undefined || type === "" || from === "" || to === "") {
    throw new UsageProblem("One move needs all of --gpid (as in 1.3), --type, --from and --to");
  }
  const kind = MOVE_KINDS[type as keyof typeof MOVE_KINDS];
  await context.admin.moveReplica({ partition, kind, from: from!, to: to! });
  const value = { partition: gpid!, move: kind, from: from!, to: to! };
  if (args.has("no_wait")) return context.answer(value, `OK, ${gpid} moves`);
  const isMoving = async () => (await context.admin.balance("status")).moving > 0;
  let isDone = !await isMoving();
  while (!isDone && !context.signal.aborted) {
    await pause(POLL_MS);
    isDone = !await isMoving();
  }
  context.isNegative = !isDone;
  const text = isDone ? `OK, ${gpid} has moved` : `Interrupted; ${gpid} goes on moving`;
  context.answer({ ...value, done: isDone }, `${text}; app -d shows where it is`);
}

/** A row per alive server: what it has, and will have. */
function sharesOf({ next }: BalanceState, nodes: readonly NodeInfo[]): Json[][] {
  const alive = nodes.filter((node) => node.alive).sort((a, b) => a.node < b.node ? -1 : 1);
  const after = new Map(
    alive.map(({ node, primaries, replicas }) => [node, { primaries, replicas }]),
  );
  const add = (node: string, primaries: number, replicas: number) => {
    const counts = after.get(node);
    if (counts === undefined) return;
    counts.primaries += primaries;
    counts.replicas += replicas;
  };
  for (const { kind, from, to } of next) {
    const [primaries, replicas] = [
      Number(kind !== "copySecondary"),
      Number(kind !== "movePrimary"),
    ];
    add(from, -primaries, -replicas);
    add(to, primaries, replicas);
  }
  return alive.map(({ node, primaries, replicas }) => {
    const planned = after.get(node)!;
    return [node, primaries, planned.primaries, replicas, planned.replicas];
  });
}

function planJson({ next, waitsFor, isMore }: BalanceState, shares: readonly Json[][]): Json {
  return {
    moves: next.map(({ partition, kind, from, to }) => ({
      ...{ partition: formatPartition(partition), move: kind, from, to },
    })),
    is_more: isMore,
    waits_for: waitsFor,
    servers: shares.map((row) => Object.fromEntries(SHARE_HEAD.map((name, i) => [name, row[i]!]))),
  };
}

function planText(
  context: Context,
  { next, waitsFor, isMore }: BalanceState,
  shares: readonly Json[][],
): string {
  const wait = waitsFor === "" ? [] : [`Nothing can move now: ${waitsFor}`];
  if (next.length === 0) {
    return [...wait, ...(waitsFor === "" ? ["Nothing to move: shares are equal"] : [])].join("\n");
  }
  const rows = next.slice(0, SHOWN_MAX).map(({ partition, kind, from, to }) => [
    ...[formatPartition(partition), kind, from, to],
  ]);
  const rest = next.length - rows.length;
  const kinds = ["movePrimary", "copyPrimary", "copySecondary"].map((kind) =>
    [kind, next.filter((move) => move.kind === kind).length] as const
  ).filter(([, count]) => count > 0).map(([kind, count]) => `${count} ${kind}`);
  return [
    context.renderTable(MOVE_HEAD, rows),
    ...(rest > 0 ? [`... and ${rest} more`] : []),
    `${counted(next.length, "move")}${isMore ? ", more to come" : ""}: ${kinds.join(", ")}`,
    "",
    context.renderTable(SHARE_HEAD, shares),
    ...wait,
  ].join("\n");
}

/** Until shares are equal, or Ctrl-C. @returns Moves the run has begun, and whether it has ended */
async function watchBalance(context: Context): Promise<{ started: number; isDone: boolean }> {
  const startedAt = performance.now();
  let shown = "";
  for (;;) {
    const state = await context.admin.balance("status");
    const { running, moving, started, waitsFor, remaining, isMore } = state;
    const isEven = moving === 0 && waitsFor === "" && remaining === 0;
    // At level lively it never stops running: equal shares end the wait.
    if (!running || isEven) return { started, isDone: true };
    const done = started - moving;
    const rate = done / ((performance.now() - startedAt) / 1000);
    const left = moving + remaining;
    const time = rate > 0 && !isMore ? `, about ${formatSeconds(left / rate)} left` : "";
    const speed = done > 0 ? `, ${rate.toFixed(1)} moves/s` : "";
    const wait = moving === 0 && waitsFor !== "" ? `; waits: ${waitsFor}` : "";
    const figures = `${done} done, ${moving} moving, ${
      isMore ? "more than " : ""
    }${remaining} to come`;
    if (figures + wait !== shown) context.note(`${figures}${speed}${time}${wait}`);
    shown = figures + wait;
    if (context.signal.aborted) return { started, isDone: false };
    await pause(POLL_MS);
  }
}

const drain: Command = {
  name: "drain",
  isLong: true,
  changes: true,
  group: "cluster",
  brief: "Move everything away from a replica server, and give it nothing new",
  details: [
    "Lasts until undrain, across restarts. Leaderships leave first, then replicas; then the other",
    "servers get equal shares.",
  ],
  examples: ["drain 10.0.0.1:34801"],
  positionals: [{
    name: "node",
    type: "node",
    brief: "host:port of the server, as nodes prints it",
  }],
  flags: [NO_WAIT],
  async run(context, args) {
    const node = args.needText("node");
    await context.admin.drain(node, true);
    if (args.has("no_wait")) return context.answer({ node }, `OK, ${node} is being drained`);
    const { replicas, primaries, waitsFor } = await watchDrain(context, node);
    context.isNegative = replicas > 0;
    const why = context.signal.aborted
      ? "interrupted, and it goes on"
      : waitsFor === ""
      ? "the other servers have no room"
      : waitsFor;
    const text = replicas === 0
      ? `OK, ${node} is empty`
      : `${node} still has ${counted(replicas, "replica")}, ${primaries} of them primaries: ${why}`;
    context.answer({ node, replicas, primaries }, text);
  },
};

/** Until the server is empty, or nothing has changed for a while. */
async function watchDrain(
  context: Context,
  node: string,
): Promise<{ replicas: number; primaries: number; waitsFor: string }> {
  const startedAt = performance.now();
  let shown = "";
  let first = -1;
  for (let still = 0;; still++) {
    const found = (await context.admin.listNodes()).find((info) => info.node === node);
    const { replicas, primaries } = found ?? { replicas: 0, primaries: 0 };
    const { moving, waitsFor, running, remaining } = await context.admin.balance("status");
    // What it had is spread evenly in the end.
    const isDone = replicas === 0 && (!running || (moving === 0 && remaining === 0));
    if (first < 0) first = replicas;
    const rate = (first - replicas) / ((performance.now() - startedAt) / 1000);
    const time = rate > 0 && replicas > 0
      ? `, ${rate.toFixed(1)} replicas/s, about ${formatSeconds(replicas / rate)} left`
      : "";
    const text = replicas === 0
      ? `${node} is empty; ${counted(moving + remaining, "move")} to equal shares of the others`
      : `${node}: ${counted(replicas, "replica")} left, ${primaries} of them primaries`;
    if (text !== shown) context.note(`${text}${time}`);
    if (text !== shown || moving > 0) still = 0;
    shown = text;
    if (isDone || still >= STILL_LOOKS || context.signal.aborted) {
      return { replicas, primaries, waitsFor };
    }
    await pause(POLL_MS);
  }
}

const undrain: Command = {
  name: "undrain",
  changes: true,
  group: "cluster",
  brief: "Let a drained replica server take replicas again",
  examples: ["undrain 10.0.0.1:34801"],
  positionals: [{ name: "node", type: "node", brief: "host:port of the server" }],
  flags: [],
  async run(context, args) {
    const node = args.needText("node");
    const drained = await context.admin.drain(node, false);
    context.answer({ node, drained }, `OK; "balance" moves replicas to it`);
  },
};

const forgetNode: Command = {
  name: "forget_node",
  changes: true,
  group: "cluster",
  brief: "Take a server off the list that is gone for good",
  details: [
    "Only one that is dead and no member of any partition: drain it, stop its process, then forget",
    "it. A process that starts again under its name is a new server.",
  ],
  examples: ["forget_node 10.0.0.4:34801"],
  positionals: [{ name: "node", type: "node", brief: "host:port of the server" }],
  flags: [],
  async run(context, args) {
    const node = args.needText("node");
    await context.admin.forgetNode(node);
    context.answer({ node }, `OK, ${node} is forgotten`);
  },
};

/** See the file comment. */
export const BALANCE_COMMANDS: readonly Command[] = [balance, drain, undrain, forgetNode];
