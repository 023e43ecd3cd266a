// Commands over all rows of a table, or those that pass filters: copying them to another table, which may be
// in another cluster, and removing them. Both are scans with single writes: rows written meanwhile may or may
// not be met, and running a command again after a failure is harmless.

import { openCluster, type Table } from "../../../src/client/mod.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, UsageProblem } from "../declare.ts";
import { Progress } from "../render.ts";
import { TABLE_FILTERS, tableScan } from "./ranges.ts";

function progressOf(context: Context): Progress {
  const { io } = context;
  const write = io.errIsTerminal ? (text: string) => io.err(text) : undefined;
  return new Progress(write, 0, () => performance.now());
}

const copyData: Command = {
  name: "copy_data",
  group: "bulk",
  brief: "Copy the rows of the table, or those that pass filters, to another table",
  details: [
    "The other table must exist; rows it has with the same keys are replaced. The life left is kept.",
  ],
  positionals: [{ name: "target", type: "table", brief: "The table to copy to" }],
  flags: [
    ...TABLE_FILTERS,
    {
      name: "target_meta",
      type: "text",
      brief: "Meta servers of the other table's cluster, host:port with commas between",
      default: "this cluster",
    },
    { name: "no_ttl", short: "e", type: "bool", brief: "Store the copies without a life" },
  ],
  changes: true,
  needsTable: true,
  async run(context, args) {
    const name = args.needText("target");
    const metas = args.text("target_meta")?.split(",").map((meta) => meta.trim());
    const { timeoutMs } = context.state;
    if (metas === undefined && name === context.tableName) {
      throw new UsageProblem(`Table "${name}" cannot be copied to itself: name another one`);
    }
    if (metas === undefined) {
      return await copyRows(context, args, context.cluster.table(name, { timeoutMs }));
    }
    const other = openCluster({ meta: metas, timeoutMs, role: "shell" });
    try {
      await copyRows(context, args, other.table(name, { timeoutMs }));
    } finally {
      await other.close();
    }
  },
};

async function copyRows(context: Context, args: Args, target: Table): Promise<void> {
  const keepsLife = !args.has("no_ttl");
  const progress = progressOf(context);
  let rows = 0;
  try {
    const scan = tableScan(context, args, { returnExpireTs: keepsLife });
    for await (const batch of scan.batches()) {
      const now = secondsSince2016(Date.now());
      await Promise.all(batch.map(({ hashKey, sortKey, value, expireTs = 0 }) => {
        const ttl = expireTs === 0 ? 0 : Math.max(1, expireTs - now);
        return target.set(hashKey, sortKey, value!, { ttl });
      }));
      rows += batch.length;
      progress.update(rows, rows);
      if (context.signal.aborted) throw new Error(`Interrupted after ${rows} rows`);
    }
  } finally {
    progress.clear();
  }
  context.answer({ rows }, `${rows} rows copied`);
}

const clearData: Command = {
  name: "clear_data",
  group: "bulk",
  brief: "Remove the rows of the table, or those that pass filters",
  details: ["Without -f it only tells how many rows it would remove."],
  positionals: [],
  flags: [...TABLE_FILTERS, {
    name: "force",
    short: "f",
    type: "bool",
    brief: "Really remove them",
  }],
  changes: true,
  needsTable: true,
  async run(context, args) {
    if (!args.has("force")) {
      const rows = await tableScan(context, args, { noValue: true }).count();
      context.isNegative = true;
      return context.answer({ removed: 0, rows }, `${rows} rows would be removed: add -f to do it`);
    }
    const { table } = context;
    const progress = progressOf(context);
    let removed = 0;
    try {
      for await (const batch of tableScan(context, args, { noValue: true }).batches()) {
        await Promise.all(batch.map(({ hashKey, sortKey }) => table.del(hashKey, sortKey)));
        removed += batch.length;
        progress.update(removed, removed);
        if (context.signal.aborted) throw new Error(`Interrupted after ${removed} rows`);
      }
    } finally {
      progress.clear();
    }
    context.answer({ removed }, `OK, ${removed} rows removed`);
  },
};

/** See the file comment. */
export const COPY_COMMANDS: readonly Command[] = [copyData, clearData];
