// Servers with two data directories each, as processes: replicas are spread over them, one moves between them, one
// directory vanishes under its server and comes back, and every row stays readable all the time.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { parsePartition } from "../../src/base/ids.ts";
import { type Cluster, openCluster } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const ROWS = 40;
const PARTITIONS = 6;
const WAIT_MS = 60_000;

interface Stored {
  readonly partition: string;
  readonly status: string;
  readonly disk: string;
}

/** A cluster with table "t", and somebody who knows what must be in it. */
class Story {
  readonly cluster: TestCluster;
  readonly client: Cluster;
  #value = "";

  constructor(cluster: TestCluster) {
    this.cluster = cluster;
    this.client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
  }

  async write(value: string): Promise<void> {
    const table = this.client.table("t");
    this.#value = value;
    await Promise.all(Array.from({ length: ROWS }, (_, i) => table.set(`key ${i}`, "s", value)));
  }

  /** Every row is what was written last. */
  async check(): Promise<void> {
    const table = this.client.table("t");
    for (let i = 0; i < ROWS; i++) {
      assert.equal(fromUtf8((await table.get(`key ${i}`, "s"))!), this.#value);
    }
  }

  /** What a server stores, by its own account. */
  async replicasOf(name: string): Promise<Stored[]> {
    const address = this.cluster.addressOf(name);
    const output = await this.client.admin.remoteCommand(address, "disk-replicas", []);
    return output.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  }

  /** State of a disk, as meta heard it. */
  async stateOf(name: string, tag: string): Promise<string | undefined> {
    const node = this.cluster.addressOf(name);
    const found = (await this.client.admin.listNodes()).find((info) => info.node === node);
    return found?.stats?.disks.find((disk) => disk.tag === tag)?.state;
  }

  path(name: string): string {
    return `${this.cluster.dir}/${name}`;
  }
}

async function moveOne(story: Story): Promise<void> {
  const { client: { admin }, cluster } = story;
  const node = cluster.addressOf("r1");
  const spread = await story.replicasOf("r1");
  assert.equal(spread.filter(({ disk }) => disk === "data2").length, PARTITIONS / 2);
  const { partition } = spread.find((r) => r.status === "secondary" && r.disk === "data1")!;
  assert.match(
    await admin.remoteCommand(node, "disk-migrate", [partition, "data2"]),
    /^waits until/,
  );
  const change = { target: "", node };
  await admin.propose(parsePartition(partition)!, "DOWNGRADE_TO_INACTIVE", change);
  await story.write("second");
  const hasMoved = await waitFor(
    async () => {
      const moved = (await story.replicasOf("r1")).find((r) => r.partition === partition);
      return moved?.disk === "data2" && moved.status === "secondary";
    },
    WAIT_MS,
    200,
  );
  assert.ok(hasMoved, "the replica does not move");
  await story.check();
}

async function loseOne(story: Story): Promise<void> {
  const { cluster } = story;
  Deno.renameSync(story.path("r1/disk2"), story.path("r1/away"));
  await story.write("third");
  const isBad = await waitFor(
    async () => await story.stateOf("r1", "data2") === "bad",
    WAIT_MS,
    200,
  );
  assert.ok(isBad, "the missing directory is not noticed");
  // Meta may still believe the configurations from before.
  const isWhole = await waitFor(
    async () => (await story.replicasOf("r1")).length === PARTITIONS,
    WAIT_MS,
    200,
  );
  assert.ok(isWhole, "what was lost is not learned again");
  await cluster.waitForTable("t", 3);
  const disks = new Set((await story.replicasOf("r1")).map((r) => r.disk));
  assert.deepEqual([...disks], ["data1"]);
  await story.check();

  // It is back, with what it held: that is never used again.
  await cluster.kill("r1");
  Deno.renameSync(story.path("r1/away"), story.path("r1/disk2"));
  await cluster.start("r1");
  await cluster.waitForTable("t", 3);
  assert.equal(await story.stateOf("r1", "data2"), "good");
  const aside = [...Deno.readDirSync(story.path("r1/disk2/replicas"))].map(({ name }) => name);
  assert.ok(aside.length > 0 && aside.every((name) => /\.err\.\d+$/.test(name)), String(aside));
  await story.check();
}

/** The directory with the shared logs: the process ends, and goes on without it. */
async function loseLog(story: Story): Promise<void> {
  const { cluster } = story;
  Deno.renameSync(story.path("r2/data"), story.path("r2/away"));
  await story.write("fourth");
  const hasEnded = await waitFor(() => !cluster.running().includes("r2"), WAIT_MS, 100);
  assert.ok(hasEnded, "it goes on without its shared log");
  assert.match(cluster.outputOf("r2"), /Cannot go on, ending at once.*shared logs failed.*Start/);
  await cluster.start("r2");
  await cluster.waitForTable("t", 3);
  const disks = new Set((await story.replicasOf("r2")).map((r) => r.disk));
  assert.deepEqual([...disks], ["data2"]);
  await story.check();
}

Deno.test("Servers spread replicas over disks, move them, and lose disks without losing a row", async () => {
  await withCluster({ replicas: 3, disks: 2 }, async (cluster) => {
    await cluster.createTable("t", PARTITIONS, 3);
    const story = new Story(cluster);
    try {
      await story.write("first");
      await moveOne(story);
      await loseOne(story);
      await loseLog(story);
    } finally {
      await story.client.close();
    }
  });
});
