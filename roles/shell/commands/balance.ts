// Commands that move replicas between servers: balance, drain, undrain. They start what meta does
// and watch it; ended by Ctrl-C they leave it running. See docs/meta.md, "Balancer".

import { formatPartition } from "../../../src/base/ids.ts";
import { pause } from "../../../src/client/meta_client.ts";
import type { Context } from "../context.ts";
import { type Command, type Flag, UsageProblem } from "../declare.ts";

/** How often the progress is looked at, ms. */
const POLL_MS = 500;

/** Looks in a row that must show no progress possible before a drain is called finished. */
const STILL_LOOKS = 20;

const NO_WAIT: Flag = {
  name: "no_wait",
  type: "bool",
  brief: "Only start it; do not wait for the end",
};

const HEAD = ["partition", "move", "from", "to"];

const balance: Command = {
  name: "balance",
  changes: true,
  group: "cluster",
  brief: "Move replicas until all servers carry equal shares",
  details: [
    "Prints the first moves, starts them and waits for the end. Nothing moves while a partition is",
    "not healthy. For continuous balancing: set_meta_level lively.",
  ],
  examples: ["balance --dry_run", "balance"],
  positionals: [],
  flags: [
    { name: "dry_run", type: "bool", brief: "Only print what would move first" },
    { name: "stop", type: "bool", brief: "End a run" },
    NO_WAIT,
  ],
  async run(context, args) {
    if (args.has("stop")) {
      if (args.has("dry_run")) throw new UsageProblem("Choose one of --stop and --dry_run");
      await context.admin.balance("stop");
      return context.answer("OK", "OK, stopped");
    }
    const plan = await context.admin.balance("status");
    const rows = plan.next.map(({ partition, kind, from, to }) => [
      formatPartition(partition),
      kind,
      from,
      to,
    ]);
    if (args.has("dry_run") || !context.json) {
      if (rows.length > 0) context.answerTable(HEAD, rows);
      else if (plan.waitsFor !== "") context.note(`Nothing can move now: ${plan.waitsFor}`);
      else if (args.has("dry_run")) context.answer([], "Nothing to move: shares are equal");
    }
    if (args.has("dry_run")) {
      if (!context.hasAnswered) context.answer([], "");
      return;
    }
    await context.admin.balance("start");
    if (args.has("no_wait")) return context.answer({ started: true }, "OK, started");
    const moves = await watchBalance(context);
    context.answer({ moves }, moves === 0 ? "OK, shares are equal" : `OK, after ${moves} moves`);
  },
};

/** @returns Moves of the run. */
async function watchBalance(context: Context): Promise<number> {
  let shown = "";
  for (;;) {
    const { running, moving, started, waitsFor, next } = await context.admin.balance("status");
    // At level lively it never stops running: equal shares end the wait.
    if (!running || (moving === 0 && waitsFor === "" && next.length === 0)) return started;
    const text = moving > 0 ? `${moving} partitions are moving` : waitsFor;
    if (text !== "" && text !== shown) context.note(`${started} moves begun; ${text}`);
    shown = text;
    if (context.signal.aborted) {
      context.note("The balancer goes on; balance --stop ends it");
      return started;
    }
    await pause(POLL_MS);
  }
}

const drain: Command = {
  name: "drain",
  changes: true,
  group: "cluster",
  brief: "Move everything away from a replica server, and give it nothing new",
  details: ["Lasts until undrain, across restarts. Leaderships leave first, then replicas."],
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
    const { replicas, primaries } = await watchDrain(context, node);
    context.isNegative = replicas > 0;
    const text = replicas === 0
      ? `OK, ${node} is empty`
      : `${node} still has ${replicas} replicas, ${primaries} of them primaries: ` +
        "the other servers have no room, or partitions are not healthy; see app -d";
    context.answer({ node, replicas, primaries }, text);
  },
};

/** Until the server is empty, or nothing has changed for a while. */
async function watchDrain(
  context: Context,
  node: string,
): Promise<{ replicas: number; primaries: number }> {
  let shown = "";
  for (let still = 0;; still++) {
    const found = (await context.admin.listNodes()).find((info) => info.node === node);
    const { replicas, primaries } = found ?? { replicas: 0, primaries: 0 };
    const { moving } = await context.admin.balance("status");
    const text = `${node}: ${replicas} replicas left, ${primaries} of them primaries`;
    if (text !== shown) context.note(text);
    if (text !== shown || moving > 0) still = 0;
    shown = text;
    if (replicas === 0 || still >= STILL_LOOKS || context.signal.aborted) {
      return { replicas, primaries };
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

/** See the file comment. */
export const BALANCE_COMMANDS: readonly Command[] = [balance, drain, undrain];
