// The store of this project as the target of a benchmark, through the public client library.

import type { Cluster, Table } from "../../src/client/mod.ts";
import { aliveNodes, compactionsOf, isOpen, startCompaction } from "../table_compaction.ts";
import { Records, type RowLayout, Values } from "./row_layout.ts";
import type { Progress, Target } from "./workload.ts";

const POLL_MS = 200;

/** See row_layout.ts for how records become rows. */
export class PegasusTarget implements Target {
  readonly name = "pegasus";
  readonly #table: Table;
  readonly #records: Records;
  readonly #values: Values;
  readonly #cluster: Cluster;

  /** @param cluster Closed with this */
  constructor(cluster: Cluster, table: string, layout: RowLayout) {
    this.#cluster = cluster;
    this.#table = cluster.table(table);
    this.#records = new Records(layout);
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

  /** Compacts the table. LevelDB compacts tables in which reads look in vain: the first reads after a load would pay for it. */
  async settle(progress: Progress, signal: AbortSignal): Promise<void> {
    const { admin } = this.#cluster;
    const { tableId } = await admin.tableConfig(this.#table.name);
    const nodes = await aliveNodes(admin);
    const begin = performance.now();
    await startCompaction(admin, nodes, tableId);
    while (!signal.aborted) {
      const all = (await Promise.all(nodes.map((node) => compactionsOf(admin, node, tableId))))
        .flat();
      const open = all.filter(isOpen).length;
      progress(all.length - open, all.length, (performance.now() - begin) / 1000);
      const failed = all.find(({ state }) => state === "failed");
      if (failed !== undefined) throw new Error(`${failed.node} ${failed.gpid}: ${failed.detail}`);
      if (open === 0) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }
}
