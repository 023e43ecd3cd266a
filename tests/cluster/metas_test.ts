// Several meta servers over a real ZooKeeper, as processes: whichever dies, another leads on with everything
// that was stored, and clients and replica servers find it. docs/meta.md, "ZooKeeper".

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { openCluster } from "../../src/client/mod.ts";
import { clientDialSecurity } from "../../src/rpc/security.ts";
import { CLUSTER_USER } from "../../src/schema/access.ts";
import { missing } from "../missing.ts";
import { TestZooKeeper, zooKeeperMissing } from "../zookeeper.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const METAS = ["m1", "m2", "m3"];
const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;

const lacking = zooKeeperMissing();
Deno.test(
  "A cluster of three meta servers survives the death of each",
  () => lacking === undefined ? threeMetas() : missing(lacking),
);

const SECRET = "the secret of three meta servers";

/** A user whom every meta server knows, the standbys too: they read the store. */
async function makeUser(cluster: TestCluster): Promise<{ user: string; password: string }> {
  const auth = { user: "app", password: "the password of app" };
  const operator = { user: CLUSTER_USER, password: SECRET };
  await using root = openCluster({ meta: cluster.metas, timeoutMs: 20_000, auth: operator });
  await root.admin.users.create(auth.user, { password: auth.password, admin: true });
  for (const meta of cluster.metas) {
    const isKnown = async () => {
      await using app = openCluster({ meta: [meta], timeoutMs: 5000, auth });
      return await app.admin.serverInfo(meta).then(() => true, () => false);
    };
    assert.ok(await waitFor(isKnown, 30_000), `${meta} does not know the user`);
  }
  return auth;
}

async function threeMetas(): Promise<void> {
  const secretFile = Deno.makeTempFileSync({ prefix: "pegasus-secret-" });
  Deno.writeTextFileSync(secretFile, SECRET);
  const store = await TestZooKeeper.start();
  const options = {
    metas: METAS.length,
    replicas: 2,
    coordinator: `zookeeper://${store.address}/pegasus/test`,
    settings: {
      "zookeeper-session": "3s",
      "auth": "required",
      "cluster-secret-file": secretFile,
    },
    dial: clientDialSecurity({ user: CLUSTER_USER, password: SECRET }, undefined),
  };
  try {
    await withCluster(options, async (cluster) => {
      await cluster.createTable("t", 2, 2);
      const auth = await makeUser(cluster);
      const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000, auth });
      try {
        const table = client.table("t");
        await table.set("h", "s", "0");
        // Each in turn: one of them leads, and so does one of those that are left.
        for (const [index, name] of METAS.entries()) {
          await cluster.kill(name);
          assert.equal(fromUtf8((await table.get("h", "s"))!), `${index}`);
          // Asked first: a creation that the dying server may have taken is not sent twice.
          await cluster.waitForNodes(2);
          await cluster.createTable(`made_without_${name}`, 2, 2);
          const other = client.table(`made_without_${name}`);
          await other.set("h", "s", name);
          assert.equal(fromUtf8((await other.get("h", "s"))!), name);
          await table.set("h", "s", `${index + 1}`);
          await cluster.start(name);
        }
        const isWhole = async () =>
          (await client.admin.clusterInfo()).metaServers.length === METAS.length;
        assert.ok(
          await waitFor(() => isWhole().catch(() => false), 30_000),
          "Candidates are missing",
        );
        // Everybody at once, by a polite end: what was made is in the store.
        await Promise.all(METAS.map((name) => cluster.stop(name)));
        await cluster.startAll();
        await cluster.waitForNodes(2);
        const { tables } = await cluster.probe.look();
        assert.deepEqual(tables.map(({ name }) => name).sort(), [
          ...METAS.map((name) => `made_without_${name}`),
          "t",
        ]);
      } finally {
        await client.close();
      }
      const leaders = METAS.filter((name) => cluster.outputOf(name).includes("elected"));
      assert.ok(leaders.length > 1, `Only ${leaders} ever led`);
    });
  } finally {
    await store.destroy();
    Deno.removeSync(secretFile);
  }
}

Deno.test("onebox refuses several meta servers without a common store", async () => {
  const dir = Deno.makeTempDirSync();
  const run = async (...flags: string[]) => {
    const { code, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", MAIN, "onebox", "start", `--dir=${dir}`, ...flags],
    }).output();
    return `${code}: ${new TextDecoder().decode(stderr)}`;
  };
  try {
    assert.match(await run("--metas=3"), /1: .*Cannot start 3 meta servers: .*zookeeper:/s);
    const bad = await run("--metas=3", "--coordinator=zookeeper://h");
    assert.match(bad, /2: .*Bad value of --coordinator: .*zookeeper:\/\/HOST:PORT/s);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});
