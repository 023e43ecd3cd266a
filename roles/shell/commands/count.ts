// count_data: how many rows there are, and, if somebody wants to know more, what they look like.

import { formatPartition } from "../../../src/base/ids.ts";
import { Err, type PartitionConfig, StoreError, type TableRow } from "../../../src/client/mod.ts";
import type { Context } from "../context.ts";
import { type Args, type Command, UsageProblem } from "../declare.ts";
import { counted, formatBytes, type Json, jsonBytes, renderPairs } from "../render.ts";
import { boundedInt, filtersValues, tableScan, valueFilter, WALK_FLAGS } from "./scan_flags.ts";
import { outputLines } from "./targets.ts";

const TOP_MAX = 1000;

/** Sizes in buckets of powers of two. */
class SizeHistogram {
  count = 0;
  sum = 0;
  max = 0;
  readonly #buckets: number[] = [];

  add(size: number): void {
    this.count++;
    this.sum += size;
    this.max = Math.max(this.max, size);
    const bucket = size === 0 ? 0 : Math.ceil(Math.log2(size + 1));
    this.#buckets[bucket] = (this.#buckets[bucket] ?? 0) + 1;
  }

  /** Upper bound of the bucket in which the share lies; at most twice the exact value. */
  percentile(share: number): number {
    let below = 0;
    for (let bucket = 0; bucket < this.#buckets.length; bucket++) {
      below += this.#buckets[bucket] ?? 0;
      if (below >= this.count * share) return Math.min(this.max, 2 ** bucket - 1);
    }
    return this.max;
  }

  toJson(): { readonly [name: string]: Json } {
    const average = this.count === 0 ? 0 : Math.round(this.sum / this.count);
    const [p50, p90, p99] = [0.5, 0.9, 0.99].map((share) => this.percentile(share));
    return { average, p50: p50!, p90: p90!, p99: p99!, max: this.max };
  }
}

/** One of the largest rows. */
interface TopRow {
  readonly bytes: number;
  readonly row: TableRow;
}

/** What is found out of the rows. */
class Findings {
  rows = 0;
  readonly hashKeys = new Set<string>();
  readonly sizes = {
    hash_key_bytes: new SizeHistogram(),
    sort_key_bytes: new SizeHistogram(),
    value_bytes: new SizeHistogram(),
    row_bytes: new SizeHistogram(),
  };
  readonly top: TopRow[] = [];

  measure({ hashKey, sortKey, value }: TableRow): number {
    const bytes = hashKey.length + sortKey.length + value.length;
    this.sizes.hash_key_bytes.add(hashKey.length);
    this.sizes.sort_key_bytes.add(sortKey.length);
    this.sizes.value_bytes.add(value.length);
    this.sizes.row_bytes.add(bytes);
    return bytes;
  }

  /** Keeps the `most` largest rows, largest first. */
  rank(row: TableRow, bytes: number, most: number): void {
    const { top } = this;
    if (most === 0) return;
    if (top.length >= most && bytes <= top.at(-1)!.bytes) return;
    const place = top.findIndex((other) => other.bytes < bytes);
    top.splice(place < 0 ? top.length : place, 0, { bytes, row });
    top.length = Math.min(top.length, most);
  }
}

const countData: Command = {
  name: "count_data",
  isLong: true,
  group: "bulk",
  brief: "Count the rows of the table, and say what they look like",
  details: [
    "Without options it is an estimate, from a few places of every partition and the sizes of the files;",
    "small tables are counted. The answer says which it is. Any option counts exactly: the servers count, and",
    "only numbers travel. With -d, -a, -n, -r or a filter on values the shell reads the rows itself.",
    "Percentiles of sizes are bounds of buckets, at most twice too large.",
  ],
  examples: [
    "count_data  # about",
    "count_data -c  # exactly",
    "count_data -d -a -n 5",
  ],
  positionals: [],
  flags: [
    ...WALK_FLAGS,
    { name: "precise", short: "c", type: "bool", brief: "Count exactly" },
    { name: "diff_hash_key", short: "d", type: "bool", brief: "Count distinct hash keys too" },
    { name: "stat_size", short: "a", type: "bool", brief: "Also sizes of keys and values" },
    { name: "top_count", short: "n", type: "int", brief: "Also this many of the largest rows" },
    {
      name: "run_seconds",
      short: "r",
      type: "int",
      brief: "Stop after so many seconds",
      default: "no limit",
    },
  ],
  needsTable: true,
  async run(context, args) {
    const walks = filtersValues(args) ||
      ["diff_hash_key", "stat_size", "top_count", "run_seconds"].some((name) => args.has(name));
    if (walks) return await walk(context, args);
    if (countData.flags.every(({ name }) => !args.has(name))) return await estimate(context);
    const scan = await tableScan(context, args, { noValue: true });
    const rows = await context.unlessInterrupted(scan.count());
    context.answer({ rows, exact: true }, counted(rows, "row"));
  },
};

/** Partitions that are asked at the same time. */
const ASKED_MAX = 8;

