// Commands for what meta cannot decide or has lost: recover. See docs/meta.md, "Recovery".

import { type Command, UsageProblem } from "../declare.ts";

/** Servers named by -s or -f. */
function namedNodes(list: string | undefined, file: string | undefined): string[] {
  if (list !== undefined && file !== undefined) throw new UsageProblem("Choose one of -s and -f");
  const text = file === undefined ? list ?? "" : Deno.readTextFileSync(file);
  const nodes = text.split(/[\s,]+/).filter((word) => word !== "");
  const wrong = nodes.find((node) => !/^\S+:\d+$/.test(node));
  if (wrong === undefined) return nodes;
  throw new UsageProblem(`"${wrong}" is no server: expected host:port`);
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
  examples: ["recover"],
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
    { name: "status", type: "bool", brief: "Only tell how it goes" },
  ],
  confirm(args) {
    if (args.has("status")) return undefined;
    return "The tables are rebuilt from the replica servers that answer now. Go on?";
  },
  async run(context, args) {
    const state = args.has("status")
      ? await context.admin.recoveryState()
      : await context.admin.recover({
        nodes: namedNodes(args.text("servers"), args.text("file")),
        skipBadNodes: args.has("skip_bad_nodes"),
        skipLostPartitions: args.has("skip_lost_partitions"),
        onProgress: ({ state, detail }) => context.note(`${state}: ${detail}`),
      });
    context.isNegative = state.state === "failed";
    const head = state.detail === "" ? state.state : `${state.state}: ${state.detail}`;
    context.answer(state, [...state.lines, head].join("\n"));
  },
};

const metaExport: Command = {
  name: "meta_export",
  group: "cluster",
  brief: "Write the state of meta to a file, for pegasus meta --import",
  details: [
    "Tables, configurations, users and marks as they are at one moment; no rows. An import of it is",
    "safe only if nothing has changed since: docs/meta.md, Export and import.",
  ],
  positionals: [{ name: "file", type: "file", brief: "File to write; it must not exist" }],
  flags: [],
  examples: ["meta_export meta-2030-01-02.json"],
  async run(context, args) {
    const file = args.needText("file");
    const text = await context.admin.exportState();
    // It holds the verifiers of users' passwords.
    Deno.writeTextFileSync(file, text, { mode: 0o600, createNew: true });
    const nodes = (JSON.parse(text) as { nodes: unknown[] }).nodes.length;
    context.answer({ file, nodes }, `OK, ${nodes} nodes`);
  },
};

/** See the file comment. */
export const RECOVERY_COMMANDS: readonly Command[] = [recover, metaExport];
