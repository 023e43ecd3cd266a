// Flags that choose rows, and the scans they make. Filters on keys go to the servers; those on values and the
// count are the shell's own. Invariant: every command that walks over rows understands the same flags.

import type { KeyFilter, Scan, SortKeyRange, TableRow } from "../../../src/client/mod.ts";
import { equalBytes } from "../../../src/base/bytes.ts";
import { containsBytes, endsWithBytes, startsWithBytes } from "../../../storage/match.ts";
import type { Context } from "../context.ts";
import { type Args, type Flag, type Positional, UsageProblem } from "../declare.ts";

/** First sort key of a range. */
export const START: Positional = {
  name: "start",
  type: "bytes",
  brief: "First sort key; '' = from the beginning",
  optional: true,
};
/** Last sort key of a range. */
export const STOP: Positional = {
  name: "stop",
  type: "bytes",
  brief: "Last sort key; '' = to the end",
  optional: true,
};
const FILTER_TYPES = ["anywhere", "prefix", "postfix", "exact"] as const;
const BOOLEANS = ["true", "false"];

function filterFlags(what: string, shorts: string): readonly Flag[] {
  return [
    {
      name: `${what}_filter_type`,
      short: shorts[0]!,
      type: "text",
      brief: `How the pattern is looked for in ${what.replace("_", " ")}s`,
      choices: FILTER_TYPES,
      default: "anywhere",
    },
    {
      name: `${what}_filter_pattern`,
      short: shorts[1]!,
      type: "bytes",
      brief: "Only rows with this in it",
    },
  ];
}

const SORT_FILTER = filterFlags("sort_key", "sy");
const VALUE_FILTER = filterFlags("value", "vz");

/** Flags of a range of sort keys. */
export const RANGE_FLAGS: readonly Flag[] = [
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
/** Ends an answer early. */
export const MAX_COUNT: Flag = {
  name: "max_count",
  short: "n",
  type: "int",
  brief: "Stop after this many rows",
  default: "no limit",
};
/** Leaves values out. */
export const NO_VALUE: Flag = {
  name: "no_value",
  short: "i",
  type: "bool",
  brief: "Print only keys",
};
const TIMEOUT: Flag = {
  name: "timeout",
  short: "t",
  type: "int",
  brief: "Milliseconds to wait for a partition that does not answer",
  default: "30000",
};
/** Flags of what is printed of a scan. */
export const PRINT_FLAGS: readonly Flag[] = [
  ...VALUE_FILTER,
  MAX_COUNT,
  NO_VALUE,
  { name: "detailed", short: "d", type: "bool", brief: "Also print the life left, in seconds" },
  TIMEOUT,
];

/** Flags that choose rows of a table; {@link tableScan} reads them. */
export const TABLE_FILTERS: readonly Flag[] = [
  ...filterFlags("hash_key", "hx"),
  ...SORT_FILTER,
  {
    name: "partition",
    short: "p",
    type: "int",
    brief: "Only this partition",
    default: "all",
  },
];

/** {@link TABLE_FILTERS}, the filter on values, and how much is read at once. */
export const WALK_FLAGS: readonly Flag[] = [
  ...TABLE_FILTERS,
  ...VALUE_FILTER,
  {
    name: "max_batch_count",
    short: "b",
    type: "int",
    brief: "Rows read at once, 1 to 1000",
    default: "500",
  },
  TIMEOUT,
];

/** A number flag that must be within bounds. @throws {UsageProblem} */
export function boundedInt(args: Args, name: string, min: number, max: number): number | undefined {
  const given = args.int(name);
  if (given === undefined || (given >= min && given <= max)) return given;
  throw new UsageProblem(`--${name} is ${given}, expected ${min} to ${max}`);
}

function filterOf(args: Args, name: string): KeyFilter | undefined {
  const pattern = args.bytes(`${name}_filter_pattern`);
  if (pattern === undefined) {
    if (!args.has(`${name}_filter_type`)) return undefined;
    throw new UsageProblem(`--${name}_filter_type needs --${name}_filter_pattern`);
  }
  return { type: (args.text(`${name}_filter_type`) ?? "anywhere") as KeyFilter["type"], pattern };
}

/** The range of sort keys of one hash key. */
export function rangeOf(args: Args): SortKeyRange {
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

/** Options of a scan that flags of {@link PRINT_FLAGS} and {@link WALK_FLAGS} say. */
export function scanOptions(args: Args): { timeoutMs?: number; batchSize?: number } {
  const timeoutMs = boundedInt(args, "timeout", 1, 1e9);
  const batchSize = boundedInt(args, "max_batch_count", 1, 1000);
  return {
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(batchSize === undefined ? {} : { batchSize }),
  };
}

/** A scan over the table, as the flags of {@link TABLE_FILTERS} say. @throws {UsageProblem} */
export async function tableScan(
  context: Context,
  args: Args,
  options: { readonly noValue?: boolean; readonly returnExpireTs?: boolean },
): Promise<Scan> {
  const hashKeyFilter = filterOf(args, "hash_key");
  const sortKeyFilter = filterOf(args, "sort_key");
  const partition = args.int("partition");
  if (partition !== undefined) {
    const { partitionCount } = await context.admin.tableConfig(context.tableName);
    boundedInt(args, "partition", 0, partitionCount - 1);
  }
  return context.table.fullScan({
    ...options,
    ...scanOptions(args),
    ...(hashKeyFilter === undefined ? {} : { hashKeyFilter }),
    ...(sortKeyFilter === undefined ? {} : { sortKeyFilter }),
    ...(partition === undefined ? {} : { partitions: [partition] }),
  });
}

/** Whether rows are also chosen by their values, which then have to travel. */
export function filtersValues(args: Args): boolean {
  return args.has("value_filter_pattern") || args.has("value_filter_type");
}

/** The filter on values; lets everything pass if there is none. */
export function valueFilter(args: Args): (row: Pick<TableRow, "value">) => boolean {
  const filter = filterOf(args, "value");
  if (filter === undefined) return () => true;
  const pattern = filter.pattern as Uint8Array;
  const passes = {
    anywhere: containsBytes,
    prefix: startsWithBytes,
    postfix: endsWithBytes,
    exact: equalBytes,
  }[filter.type];
  return ({ value }) => passes(value, pattern);
}
