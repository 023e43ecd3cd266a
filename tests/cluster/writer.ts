// A client that keeps writing while servers are killed, and afterwards knows exactly what must be there: every
// acknowledged write, and of the others only what was sent.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { type Cluster, openCluster, StoreError, type Table } from "../../src/client/mod.ts";

/** One loop per worker, each over its own keys, in order. */
export class Writer {
  readonly #table: Table;
  readonly #cluster: Cluster;
  readonly #workers: number;
  /** Last acknowledged value of each key. */
  readonly #acknowledged = new Map<string, number>();
  /** Last value sent, acknowledged or not. */
  readonly #sent = new Map<string, number>();
  #running: Promise<void>[] = [];
  #stopping = false;
  #lastOk = 0;
  acknowledgements = 0;
  unknown = 0;
  /** Longest time between two acknowledgements, ms. */
  longestPauseMs = 0;

  constructor(cluster: Cluster, table: string, workers: number) {
    this.#cluster = cluster;
    this.#table = cluster.table(table);
    this.#workers = workers;
  }

  static async open(metas: string[], table: string, workers = 8): Promise<Writer> {
    const cluster = await openCluster({ meta: metas, timeoutMs: 30_000 });
    return new Writer(cluster, table, workers);
  }

  start(): void {
    this.#stopping = false;
    this.#lastOk = performance.now();
    this.#running = Array.from({ length: this.#workers }, (_, i) => this.#loop(i));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Waits until `count` more writes are acknowledged. */
  async more(count: number): Promise<void> {
    const goal = this.acknowledgements + count;
    const end = performance.now() + 60_000;
    while (this.acknowledgements < goal) {
      assert(performance.now() < end, `Only ${this.acknowledgements} of ${goal} writes after 60 s`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  async #loop(worker: number): Promise<void> {
    for (let round = 1; !this.#stopping; round++) {
      for (let k = 0; k < 10 && !this.#stopping; k++) await this.#write(`w${worker}-${k}`, round);
    }
  }

  async #write(key: string, value: number): Promise<void> {
    this.#sent.set(key, value);
    try {
      await this.#table.set(key, "row", String(value));
    } catch (error) {
      assert(error instanceof StoreError, String(error));
      if (error.outcome === "unknown") this.unknown++;
      return;
    }
    this.#acknowledged.set(key, value);
    this.acknowledgements++;
    const now = performance.now();
    this.longestPauseMs = Math.max(this.longestPauseMs, now - this.#lastOk);
    this.#lastOk = now;
  }

  /** Reads everything back. */
  async verify(): Promise<void> {
    assert(this.#acknowledged.size > 0, "Nothing was acknowledged");
    for (const [key, value] of this.#acknowledged) {
      const read = await this.#table.get(key, "row");
      const found = read === undefined ? undefined : Number(fromUtf8(read));
      const newest = this.#sent.get(key)!;
      assert(
        found !== undefined && found >= value && found <= newest,
        `${key}: acknowledged ${value}, sent up to ${newest}, read ${found}`,
      );
    }
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }
}
