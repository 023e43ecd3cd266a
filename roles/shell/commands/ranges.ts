// Commands on ranges of rows: reading and removing many.

import type { MultiGetRange, Scan, TableRow } from "../../../src/client/mod.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import type { Context } from "../context.ts";
import type { Args, Command } from "../declare.ts";
import { counted, jsonBytes } from "../render.ts";
import { HASH_KEY } from "./data.ts";
import {
  boundedInt,
  filtersValues,
  MAX_COUNT,
  NO_VALUE,
  PRINT_FLAGS,
  RANGE_FLAGS,
  rangeOf,
  scanOptions,
  START,
  STOP,
  TABLE_FILTERS,
  tableScan,
  valueFilter,
} from "./scan_flags.ts";

/** What the flags of {@link PRINT_FLAGS} ask of the servers. */
function shownOptions(args: Args): { noValue: boolean; returnExpireTs: boolean } {
  const noValue = args.has("no_value") && !filtersValues(args);
  return { noValue, returnExpireTs: args.has("detailed") };
}

/** Prints the rows of a scan until they end, the limit is reached or Ctrl-C. */
async function printScan(context: Context, args: Args, scan: Scan): Promise<void> {
  const max = boundedInt(args, "max_count", 0, 1e15) ?? Infinity;
  const noValue = args.has("no_value");
  const detailed = args.has("detailed");
  const passes = valueFilter(args);
  const writer = context.openRows();
  try {
    if (max === 0) return;
    for await (const row of scan) {
      if (context.signal.aborted) break;
      if (!passes(row)) continue;
      const shown = { ...row, value: noValue ? undefined : row.value };
      if (detailed) await writer.item(...detailedRow(context, shown));
      else await writer.row(shown);
      if (writer.count >= max) break;
    }
  } finally {
    await writer.end(
      `${counted(writer.count, "row")}${context.signal.aborted ? ", interrupted" : ""}`,
    );
  }
}

/** A row with its life left, in both forms. */
function detailedRow(
  context: Context,
  { hashKey, sortKey, value, expireTs = 0 }: Omit<TableRow, "value"> & {
    readonly value: Uint8Array | undefined;
  },
): Parameters<ReturnType<Context["openRows"]>["item"]> {
  const ttl = expireTs === 0 ? -1 : Math.max(0, expireTs - secondsSince2016(Date.now()));
  const json = {
    hash_key: jsonBytes(hashKey),
    sort_key: jsonBytes(sortKey),
    ...(value === undefined ? {} : { value: jsonBytes(value) }),
    ttl,
  };
  const name = `${context.show(hashKey)} : ${context.show(sortKey)}`;
  const data = value === undefined ? "" : ` => ${context.show(value)}`;
  return [json, `${name}${data}, ttl ${ttl < 0 ? "Infinite" : ttl}`];
}

const multiGetRange: Command = {
  name: "multi_get_range",
  group: "data",
  brief: "Print a range of the rows of a hash key, in one request",
  details: [
    "The server's limits hold: 3000 rows and 8 MiB; hash_scan has none.",
  ],
  examples: [
    "multi_get_range user:1 a m  # from a up to m, without m",
    "multi_get_range log:1 '' '' -n 10 -r  # the last ten",
  ],
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
      countMax: boundedInt(args, "max_count", 0, 0xffffffff) ?? 0,
    };
    const { rows, complete } = await context.table.multiGet(hashKey, range);
    const writer = context.openRows();
    for (const { sortKey, value } of rows) {
      await writer.row({ hashKey, sortKey, value: noValue ? undefined : value });
    }
    await writer.end(`${counted(rows.length, "row")}${complete ? "" : "; a limit stopped here"}`);
  },
};

const multiGetSortKeys: Command = {
  name: "multi_get_sortkeys",
  group: "data",
  brief: "Print the sort keys of a hash key, in one request",
  examples: ["multi_get_sortkeys user:1 -n 100"],
  positionals: [HASH_KEY],
  flags: [MAX_COUNT],
  needsTable: true,
  async run(context, args) {
    const hashKey = args.needBytes("hash_key");
    const countMax = boundedInt(args, "max_count", 0, 0xffffffff) ?? 0;
    const { sortKeys, complete } = await context.table.multiGetSortKeys(hashKey, { countMax });
    const writer = context.openRows();
    for (const sortKey of sortKeys) await writer.row({ hashKey, sortKey });
    await writer.end(
      `${counted(sortKeys.length, "sort key")}${complete ? "" : "; a limit stopped here"}`,
    );
  },
};

const multiDelRange: Command = {
  name: "multi_del_range",
  isLong: true,
  changes: true,
  group: "data",
  brief: "Remove a range of the rows of a hash key, 100 at a time (not atomic)",
  examples: ["multi_del_range log:1 '' 2026-01-01"],
  positionals: [HASH_KEY, START, STOP],
  flags: [...RANGE_FLAGS, {
    name: "silent",
    short: "i",
    type: "bool",
    brief: "Do not print the progress",
  }],
  needsTable: true,
  confirm: (args, context) =>
    args.has("start") || args.has("stop") || args.has("sort_key_filter_pattern")
      ? undefined
      : `Remove all rows of hash key ${context.show(args.needBytes("hash_key"))}?`,
  async run(context, args) {
    let removed = 0;
    const progress = context.progress(0);
    const total = await context.table.multiDelRange(args.needBytes("hash_key"), rangeOf(args), {
      onChunk(sortKeys) {
        removed += sortKeys.length;
        if (!args.has("silent")) progress.update(removed, removed);
        if (context.signal.aborted) throw new Error(`Interrupted after ${counted(removed, "row")}`);
      },
    }).finally(() => progress.clear());
    context.answer(total, `OK, ${counted(total, "row")} removed`);
  },
};

const hashScan: Command = {
  name: "hash_scan",
  isLong: true,
  aliases: ["scan"],
  group: "data",
  brief: "Print a range of the rows of a hash key, however many there are",
  examples: [
    "hash_scan user:1",
    "hash_scan user:1 '' '' -s prefix -y addr  # sort keys that begin with addr",
  ],
  positionals: [HASH_KEY, START, STOP],
  flags: [...RANGE_FLAGS, ...PRINT_FLAGS],
  needsTable: true,
  async run(context, args) {
    const options = { ...rangeOf(args), ...shownOptions(args), ...scanOptions(args) };
    await printScan(context, args, context.table.scan(args.needBytes("hash_key"), options));
  },
};

const fullScan: Command = {
  name: "full_scan",
  isLong: true,
  group: "data",
  brief: "Print all rows of the table, in no overall order",
  examples: [
    "full_scan -n 10 -d",
    "full_scan -h prefix -x user: -v anywhere -z example.org -o found.txt",
  ],
  positionals: [],
  flags: [...TABLE_FILTERS, ...PRINT_FLAGS],
  needsTable: true,
  async run(context, args) {
    await printScan(context, args, await tableScan(context, args, shownOptions(args)));
  },
};

/** See the file comment. */
export const RANGE_COMMANDS: readonly Command[] = [
  multiGetRange,
  multiGetSortKeys,
  multiDelRange,
  hashScan,
  fullScan,
];
