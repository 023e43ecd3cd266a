// Commands that give back the space of deleted rows.

import { parsePartition } from "../../../src/base/ids.ts";
import { StoreError } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import {
  aliveNodes,
  compactionsOf,
  isOpen,
  type ReplicaCompaction,
  startCompaction,
} from "../../table_compaction.ts";
import { Args, type Command, eitherText } from "../declare.ts";
import { counted, type Json } from "../render.ts";

const POLL_MS = 500;

const HEAD = ["node", "gpid", "state", "detail"];

/** State of a server that is asked in vain: nobody knows how far its replicas are. */
const NO_ANSWER = "no answer";

const manualCompact: Command = {
  name: "manual_compact",
  isLong: true,
  changes: true,
  group: "tables",
  brief: "Rewrite a table's files on every server to give back the space of deleted rows",
  details: [
    "Each shard compacts one replica after the other; Ctrl-C stops the waiting, not the work.",
    'A server that does not answer has a line of its own, with the state "no answer"; the exit status is 1.',
  ],
  examples: ["manual_compact users", "manual_compact users --query"],
  positionals: [{ name: "table", type: "table", brief: "The table" }],
  flags: [
    { name: "query", short: "q", type: "bool", brief: "Only print how far it is" },
    { name: "no_wait", type: "bool", brief: "Only start it; do not wait for the end" },
  ],
  async run(context, args) {
    const name = args.needText("table");
    const { tableId } = await context.admin.tableConfig(name);
    const nodes = await aliveNodes(context.admin);
    if (!args.has("query")) await startCompaction(context.admin, nodes, tableId);
    const waits = !args.has("query") && !args.has("no_wait");
    const states = waits
      ? await watch(context, nodes, tableId)
      : await look(context, nodes, tableId);
    context.isNegative = states.some(({ state }) => state === "failed" || state === NO_ANSWER);
    context.answerTable(
      HEAD,
      states.map(({ node, gpid, state, detail }): Json[] => [node, gpid, state, detail]),
    );
    const open = states.filter(isOpen).length;
    const known = states.filter(({ state }) => state !== NO_ANSWER).length;
    context.note(`${counted(known, "replica")}, ${open} of them queued or running`);
  },
};

async function look(
  context: Context,
  nodes: readonly string[],
  tableId: number,
): Promise<ReplicaCompaction[]> {
  const all = await Promise.all(
    nodes.map((node) =>
      compactionsOf(context.admin, node, tableId).catch((error) => {
        if (!(error instanceof StoreError)) throw error;
        return [{ node, gpid: "", state: NO_ANSWER, detail: error.message }];
      })
    ),
  );
  return all.flat().toSorted((a, b) =>
    a.node === b.node ? parsePartition(a.gpid)! - parsePartition(b.gpid)! : a.node < b.node ? -1 : 1
  );
}

/** Until every replica is done that can be asked for, or Ctrl-C. */
async function watch(
  context: Context,
  nodes: readonly string[],
  tableId: number,
): Promise<ReplicaCompaction[]> {
  let progress: ReturnType<Context["progress"]> | undefined;
  try {
    for (;;) {
      const states = await look(context, nodes, tableId);
      const done = states.filter((state) => !isOpen(state)).length;
      progress ??= context.progress(states.length);
      progress.update(done, done, "replicas");
      if (done === states.length || context.signal.aborted) return states;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    progress?.clear();
  }
}

/** The same, as admin-cli has it. */
const manualCompaction: Command = {
  name: "manual_compaction",
  changes: true,
  group: "tables",
  brief: "manual_compact in two steps: start, query",
  examples: ["manual_compaction start -a users", "manual_compaction query -a users"],
  positionals: [
    { name: "action", type: "text", brief: "What to do", choices: ["start", "query"] },
    { name: "table", type: "table", brief: "The table", optional: true },
  ],
  flags: [{ name: "app_name", short: "a", type: "table", brief: "As the argument" }],
  run(context, args) {
    const given = new Args();
    const text = eitherText(args, "table", "app_name");
    given.add("table", { bytes: utf8(text), text, quoted: true });
    given.set(args.text("action") === "query" ? "query" : "no_wait");
    return manualCompact.run(context, given);
  },
};

/** See the file comment. */
export const COMPACTION_COMMANDS: readonly Command[] = [manualCompact, manualCompaction];
