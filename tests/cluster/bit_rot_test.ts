// Disks that change what they store, under servers that run: bytes of old tables are flipped while their databases
// are open. Clients must get every row as it was written, and the damaged replicas must be learned again.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { formatPartition } from "../../src/base/ids.ts";
import { type Cluster, openCluster } from "../../src/client/mod.ts";
import { pathsOf, waitFor } from "../../roles/onebox/processes.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const ROWS = 300;
const WAIT_MS = 60_000;
const MARK = "this was written once and is read many times, row ";
const valueOf = (i: number) => `${MARK}${i} ${"x".repeat(400)}`;

/** A cluster with one partition of old rows, and somebody who harms its members. */
class Story {
  readonly cluster: TestCluster;
  readonly client: Cluster;

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
    this.client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
  }

  async write(): Promise<void> {
    const table = this.client.table("t");
    await Promise.all(
      Array.from({ length: ROWS }, (_, i) => table.set(`key ${i}`, "s", valueOf(i))),
    );
  }

  /** Every row is what was written. */
  async check(): Promise<void> {
    const table = this.client.table("t");
    for (let i = 0; i < ROWS; i++) {
      const value = await table.get(`key ${i}`, "s");
      assert.equal(value === undefined ? undefined : fromUtf8(value), valueOf(i));
    }
  }

  async member(role: "primary" | "secondary"): Promise<string> {
    const { partitions: [config] } = await this.client.admin.tableConfig("t");
    const address = role === "primary" ? config!.primary : config!.secondaries[0]!;
    return this.cluster.running().find((name) => this.cluster.addressOf(name) === address)!;
  }

  /** Flips a bit of every row that is in a table of the server. @returns How many. */
  async rot(name: string): Promise<number> {
    const replica = `${pathsOf(this.cluster.dir, name).dataDir}/replicas/${await this
      .#partition()}`;
    const data = [...Deno.readDirSync(replica)].find((entry) => entry.name.startsWith("data."))!;
    let rows = 0;
    for (const entry of Deno.readDirSync(`${replica}/${data.name}`)) {
      if (!entry.name.endsWith(".ldb")) continue;
      const path = `${replica}/${data.name}/${entry.name}`;
      using file = Deno.openSync(path, { write: true });
      const text = new TextDecoder("latin1").decode(Deno.readFileSync(path));
      for (let at = text.indexOf(MARK); at >= 0; at = text.indexOf(MARK, at + 1)) {
        file.seekSync(at, Deno.SeekMode.Start);
        file.writeSync(new Uint8Array([text.charCodeAt(at) ^ 1]));
        rows++;
      }
    }
    return rows;
  }

  async #partition(): Promise<string> {
    const { partitions: [config] } = await this.client.admin.tableConfig("t");
    return formatPartition(config!.partition);
  }

  condemned(name: string): number {
    return this.cluster.outputOf(name).split("Replica condemned").length - 1;
  }

  /** Damages the server's rows as soon as they are in tables. */
  async rotAll(name: string): Promise<void> {
    let rows = 0;
    const isDone = async () => (rows += await this.rot(name)) > ROWS / 2;
    assert(await waitFor(isDone, WAIT_MS, 300), `Only ${rows} rows of ${name} are in tables`);
  }

  async learnedAgain(name: string): Promise<void> {
    const isSo = () => this.condemned(name) > 0;
    assert(await waitFor(isSo, WAIT_MS, 100), `${name} does not notice`);
    await this.cluster.waitForTable("t", 3);
    assert.equal(this.condemned(name), 1, "once");
  }
}

/** Nobody searches: a read finds the damage, and the client gets its row from another member. */
async function foundByReads(story: Story): Promise<void> {
  const primary = await story.member("primary");
  await story.rotAll(primary);
  await story.check();
  await story.learnedAgain(primary);
  await story.check();
}

/** Nobody reads: a secondary finds the damage by itself. */
async function foundBySearch(story: Story): Promise<void> {
  const { cluster } = story;
  const secondary = await story.member("secondary");
  const config = `${cluster.dir}/pegasus.toml`;
  const settings = Deno.readTextFileSync(config);
  const changed = settings.replace(
    /^scrub-bytes-per-second.*$/m,
    'scrub-bytes-per-second = "8MiB"',
  );
  Deno.writeTextFileSync(config, changed);
  await cluster.stop(secondary);
  await cluster.start(secondary);
  await cluster.waitForTable("t", 3);
  const before = story.condemned(secondary);
  await story.rotAll(secondary);
  const isFound = () => story.condemned(secondary) > before;
  assert(await waitFor(isFound, WAIT_MS, 100), `${secondary} does not find it`);
  await cluster.waitForTable("t", 3);
  await story.check();
}

Deno.test("Flipped bits under running servers never reach a client, and are healed", async () => {
  const settings = {
    "engine-compression": false,
    "checkpoint-interval": "500ms",
    "scrub-bytes-per-second": "0B",
    "scrub-interval": "300ms",
  };
  await withCluster({ replicas: 3, settings }, async (cluster) => {
    await cluster.createTable("t", 1, 3);
    const story = new Story(cluster);
    try {
      await story.write();
      await foundByReads(story);
      await foundBySearch(story);
    } finally {
      await story.client.close();
    }
  });
});
