// Finds the hash key that a partition is asked for most, in two steps with bounded memory: first the bucket of
// hash keys that stands out, then the keys inside that bucket, of which only the frequent ones are kept
// (Misra and Gries, "Finding repeated elements", 1982). Pure: time is passed in. The two steps, the numbers of
// buckets, thresholds and times follow the original; docs/monitoring.md, "Hot keys".

/** Buckets of the coarse step; a prime, so that regular keys spread. */
const BUCKETS = 37;
/** Standard deviations above the others' mean at which a bucket, and then a key, stands out. */
const COARSE_DEVIATIONS = 7;
const FINE_DEVIATIONS = 5;
/** Keys that are followed in the fine step. */
const KEYS_MAX = 64;
/** Longest key that is kept; of longer ones the beginning. */
const KEY_BYTES_MAX = 1024;
/** Each look at what was gathered comes so long after the one before. */
export const ANALYSIS_MS = 10_000;
/** Without a result the search ends. */
export const SEARCH_MS_MAX = 150_000;
/** Fewer rows say nothing: the step goes on. */
const ROWS_MIN = 100;

/** How far a search is. */
export type HotKeyState = "stopped" | "coarse" | "fine" | "finished" | "failed";

interface KeyCount {
  readonly key: Uint8Array;
  count: number;
}

/** One search in one partition, for reads or for writes. */
export class HotKeySearch {
  #state: HotKeyState = "coarse";
  #captured = 0;
  #buckets = new Array<number>(BUCKETS).fill(0);
  #hotBucket = 0;
  #keys = new Map<number, KeyCount>();
  /** Rows of the fine step that were in no kept key any more. */
  #bucketRows = 0;
  #found: Uint8Array | undefined;
  #share = 0;
  readonly #startedAt: number;
  #analysedAt: number;

  /** @param now Monotonic ms. */
  constructor(now: number) {
    this.#startedAt = now;
    this.#analysedAt = now;
  }

  get state(): HotKeyState {
    return this.#state;
  }

  /** Rows counted in the present step. */
  get captured(): number {
    return this.#captured;
  }

  /** The key, once it is found. */
  get hashKey(): Uint8Array | undefined {
    return this.#found;
  }

  /** Its share of the rows of the partition, 0 to 1. */
  get share(): number {
    return this.#share;
  }

  get isSearching(): boolean {
    return this.#state === "coarse" || this.#state === "fine";
  }

  /** Rows of a hash key were asked for. The bytes are copied if they are kept. */
  see(hashKey: Uint8Array, rows: number): void {
    if (!this.isSearching) return;
    const hash = hashOf(hashKey);
    const bucket = hash % BUCKETS;
    this.#captured += rows;
    if (this.#state === "coarse") this.#buckets[bucket]! += rows;
    else if (bucket === this.#hotBucket) this.#count(hash, hashKey, rows);
  }

  /** Time passes; `now` monotonic ms. */
  advance(now: number): void {
    if (!this.isSearching || now - this.#analysedAt < ANALYSIS_MS) return;
    this.#analysedAt = now;
    if (this.#captured >= ROWS_MIN) {
      if (this.#state === "coarse") this.#analyseBuckets();
      else this.#analyseKeys();
    }
    if (this.isSearching && now - this.#startedAt >= SEARCH_MS_MAX) this.#state = "failed";
  }

  #count(hash: number, hashKey: Uint8Array, rows: number): void {
    this.#bucketRows += rows;
    const held = this.#keys.get(hash);
    if (held !== undefined) {
      // Two keys of one 32-bit hash are one key here; the first one gives the name.
      held.count += rows;
      return;
    }
    if (this.#keys.size < KEYS_MAX) {
      this.#keys.set(hash, { key: hashKey.slice(0, KEY_BYTES_MAX), count: rows });
      return;
    }
    // No room: everybody loses as much, and who has nothing left leaves.
    for (const [other, entry] of this.#keys) {
      entry.count -= rows;
      if (entry.count <= 0) this.#keys.delete(other);
    }
  }

  #analyseBuckets(): void {
    const hot = outlier(this.#buckets, COARSE_DEVIATIONS);
    const rows = this.#buckets;
    this.#buckets = new Array<number>(BUCKETS).fill(0);
    this.#captured = 0;
    if (hot < 0 || rows[hot] === 0) return;
    this.#hotBucket = hot;
    this.#bucketRows = 0;
    this.#state = "fine";
  }

  #analyseKeys(): void {
    const entries = [...this.#keys.values()].sort((a, b) => b.count - a.count);
    const [first] = entries;
    const [captured, bucketRows] = [this.#captured, this.#bucketRows];
    this.#keys = new Map();
    this.#captured = 0;
    this.#bucketRows = 0;
    if (first === undefined || bucketRows < ROWS_MIN / 2) return;
    const isAlone = entries.length === 1 || first.count > bucketRows * 0.9;
    if (!isAlone && outlier(entries.map(({ count }) => count), FINE_DEVIATIONS) !== 0) return;
    this.#found = first.key;
    this.#share = Math.min(1, first.count / captured);
    this.#state = "finished";
  }
}

/**
 * The place of the largest value, if it stands out: so many standard deviations of the other values above
 * their mean.
 *
 * @returns -1 if it does not.
 */
export function outlier(values: readonly number[], deviations: number): number {
  let hot = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[hot]!) hot = i;
  const others = values.length - 1;
  if (others < 1) return hot;
  let sum = 0;
  for (let i = 0; i < values.length; i++) if (i !== hot) sum += values[i]!;
  const mean = sum / others;
  let squares = 0;
  for (let i = 0; i < values.length; i++) if (i !== hot) squares += (values[i]! - mean) ** 2;
  const deviation = Math.sqrt(squares / others);
  return values[hot]! > mean + deviations * Math.max(deviation, 1) ? hot : -1;
}

/** FNV-1a, 32 bits: cheap and good enough to spread keys over buckets. */
function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash >>> 0;
}
