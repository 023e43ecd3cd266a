// Commands on single rows and on the rows of one hash key.

import { errorMeaning } from "../../../src/base/errors.ts";
import { Err, StoreError } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import type { Args, Command, Flag, Positional } from "../declare.ts";
import { UsageProblem } from "../declare.ts";
import { counted, jsonBytes } from "../render.ts";

/** The first key of a row. */
export const HASH_KEY: Positional = {
  name: "hash_key",
  type: "bytes",
  brief: "Hash key: rows with the same one are stored together",
};
/** The second key of a row. */
export const SORT_KEY: Positional = {
  name: "sort_key",
  type: "bytes",
  brief: "Sort key: names the row inside its hash key; may be empty: ''",
};
const VALUE: Positional = { name: "value", type: "bytes", brief: "Value" };
const SORT_KEYS: Positional = { ...SORT_KEY, name: "sort_keys", rest: true };
const TTL: Positional = {
  name: "ttl",
  type: "int",
  brief: "Life in seconds; 0 = for ever",
  optional: true,
};
/** Life of what is stored. */
export const TTL_FLAG: Flag = {
  name: "ttl",
  type: "int",
  brief: "Life in seconds; 0 = for ever",
  default: "0",
};

/** The option of {@link TTL_FLAG}. */
export function ttlOf(args: Args): { ttl?: number } {
  const ttl = args.int("ttl");
  return ttl === undefined ? {} : { ttl };
}

/** The answer; a refusal that the server does not explain is explained here. */
export async function explained<T>(answer: Promise<T>, reason: string): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== Err.INVALID_ARGUMENT) throw error;
    throw new StoreError(error.code, error.detail.replace(errorMeaning(error.code), reason));
  }
}

function done(context: Context): void {
  context.answer("OK", "OK");
}

/** What the commands of this file have in common. */
export const row = { group: "data", needsTable: true } as const;

const set: Command = {
  ...row,
  name: "set",
  changes: true,
  brief: "Store a row",
  examples: ["set user:1 name Ada", "set user:1 \"a note\" '\\x00\\xff' 3600  # lives for an hour"],
  positionals: [HASH_KEY, SORT_KEY, VALUE, TTL],
  flags: [],
  async run(context, args) {
    const [h, s, v] = [
      args.needBytes("hash_key"),
      args.needBytes("sort_key"),
      args.needBytes("value"),
    ];
    await context.table.set(h, s, v, ttlOf(args));
    done(context);
  },
};

const get: Command = {
  ...row,
  name: "get",
  brief: "Print the value of a row, or Not found",
  examples: ["get user:1 name"],
  positionals: [HASH_KEY, SORT_KEY],
  flags: [],
  async run(context, args) {
    const value = await context.table.get(args.needBytes("hash_key"), args.needBytes("sort_key"));
    context.isNegative = value === undefined;
    if (value === undefined) context.answer(null, "Not found");
    else context.answer(jsonBytes(value), context.show(value));
  },
};

const del: Command = {
  ...row,
  name: "del",
  changes: true,
  brief: "Remove a row, whether it exists or not",
  examples: ["del user:1 name"],
  positionals: [HASH_KEY, SORT_KEY],
  flags: [],
  async run(context, args) {
    await context.table.del(args.needBytes("hash_key"), args.needBytes("sort_key"));
    done(context);
  },
};

const exist: Command = {
  ...row,
  name: "exist",
  brief: "Say whether a row exists",
  examples: ["exist user:1 name"],
  positionals: [HASH_KEY, SORT_KEY],
  flags: [],
  async run(context, args) {
    const [h, s] = [args.needBytes("hash_key"), args.needBytes("sort_key")];
    const exists = await context.table.exist(h, s);
    context.isNegative = !exists;
    context.answer(exists, exists ? "True" : "False");
  },
};

const ttl: Command = {
  ...row,
  name: "ttl",
  brief: "Print the remaining life of a row in seconds, Infinite, or Not found",
  examples: ["ttl user:1 name"],
  positionals: [HASH_KEY, SORT_KEY],
  flags: [],
  async run(context, args) {
    const seconds = await context.table.ttl(args.needBytes("hash_key"), args.needBytes("sort_key"));
    context.isNegative = seconds === undefined;
    const text = seconds === undefined ? "Not found" : seconds < 0 ? "Infinite" : String(seconds);
    context.answer(seconds ?? null, text);
  },
};

