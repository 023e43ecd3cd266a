// Commands over all rows of a table, or those that pass filters: copying them to another table, which may be
// in another cluster, and removing them. Both are scans with single writes: rows written meanwhile may or may
// not be met, and running a command again after a failure is harmless.

import { equalBytes } from "../../../src/base/bytes.ts";
import { WRITE_BYTES_MAX } from "../../../src/schema/write_size.ts";
import type { Table, TableRow } from "../../../src/client/mod.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import { counted } from "../render.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, UsageProblem } from "../declare.ts";
import { boundedInt, filtersValues, tableScan, valueFilter, WALK_FLAGS } from "./scan_flags.ts";

const copyData: Command = {
  name: "copy_data",
  isLong: true,
  group: "bulk",
  brief: "Copy the rows of the table, or those that pass filters, to another table",
  details: [
    "The other table must exist; rows it has with the same keys are replaced. The life left is kept.",
    "With -n a row whose hash key is empty is looked for first and then stored, not in one step.",
    "-u is faster where hash keys have many rows: neighbours of one hash key and one life are stored together.",
  ],
  examples: [
    "copy_data users_copy",
    "copy_data -c east  # the table of the same name there",
    "copy_data users_copy -h prefix -x user: -n",
    "copy_data users_copy -u -m 10",
  ],
  positionals: [{
    name: "target",
    type: "table",
    brief: "The table to copy to; by default of the same name, in another cluster",
    optional: true,
  }],
  flags: [
    ...WALK_FLAGS,
    {
      name: "target_cluster",
      short: "c",
      type: "text",
      brief:
        "The other table's cluster: a name of the clusters file, or host:port with commas between",
      default: "this cluster",
    },
    { name: "target_app", short: "a", type: "table", brief: "The other table, as the argument" },
    { name: "no_overwrite", short: "n", type: "bool", brief: "Leave rows alone that exist there" },
    { name: "no_ttl", short: "e", type: "bool", brief: "Store the copies without a life" },
    {
      name: "use_multi_set",
      short: "u",
      type: "bool",
      brief: "Store rows of a hash key together; not with -n",
    },
    {
      name: "max_concurrency",
      short: "m",
      type: "int",
      brief: "Writes on their way at the same time",
      default: "500, with -u 20",
    },
  ],
  changes: true,
  needsTable: true,
  async run(context, args) {
    if (args.has("use_multi_set") && args.has("no_overwrite")) {
      throw new UsageProblem("--use_multi_set looks at no rows: it cannot go with --no_overwrite");
    }
    const name = args.text("target") ?? args.text("target_app") ?? context.tableName;
    const cluster = args.text("target_cluster");
    const options = { timeoutMs: context.state.timeoutMs };
    if (cluster === undefined) {
      if (name === context.tableName) {
        throw new UsageProblem(`Table "${name}" cannot be copied to itself: name another one`);
      }
      return await copyRows(context, args, context.cluster.table(name, options));
    }
    const other = context.connections.openOther(cluster);
    try {
      await other.admin.tableConfig(name);
      await copyRows(context, args, other.table(name, options));
    } finally {
      await other.close();
    }
  },
};

async function copyRows(context: Context, args: Args, target: Table): Promise<void> {
  const keepsLife = !args.has("no_ttl");
  const keepsOthers = args.has("no_overwrite");
  let skipped = 0;
  const store = async ([row, ...more]: readonly TableRow[]) => {
    const { hashKey, sortKey, value, expireTs = 0 } = row!;
    const now = secondsSince2016(Date.now());
    const ttl = expireTs === 0 ? 0 : Math.max(1, expireTs - now);
    if (more.length > 0) return await target.multiSet(hashKey, [row!, ...more], { ttl });
    if (!keepsOthers) return await target.set(hashKey, sortKey, value, { ttl });
    if (hashKey.length === 0) {
      // Rows without a hash key have no partition in common in which a check would be made.
      if (await target.exist(hashKey, sortKey)) skipped++;
      else await target.set(hashKey, sortKey, value, { ttl });
      return;
    }
    const check = { sortKey, type: "not_exist" } as const;
    const { passed } = await target.checkAndSet(hashKey, check, { value, ttl });
    if (!passed) skipped++;
  };
  const isGrouped = args.has("use_multi_set");
  const most = boundedInt(args, "max_concurrency", 1, 10_000) ?? (isGrouped ? 20 : 500);
  const how = { most, group: isGrouped ? neighbours : singly };
  const rows = await forRows(context, args, { returnExpireTs: keepsLife }, how, store);
  const rest = skipped > 0 ? `, ${skipped} existed` : "";
  context.answer(
    { rows: rows - skipped, skipped },
    `${counted(rows - skipped, "row")} copied${rest}`,
  );
}

