// Replicas move between real processes: a drained server gives everything away and gets its share back,
// and every row written before and meanwhile is there.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { openCluster } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { withCluster } from "./harness.ts";

const ROWS = 40;
const PARTITIONS = 4;
const WAIT_MS = 60_000;

Deno.test("A cluster moves replicas off a drained server and back, and keeps its rows", async () => {
  await withCluster({ replicas: 4 }, async (cluster) => {
    await cluster.createTable("t", PARTITIONS, 3);
    await cluster.waitForTable("t", 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    try {
      const { admin } = client;
      const table = client.table("t");
      const writeAll = (value: string) =>
        Promise.all(Array.from({ length: ROWS }, (_, i) => table.set(`key ${i}`, "s", value)));
      const replicasOf = async (node: string) =>
        (await admin.listNodes()).find((info) => info.node === node)?.replicas;
      await writeAll("first");

      const node = cluster.addressOf("r1");
      assert.notEqual(await replicasOf(node), 0);
      await admin.drain(node, true);
      await writeAll("second");
      const isEmpty = await waitFor(async () => (await replicasOf(node)) === 0, WAIT_MS, 200);
      assert.ok(isEmpty, "the server keeps replicas");

      await admin.drain(node, false);
      await admin.balance("start");
      await writeAll("third");
      const isDone = await waitFor(
        async () => {
          const { running, moving } = await admin.balance("status");
          return !running && moving === 0;
        },
        WAIT_MS,
        200,
      );
      assert.ok(isDone, "balancing does not end");
      const nodes = await admin.listNodes();
      assert.deepEqual(nodes.map((info) => info.replicas), [3, 3, 3, 3]);
      assert.deepEqual(nodes.map((info) => info.primaries), [1, 1, 1, 1]);
      for (let i = 0; i < ROWS; i++) {
        assert.equal(fromUtf8((await table.get(`key ${i}`, "s"))!), "third");
      }
    } finally {
      await client.close();
    }
  });
});
