// Commands on the files of a server, and on the formats inside. The engine of a server that runs cannot be opened;
// its logs and manifests can be read.

import { fromHex, toHex } from "../../../src/base/bytes.ts";
import { formatPartition, parsePartition } from "../../../src/base/ids.ts";
import { decodeKey, encodeKey } from "../../../src/schema/key_format.ts";
import {
  decodeValue,
  EPOCH_2016_SECONDS,
  isExpired,
  secondsSince2016,
} from "../../../src/schema/value_format.ts";
import type { Context } from "../context.ts";
import { type Command, type Positional, UsageProblem } from "../declare.ts";
import type { LoggedRecord } from "../offline.ts";
import { counted, formatBytes, formatTime, type Json, jsonBytes } from "../render.ts";
import { HASH_KEY, SORT_KEY } from "./data.ts";
import { boundedInt, MAX_COUNT, NO_VALUE } from "./scan_flags.ts";

const group = "offline";
const DIR: Positional = {
  name: "dir",
  type: "file",
  brief: "Directory of a replica (.../replicas/1.3), or of its engine (.../data.N)",
};

/** A stored value for people. */
function storedValue(context: Context, stored: Uint8Array): { value: Json; text: string } {
  const decoded = decodeValue(stored, 1);
  if (decoded === undefined) return { value: null, text: "not a value of version 1" };
  const { expireTs, userData } = decoded;
  const expires = expireTs === 0 ? "never" : formatTime(expireTs + EPOCH_2016_SECONDS);
  const expired = isExpired(stored, secondsSince2016(Date.now()));
  return {
    value: { value: jsonBytes(userData), expire_ts: expireTs, expires, expired },
    text: `${context.show(userData)}, expires ${expires}${expired ? " (expired)" : ""}`,
  };
}

const localInfo: Command = {
  group,
  name: "local_info",
  brief: "List the replicas in a data directory and what their manifests say",
  details: ["The server may run. Sizes are those of the files."],
  examples: ["local_info data/replica"],
  positionals: [{ name: "dir", type: "file", brief: "A data directory, or one of a replica" }],
  flags: [],
  async run(context, args) {
    const { replicasIn } = await import("../offline.ts");
    const head = ["replica", "table", "generation", "ballot", "durable", "engine", "log", "state"];
    const rows = replicasIn(args.needText("dir")).map((replica): Json[] => {
      const { manifest, aside, problem, name, engineBytes, logBytes } = replica;
      const of = (key: string) => (manifest?.[key] ?? null) as Json;
      const state = problem || (aside === "" ? "in use" : `moved aside: ${aside}`);
      const sizes = [engineBytes, logBytes].map((n) => context.json ? n : formatBytes(n));
      return [
        name,
        of("tableName"),
        ...["generation", "ballot", "durable"].map(of),
        ...sizes,
        state,
      ];
    });
    context.answerTable(head, rows);
    context.note(counted(rows.length, "replica"));
  },
};

const localGet: Command = {
  group,
  name: "local_get",
  brief: "Read a row from the engine of a stopped server",
  examples: ["local_get data/replica/replicas/1.3 user:1 name"],
  positionals: [DIR, HASH_KEY, SORT_KEY],
  flags: [],
  async run(context, args) {
    const { openOffline } = await import("../offline.ts");
    const engine = await openOffline(args.needText("dir"));
    try {
      const key = encodeKey(args.needBytes("hash_key"), args.needBytes("sort_key"));
      const stored = engine.get(key);
      context.isNegative = stored === undefined;
      if (stored === undefined) return context.answer(null, "Not found");
      const { value, text } = storedValue(context, stored);
      context.answer(value, text);
    } finally {
      await engine.close();
    }
  },
};