/** Bytes of one multi_set: half of what a write may have, for what is said beside sort keys and values. */
const GROUP_BYTES_MAX = WRITE_BYTES_MAX / 2;

/** Runs of rows that one multi_set can store: of one hash key, which must have a name, and of one life. */
export function neighbours(rows: readonly TableRow[]): TableRow[][] {
  const groups: TableRow[][] = [];
  let bytes = 0;
  for (const row of rows) {
    const group = groups.at(-1);
    const first = group?.[0];
    const size = row.sortKey.length + row.value.length;
    const isTogether = first !== undefined && row.hashKey.length > 0 &&
      equalBytes(first.hashKey, row.hashKey) && first.expireTs === row.expireTs &&
      bytes + size <= GROUP_BYTES_MAX;
    if (isTogether) group!.push(row);
    else groups.push([row]);
    bytes = isTogether ? bytes + size : size;
  }
  return groups;
}

function singly(rows: readonly TableRow[]): TableRow[][] {
  return rows.map((row) => [row]);
}

const clearData: Command = {
  name: "clear_data",
  isLong: true,
  group: "bulk",
  brief: "Remove the rows of the table, or those that pass filters",
  details: ["Without -f it only tells how many rows it would remove."],
  examples: ["clear_data -h prefix -x tmp:  # only count", "clear_data -h prefix -x tmp: -f"],
  positionals: [],
  flags: [...WALK_FLAGS, {
    name: "force",
    short: "f",
    type: "bool",
    brief: "Really remove them",
  }],
  changes: true,
  needsTable: true,
  async run(context, args) {
    if (!args.has("force")) {
      const rows = filtersValues(args)
        ? await forRows(context, args, {}, { most: Infinity, group: singly }, async () => {})
        : await (await tableScan(context, args, { noValue: true })).count();
      context.isNegative = true;
      return context.answer(
        { removed: 0, rows },
        `${counted(rows, "row")} would be removed: add -f to do it`,
      );
    }
    const { table } = context;
    const options = { noValue: !filtersValues(args) };
    const how = { most: Infinity, group: singly };
    const removed = await forRows(context, args, options, how, ([row]) => {
      return table.del(row!.hashKey, row!.sortKey);
    });
    context.answer({ removed }, `OK, ${counted(removed, "row")} removed`);
  },
};

/**
 * Does something with every row that passes, many at a time, and shows how far it is.
 *
 * @param how `most`: how many run at once; `group`: rows that are worked on together.
 * @returns How many there were.
 */
async function forRows(
  context: Context,
  args: Args,
  options: { readonly noValue?: boolean; readonly returnExpireTs?: boolean },
  how: {
    readonly most: number;
    readonly group: (rows: readonly TableRow[]) => TableRow[][];
  },
  work: (rows: readonly TableRow[]) => Promise<void>,
): Promise<number> {
  const passes = valueFilter(args);
  const total = context.io.errIsTerminal
    ? await context.unlessInterrupted((await tableScan(context, args, { noValue: true })).count())
    : 0;
  const progress = context.progress(total);
  let [rows, looked] = [0, 0];
  try {
    for await (const batch of (await tableScan(context, args, options)).batches()) {
      const groups = how.group(batch.filter(passes));
      for (let from = 0; from < groups.length && !context.signal.aborted; from += how.most) {
        const part = groups.slice(from, from + how.most);
        await Promise.all(part.map(work));
        for (const group of part) rows += group.length;
      }
      looked += batch.length;
      progress.update(looked, rows);
      if (context.signal.aborted) throw new Error(`Interrupted after ${counted(rows, "row")}`);
    }
  } finally {
    progress.clear();
  }
  return rows;
}

/** See the file comment. */
export const COPY_COMMANDS: readonly Command[] = [copyData, clearData];
