// The store of this project as the target of a benchmark, through the public client library.

import type { Table } from "../../src/client/table.ts";
import { Records, type RowLayout, Values } from "./row_layout.ts";
import type { Target } from "./workload.ts";

/** See row_layout.ts for how records become rows. */
export class PegasusTarget implements Target {
  readonly name = "pegasus";
  readonly #table: Table;
  readonly #records: Records;
  readonly #values: Values;
  readonly #close: () => Promise<void>;

  constructor(table: Table, layout: RowLayout, close: () => Promise<void>) {
    this.#table = table;
    this.#records = new Records(layout);
    this.#close = close;
    this.#values = new Values(layout.valueBytes);
  }

  get(record: number): Promise<unknown> {
    return this.#table.get(this.#records.hashKeyOf(record), this.#records.sortKeyOf(record));
  }

  set(record: number): Promise<unknown> {
    return this.#table.set(
      this.#records.hashKeyOf(record),
      this.#records.sortKeyOf(record),
      this.#values.next(),
    );
  }

  async readModifyWrite(record: number): Promise<unknown> {
    await this.get(record);
    return this.set(record);
  }

  async scan(record: number): Promise<number> {
    const { rows } = await this.#table.multiGet(this.#records.hashKeyOf(record), {});
    return rows.length;
  }

  async multiSet(record: number): Promise<number> {
    const rows = this.#records.sortKeys.map((sortKey) => ({ sortKey, value: this.#values.next() }));
    await this.#table.multiSet(this.#records.hashKeyOf(record), rows);
    return rows.length;
  }

  async multiGet(record: number): Promise<number> {
    const { rows } = await this.#table.multiGet(
      this.#records.hashKeyOf(record),
      this.#records.sortKeys,
    );
    return rows.length;
  }

  incr(record: number): Promise<unknown> {
    return this.#table.incr(
      `n${this.#records.hashKeyOf(record)}`,
      this.#records.sortKeyOf(record),
      1n,
    );
  }

  del(record: number): Promise<unknown> {
    return this.#table.del(this.#records.hashKeyOf(record), this.#records.sortKeyOf(record));
  }

  close(): Promise<void> {
    return this.#close();
  }
}
