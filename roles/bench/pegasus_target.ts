// The store of this project as the target of a benchmark, through the public client library.

import type { Table } from "../../src/client/table.ts";
import type { Target } from "./workload.ts";

/** How records become rows. */
export interface RowLayout {
  readonly rowsPerHashKey: number;
  readonly valueBytes: number;
}

/** Record r is row (user<r / n>, r<r mod n>) of the table. */
export class PegasusTarget implements Target {
  readonly name = "pegasus";
  readonly #table: Table;
  readonly #layout: RowLayout;
  readonly #value: Uint8Array;
  readonly #close: () => Promise<void>;
  readonly #sortKeys: readonly string[];

  constructor(table: Table, layout: RowLayout, close: () => Promise<void>) {
    this.#table = table;
    this.#layout = layout;
    this.#close = close;
    this.#value = randomValue(layout.valueBytes);
    this.#sortKeys = Array.from(
      { length: layout.rowsPerHashKey },
      (_, i) => `r${String(i).padStart(5, "0")}`,
    );
  }

  #hashKey(record: number): string {
    return `user${Math.floor(record / this.#layout.rowsPerHashKey)}`;
  }

  #sortKey(record: number): string {
    return this.#sortKeys[record % this.#layout.rowsPerHashKey]!;
  }

  get(record: number): Promise<unknown> {
    return this.#table.get(this.#hashKey(record), this.#sortKey(record));
  }

  set(record: number): Promise<unknown> {
    return this.#table.set(this.#hashKey(record), this.#sortKey(record), this.#value);
  }

  async readModifyWrite(record: number): Promise<unknown> {
    await this.get(record);
    return this.set(record);
  }

  async scan(record: number): Promise<number> {
    const { rows } = await this.#table.multiGet(this.#hashKey(record), {});
    return rows.length;
  }

  async multiSet(record: number): Promise<number> {
    const rows = this.#sortKeys.map((sortKey) => ({ sortKey, value: this.#value }));
    await this.#table.multiSet(this.#hashKey(record), rows);
    return rows.length;
  }

  async multiGet(record: number): Promise<number> {
    const { rows } = await this.#table.multiGet(this.#hashKey(record), this.#sortKeys);
    return rows.length;
  }

  incr(record: number): Promise<unknown> {
    return this.#table.incr(`n${this.#hashKey(record)}`, this.#sortKey(record), 1n);
  }

  del(record: number): Promise<unknown> {
    return this.#table.del(this.#hashKey(record), this.#sortKey(record));
  }

  close(): Promise<void> {
    return this.#close();
  }
}

/** Incompressible bytes: a compressing engine must not look faster than it is. */
function randomValue(bytes: number): Uint8Array {
  const value = new Uint8Array(bytes);
  // The runtime gives at most 64 KiB of randomness at a time.
  for (let at = 0; at < bytes; at += 65536) {
    crypto.getRandomValues(value.subarray(at, Math.min(bytes, at + 65536)));
  }
  return value;
}