/** Adds up what a server of every partition thinks it has. */
async function estimate(context: Context): Promise<void> {
  const { partitions } = await context.admin.tableConfig(context.tableName);
  const nodes = new Set(partitions.flatMap(({ primary }) => primary === "" ? [] : [primary]));
  const progress = context.progress(partitions.length);
  let [rows, exact, next, done] = [0, true, 0, 0];
  const ask = async () => {
    while (next < partitions.length && !context.signal.aborted) {
      const part = await estimateOf(context, partitions[next++]!);
      rows += part.rows;
      exact &&= part.exact;
      progress.update(++done, done, "partitions");
    }
  };
  const width = Math.min(ASKED_MAX, partitions.length, Math.max(1, nodes.size));
  await Promise.all(Array.from({ length: width }, ask)).finally(() => progress.clear());
  if (context.signal.aborted) throw new Error("Interrupted");
  const digits = 10 ** Math.max(0, String(rows).length - 3);
  const text = exact
    ? counted(rows, "row")
    : `about ${Math.round(rows / digits) * digits} rows (estimated; count_data -c counts them)`;
  context.answer({ rows, exact }, text);
}

async function estimateOf(
  { admin }: Context,
  { partition, primary, secondaries }: PartitionConfig,
): Promise<{ readonly rows: number; readonly exact: boolean }> {
  const gpid = formatPartition(partition);
  const member = primary || secondaries[0];
  if (member === undefined) {
    throw new StoreError(Err.OBJECT_NOT_FOUND, `${gpid} has no member; "ddd_diagnose" tells why`);
  }
  let output: string;
  try {
    output = await admin.remoteCommand(member, "estimate-rows", [gpid]);
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== Err.ACL_DENY) throw error;
    const hint = "an estimate asks the servers themselves; count_data -c needs only read";
    throw new StoreError(error.code, `${error.detail}; ${hint}`);
  }
  const [line] = outputLines(output);
  if (line === undefined) {
    throw new StoreError(Err.TRY_AGAIN, `${gpid} has just left ${member}; try again`);
  }
  return JSON.parse(line);
}

async function walk(context: Context, args: Args): Promise<void> {
  const most = boundedInt(args, "top_count", 1, TOP_MAX) ?? 0;
  const seconds = boundedInt(args, "run_seconds", 1, 1e9) ?? Infinity;
  const measures = args.has("stat_size") || most > 0;
  const noValue = !measures && !filtersValues(args);
  if (args.has("precise") && !noValue) {
    throw new UsageProblem("--precise cannot be combined with --stat_size or --top_count");
  }
  const passes = valueFilter(args);
  const found = new Findings();
  const progress = context.progress(0);
  const endsAt = performance.now() + seconds * 1000;
  let complete = true;
  try {
    for await (const batch of (await tableScan(context, args, { noValue })).batches()) {
      for (const row of batch) {
        if (!passes(row)) continue;
        found.rows++;
        if (args.has("diff_hash_key")) found.hashKeys.add(context.escape(row.hashKey));
        if (measures) found.rank(row, found.measure(row), most);
      }
      progress.update(found.rows, found.rows);
      complete = !context.signal.aborted && performance.now() < endsAt;
      if (!complete) break;
    }
  } finally {
    progress.clear();
  }
  context.isNegative = context.signal.aborted;
  answer(context, args, found, complete);
}

function answer(context: Context, args: Args, found: Findings, complete: boolean): void {
  const pairs: [string, Json][] = [["rows", found.rows]];
  if (args.has("diff_hash_key")) pairs.push(["hash_keys", found.hashKeys.size]);
  const texts = [counted(found.rows, "row")];
  if (args.has("diff_hash_key")) texts[0] += `, ${counted(found.hashKeys.size, "hash key")}`;
  if (!complete) texts[0] += "; stopped before the end";
  pairs.push(["complete", complete]);
  if (args.has("stat_size")) {
    const sizes = Object.entries(found.sizes).map(([name, sizes]) =>
      [name, sizes.toJson()] as const
    );
    pairs.push(...sizes.map(([name, json]): [string, Json] => [name, json]));
    texts.push(renderPairs(sizes.map(([name, json]) => [
      name,
      Object.entries(json).map(([key, bytes]) => `${key} ${formatBytes(Number(bytes))}`).join(", "),
    ])));
  }
  if (found.top.length > 0) {
    const top = found.top.map(({ bytes, row }) => ({
      hash_key: jsonBytes(row.hashKey),
      sort_key: jsonBytes(row.sortKey),
      bytes,
    }));
    pairs.push(["top", top]);
    texts.push(
      ...found.top.map(({ bytes, row }) =>
        `${context.show(row.hashKey)} : ${context.show(row.sortKey)}, ${bytes} bytes`
      ),
    );
  }
  context.answer(Object.fromEntries(pairs), texts.join("\n"));
}

/** See the file comment. */
export const COUNT_COMMANDS: readonly Command[] = [countData];
