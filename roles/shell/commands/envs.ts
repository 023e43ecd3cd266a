// Commands on the environment variables of a table: get, set, delete, clear. The variables: docs/data_api.md.

import type { Context } from "../context.ts";
import { Args, type Command, UsageProblem } from "../declare.ts";

async function answerEnvs(context: Context, envs: Map<string, string>): Promise<void> {
  context.answerPairs([...envs].sort(([a], [b]) => a < b ? -1 : 1));
  if (envs.size === 0) context.note("No variables are set");
}

const envCommand = { group: "tables", needsTable: true } as const;

const getAppEnvs: Command = {
  ...envCommand,
  name: "get_app_envs",
  brief: "Print the table's environment variables",
  examples: ["get_app_envs --table users"],
  positionals: [],
  flags: [],
  async run(context) {
    const { tables } = await context.admin.listTables("available");
    const table = tables.find((t) => t.name === context.tableName);
    if (table === undefined) throw new Error(`There is no table "${context.tableName}"`);
    await answerEnvs(context, table.envs);
  },
};

const setAppEnvs: Command = {
  ...envCommand,
  name: "set_app_envs",
  changes: true,
  brief: "Set environment variables of the table",
  examples: [
    "set_app_envs default_ttl 86400",
    "set_app_envs replica.write_throttling 1000*delay*100 --table users",
  ],
  positionals: [{
    name: "keys_and_values",
    type: "env",
    brief: "key value key value ...",
    rest: true,
  }],
  flags: [],
  async run(context, args: Args) {
    const words = args.all("keys_and_values").map((word) => word.text);
    if (words.length % 2 !== 0) throw new UsageProblem("The last key has no value");
    const set: Record<string, string> = {};
    for (let i = 0; i < words.length; i += 2) set[words[i]!] = words[i + 1]!;
    await answerEnvs(context, await context.admin.updateEnvs(context.tableName, { set }));
  },
};

const delAppEnvs: Command = {
  ...envCommand,
  name: "del_app_envs",
  changes: true,
  brief: "Remove environment variables of the table",
  examples: ["del_app_envs default_ttl"],
  positionals: [{ name: "keys", type: "env", brief: "Their keys", rest: true }],
  flags: [],
  async run(context, args) {
    const keys = args.all("keys").map((word) => word.text);
    await answerEnvs(context, await context.admin.updateEnvs(context.tableName, { delete: keys }));
  },
};

const clearAppEnvs: Command = {
  ...envCommand,
  name: "clear_app_envs",
  changes: true,
  brief: "Remove all environment variables of the table, or those under a prefix",
  examples: ["clear_app_envs -p replica", "clear_app_envs -a --yes"],
  positionals: [],
  flags: [
    { name: "all", short: "a", type: "bool", brief: "All of them" },
    { name: "prefix", short: "p", type: "text", brief: "Those that begin with PREFIX." },
  ],
  confirm: (args, context) =>
    args.has("all") ? `Remove all variables of table "${context.tableName}"?` : undefined,
  async run(context, args) {
    const prefix = args.text("prefix");
    if (prefix === undefined && !args.has("all")) throw new UsageProblem("Say -a or -p PREFIX");
    const clear = prefix === undefined ? [] : [prefix];
    await answerEnvs(context, await context.admin.updateEnvs(context.tableName, { clear }));
  },
};

const tableEnv: Command = {
  ...envCommand,
  name: "table_env",
  changes: true,
  brief: "The variables of the table in one command: list, set, delete, clear",
  examples: [
    "table_env set default_ttl 86400",
    "table_env delete default_ttl",
    "table_env clear replica",
  ],
  positionals: [
    {
      name: "action",
      type: "text",
      brief: "What to do",
      choices: ["list", "set", "delete", "clear"],
    },
    {
      name: "words",
      type: "env",
      brief: "set: key value ...; delete: keys; clear: a prefix, or nothing for all",
      rest: true,
      optional: true,
    },
  ],
  flags: [],
  confirm: (args, context) =>
    args.text("action") === "clear" && !args.has("words")
      ? `Remove all variables of table "${context.tableName}"?`
      : undefined,
  async run(context, args) {
    const words = args.all("words");
    const given = new Args();
    const take = (name: string) => words.forEach((word) => given.add(name, word));
    const action = args.needText("action");
    if (words.length === 0 && (action === "set" || action === "delete")) {
      throw new UsageProblem(`Say "table_env ${action} KEY${action === "set" ? " VALUE" : ""}"`);
    }
    switch (action) {
      case "set":
        take("keys_and_values");
        return await setAppEnvs.run(context, given);
      case "delete":
        take("keys");
        return await delAppEnvs.run(context, given);
      case "clear":
        if (words.length === 0) given.set("all");
        else take("prefix");
        return await clearAppEnvs.run(context, given);
      default:
        return await getAppEnvs.run(context, given);
    }
  },
};

/** See the file comment. */
export const ENV_COMMANDS: readonly Command[] = [
  getAppEnvs,
  setAppEnvs,
  delAppEnvs,
  clearAppEnvs,
  tableEnv,
];
