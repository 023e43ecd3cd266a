// Questions and orders to every server of the cluster at once, or to some.

import type { Context } from "../context.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { Args, type Command, UsageProblem } from "../declare.ts";
import { counted, type Json } from "../render.ts";
import { askAll, type Reply, type Target, TARGET_FLAGS, targetsOf } from "./targets.ts";

const HEAD = ["address", "role", "version", "started", "shards", "http_port", "error"];

const serverInfo: Command = {
  name: "server_info",
  group: "cluster",
  brief: "Print version and start of every server, or of some",
  examples: ["server_info -t meta-server"],
  positionals: [],
  flags: TARGET_FLAGS,
  async run(context, args) {
    const type = args.text("type") ?? "all";
    const targets = await targetsOf(context, args);
    const replies = await askAll(targets, ({ address }) => context.admin.serverInfo(address));
    const rows = replies.map(({ target: { address }, value, error }): Json[] => {
      if (value === undefined) return [address, "", "", "", "", "", error];
      const { role, version, startedAt, shardCount, httpPort } = value;
      return [address, role, version, new Date(startedAt).toISOString(), shardCount, httpPort, ""];
    });
    const shown = rows.filter(([, role]) =>
      type === "all" || role === "" || type.startsWith(String(role))
    );
    context.answerTable(HEAD, shown);
    finish(context, shown.length, shown.filter((row) => row.at(-1) !== "").length);
  },
};

/** A silent server is a negative answer. */
function finish(context: Context, servers: number, silent: number): void {
  context.isNegative = silent > 0;
  context.note(`${counted(servers, "server")}, ${silent} without an answer`);
}

/** One value for each server: its output, or its error. */
function answerReplies(context: Context, replies: readonly Reply<string>[]): void {
  const value = replies.map(({ target, value, error }) => ({
    address: target.address,
    ...(value === undefined ? { error } : { output: value }),
  }));
  const text = replies.map(({ target, value, error }) => {
    if (value === undefined) return `[${target.address}] ERROR: ${error}`;
    const output = value.trimEnd();
    return output.includes("\n")
      ? `[${target.address}]\n${output}`
      : `[${target.address}] ${output}`;
  });
  context.answer(value, text.join("\n"));
  const failed = replies.filter(({ value }) => value === undefined).length;
  context.isNegative = failed > 0;
  context.note(`${counted(replies.length - failed, "server")} succeeded, ${failed} failed`);
}

/** Runs a maintenance command on the chosen servers. */
async function remote(
  context: Context,
  targets: readonly Target[],
  command: string,
  words: readonly string[],
): Promise<Reply<string>[]> {
  if (targets.length === 0) throw new Error("There is no such server");
  return await askAll(
    targets,
    ({ address }) => context.admin.remoteCommand(address, command, words),
  );
}

/** Kinds of servers as admin-cli names them, in front of everything else. */
const KINDS: Readonly<Record<string, string>> = { meta: "meta-server", replica: "replica-server" };

/**
 * Words of the arguments without a kind of servers at their beginning, and the arguments with it as --type:
 * `remote_command meta version`, `server_config replica NAME get`.
 */
function kindFirst(args: Args, names: readonly string[]): [words: string[], args: Args] {
  const words = names.flatMap((name) => args.all(name)).map(({ text }) => text);
  const kind = KINDS[words[0] ?? ""];
  if (kind === undefined) return [words, args];
  if (args.has("type")) throw new UsageProblem(`Choose one of "${words[0]}" and --type`);
  const own = new Args();
  for (const word of args.all("list")) own.add("list", word);
  own.add("type", { bytes: utf8(kind), text: kind, quoted: false });
  return [words.slice(1), own];
}

/** Meta and replica servers know different words: where nobody was chosen, those count that know this one. */
function known(args: Args, replies: Reply<string>[], unknown: string): Reply<string>[] {
  if (args.has("type") || args.has("list")) return replies;
  const answers = replies.filter(({ value, error }) =>
    value !== undefined || !error.includes(unknown)
  );
  return answers.length > 0 ? answers : replies;
}

