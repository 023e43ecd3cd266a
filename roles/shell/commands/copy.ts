// Commands over all rows of a table, or those that pass filters: copying them to another table, which may be
// in another cluster, and removing them. Both are scans with single writes: rows written meanwhile may or may
// not be met, and running a command again after a failure is harmless.

import type { Table, TableRow } from "../../../src/client/mod.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import { counted } from "../render.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, UsageProblem } from "../declare.ts";
import { boundedInt, filtersValues, tableScan, valueFilter, WALK_FLAGS } from "./scan_flags.ts";

const copyData: Command = {
  name: "copy_data",
  group: "bulk",
  brief: "Copy the rows of the table, or those that pass filters, to another table",
  details: [
    "The other table must exist; rows it has with the same keys are replaced. The life left is kept.",
  ],
  examples: [
    "copy_data users_copy",
    "copy_data -c east  # the table of the same name there",
    "copy_data users_copy -h prefix -x user: -n",
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
      name: "max_concurrency",
      short: "m",
      type: "int",
      brief: "Writes on their way at the same time",
      default: "500",
    },
  ],
  changes: true,
  needsTable: true,
  async run(context, args) {
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
  const store = async ({ hashKey, sortKey, value, expireTs = 0 }: TableRow) => {
    const now = secondsSince2016(Date.now());
    const ttl = expireTs === 0 ? 0 : Math.max(1, expireTs - now);
    if (!keepsOthers) return await target.set(hashKey, sortKey, value, { ttl });
    const check = { sortKey, type: "not_exist" } as const;
    const { passed } = await target.checkAndSet(hashKey, check, { value, ttl });
    if (!passed) skipped++;
  };
  const options = { returnExpireTs: keepsLife };
  const rows = await forRows(context, args, options, "max_concurrency", store);
  const rest = skipped > 0 ? `, ${skipped} existed` : "";
  context.answer(
    { rows: rows - skipped, skipped },
    `${counted(rows - skipped, "row")} copied${rest}`,
  );
}

const clearData: Command = {
  name: "clear_data",
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
        ? await forRows(context, args, {}, undefined, () => Promise.resolve())
        : await (await tableScan(context, args, { noValue: true })).count();
      context.isNegative = true;
      return context.answer(
        { removed: 0, rows },
        `${counted(rows, "row")} would be removed: add -f to do it`,
      );
    }
    const { table } = context;
    const options = { noValue: !filtersValues(args) };
    const removed = await forRows(context, args, options, undefined, ({ hashKey, sortKey }) => {
      return table.del(hashKey, sortKey);
    });
    context.answer({ removed }, `OK, ${counted(removed, "row")} removed`);
  },
};

/**
 * Does something with every row that passes, many at a time, and shows how far it is.
 *
 * @param width Name of the flag that bounds how many run at once.
 * @returns How many there were.
 */
async function forRows(
  context: Context,
  args: Args,
  options: { readonly noValue?: boolean; readonly returnExpireTs?: boolean },
  width: string | undefined,
  work: (row: TableRow) => Promise<void>,
): Promise<number> {
  const most = width === undefined ? Infinity : boundedInt(args, width, 1, 10_000) ?? 500;
  const passes = valueFilter(args);
  const total = context.io.errIsTerminal
    ? await (await tableScan(context, args, { noValue: true })).count()
    : 0;
  const progress = context.progress(total);
  let [rows, looked] = [0, 0];
  try {
    for await (const batch of (await tableScan(context, args, options)).batches()) {
      const chosen = batch.filter(passes);
      for (let from = 0; from < chosen.length; from += most) {
        const part = chosen.slice(from, from + most);
        await Promise.all(part.map(work));
        rows += part.length;
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
