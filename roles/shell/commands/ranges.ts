// Commands on ranges of rows: reading, counting and removing many.

import type { KeyFilter, MultiGetRange, Scan, SortKeyRange } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import type { Args, Command, Flag, Positional } from "../declare.ts";
import { HASH_KEY } from "./data.ts";

const START: Positional = {
  name: "start",
  type: "bytes",
  brief: "First sort key; '' = from the beginning",
  optional: true,
};
const STOP: Positional = {
  name: "stop",
  type: "bytes",
  brief: "Last sort key; '' = to the end",
  optional: true,
};
const FILTER_TYPES = ["anywhere", "prefix", "postfix", "exact"] as const;
const BOOLEANS = ["true", "false"];
const SORT_FILTER: readonly Flag[] = [
  {
    name: "sort_key_filter_type",
    short: "s",
    type: "text",
    brief: "Which sort keys pass",
    choices: FILTER_TYPES,
  },
  { name: "sort_key_filter_pattern", short: "y", type: "bytes", brief: "What they must contain" },
];
const RANGE_FLAGS: readonly Flag[] = [
  {
    name: "start_inclusive",
    short: "a",
    type: "text",
    brief: "Whether the first one belongs to the range",
    choices: BOOLEANS,
    default: "true",
  },
  {
    name: "stop_inclusive",
    short: "b",
    type: "text",
    brief: "Whether the last one belongs to the range",
    choices: BOOLEANS,
    default: "false",
  },
  ...SORT_FILTER,
];
const MAX_COUNT: Flag = {
  name: "max_count",
  short: "n",
  type: "int",
  brief: "Stop after this many rows",
  default: "no limit",
};
const NO_VALUE: Flag = { name: "no_value", short: "i", type: "bool", brief: "Print only keys" };
/** Writes a listing into a file. */
export const OUTPUT: Flag = {
  name: "output",
  short: "o",
  type: "file",
  brief: "Write the result to this file",
};

function filterOf(args: Args, name: string): KeyFilter | undefined {
  const pattern = args.bytes(`${name}_filter_pattern`);
  if (pattern === undefined) return undefined;
  return { type: (args.text(`${name}_filter_type`) ?? "anywhere") as KeyFilter["type"], pattern };
}

function rangeOf(args: Args): SortKeyRange {
  const start = args.bytes("start");
  const stop = args.bytes("stop");
  const filter = filterOf(args, "sort_key");
  return {
    startInclusive: args.isTrue("start_inclusive", true),
    stopInclusive: args.isTrue("stop_inclusive", false),
    ...(start === undefined ? {} : { start }),
    ...(stop === undefined ? {} : { stop }),
    ...(filter === undefined ? {} : { filter }),
  };
}

/** Prints the rows of a scan until they end, the limit is reached or Ctrl-C. */
async function printScan(context: Context, args: Args, scan: Scan): Promise<void> {
  const max = args.int("max_count") ?? Infinity;
  const noValue = args.has("no_value");
  const writer = await context.openRows(args.text("output"));
  try {
    for await (const row of scan) {
      if (writer.count >= max || context.signal.aborted) break;
      await writer.row(noValue ? { hashKey: row.hashKey, sortKey: row.sortKey } : row);
    }
  } finally {
    await writer.end(`${writer.count} rows`);
  }
}

const multiGetRange: Command = {
  name: "multi_get_range",
  group: "data",
  brief: "Print a range of the rows of a hash key, in one request",
  positionals: [HASH_KEY, START, STOP],
  flags: [
    ...RANGE_FLAGS,
    MAX_COUNT,
    NO_VALUE,
    { name: "reverse", short: "r", type: "bool", brief: "Count the limit from the stop side" },
  ],
  needsTable: true,
  async run(context, args) {
    const hashKey = args.needBytes("hash_key");
    const noValue = args.has("no_value");
    const range: MultiGetRange = {
      ...rangeOf(args),
      noValue,
      reverse: args.has("reverse"),
      countMax: args.int("max_count") ?? 0,
    };
    const { rows, complete } = await context.table.multiGet(hashKey, range);
    const writer = await context.openRows();
    for (const { sortKey, value } of rows) {
      await writer.row({ hashKey, sortKey, value: noValue ? undefined : value });
    }
    await writer.end(`${rows.length} rows${complete ? "" : "; a limit stopped here"}`);
  },
};

const multiGetSortKeys: Command = {
  name: "multi_get_sortkeys",
  group: "data",
  brief: "Print the sort keys of a hash key, in one request",
  positionals: [HASH_KEY],
  flags: [MAX_COUNT],
  needsTable: true,
  async run(context, args) {
    const hashKey = args.needBytes("hash_key");
    const countMax = args.int("max_count") ?? 0;
    const { sortKeys, complete } = await context.table.multiGetSortKeys(hashKey, { countMax });
    const writer = await context.openRows();
    for (const sortKey of sortKeys) await writer.row({ hashKey, sortKey });
    await writer.end(`${sortKeys.length} sort keys${complete ? "" : "; a limit stopped here"}`);
  },
};