const remoteCommand: Command = {
  name: "remote_command",
  changes: true,
  group: "cluster",
  brief: "Run a maintenance command on servers and print what each answers",
  examples: [
    "remote_command -t replica-server help",
    "remote_command -l 10.0.0.1:34801 kill-partition 1.3  # close one replica of one server",
    "remote_command checkpoint 2  # make all replicas of table 2 durable now",
  ],
  positionals: [
    { name: "command", type: "text", brief: "The command; help lists them" },
    { name: "arguments", type: "text", brief: "Its arguments", rest: true, optional: true },
  ],
  flags: TARGET_FLAGS,
  async run(context, args) {
    const [[command, ...words], own] = kindFirst(args, ["command", "arguments"]);
    if (command === undefined) throw new UsageProblem("<command> is missing");
    const replies = await remote(context, await targetsOf(context, own), command, words);
    answerReplies(context, known(own, replies, "Unknown command"));
  },
};

const flushLog: Command = {
  name: "flush_log",
  changes: true,
  group: "cluster",
  brief: "Make the private logs of replica servers durable now",
  details: [
    "They are every second anyway; acknowledged writes are durable in the shared log already.",
  ],
  examples: ["flush_log", "flush_log -l 10.0.0.1:34801"],
  positionals: [],
  flags: TARGET_FLAGS,
  async run(context, args) {
    const targets = await targetsOf(context, args);
    const servers = targets.filter(({ role }) => role !== "meta");
    if (servers.length === 0) throw new UsageProblem("Meta servers have no private logs");
    answerReplies(context, await remote(context, servers, "flush-log", []));
  },
};

const serverConfig: Command = {
  name: "server_config",
  changes: true,
  group: "cluster",
  brief: "Print settings of running servers, or change one until the next start",
  details: [
    "A setting that only a start takes is refused, with the list of those that can be changed.",
  ],
  examples: [
    "server_config -t meta-server  # all settings of meta servers",
    "server_config replica list",
    "server_config cure-interval",
    "server_config cure-interval set 2s",
  ],
  positionals: [
    {
      name: "words",
      type: "text",
      brief: "[meta|replica] [list | NAME [get | set VALUE]]; NAME as in docs/config.md",
      rest: true,
      optional: true,
    },
  ],
  flags: TARGET_FLAGS,
  async run(context, args) {
    const [words, own] = kindFirst(args, ["words"]);
    const [name = "list", action = "get", value, ...more] = words;
    if (
      !["get", "set"].includes(action) || more.length > 0 ||
      (action === "set") !== (value !== undefined)
    ) {
      throw new UsageProblem(`Say "server_config NAME", or "server_config NAME set VALUE"`);
    }
    const targets = await targetsOf(context, own);
    if (name === "list") {
      return answerReplies(context, await remote(context, targets, "config", []));
    }
    const found = await askSetting(context, targets, own, name);
    if (action === "get") return answerReplies(context, found);
    const servers = found.map(({ target }) => target);
    answerReplies(context, await remote(context, servers, "config-set", [name, value!]));
  },
};

/** The setting of every server that has it: meta and replica servers have different ones. */
async function askSetting(
  context: Context,
  targets: readonly Target[],
  args: Args,
  name: string,
): Promise<Reply<string>[]> {
  const replies = await askAll(targets, async ({ address }) => {
    const found = JSON.parse(await context.admin.remoteCommand(address, "config", [name]));
    const mutable = found.mutable ? "can be changed" : "only at a start";
    return `${found.value} (default ${found.default}; ${found.allowed}; ${mutable})`;
  });
  return known(args, replies, "Unknown setting");
}

/** See the file comment. */
export const SERVER_COMMANDS: readonly Command[] = [
  serverInfo,
  remoteCommand,
  flushLog,
  serverConfig,
];
