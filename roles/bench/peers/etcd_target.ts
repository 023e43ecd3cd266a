// etcd as the target of a benchmark: record keys are "hash key/sort key". Calls go to all members in turn, one
// connection each, as etcd's own clients do.

import type { RowLayout } from "../row_layout.ts";
import { Records, Values } from "../row_layout.ts";
import type { Target } from "../workload.ts";
import { EtcdClient } from "./etcd_client.ts";

/** See the file comment. */
export class EtcdTarget implements Target {
  readonly name = "etcd";
  readonly #clients: readonly EtcdClient[];
  readonly #records: Records;
  readonly #values: Values;
  #turn = 0;

  constructor(addresses: readonly string[], layout: RowLayout) {
    this.#clients = addresses.map((address) => new EtcdClient(address));
    this.#records = new Records(layout);
    this.#values = new Values(layout.valueBytes);
  }

  get(record: number): Promise<unknown> {
    return this.#next().get(this.#keyOf(record));
  }

  set(record: number): Promise<unknown> {
    return this.#next().put(this.#keyOf(record), this.#values.next());
  }

  async readModifyWrite(record: number): Promise<unknown> {
    await this.get(record);
    return this.set(record);
  }

  scan(record: number): Promise<number> {
    const hashKey = this.#records.hashKeyOf(record);
    // "0" follows "/".
    return this.#next().count(`${hashKey}/`, `${hashKey}0`);
  }

  async multiSet(record: number): Promise<number> {
    const hashKey = this.#records.hashKeyOf(record);
    const { sortKeys } = this.#records;
    await this.#next().putAll(
      sortKeys.map((key) => [`${hashKey}/${key}`, this.#values.next()] as const),
    );
    return sortKeys.length;
  }

  multiGet(record: number): Promise<number> {
    return this.scan(record);
  }

  incr(): Promise<unknown> {
    return Promise.reject(new Error("etcd has no increment: choose another workload"));
  }

  del(record: number): Promise<unknown> {
    return this.#next().delete(this.#keyOf(record));
  }

  close(): Promise<void> {
    for (const client of this.#clients) client.close();
    return Promise.resolve();
  }

  #keyOf(record: number): string {
    const { hashKey, sortKey } = this.#records.of(record);
    return `${hashKey}/${sortKey}`;
  }

  #next(): EtcdClient {
    return this.#clients[this.#turn++ % this.#clients.length]!;
  }
}
