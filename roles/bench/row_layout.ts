// How numbered records become rows, the same for every store that is measured: record r is row
// (user<r / n>, r<r mod n>), n rows sharing a hash key.

/** See the file comment. */
export interface RowLayout {
  readonly rowsPerHashKey: number;
  readonly valueBytes: number;
}

/** The keys of one record. */
export interface RecordKeys {
  readonly hashKey: string;
  readonly sortKey: string;
  /** Whether others share the hash key. */
  readonly isGrouped: boolean;
}

/** Names records. */
export class Records {
  /** All sort keys of a hash key. */
  readonly sortKeys: readonly string[];
  readonly #rowsPerHashKey: number;

  constructor({ rowsPerHashKey }: RowLayout) {
    this.#rowsPerHashKey = rowsPerHashKey;
    this.sortKeys = Array.from(
      { length: rowsPerHashKey },
      (_, i) => `r${String(i).padStart(5, "0")}`,
    );
  }

  hashKeyOf(record: number): string {
    return `user${Math.floor(record / this.#rowsPerHashKey)}`;
  }

  sortKeyOf(record: number): string {
    return this.sortKeys[record % this.#rowsPerHashKey]!;
  }

  of(record: number): RecordKeys {
    return {
      hashKey: this.hashKeyOf(record),
      sortKey: this.sortKeyOf(record),
      isGrouped: this.#rowsPerHashKey > 1,
    };
  }
}

/** Random bytes that values are cut from. */
const POOL_BYTES = 1 << 20;

/**
 * Incompressible values, one after the other: a compressing engine must not look faster than it is, so what lies
 * next to each other in a block must not repeat either.
 */
export class Values {
  readonly #pool: Uint8Array;
  readonly #bytes: number;
  #at = 0;

  constructor(bytes: number) {
    this.#bytes = bytes;
    this.#pool = new Uint8Array(POOL_BYTES + bytes);
    // The runtime gives at most 64 KiB of randomness at a time.
    for (let at = 0; at < this.#pool.length; at += 65536) {
      crypto.getRandomValues(this.#pool.subarray(at, at + 65536));
    }
  }

  /** The next value; its bytes are shared and may not be changed. */
  next(): Uint8Array {
    const at = this.#at;
    this.#at = (at + this.#bytes) % POOL_BYTES;
    return this.#pool.subarray(at, at + this.#bytes);
  }
}
