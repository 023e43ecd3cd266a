// Servers with two data directories each, as processes: replicas are spread over them, one moves between them, one
// directory vanishes under its server and comes back, and every row stays readable all the time.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { openCluster } from "../../src/client/mod.ts";
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

/** What a server stores, by its own account. */
async function replicasOf(cluster: TestCluster, name: string): Promise<Stored[]> {
  const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
  try {
    const address = cluster.addressOf(name);
    const output = await client.admin.remoteCommand(address, "disk-replicas", []);
    return output.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
  } finally {
    await client.close();
  }
}

Deno.test("Servers spread replicas over disks, move them, and lose a disk without losing a row", async () => {
  await withCluster({ replicas: 3, disks: 2 }, async (cluster) => {
    await cluster.createTable("t", PARTITIONS, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    const { admin } = client;
    const table = client.table("t");
    const node = cluster.addressOf("r1");
    const diskOf = async (tag: string) =>
      (await admin.listNodes()).find((info) => info.node === node)?.stats?.disks
        .find((disk) => disk.tag === tag);
    const checkRows = async (value: string) => {
      for (let i = 0; i < ROWS; i++) {
        assert.equal(fromUtf8((await table.get(`key ${i}`, "s"))!), value);
      }
    };
    const writeRows = (value: string) =>
      Promise.all(Array.from({ length: ROWS }, (_, i) => table.set(`key ${i}`, "s", value)));
    try {
      await writeRows("first");
      const spread = await replicasOf(cluster, "r1");
      assert.equal(spread.filter(({ disk }) => disk === "data2").length, PARTITIONS / 2);

      const { partition } = spread.find((r) => r.status === "secondary" && r.disk === "data1")!;
      const [id, index] = partition.split(".").map(Number) as [number, number];
      const answer = await admin.remoteCommand(node, "disk-migrate", [partition, "data2"]);
      assert.match(answer, /^waits until/);
      const target = "";
      await admin.propose(id * 65536 + index, "DOWNGRADE_TO_INACTIVE", { target, node });
      await writeRows("second");
      const hasMoved = await waitFor(
        async () => {
          const moved = (await replicasOf(cluster, "r1")).find((r) => r.partition === partition);
          return moved?.disk === "data2" && moved.status === "secondary";
        },
        WAIT_MS,
        200,
      );
      assert.ok(hasMoved, "the replica does not move");
      await checkRows("second");

      Deno.renameSync(`${cluster.dir}/r1/disk2`, `${cluster.dir}/r1/away`);
      await writeRows("third");
      const isBad = await waitFor(
        async () => (await diskOf("data2"))?.state === "bad",
        WAIT_MS,
        200,
      );
      assert.ok(isBad, "the missing directory is not noticed");
      await cluster.waitForTable("t", 3);
      assert.deepEqual([...new Set((await replicasOf(cluster, "r1")).map((r) => r.disk))], [
        "data1",
      ]);
      await checkRows("third");

      await cluster.kill("r1");
      Deno.renameSync(`${cluster.dir}/r1/away`, `${cluster.dir}/r1/disk2`);
      await cluster.start("r1");
      await cluster.waitForTable("t", 3);
      assert.equal((await diskOf("data2"))?.state, "good");
      const aside = [...Deno.readDirSync(`${cluster.dir}/r1/disk2/replicas`)].map(({ name }) =>
        name
      );
      assert.ok(aside.length > 0 && aside.every((name) => /\.err\.\d+$/.test(name)), String(aside));
      await checkRows("third");
    } finally {
      await client.close();
    }
  });
});