const multiDelRange: Command = {
  name: "multi_del_range",
  changes: true,
  group: "data",
  brief: "Remove a range of the rows of a hash key, 100 at a time (not atomic)",
  positionals: [HASH_KEY, START, STOP],
  flags: [...RANGE_FLAGS, {
    name: "silent",
    short: "i",
    type: "bool",
    brief: "Do not print the progress",
  }],
  needsTable: true,
  async run(context, args) {
    let removed = 0;
    const total = await context.table.multiDelRange(args.needBytes("hash_key"), rangeOf(args), {
      onChunk(sortKeys) {
        removed += sortKeys.length;
        if (!args.has("silent") && context.io.errIsTerminal) context.note(`${removed} removed`);
        if (context.signal.aborted) throw new Error(`Interrupted after ${removed} rows`);
      },
    });
    context.answer(total, `OK, ${total} rows removed`);
  },
};

const hashScan: Command = {
  name: "hash_scan",
  aliases: ["scan"],
  group: "data",
  brief: "Print a range of the rows of a hash key, however many there are",
  positionals: [HASH_KEY, START, STOP],
  flags: [...RANGE_FLAGS, MAX_COUNT, NO_VALUE, OUTPUT],
  needsTable: true,
  async run(context, args) {
    const options = { ...rangeOf(args), noValue: args.has("no_value") };
    await printScan(context, args, context.table.scan(args.needBytes("hash_key"), options));
  },
};

const PARTITION: Flag = {
  name: "partition",
  short: "p",
  type: "int",
  brief: "Only this partition",
  default: "all",
};
/** Flags that choose rows of a table; {@link tableScan} reads them. */
export const TABLE_FILTERS: readonly Flag[] = [
  {
    name: "hash_key_filter_type",
    short: "h",
    type: "text",
    brief: "Which hash keys pass",
    choices: FILTER_TYPES,
  },
  { name: "hash_key_filter_pattern", short: "x", type: "bytes", brief: "What they must contain" },
  ...SORT_FILTER,
  PARTITION,
];

/** A scan over the table, as the flags of {@link TABLE_FILTERS} say. */
export function tableScan(
  context: Context,
  args: Args,
  options: { readonly noValue?: boolean; readonly returnExpireTs?: boolean },
): Scan {
  const hashKeyFilter = filterOf(args, "hash_key");
  const sortKeyFilter = filterOf(args, "sort_key");
  const partition = args.int("partition");
  return context.table.fullScan({
    ...options,
    ...(hashKeyFilter === undefined ? {} : { hashKeyFilter }),
    ...(sortKeyFilter === undefined ? {} : { sortKeyFilter }),
    ...(partition === undefined ? {} : { partitions: [partition] }),
  });
}

const fullScan: Command = {
  name: "full_scan",
  group: "data",
  brief: "Print all rows of the table, in no overall order",
  positionals: [],
  flags: [...TABLE_FILTERS, MAX_COUNT, NO_VALUE, OUTPUT],
  needsTable: true,
  async run(context, args) {
    await printScan(context, args, tableScan(context, args, { noValue: args.has("no_value") }));
  },
};

const countData: Command = {
  name: "count_data",
  group: "data",
  brief: "Count the rows of the table",
  details: ["The servers count; only numbers travel. With -d the client looks at every key."],
  positionals: [],
  flags: [...TABLE_FILTERS, {
    name: "diff_hash_key",
    short: "d",
    type: "bool",
    brief: "Count distinct hash keys too",
  }],
  needsTable: true,
  async run(context, args) {
    if (!args.has("diff_hash_key")) {
      const rows = await tableScan(context, args, { noValue: true }).count();
      return context.answer({ rows }, `${rows} rows`);
    }
    let rows = 0;
    const hashKeys = new Set<string>();
    for await (const batch of tableScan(context, args, { noValue: true }).batches()) {
      rows += batch.length;
      for (const { hashKey } of batch) hashKeys.add(context.escape(hashKey));
      if (context.signal.aborted) throw new Error(`Interrupted after ${rows} rows`);
    }
    const value = { rows, hash_keys: hashKeys.size };
    context.answer(value, `${rows} rows, ${hashKeys.size} hash keys`);
  },
};

/** See the file comment. */
export const RANGE_COMMANDS: readonly Command[] = [
  multiGetRange,
  multiGetSortKeys,
  multiDelRange,
  hashScan,
  fullScan,
  countData,
];
