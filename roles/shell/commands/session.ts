// Commands about the shell itself, and hash, which says where a row is stored.

import { crc64 } from "../../../src/base/crc.ts";
import { partitionIndexOf } from "../../../src/schema/key_format.ts";
import { VERSION } from "../../version.ts";
import type { Command } from "../declare.ts";
import type { Json } from "../render.ts";
import { HASH_KEY, SORT_KEY } from "./data.ts";

const version: Command = {
  name: "version",
  group: "session",
  brief: "Print the version of the shell",
  positionals: [],
  flags: [],
  run(context) {
    context.answer(VERSION, VERSION);
  },
};

const exit: Command = {
  name: "exit",
  aliases: ["quit"],
  group: "session",
  brief: "Leave the shell",
  positionals: [],
  flags: [],
  run(context) {
    context.state.isLeaving = true;
    context.hasAnswered = true;
  },
};

const use: Command = {
  name: "use",
  group: "session",
  brief: "Choose the table of the data commands, or print the chosen one",
  examples: ["use users"],
  positionals: [{ name: "table", type: "table", brief: "Name of the table", optional: true }],
  flags: [],
  async run(context, args) {
    const name = args.text("table");
    if (name !== undefined) {
      await context.admin.tableConfig(name);
      context.state.tableName = name;
    }
    const chosen = context.state.tableName;
    const text = chosen === undefined ? "No table is chosen" : `OK, using "${chosen}"`;
    context.answer(chosen ?? null, text);
  },
};

const cc: Command = {
  name: "cc",
  group: "session",
  brief: "Talk to another cluster, or list the clusters known by name",
  details: [
    'Names come from ~/.pegasus_clusters (or --clusters FILE): lines "NAME HOST:PORT,HOST:PORT".',
    "A cluster that does not answer is not changed to.",
  ],
  examples: ["cc", "cc east", "cc 10.0.0.1:34601,10.0.0.2:34601"],
  positionals: [{
    name: "cluster",
    type: "cluster",
    brief: "A name, or host:port of its meta servers with commas between",
    optional: true,
  }],
  flags: [],
  async run(context, args) {
    const { connections } = context;
    const wanted = args.text("cluster");
    if (wanted !== undefined) {
      await connections.change(wanted);
      context.state.tableName = undefined;
    }
    const { name = "", metas } = connections;
    if (wanted !== undefined) {
      const text = `OK, talking to ${name === "" ? metas.join(",") : name}`;
      return context.answer({ cluster: name, meta_servers: metas.join(",") }, text);
    }
    const listed = connections.known.map((known): Json[] => [
      known.name === name ? "*" : "",
      known.name,
      known.metas.join(","),
    ]);
    if (name === "") listed.unshift(["*", "", metas.join(",")]);
    context.answerTable(["current", "cluster", "meta_servers"], listed);
  },
};

const timeout: Command = {
  name: "timeout",
  group: "session",
  brief: "Set or print the time one operation may take",
  examples: ["timeout 10000"],
  positionals: [{ name: "ms", type: "int", brief: "Milliseconds", optional: true }],
  flags: [],
  run(context, args) {
    const ms = args.int("ms");
    if (ms !== undefined && ms <= 0) {
      throw new Error(`The timeout is ${ms} ms, expected more than 0`);
    }
    context.state.timeoutMs = ms ?? context.state.timeoutMs;
    context.answer(context.state.timeoutMs, `${context.state.timeoutMs} ms`);
  },
};

const escapeAll: Command = {
  name: "escape_all",
  group: "session",
  brief: "Choose or print whether all bytes outside ASCII are shown as \\xHH",
  examples: ["escape_all true"],
  positionals: [{
    name: "value",
    type: "text",
    brief: "true or false",
    choices: ["true", "false"],
    optional: true,
  }],
  flags: [],
  run(context, args) {
    if (args.has("value")) context.state.escapeAll = args.isTrue("value", false);
    context.answer(context.state.escapeAll, String(context.state.escapeAll));
  },
};

const hash: Command = {
  name: "hash",
  group: "session",
  brief: "Print the hash of a key, and where the table keeps it",
  examples: ["hash user:1 name", "hash user:1 '' --table users"],
  positionals: [HASH_KEY, SORT_KEY],
  flags: [{ name: "table", type: "table", brief: "Table to look at" }],
  async run(context, args) {
    const [hashKey, sortKey] = [args.needBytes("hash_key"), args.needBytes("sort_key")];
    const hashed = hashKey.length > 0 ? hashKey : sortKey;
    const pairs: [string, Json][] = [["key_hash", crc64(hashed).toString()]];
    const name = args.text("table") ?? context.state.tableName;
    if (name !== undefined) {
      const config = await context.admin.tableConfig(name);
      const index = partitionIndexOf(hashKey, sortKey, config.partitionCount);
      const partition = config.partitions[index];
      pairs.push(
        ["app_name", name],
        ["app_id", config.tableId],
        ["partition_count", config.partitionCount],
        ["partition_index", index],
        ["primary", partition?.primary ?? ""],
        ["secondaries", partition?.secondaries.join(",") ?? ""],
      );
    }
    context.answerPairs(pairs);
  },
};

/** See the file comment. */
export const SESSION_COMMANDS: readonly Command[] = [
  version,
  exit,
  use,
  cc,
  timeout,
  escapeAll,
  hash,
];
