// Servers on disks that fill up: writes are refused as not done before anything is lost, reads go on, and when
// there is room again everything goes on by itself. docs/storage_layout.md, "Full disks".

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { openCluster, type Table } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { notRun } from "../missing.ts";
import { smallDiskMissing } from "../small_disk.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const WAIT_MS = 60_000;

const forbidden = smallDiskMissing();
Deno.test(
  "A server whose disk is nearly full takes no writes until it has room",
  () => forbidden === undefined ? nearlyFull() : notRun(forbidden),
);
Deno.test(
  "A cluster whose disks are full to the last byte loses nothing",
  () => forbidden === undefined ? full() : notRun(forbidden),
);

/** Small files, so that there is something to collect, and nothing ever condemned. */
async function withDisks(
  smallDisks: Readonly<Record<string, number>>,
  stopBytes: string,
  story: (cluster: TestCluster, writer: Writer) => Promise<void>,
): Promise<void> {
  const settings = {
    "write-stop-free-bytes": stopBytes,
    "data-dir-reserve-bytes": "0B",
    "shared-log-segment-bytes": "1MiB",
    "private-log-segment-bytes": "256KiB",
    "private-log-reserve-bytes": "256KiB",
    "engine-write-buffer-bytes": "256KiB",
    "checkpoint-interval": "1s",
    // Longer than disks are full here: beyond it a write that was under way costs the group its members.
    "prepare-timeout": "20s",
  };
  await withCluster({ smallDisks, settings }, async (cluster) => {
    await cluster.createTable("t", 4, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 2000 });
    try {
      const writer = new Writer(client.table("t"));
      await writer.rows(200);
      await story(cluster, writer);
      await writer.rows(200);
      await cluster.waitForTable("t", 3);
      await writer.verify();
    } finally {
      await client.close();
    }
    for (const name of ["r1", "r2", "r3"]) {
      assert.doesNotMatch(cluster.outputOf(name), /condemned|moved aside|Log failed/i, name);
    }
  });
}

/** Its groups take no writes, and nothing ever fails. */
async function nearlyFull(): Promise<void> {
  await withDisks({ r1: 48 }, "2MiB", async (cluster, writer) => {
    const disk = cluster.smallDisks.get("r1")!;
    disk.fill(1024 * 1024);
    await writer.until(isRefused);
    assert.equal(await writer.readOne(), true, "reads go on");
    disk.free();
    await writer.until(isDone);
    assert.doesNotMatch(cluster.outputOf("r1"), /No space/);
  });
}

/** Writes, flushes and manifests meet disks without a free byte, for longer than checkpoints take to come. */
async function full(): Promise<void> {
  await withDisks({ r1: 48, r2: 48, r3: 48 }, "0B", async (cluster, writer) => {
    for (let round = 0; round < 2; round++) {
      let writing = true;
      const work = (async () => {
        // Few enough that it is not they who fill the disks.
        for (let i = 0; i < 40 && writing; i++) {
          await writer.burst(20);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      })();
      for (const disk of cluster.smallDisks.values()) disk.fill();
      await new Promise((resolve) => setTimeout(resolve, 1500));
      writing = false;
      await work;
      await writer.until(isRefused);
      assert.equal(await writer.readOne(), true, "reads go on");
      for (const disk of cluster.smallDisks.values()) disk.free();
      await writer.until(isDone);
      await writer.rows(200);
    }
  });
}

function isDone(error: unknown): boolean {
  return error === undefined;
}

/** For want of space, and certainly not done. */
function isRefused(error: unknown): boolean {
  return error instanceof StoreError && error.code === Err.DISK_INSUFFICIENT &&
    error.outcome === "not done";
}

/** Writes rows and remembers what was acknowledged. */
class Writer {
  readonly #table: Table;
  readonly #acknowledged: string[] = [];
  #next = 0;

  constructor(table: Table) {
    this.#table = table;
  }

  /** Writes rows; each must be done within a minute. */
  async rows(count: number): Promise<void> {
    for (let i = 0; i < count; i++) assert(await waitFor(() => this.#one(), WAIT_MS, 0));
  }

  /** Tries rows at once. */
  async burst(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, () => this.#one()));
  }

  async #one(): Promise<boolean> {
    const key = `row ${this.#next++}`;
    try {
      await this.#table.set(key, "s", key.padEnd(2000));
      this.#acknowledged.push(key);
      return true;
    } catch (error) {
      if (error instanceof StoreError) return false;
      throw error;
    }
  }

  /** Waits until writes in every partition end as told. */
  async until(isSo: (error: unknown) => boolean): Promise<void> {
    const one = async (i: number) => {
      let last: unknown;
      const look = async () => {
        last = await this.#table.set(`probe ${i}`, "s", "v", { timeoutMs: 500 })
          .then(() => undefined, (error: unknown) => error);
        return isSo(last);
      };
      assert(await waitFor(look, WAIT_MS), `A write ends with ${last}`);
    };
    await Promise.all(Array.from({ length: 16 }, (_, i) => one(i)));
  }

  async readOne(): Promise<boolean> {
    const key = this.#acknowledged[0]!;
    return (await this.#table.get(key, "s")) !== undefined;
  }

  /** Every acknowledged row is there. */
  async verify(): Promise<void> {
    for (const key of this.#acknowledged) {
      const value = await this.#table.get(key, "s", { timeoutMs: 20_000 });
      assert.equal(value && fromUtf8(value).trimEnd(), key);
    }
  }
}