const localScan: Command = {
  group,
  name: "local_scan",
  isLong: true,
  brief: "Print the rows in the engine of a stopped server, expired ones too",
  examples: ["local_scan data/replica/replicas/1.3 -n 10"],
  positionals: [DIR],
  flags: [MAX_COUNT, NO_VALUE],
  async run(context, args) {
    const { openOffline, rowsIn } = await import("../offline.ts");
    const max = boundedInt(args, "max_count", 1, 1e15) ?? Infinity;
    const engine = await openOffline(args.needText("dir"));
    const writer = context.openRows();
    try {
      for await (const [raw, stored] of rowsIn(engine)) {
        const key = decodeKey(raw);
        if (key === undefined) continue;
        const { value, text } = storedValue(context, stored);
        const json = { hash_key: jsonBytes(key.hashKey), sort_key: jsonBytes(key.sortKey) };
        const name = `${context.show(key.hashKey)} : ${context.show(key.sortKey)}`;
        if (args.has("no_value")) await writer.item(json, name);
        else await writer.item({ ...json, ...value as object }, `${name} => ${text}`);
        if (writer.count >= max || context.signal.aborted) break;
      }
    } finally {
      await writer.end(counted(writer.count, "row"));
      await engine.close();
    }
  },
};

const sstDump: Command = {
  group,
  name: "sst_dump",
  brief: "Describe the table files in the engine of a stopped server",
  details: ["What LevelDB tells: files and sizes by level, and the key range of every table."],
  examples: ["sst_dump data/replica/replicas/1.3"],
  positionals: [DIR],
  flags: [],
  async run(context, args) {
    const { describeOffline } = await import("../offline.ts");
    const { stats, tables, bytes } = await describeOffline(args.needText("dir"));
    const text = [`${formatBytes(bytes)} in all`, stats.trimEnd(), tables.trimEnd()].join("\n\n");
    context.answer({ bytes, stats, tables }, text);
  },
};

const mlogDump: Command = {
  group,
  name: "mlog_dump",
  isLong: true,
  brief: "Print the records of a log: mutations and ballots",
  details: [
    "mlog_dump data/r1/replicas/1.3 -d a replica's private log, with keys. The server may run.",
    "Damage is printed whatever partition is asked for, and the exit status is 1.",
  ],
  examples: [
    "mlog_dump data/replica/shared.0 -p 1.3",
    "mlog_dump data/replica/replicas/1.3 -d  # with keys and values",
  ],
  positionals: [{
    name: "path",
    type: "file",
    brief: "A segment (log.0000000001), a directory of segments, or the directory of a replica",
  }],
  flags: [
    { name: "partition", short: "p", type: "text", brief: "Only this partition, as in 1.3" },
    { name: "detailed", short: "d", type: "bool", brief: "Also keys and values" },
    MAX_COUNT,
  ],
  async run(context, args) {
    const { segmentsAt, recordsOf } = await import("../offline.ts");
    const given = args.text("partition");
    const only = given === undefined ? undefined : parsePartition(given);
    if (given !== undefined && only === undefined) {
      throw new UsageProblem(`--partition is "${given}", expected e.g. 1.3`);
    }
    const max = boundedInt(args, "max_count", 1, 1e15) ?? Infinity;
    const segments = segmentsAt(args.needText("path"));
    const writer = context.openRows();
    try {
      for (const [index, path] of segments.entries()) {
        for (const record of recordsOf(path, index === segments.length - 1)) {
          if (writer.count >= max || context.signal.aborted) return;
          // Nobody knows whose records were where nothing can be read.
          const isDamage = record.kind === "damage";
          if (only !== undefined && record.partition !== only && !isDamage) continue;
          if (isDamage) context.isNegative = true;
          await writer.item(
            recordJson(record, args.has("detailed")),
            recordText(context, record, args.has("detailed")),
          );
        }
      }
    } finally {
      await writer.end(
        `${counted(writer.count, "record")} in ${counted(segments.length, "segment")}`,
      );
    }
  },
};

