// Commands on what the meta leader watches, and the search for hot keys.

import { partitionId } from "../../../src/base/ids.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, UsageProblem } from "../declare.ts";
import { shardAddresses } from "../../shard_addresses.ts";
import { counted, type Json, jsonBytes } from "../render.ts";

/** Asks the meta leader; the answer is JSON. */
async function askLeader(context: Context, command: string): Promise<unknown> {
  const { primaryMeta } = await context.admin.clusterInfo();
  return JSON.parse(await context.admin.remoteCommand(primaryMeta, command, []));
}

const hotspots: Command = {
  name: "hotspots",
  group: "stats",
  brief: "List partitions that are asked for much more than the others of their table",
  details: [
    "The meta leader looks every load-interval; the score is in standard deviations above the others.",
    "detect_hotkey finds the key behind a hot partition.",
  ],
  positionals: [],
  flags: [],
  async run(context) {
    const found = await askLeader(context, "hotspots") as Record<string, Json>[];
    const head = ["app_name", "gpid", "kind", "rate", "score", "looks", "primary"];
    context.answerTable(head, found.map((row) => head.map((name) => row[name] ?? null)));
    context.note(
      found.length === 0 ? "No partition stands out" : `${counted(found.length, "hot partition")}`,
    );
  },
};

const availability: Command = {
  name: "availability",
  group: "stats",
  brief: "Print how many of the meta leader's probes were served",
  details: [
    "The leader writes and reads a row in every partition of the table __stat (setting probe-table) every",
    "few seconds. Without that table there are no probes: create __stat -p 8.",
  ],
  positionals: [],
  flags: [],
  async run(context) {
    const shares = await askLeader(context, "availability") as Record<string, number | null>;
    const text = (share: number | null) =>
      share === null ? "no probes" : `${(share * 100).toFixed(4)} %`;
    context.answerPairs(
      Object.entries(shares).map(([window, share]) => [
        window,
        context.json ? share : text(share),
      ]),
    );
  },
};

const POLL_MS = 1000;

const detectHotkey: Command = {
  name: "detect_hotkey",
  isLong: true,
  changes: true,
  group: "stats",
  brief: "Search for the hash key that a partition is asked for most",
  details: [
    "detect_hotkey users 3 starts a search for reads, waits for the result and prints it; it takes 20 s or",
    "more, and ends after 150 s without a result. With -c it is done step by step, as in the original: start,",
    "query, and stop before a new start.",
  ],
  examples: [
    "detect_hotkey users 3  # search, wait, print",
    "detect_hotkey -a 1 -p 3 -t write -c start",
  ],
  positionals: [
    { name: "table", type: "table", brief: "The table", optional: true },
    { name: "partition", type: "int", brief: "Index of the partition", optional: true },
  ],
  flags: [
    { name: "app_id", short: "a", type: "text", brief: "The table, by id or name" },
    { name: "partition_index", short: "p", type: "int", brief: "Index of the partition" },
    {
      name: "hotkey_type",
      short: "t",
      type: "text",
      brief: "Which requests are looked at",
      choices: ["read", "write"],
      default: "read",
    },
    {
      name: "detect_action",
      short: "c",
      type: "text",
      brief: "One step instead of a whole search",
      choices: ["start", "stop", "query"],
    },
    {
      name: "address",
      short: "d",
      type: "node",
      brief: "The server that looks",
      default: "the one with the primary",
    },
  ],
  async run(context, args) {
    const { partition, address } = await placeOf(context, args);
    const kind = (args.text("hotkey_type") ?? "read") as "read" | "write";
    const ask = (action: "start" | "stop" | "query") =>
      context.admin.detectHotkey(address, { partition, kind, action });
    const action = args.text("detect_action") as "start" | "stop" | "query" | undefined;
    if (action !== undefined) return answerState(context, await ask(action));
    await ask("start");
    try {
      answerState(context, await watch(context, () => ask("query")));
    } finally {
      await ask("stop");
    }
  },
};

type State = Awaited<ReturnType<Context["admin"]["detectHotkey"]>>;

/** Until the search ends, or Ctrl-C. */
async function watch(context: Context, query: () => Promise<State>): Promise<State> {
  const progress = context.progress(0);
  try {
    for (;;) {
      const state = await query();
      if (state.state !== "coarse" && state.state !== "fine") return state;
      if (context.signal.aborted) throw new Error("Interrupted; the search was stopped");
      progress.update(state.captured, state.captured);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  } finally {
    progress.clear();
  }
}

function answerState(context: Context, { state, captured, hashKey, share }: State): void {
  context.isNegative = state === "failed";
  const value: Json = {
    state,
    captured,
    ...(hashKey === undefined ? {} : { hash_key: jsonBytes(hashKey), share }),
  };
  const texts = {
    stopped: "No search",
    coarse: `Searching, first step: ${counted(captured, "row")} seen`,
    fine: `Searching, second step: ${counted(captured, "row")} seen`,
    finished: hashKey === undefined
      ? ""
      : `${context.show(hashKey)}: ${Math.round(share * 100)} % of the rows asked for`,
    failed: "There is no hot key, or too few requests",
  };
  context.answer(value, texts[state]);
}

/** The partition, and the shard that is asked about it. */
async function placeOf(
  context: Context,
  args: Args,
): Promise<{ partition: number; address: string }> {
  const named = args.text("table") ?? args.text("app_id");
  const index = args.int("partition") ?? args.int("partition_index");
  if (named === undefined) throw new UsageProblem("<table> is missing");
  if (index === undefined) throw new UsageProblem("<partition> is missing");
  const { tables } = await context.admin.listTables("available");
  const table = tables.find(({ name }) => name === named) ??
    tables.find(({ tableId }) => String(tableId) === named);
  if (table === undefined) throw new Error(`There is no table "${named}"; ls lists them`);
  if (index < 0 || index >= table.partitionCount) {
    throw new UsageProblem(`<partition> is ${index}, expected 0 to ${table.partitionCount - 1}`);
  }
  const partition = partitionId(table.tableId, index);
  const config = await context.admin.tableConfig(table.name);
  const node = args.text("address") ?? config.partitions[index]?.primary ?? "";
  if (node === "") throw new Error(`Partition ${table.tableId}.${index} has no primary now`);
  const known = (await context.admin.listNodes()).find((info) => info.node === node);
  if (known === undefined) throw new Error(`There is no server ${node}; nodes lists them`);
  const addresses = shardAddresses(known);
  return { partition, address: addresses[partition % addresses.length] ?? node };
}

/** See the file comment. */
export const HOT_COMMANDS: readonly Command[] = [hotspots, availability, detectHotkey];
