// What is watched all through a hand-over run, by questions straight to the servers: meta servers never go
// back to an earlier reign, and no server answers a read with less than what was acknowledged before the read
// was sent - which is what a second primary would do. Page: docs/testing.md, "Hand-over".

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import type { Table } from "../../src/client/mod.ts";
import { Get } from "../../src/schema/client_rpc.ts";
import { encodeKey, partitionIndexOf } from "../../src/schema/key_format.ts";
import { ClusterInfo } from "../../src/schema/meta_rpc.ts";
import { type HandoverCluster, PARTITIONS } from "./cluster.ts";

const ASK_PAUSE_MS = 20;
const ASK_TIMEOUT_MS = 500;
const WRITE_PAUSE_MS = 20;
const SORT = "s";

/** See the file comment. */
export class Watch {
  readonly violations: string[] = [];
  /** Reads that a server answered as primary. */
  reads = 0;
  /** Longest time without an acknowledged write in any one partition since it was last set to 0, ms. */
  longestSilenceMs = 0;
  readonly #cluster: HandoverCluster;
  readonly #table: Table;
  readonly #tableId: number;
  /** The newest reign any meta server has shown, and who showed it. */
  #reign = { epoch: 0, name: "" };
  /** While the store is lost, reigns count from 1 again. */
  #ignoresReigns = false;
  #stopping = false;
  #running: Promise<void>[] = [];

  constructor(cluster: HandoverCluster, table: Table, tableId: number) {
    this.#cluster = cluster;
    this.#table = table;
    this.#tableId = tableId;
  }

  start(): void {
    const { metas, replicas } = this.#cluster;
    this.#running = [
      ...metas.map((name) => this.#loop(ASK_PAUSE_MS, () => this.#askMeta(name))),
      ...Array.from({ length: PARTITIONS }, (_, index) => this.#watchPartition(index, replicas)),
    ];
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** The meta server that was last seen leading; "" before. */
  get leader(): string {
    return this.#reign.name;
  }

  /** The store is lost: what reigns say does not count until it is back, and then from the beginning. */
  storeLost(isLost: boolean): void {
    this.#ignoresReigns = isLost;
    this.#reign = { epoch: 0, name: "" };
  }

  /** Waits until another reign than that of now is seen. @throws {Error} After `limitMs`. */
  async nextReign(limitMs: number): Promise<{ name: string; afterMs: number }> {
    const { epoch } = this.#reign;
    const start = performance.now();
    if (await waitFor(() => this.#reign.epoch > epoch, limitMs, 5)) {
      return { name: this.#reign.name, afterMs: Math.round(performance.now() - start) };
    }
    throw new Error(`Nobody followed ${this.#reign.name} within ${limitMs} ms`);
  }

  async #loop(pauseMs: number, step: () => Promise<void>): Promise<void> {
    while (!this.#stopping) {
      await step();
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async #askMeta(name: string): Promise<void> {
    const { epoch: newest, name: leader } = this.#reign;
    const { direct } = this.#cluster;
    const info = await direct.call(this.#cluster.addressOf(name), ClusterInfo, {}, ASK_TIMEOUT_MS)
      .catch(ifRefused);
    if (info === undefined || this.#ignoresReigns) return;
    const epoch = Number(info.details.get("epoch"));
    if (epoch < newest) {
      this.violations.push(`${name} led in reign ${epoch} after ${leader} had led in ${newest}`);
    }
    if (epoch > this.#reign.epoch) this.#reign = { epoch, name };
  }

  /** One row per partition: it only grows, and every server is asked for it all the time. */
  #watchPartition(index: number, servers: readonly string[]): Promise<void> {
    const hashKey = hashKeyIn(index);
    const key = encodeKey(utf8(hashKey), utf8(SORT));
    const partition = this.#tableId * 65536 + index;
    let acknowledged = 0;
    let sent = 0;
    let lastOk = performance.now();
    const write = async () => {
      const value = ++sent;
      try {
        await this.#table.set(hashKey, SORT, String(value));
        acknowledged = value;
      } catch (error) {
        ifRefused(error);
      }
      const now = performance.now();
      this.longestSilenceMs = Math.max(this.longestSilenceMs, now - lastOk);
      if (acknowledged === value) lastOk = now;
    };
    const read = async (name: string) => {
      const before = acknowledged;
      const request = { partition, stale: false, stalenessMaxMs: 0, key };
      const answer = await this.#cluster.direct
        .call(this.#cluster.addressOf(name), Get, request, ASK_TIMEOUT_MS).catch(ifRefused);
      if (answer === undefined) return;
      this.reads++;
      const value = Number(answer.value === undefined ? "0" : fromUtf8(answer.value));
      if (value >= before) return;
      this.violations.push(
        `${name} answered a read of partition ${index} with ${value} after ${before} was acknowledged`,
      );
    };
    const readers = servers.map((name) => this.#loop(ASK_PAUSE_MS, () => read(name)));
    return Promise.all([this.#loop(WRITE_PAUSE_MS, write), ...readers]).then(() => {});
  }
}

/** Whatever a server or the network answers is no finding; anything else is a bug of the test. */
function ifRefused(error: unknown): undefined {
  if (!(error instanceof StoreError) || error.code === Err.INTERNAL) throw error;
  return undefined;
}

/** A hash key that no other client uses, in the partition of an index. */
function hashKeyIn(index: number): string {
  for (let i = 0;; i++) {
    const key = `watched ${i}`;
    if (partitionIndexOf(utf8(key), utf8(SORT), PARTITIONS) === index) return key;
  }
}