function recordText(context: Context, record: LoggedRecord, detailed: boolean): string {
  const { file, offset, partition, sequence, kind, ballot, decree, committed, ops } = record;
  const place = `${file}:${offset}`;
  if (kind === "damage") return `${place} DAMAGED: ${record.problem}`;
  const name = `${place} ${formatPartition(partition)} #${sequence}`;
  if (kind === "ballot") {
    return `${name} ballot ${ballot}, reconcile end ${committed < 0 ? "none" : committed}`;
  }
  const time = new Date(record.timestampUs / 1000).toISOString();
  const head = `${name} mutation ${ballot}.${decree}, committed ${committed}, ${time}, ` +
    counted(ops.length, "operation");
  if (!detailed) return head;
  return [
    head,
    ...ops.map(({ key, value }) => {
      const row = decodeKey(key);
      const shown = row === undefined
        ? `(own row ${toHex(key)})`
        : `${context.show(row.hashKey)} : ${context.show(row.sortKey)}`;
      return value === undefined
        ? `  del ${shown}`
        : `  put ${shown} => ${
          row === undefined ? counted(value.length, "byte") : storedValue(context, value).text
        }`;
    }),
  ].join("\n");
}

function recordJson(record: LoggedRecord, detailed: boolean): Json {
  const { file, offset, partition, generation, sequence, kind, ballot, decree, committed } = record;
  const { timestampUs, ops, problem } = record;
  if (kind === "damage") return { file, offset, kind, problem };
  return {
    ...{ file, offset, gpid: formatPartition(partition), generation, sequence, kind, ballot },
    ...{ decree, committed, timestamp_us: timestampUs, operations: ops.length },
    ...(detailed
      ? {
        ops: ops.map(({ key, value }) => ({
          key: toHex(key),
          value: value === undefined ? null : toHex(value),
        })),
      }
      : {}),
  };
}

function hexOf(text: string): Uint8Array {
  const bytes = fromHex(text);
  if (bytes === undefined) throw new UsageProblem(`"${text}" is not hexadecimal`);
  return bytes;
}

const keyToHex: Command = {
  group,
  name: "key_to_hex",
  aliases: ["rdb_key_str2hex"],
  brief: "Print the stored form of a row's key in hexadecimal",
  examples: ["key_to_hex user:1 name"],
  positionals: [HASH_KEY, SORT_KEY],
  flags: [],
  run(context, args) {
    const hex = toHex(encodeKey(args.needBytes("hash_key"), args.needBytes("sort_key")));
    context.answer(hex, hex);
  },
};

const hexToKey: Command = {
  group,
  name: "hex_to_key",
  aliases: ["rdb_key_hex2str"],
  brief: "Print the row whose key is stored as these hexadecimal digits",
  examples: ["hex_to_key 0006757365723a316e616d65"],
  positionals: [{ name: "hex", type: "text", brief: "The stored key" }],
  flags: [],
  run(context, args) {
    const key = decodeKey(hexOf(args.needText("hex")));
    if (key === undefined) throw new UsageProblem("This is no key of a row");
    context.answerPairs([
      ["hash_key", context.json ? jsonBytes(key.hashKey) : context.show(key.hashKey)],
      ["sort_key", context.json ? jsonBytes(key.sortKey) : context.show(key.sortKey)],
    ]);
  },
};

const hexToValue: Command = {
  group,
  name: "hex_to_value",
  aliases: ["rdb_value_hex2str"],
  brief: "Print the value and expiry that are stored as these hexadecimal digits",
  examples: ["hex_to_value 000000000000000000000000416461"],
  positionals: [{ name: "hex", type: "text", brief: "The stored value, header included" }],
  flags: [],
  run(context, args) {
    const stored = hexOf(args.needText("hex"));
    if (decodeValue(stored, 1) === undefined) throw new UsageProblem("This is no stored value");
    const { value, text } = storedValue(context, stored);
    context.answer(value, text);
  },
};

/** See the file comment. */
export const OFFLINE_COMMANDS: readonly Command[] = [
  localInfo,
  localGet,
  localScan,
  sstDump,
  mlogDump,
  keyToHex,
  hexToKey,
  hexToValue,
];
