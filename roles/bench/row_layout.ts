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

/** Incompressible bytes: a compressing engine must not look faster than it is. */
export function randomValue(bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  // The runtime gives at most 64 KiB of randomness at a time.
  for (let at = 0; at < bytes; at += 65536) {
    crypto.getRandomValues(value.subarray(at, Math.min(bytes, at + 65536)));
  }
  return value;
}
