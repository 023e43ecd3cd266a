// Redis as the target of a benchmark. Rows that share a hash key are fields of a hash; other records are strings.
// Reads of all loops share one pipelined connection, which is the fastest way, or have one each, like a pool of
// connections or redis-benchmark. With replicas a write counts when both have it (WAIT), and because WAIT holds up
// its connection, every write outstanding has one.

import type { RowLayout } from "../row_layout.ts";
import { Records, Values } from "../row_layout.ts";
import type { Target } from "../workload.ts";
import { type Reply, RespClient, type Word } from "./resp_client.ts";

const WAIT_MS = 10_000;

/** How Redis is used. */
export interface RedisOptions {
  /** That must have a write before it counts; 0 = none is asked. */
  readonly replicas: number;
  /** All reads share one connection; else each one outstanding has its own. */
  readonly isShared: boolean;
}

/** See the file comment. */
export class RedisTarget implements Target {
  readonly name = "redis";
  readonly #address: string;
  readonly #replicas: number;
  readonly #isShared: boolean;
  readonly #records: Records;
  readonly #values: Values;
  readonly #shared: RespClient;
  readonly #free: RespClient[] = [];
  readonly #all: RespClient[] = [];

  private constructor(
    address: string,
    { replicas, isShared }: RedisOptions,
    layout: RowLayout,
    shared: RespClient,
  ) {
    this.#address = address;
    this.#replicas = replicas;
    this.#isShared = isShared;
    this.#records = new Records(layout);
    this.#values = new Values(layout.valueBytes);
    this.#shared = shared;
  }

  /** @throws {Error} If nobody listens at the address. */
  static async open(
    address: string,
    options: RedisOptions,
    layout: RowLayout,
  ): Promise<RedisTarget> {
    return new RedisTarget(address, options, layout, await RespClient.connect(address));
  }

  get(record: number): Promise<unknown> {
    const { hashKey, sortKey, isGrouped } = this.#records.of(record);
    return isGrouped ? this.#read("HGET", hashKey, sortKey) : this.#read("GET", hashKey);
  }

  set(record: number): Promise<unknown> {
    const { hashKey, sortKey, isGrouped } = this.#records.of(record);
    return isGrouped
      ? this.#write("HSET", hashKey, sortKey, this.#values.next())
      : this.#write("SET", hashKey, this.#values.next());
  }

  async readModifyWrite(record: number): Promise<unknown> {
    await this.get(record);
    return this.set(record);
  }

  async scan(record: number): Promise<number> {
    const all = await this.#read("HGETALL", this.#records.of(record).hashKey);
    return (all as Reply[]).length / 2;
  }

  async multiSet(record: number): Promise<number> {
    const { sortKeys } = this.#records;
    const words = sortKeys.flatMap((sortKey): Word[] => [sortKey, this.#values.next()]);
    await this.#write("HSET", this.#records.of(record).hashKey, ...words);
    return sortKeys.length;
  }

  async multiGet(record: number): Promise<number> {
    const { hashKey } = this.#records.of(record);
    const values = await this.#read("HMGET", hashKey, ...this.#records.sortKeys);
    return (values as Reply[]).filter((value) => value !== null).length;
  }

  incr(record: number): Promise<unknown> {
    return this.#write("INCR", `n${record}`);
  }

  del(record: number): Promise<unknown> {
    const { hashKey, sortKey, isGrouped } = this.#records.of(record);
    return isGrouped ? this.#write("HDEL", hashKey, sortKey) : this.#write("DEL", hashKey);
  }

  close(): Promise<void> {
    this.#shared.close();
    for (const client of this.#all) client.close();
    return Promise.resolve();
  }

  async #read(...words: readonly Word[]): Promise<Reply> {
    if (this.#isShared) return await this.#shared.command(...words);
    const client = this.#free.pop() ?? await this.#connect();
    const reply = await client.command(...words);
    this.#free.push(client);
    return reply;
  }

  async #write(...words: readonly Word[]): Promise<unknown> {
    if (this.#replicas === 0) return await this.#read(...words);
    const client = this.#free.pop() ?? await this.#connect();
    const done = client.command(...words);
    const copies = await client.command("WAIT", String(this.#replicas), String(WAIT_MS));
    this.#free.push(client);
    if (Number(copies) < this.#replicas) throw new Error(`Only ${copies} replicas have the write`);
    return await done;
  }

  async #connect(): Promise<RespClient> {
    const client = await RespClient.connect(this.#address);
    this.#all.push(client);
    return client;
  }
}