const incr: Command = {
  ...row,
  name: "incr",
  changes: true,
  brief: "Add to a number stored as text and print the sum",
  examples: ["incr user:1 visits", "incr user:1 visits -5"],
  positionals: [HASH_KEY, SORT_KEY, {
    name: "increment",
    type: "text",
    brief: "What to add, may be negative",
    optional: true,
  }],
  flags: [{
    name: "ttl",
    type: "int",
    brief: "Life in seconds; 0 keeps the row's, -1 makes it endless",
    default: "0",
  }],
  async run(context, args) {
    const increment = args.text("increment") ?? "1";
    if (!/^[+-]?\d{1,19}$/.test(increment)) {
      throw new UsageProblem(`<increment> is "${increment}", expected a whole number`);
    }
    const [h, s] = [args.needBytes("hash_key"), args.needBytes("sort_key")];
    const adding = context.table.incr(h, s, BigInt(increment.replace("+", "")), ttlOf(args));
    const sum = await explained(
      adding,
      "The row is not a whole number as text, or the sum does not fit into 64 bits",
    );
    const isSafe = Number.isSafeInteger(Number(sum));
    context.answer(isSafe ? Number(sum) : String(sum), String(sum));
  },
};

const multiSet: Command = {
  ...row,
  name: "multi_set",
  changes: true,
  brief: "Store several rows of a hash key, all or none",
  details: ["Sort keys and values alternate: multi_set user:1 name Ada mail ada@example.org"],
  examples: ["multi_set user:1 name Ada mail ada@example.org"],
  positionals: [HASH_KEY, {
    name: "sort_keys_and_values",
    type: "bytes",
    brief: "Sort key, value, sort key, value, ...",
    rest: true,
  }],
  flags: [TTL_FLAG],
  async run(context, args) {
    const words = args.all("sort_keys_and_values");
    if (words.length % 2 !== 0) throw new UsageProblem("The last sort key has no value");
    const rows = [];
    for (let i = 0; i < words.length; i += 2) {
      rows.push({ sortKey: words[i]!.bytes, value: words[i + 1]!.bytes });
    }
    await context.table.multiSet(args.needBytes("hash_key"), rows, ttlOf(args));
    done(context);
  },
};

const multiGet: Command = {
  ...row,
  name: "multi_get",
  brief: "Print rows of a hash key by sort keys; without sort keys all of them",
  examples: ["multi_get user:1 name mail", "multi_get user:1"],
  positionals: [HASH_KEY, { ...SORT_KEYS, optional: true }],
  flags: [],
  async run(context, args) {
    const hashKey = args.needBytes("hash_key");
    const sortKeys = args.all("sort_keys").map((word) => word.bytes);
    const which = sortKeys.length > 0 ? sortKeys : {};
    const { rows, complete } = await context.table.multiGet(hashKey, which);
    const writer = await context.openRows();
    for (const { sortKey, value } of rows) await writer.row({ hashKey, sortKey, value });
    await writer.end(
      `${counted(rows.length, "row")}${complete ? "" : "; a limit stopped here, use scan"}`,
    );
  },
};

const multiDel: Command = {
  ...row,
  name: "multi_del",
  changes: true,
  brief: "Remove several rows of a hash key, all or none",
  examples: ["multi_del user:1 name mail"],
  positionals: [HASH_KEY, SORT_KEYS],
  flags: [],
  async run(context, args) {
    const sortKeys = args.all("sort_keys").map((word) => word.bytes);
    const count = await context.table.multiDel(args.needBytes("hash_key"), sortKeys);
    context.answer(count, `OK, ${counted(count, "sort key")}`);
  },
};

const count: Command = {
  ...row,
  name: "count",
  aliases: ["sortkey_count"],
  brief: "Count the rows of a hash key",
  examples: ["count user:1"],
  positionals: [HASH_KEY],
  flags: [],
  async run(context, args) {
    const rows = await context.table.sortKeyCount(args.needBytes("hash_key"));
    context.isNegative = rows < 0;
    if (rows < 0) context.answer(null, "It takes the server too long to count them");
    else context.answer(rows, String(rows));
  },
};

/** See the file comment. */
export const DATA_COMMANDS: readonly Command[] = [
  set,
  get,
  del,
  exist,
  ttl,
  incr,
  multiSet,
  multiGet,
  multiDel,
  count,
];
