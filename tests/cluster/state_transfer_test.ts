// The state of meta moves from the embedded store to ZooKeeper and back under a cluster with data, which serves
// on as if nothing had happened. docs/meta.md, "Export and import".

import assert from "node:assert/strict";
import { openCluster } from "../../src/client/mod.ts";
import { pathsOf } from "../../roles/onebox/processes.ts";
import { decodeState, encodeState } from "../../roles/meta/state_file.ts";
import { missing } from "../missing.ts";
import { TestZooKeeper, zooKeeperMissing } from "../zookeeper.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;

async function meta(...flags: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", MAIN, "meta", "--cluster=test", ...flags],
  }).output();
  const text = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("");
  return { code, text };
}

async function ok(...flags: string[]): Promise<string> {
  const { code, text } = await meta(...flags);
  assert.equal(code, 0, text);
  return text;
}

async function readsAndWrites(cluster: TestCluster, value: string): Promise<void> {
  await cluster.waitForTable("t", 2);
  const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
  try {
    const row = await client.table("t").get("h", "s");
    assert.equal(new TextDecoder().decode(row), "before");
    await client.table("t").set("other", "s", value);
  } finally {
    await client.close();
  }
}

Deno.test("Meta's state moves to ZooKeeper and back, with its tables", async () => {
  const lacking = zooKeeperMissing();
  if (lacking !== undefined) return missing(lacking);
  const store = await TestZooKeeper.start();
  try {
    await withCluster({ replicas: 2 }, (cluster) => moveThereAndBack(cluster, store));
  } finally {
    await store.destroy();
  }
});

async function moveThereAndBack(cluster: TestCluster, store: TestZooKeeper): Promise<void> {
  await cluster.createTable("t", 2, 2);
  const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
  await client.table("t").set("h", "s", "before");
  const online = await client.admin.exportState();
  await client.close();
  const { dataDir } = pathsOf(cluster.dir, "m1");
  const embedded = `--data-dir=${dataDir}`;
  const zookeeper = `--coordinator=zookeeper://${store.address}/moved`;
  const file = `${cluster.dir}/state.json`;
  assert.match((await meta(`--export=${file}`, embedded)).text, /in use|another process/);

  await cluster.stop("m1");
  assert.match(await ok(`--export=${file}`, embedded), /Wrote \d+ nodes of embedded:/);
  const offline = decodeState(Deno.readTextFileSync(file));
  assert.deepEqual(offline.nodes, decodeState(online).nodes);
  assert.match((await meta(`--export=${file}`, embedded)).text, /exists/);
  const changed = `${cluster.dir}/changed.json`;
  const other = Deno.readTextFileSync(file).replace(/"partitionCount":2/, '"partitionCount":3');
  Deno.writeTextFileSync(changed, other);
  assert.match((await meta(`--import=${changed}`, zookeeper)).text, /checksum is wrong/);
  assert.match((await meta(`--import=${file}`, embedded)).text, /holds 1 tables/);
  assert.match(await ok(`--import=${file}`, zookeeper), /Wrote \d+ nodes .* into zookeeper:/);

  cluster.useCoordinator(zookeeper.slice("--coordinator=".length));
  await cluster.start("m1");
  await readsAndWrites(cluster, "in ZooKeeper");
  assert.match((await meta(`--import=${file}`, zookeeper)).text, /leads there|holds 1 tables/);

  await cluster.stop("m1");
  Deno.removeSync(dataDir, { recursive: true });
  Deno.removeSync(file);
  await ok(`--export=${file}`, zookeeper);
  await ok(`--import=${file}`, embedded);
  cluster.useCoordinator("embedded");
  await cluster.start("m1");
  await readsAndWrites(cluster, "embedded");
}

Deno.test("A state file is read back as it was written, and refused if it was changed", () => {
  const nodes = [
    { path: "/cluster", value: new TextEncoder().encode('{"a":1}') },
    { path: "/tables", value: new Uint8Array(0) },
    { path: "/odd", value: new Uint8Array([0xff, 0, 1]) },
  ];
  const text = encodeState({ cluster: "c", exportedAt: "now", nodes });
  const read = decodeState(text);
  const byPath = (list: readonly { path: string }[]) =>
    list.toSorted((a, b) => a.path < b.path ? -1 : 1);
  assert.deepEqual(read, { cluster: "c", exportedAt: "now", nodes: byPath(nodes) });
  assert.throws(() => decodeState(text.replace('{"a":1}', '{"a":2}')), /checksum/);
  assert.throws(() => decodeState(text.slice(0, -20)), /not JSON/);
  assert.throws(() => decodeState('{"format":"x"}'), /no "pegasus meta state"/);
  assert.throws(() => decodeState(text.replace('"version":1', '"version":2')), /version 2/);
});
