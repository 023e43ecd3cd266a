// Commands for what meta cannot decide or has lost: lost stores, lost partitions, and servers to be left
// alone. See docs/meta.md, "Recovery" and "Cure".

import { formatPartition } from "../../../src/base/ids.ts";
import type { LostPartition } from "../../../src/schema/operator_rpc.ts";
import type { RecoveryState } from "../../../src/client/admin.ts";
import type { Context } from "../context.ts";
import { type Command, UsageProblem } from "../declare.ts";
import { fileProblem } from "../../file_problem.ts";
import type { Json } from "../render.ts";
import { boundedInt } from "./scan_flags.ts";

/** Servers named by -s or -f. */
function namedNodes(list: string | undefined, file: string | undefined): string[] {
  if (list !== undefined && file !== undefined) throw new UsageProblem("Choose one of -s and -f");
  const text = file === undefined ? list ?? "" : readText(file);
  const nodes = text.split(/[\s,]+/).filter((word) => word !== "");
  const wrong = nodes.find((node) => !/^\S+:\d+$/.test(node));
  if (wrong === undefined) return nodes;
  throw new UsageProblem(`"${wrong}" is no server: expected host:port`);
}

function readText(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    throw fileProblem("read", `"${file}"`, error);
  }
}

const recover: Command = {
  name: "recover",
  changes: true,
  group: "cluster",
  brief: "Rebuild the lost store of meta from what the replica servers hold",
  details: [
    "For an empty store whose servers hold tables. Start all replica servers first: what only a",
    "missing one holds is lost for the new store. Prints what was found and what was decided.",
  ],
  examples: ["recover", "recover -s 10.0.0.1:34801,10.0.0.2:34801 -b"],
  positionals: [],
  flags: [
    {
      name: "servers",
      short: "s",
      type: "text",
      brief: "Servers to ask: host:port,host:port",
      default: "all that have shown themselves",
    },
    { name: "file", short: "f", type: "file", brief: "File with the servers to ask" },
    { name: "skip_bad_nodes", short: "b", type: "bool", brief: "Go on without silent servers" },
    {
      name: "skip_lost_partitions",
      short: "l",
      type: "bool",
      brief: "Partitions that no server holds become empty",
    },
    {
      name: "wait_seconds",
      short: "w",
      type: "int",
      brief: "Wait so long for the end; it goes on without a listener",
      default: "until the end",
    },
    { name: "status", type: "bool", brief: "Only tell how it goes" },
  ],
  confirm(args) {
    if (args.has("status")) return undefined;
    return "The tables are rebuilt from the replica servers that answer now. Go on?";
  },
  async run(context, args) {
    const seconds = boundedInt(args, "wait_seconds", 1, 1e6);
    const state = args.has("status") ? await context.admin.recoveryState() : await endOrState(
      context,
      context.admin.recover({
        nodes: namedNodes(args.text("servers"), args.text("file")),
        skipBadNodes: args.has("skip_bad_nodes"),
        skipLostPartitions: args.has("skip_lost_partitions"),
        onProgress: ({ state, detail }) => context.note(`${state}: ${detail}`),
      }),
      seconds,
    );
    context.isNegative = state.state !== "done" && !args.has("status");
    const head = state.detail === "" ? state.state : `${state.state}: ${state.detail}`;
    context.answer(state, [...state.lines, head].join("\n"));
  },
};

/** The end, or how it goes when the time is over. */
async function endOrState(
  context: Context,
  end: Promise<RecoveryState>,
  seconds: number | undefined,
): Promise<RecoveryState> {
  if (seconds === undefined) return await end;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const isOver = new Promise<void>((resolve) => timer = setTimeout(resolve, seconds * 1000));
  const ended = await Promise.race([end, isOver]).finally(() => clearTimeout(timer));
  if (ended !== undefined) return ended;
  end.catch(() => {});
  context.note("It goes on; recover --status tells how");
  return await context.admin.recoveryState();
}

