// The store of meta is deleted under a cluster with data: nobody serves or drops anything, and recover brings
// every table back with every acknowledged row. docs/meta.md, "Recovery".

import assert from "node:assert/strict";
import { waitFor } from "../../roles/onebox/processes.ts";
import { openCluster } from "../../src/client/mod.ts";
import { withCluster } from "./harness.ts";
import { Writer } from "./writer.ts";

const WAIT_MS = 60_000;
const SERVERS = ["r1", "r2", "r3", "r4"];

Deno.test("A deleted store of meta is rebuilt from the replica servers", async () => {
  await withCluster({ replicas: 4 }, async (cluster) => {
    await cluster.createTable("kept", 4, 3);
    await cluster.createTable("changed", 2, 2);
    await cluster.createTable("dropped", 1, 1);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    const { admin } = client;
    try {
      await client.table("changed").set("h", "s", "v");
      await admin.renameTable("changed", "renamed");
      await admin.updateEnvs("renamed", { set: { "default_ttl": "1000" } });
      await admin.dropTable("dropped");
      const writer = await Writer.open(cluster.metas, "kept");
      writer.start();
      await writer.more(300);
      await writer.stop();
      // Servers hear of all their tables at once: whoever knows of this change knows of those before it.
      await admin.updateEnvs("kept", { set: { "default_ttl": "100000" } });
      const isToldTo = async (name: string) =>
        (await admin.remoteCommand(cluster.addressOf(name), "app-envs", []))
          .includes("kept default_ttl=100000");
      const areTold = async () => (await Promise.all(SERVERS.map(isToldTo))).every((is) => is);
      assert.ok(await waitFor(areTold, WAIT_MS), "Servers do not hear of their tables");

      await cluster.kill("m1");
      Deno.removeSync(`${cluster.dir}/m1/data`, { recursive: true });
      await cluster.start("m1");
      const isSeen = async () => {
        const { details } = await admin.clusterInfo();
        return (details.get("warning")?.match(/127\.0\.0\.1/g) ?? []).length === 4;
      };
      assert.ok(await waitFor(() => isSeen().catch(() => false), WAIT_MS), "No warning");
      const short = openCluster({ meta: cluster.metas, timeoutMs: 1000 });
      // Not "no such table": clients would believe it.
      await assert.rejects(short.table("kept").get("h", "s"), /TIMEOUT|UNDER_RECOVERY/);
      await assert.rejects(short.admin.createTable("new"), /another store/);
      await short.close();

      const { state, lines } = await admin.recover();
      assert.equal(state, "done", lines.join("\n"));
      await cluster.waitForTable("kept", 3);
      await cluster.waitForTable("renamed", 2);
      await writer.verify();
      writer.start();
      await writer.more(100);
      await writer.stop();
      await writer.verify();
      await writer.close();
      const row = await client.table("renamed").get("h", "s");
      assert.equal(new TextDecoder().decode(row), "v");
      const { tables } = await admin.listTables();
      const found = tables.map(({ name, status, envs }) => [name, status, envs.size]);
      assert.deepEqual(found.slice(0, 3), [
        ["kept", "available", 1],
        ["renamed", "available", 1],
        ["dropped", "dropped", 0],
      ]);
      assert.ok(await admin.createTable("new", { partitionCount: 1 }) > 100);
    } finally {
      await client.close();
    }
  });
});
