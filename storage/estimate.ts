// How many rows a range of an engine has, without reading all of them. LevelDB keeps no such number; it knows how
// many bytes of its tables lie between two keys. So a few places of the range are read, spread evenly over its bytes:
// how many rows there are per byte, times the bytes of all. Rows that are not in a table yet are seen in the places
// and count by their share. What is small is read to its end, and the answer is exact.

import { compareBytes } from "../src/base/bytes.ts";
import { isExpired } from "../src/schema/value_format.ts";
import type { Engine, EngineIterator, RangeOptions } from "./engine.ts";

/** Rows, expired ones left out. */
export interface RowEstimate {
  readonly rows: number;
  /** Every row was seen. */
  readonly exact: boolean;
}

/** What is read at most. */
export interface EstimateOptions {
  /** Ranges of up to so many rows are counted. @default 2000 */
  readonly countRows?: number;
  /** Places read in larger ones. @default 16 */
  readonly places?: number;
  /** Bytes of tables that one place should cover: many times the resolution of a block, 4 KiB. @default 64 KiB */
  readonly placeBytes?: number;
  /** Rows read at one place at most. @default 2000 */
  readonly placeRows?: number;
}

/** Rows read in one native call, and bytes. */
const STEP_ROWS = 256;
const STEP_BYTES = 256 * 1024;
/** Halvings in the search for a place. Few are needed: both ends are keys that exist. */
const HALVINGS_MAX = 40;

/** Rows of [start, end) that are not expired at `nowSeconds` (since 2016). */
export async function estimateRows(
  engine: Engine,
  { start, end }: { readonly start: Uint8Array; readonly end: Uint8Array },
  nowSeconds: number,
  options: EstimateOptions = {},
): Promise<RowEstimate> {
  const { countRows = 2000, places = 16, placeBytes = 64 * 1024, placeRows = 2000 } = options;
  const first = await readFrom(engine, start, end, nowSeconds, (rows) => rows >= countRows);
  if (first.ended) return { rows: first.living, exact: true };
  const total = await engine.approximateSize(start, end);
  // Nearly all of it is in memory still, which is small.
  if (total < 2 * placeBytes) {
    const { living } = await readFrom(engine, start, end, nowSeconds, () => false);
    return { rows: living, exact: true };
  }
  const last = await keyOf(engine, { gte: start, lt: end, reverse: true }) ?? start;
  let [seen, covered] = [0, 0];
  for (let i = 0; i < places; i++) {
    const from = await keyAt(engine, { first: first.first!, last, bytes: total * i / places });
    const size = (to: Uint8Array) => engine.approximateSize(from, to);
    const isEnough = async (rows: number, to: Uint8Array) =>
      rows >= placeRows || await size(to) >= placeBytes;
    const place = await readFrom(engine, from, end, nowSeconds, isEnough);
    const bytes = await size(place.last ?? from);
    // Of sums, not the mean of quotients: a place whose rows are nearly all in memory has next to no bytes.
    seen += place.living;
    covered += bytes;
  }
  const rows = covered === 0 ? 0 : Math.round(total * seen / covered);
  return { rows: Math.max(first.living, rows), exact: false };
}

/** What was read at one place. */
interface Read {
  readonly living: number;
  readonly first: Uint8Array | undefined;
  readonly last: Uint8Array | undefined;
  /** There is nothing behind it. */
  readonly ended: boolean;
}

async function readFrom(
  engine: Engine,
  from: Uint8Array,
  end: Uint8Array,
  nowSeconds: number,
  isEnough: (rows: number, last: Uint8Array) => boolean | Promise<boolean>,
): Promise<Read> {
  const iterator: EngineIterator = engine.range({ gte: from, lt: end });
  let [rows, living] = [0, 0];
  let first: Uint8Array | undefined;
  let last: Uint8Array | undefined;
  try {
    for (;;) {
      const entries = await iterator.next(STEP_ROWS, STEP_BYTES);
      if (entries.length === 0) return { living, first, last, ended: true };
      first ??= entries[0]![0];
      last = entries.at(-1)![0];
      rows += entries.length;
      for (const [, value] of entries) if (!isExpired(value, nowSeconds)) living++;
      if (await isEnough(rows, last)) return { living, first, last, ended: false };
    }
  } finally {
    await iterator.close();
  }
}

/** The first key of a range, or the last one. */
async function keyOf(engine: Engine, range: RangeOptions): Promise<Uint8Array | undefined> {
  const iterator = engine.range({ ...range, values: false });
  try {
    return (await iterator.next(1))[0]?.[0];
  } finally {
    await iterator.close();
  }
}

/** A key with about so many bytes of tables before it, found by halving what lies between two keys. */
async function keyAt(
  engine: Engine,
  { first, last, bytes }: {
    readonly first: Uint8Array;
    readonly last: Uint8Array;
    readonly bytes: number;
  },
): Promise<Uint8Array> {
  let [low, high] = [first, last];
  for (let i = 0; i < HALVINGS_MAX && bytes > 0; i++) {
    const middle = between(low, high);
    const isLower = await engine.approximateSize(first, middle) < bytes;
    const next = isLower
      ? await keyOf(engine, { gte: middle, lt: high })
      : await keyOf(engine, { gt: low, lt: middle, reverse: true });
    if (next === undefined || compareBytes(next, low) <= 0) break;
    if (isLower) low = next;
    else high = next;
  }
  return low;
}

/** A key about half way between two: what they share, and the mean of the next six bytes. */
function between(low: Uint8Array, high: Uint8Array): Uint8Array {
  let shared = 0;
  while (shared < low.length && low[shared] === high[shared]) shared++;
  let sum = 0;
  for (let i = shared; i < shared + 6; i++) sum = sum * 256 + (low[i] ?? 0) + (high[i] ?? 0);
  let half = Math.floor(sum / 2);
  const middle = new Uint8Array(shared + 6);
  middle.set(low.subarray(0, shared));
  for (let i = shared + 5; i >= shared; i--) {
    middle[i] = half % 256;
    half = Math.floor(half / 256);
  }
  return middle;
}