const dddDiagnose: Command = {
  name: "ddd_diagnose",
  changes: true,
  group: "cluster",
  brief: "Explain partitions that nobody leads, and give them to whoever has most",
  details: [
    "Lists partitions without a primary that meta gives to nobody by itself: who had them, what is left",
    "of each copy, and why. -a proposes the least loss; what it lacks of committed rows is gone for good.",
    "By hand: propose GPID ASSIGN_PRIMARY NODE.",
  ],
  examples: ["ddd_diagnose", "ddd_diagnose -g 2.3 -a"],
  positionals: [],
  flags: [
    { name: "gpid", short: "g", type: "text", brief: "Only this table or partition: 2 or 2.3" },
    { name: "diagnose", short: "d", type: "bool", brief: "Only explain, as without options" },
    { name: "assign", short: "a", type: "bool", brief: "Propose the least loss" },
    { name: "skip_prompt", short: "s", type: "bool", brief: "As --yes" },
  ],
  confirm(args) {
    if (!args.has("assign") || args.has("skip_prompt")) return undefined;
    return "Give lost partitions to whoever has most of them? What that server lacks is lost.";
  },
  async run(context, args) {
    if (args.has("diagnose") && args.has("assign")) {
      throw new UsageProblem("Choose one of --diagnose and --assign");
    }
    const id = args.text("gpid") ?? "";
    if (!/^([1-9]\d*(\.\d+)?)?$/.test(id)) {
      throw new UsageProblem(`--gpid has "${id}", expected a table or a partition: 2 or 2.3`);
    }
    const all = await context.admin.dddDiagnose(Number(id.split(".")[0]));
    const lost = all.filter(({ config }) =>
      !id.includes(".") || formatPartition(config.partition) === id
    );
    const proposed: string[] = [];
    for (const { config, choice } of args.has("assign") ? lost : []) {
      if (choice === "") continue;
      const force = { node: choice, target: choice, force: true };
      await context.admin.propose(config.partition, "ASSIGN_PRIMARY", force);
      proposed.push(`proposed ${choice} for ${formatPartition(config.partition)}`);
    }
    context.isNegative = lost.length > proposed.length;
    context.answer(lost.map(lostObject), [...lost.map(lostText), ...proposed].join("\n\n"));
    context.note(lost.length === 0 ? "No partition is lost" : `${lost.length} partitions are lost`);
  },
};

function lostText({ table, config, reason, choice, lost, nodes }: LostPartition): string {
  const lines = nodes.map(({ node, alive, collected, report }) => {
    const has = report === undefined
      ? collected ? "no replica" : "has not reported"
      : `ballot ${report.ballot}, committed ${report.committed}, prepared ${report.maxPrepared}, ` +
        `newest mutation of ballot ${report.mutationBallot}`;
    return `  ${node} ${alive ? "alive" : "dead"}: ${has}`;
  });
  const name = `${formatPartition(config.partition)} of "${table}", ballot ${config.ballot}`;
  const drops = config.lastDrops.join(", ");
  const loss = lost > 0 ? `loses ${lost} decrees` : "loses nothing that is known";
  return [
    `${name}: ${reason}`,
    `  lost last: ${drops}; committed at least ${config.committedHint}`,
    ...lines,
    choice === "" ? "  nobody alive has data" : `  least loss: ${choice}, ${loss}`,
  ].join("\n");
}

function lostObject({ table, config, reason, choice, lost, nodes }: LostPartition): Json {
  return {
    partition: formatPartition(config.partition),
    table,
    ballot: config.ballot,
    reason,
    last_drops: [...config.lastDrops],
    committed: config.committedHint,
    choice,
    lost,
    nodes: nodes.map(({ node, alive, collected, report }) => ({
      node,
      alive,
      collected,
      ballot: report?.ballot ?? null,
      committed: report?.committed ?? null,
      prepared: report?.maxPrepared ?? null,
    })),
  };
}

const blackList: Command = {
  name: "black_list",
  changes: true,
  group: "cluster",
  brief: "Show or change the servers that get no new replica",
  details: ["They keep and serve what they have. It lasts until it is removed, across restarts."],
  examples: ["black_list", "black_list add 10.0.0.1:34801"],
  positionals: [
    {
      name: "action",
      type: "text",
      brief: "What to do",
      choices: ["show", "add", "remove"],
      optional: true,
    },
    { name: "node", type: "node", brief: "host:port of the server", optional: true },
  ],
  flags: [],
  async run(context, args) {
    const action = (args.text("action") ?? "show") as "show" | "add" | "remove";
    const node = args.text("node") ?? "";
    if ((action === "show") !== (node === "")) {
      throw new UsageProblem("Say black_list, black_list add NODE or black_list remove NODE");
    }
    const nodes = await context.admin.blackList(action, node);
    context.answer(nodes, nodes.length === 0 ? "No server is listed" : nodes.join("\n"));
  },
};

const metaExport: Command = {
  name: "meta_export",
  isOnce: true,
  group: "cluster",
  brief: "Write the state of meta to a file, for pegasus meta --import",
  details: [
    "Tables, configurations, users and marks as they are at one moment; no rows. An import of it is",
    "safe only if nothing has changed since: docs/meta.md, Export and import.",
  ],
  examples: ["meta_export state.json"],
  positionals: [{ name: "file", type: "file", brief: "File to write; it must not exist" }],
  flags: [],
  async run(context, args) {
    const file = args.needText("file");
    const text = await context.admin.exportState();
    // It holds the verifiers of users' passwords.
    try {
      Deno.writeTextFileSync(file, text, { mode: 0o600, createNew: true });
    } catch (error) {
      throw fileProblem("write", `"${file}"`, error);
    }
    const nodes = (JSON.parse(text) as { nodes: unknown[] }).nodes.length;
    context.answer({ file, nodes }, `OK, ${nodes} nodes`);
  },
};

/** See the file comment. */
export const RECOVERY_COMMANDS: readonly Command[] = [
  recover,
  dddDiagnose,
  blackList,
  metaExport,
];
