// Replica servers with several threads: they serve, they lose nothing when killed, and their number may be another
// one at the next start, whatever only the shared logs of the old number hold.

import assert from "node:assert/strict";
import { type Cluster, openCluster } from "../../src/client/mod.ts";
import { type TestCluster, withCluster } from "./harness.ts";
import { Writer } from "./writer.ts";

const TABLE = "temp";
const SERVERS = ["r1", "r2", "r3"];

/** Settings of the next start. */
function setShards(cluster: TestCluster, shards: number): void {
  const path = `${cluster.dir}/pegasus.toml`;
  const text = Deno.readTextFileSync(path);
  Deno.writeTextFileSync(path, text.replace(/^shards = .*$/m, `shards = ${shards}`));
}

function sharedLogsOf(cluster: TestCluster, name: string): string[] {
  return [...Deno.readDirSync(`${cluster.dir}/${name}/data`)].map((entry) => entry.name)
    .filter((entry) => entry.startsWith("shared.")).sort();
}

Deno.test("Another number of shards at every start loses nothing, also after kill -9", async () => {
  // The private logs stay behind: what counts is in the shared logs only.
  const settings = { shards: 1, "private-log-sync-interval": "1m" };
  await withCluster({ settings }, async (cluster) => {
    await cluster.createTable(TABLE, 8, 3);
    const writer = await Writer.open(cluster.metas, TABLE);
    try {
      writer.start();
      for (const shards of [2, 1, 3]) {
        await writer.more(400);
        await cluster.killAll();
        setShards(cluster, shards);
        await cluster.startAll();
        await cluster.waitForTable(TABLE, 3);
        const expected = Array.from({ length: shards }, (_, i) => `shared.${i}`);
        for (const name of SERVERS) assert.deepEqual(sharedLogsOf(cluster, name), expected);
      }
      await writer.more(400);
      await writer.stop();
      await writer.verify();
    } finally {
      await writer.stop();
      await writer.close();
    }
  });
});

Deno.test("Servers with several shards answer as one, and stop cleanly", async () => {
  await withCluster({ settings: { shards: 2, http: "127.0.0.1:0" } }, async (cluster) => {
    await cluster.createTable(TABLE, 8, 3);
    const writer = await Writer.open(cluster.metas, TABLE);
    try {
      writer.start();
      await writer.more(200);
      // One server restarts, its shards on other ports, while the rest goes on.
      await cluster.stop("r2");
      assert.match(cluster.outputOf("r2"), /Stopping/);
      await writer.more(100);
      await cluster.start("r2");
      await cluster.waitForTable(TABLE, 3);
      await writer.more(100);
      await writer.stop();
      await writer.verify();
    } finally {
      await writer.stop();
      await writer.close();
    }
    const client = await openCluster({ meta: cluster.metas });
    try {
      await checkWhole(cluster, client.admin);
    } finally {
      await client.close();
    }
  });
});

/** Every shard takes part in what the server shows. */
async function checkWhole(cluster: TestCluster, admin: Cluster["admin"]): Promise<void> {
  const address = cluster.addressOf("r1");
  const replicas = (await admin.remoteCommand(address, "replicas", [])).split("\n");
  assert.equal(replicas.length, 8);
  for (const shard of [0, 1]) {
    assert.equal(replicas.filter((line) => line.startsWith(`shard ${shard}: `)).length, 4);
  }
  const node = (await admin.listNodes()).find((one) => one.node === address);
  assert.equal(node?.shardPorts.length, 2);
  const base = `http://127.0.0.1:${node?.httpPort}`;
  const metrics = await (await fetch(`${base}/metrics`)).text();
  const sum = [...metrics.matchAll(/^pegasus_replicas\{.*\} (\d+)$/gm)]
    .reduce((total, [, count]) => total + Number(count), 0);
  assert.equal(sum, 8);
  assert.match(metrics, /^pegasus_log_group_records_count [1-9]/m);
  const stored = await (await fetch(`${base}/replica/replicas`)).json();
  assert.equal(Object.keys(stored).length, 8);
  await assert.rejects(admin.remoteCommand(address, "nothing", []), /Unknown command "nothing"/);
}
