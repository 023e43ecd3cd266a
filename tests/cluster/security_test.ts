// A cluster of real processes with TLS and authentication: who gets in, what users may do at meta and
// at replica servers, what a stranger who plays a server gets, and what is written down about it.

import assert from "node:assert/strict";
import { makeAuthority, makeCertificate } from "../../roles/onebox/certificates.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { Err, openCluster, StoreError } from "../../src/client/mod.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { clientDialSecurity } from "../../src/rpc/security.ts";
import { CLUSTER_USER } from "../../src/schema/access.ts";
import { SyncUsers } from "../../src/schema/access_rpc.ts";
import { Beacon, ConfigSync } from "../../src/schema/meta_rpc.ts";
import { LearnFetch, RemoveReplica } from "../../src/schema/replica_rpc.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const SECRET = "8f1d0a4be20c47d1a97b";
const PASSWORD = "correct horse";

interface Files {
  readonly dir: string;
  readonly ca: string;
  readonly settings: Record<string, string>;
}

async function withFiles(story: (files: Files) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "security-files-" });
  try {
    const ca = await makeAuthority(dir);
    const { cert, key } = await makeCertificate(dir, "pegasus-server", true);
    const secret = `${dir}/secret`;
    Deno.writeTextFileSync(secret, `${SECRET}\n`, { mode: 0o600 });
    const settings = {
      "auth": "required",
      "cluster-secret-file": secret,
      "tls-cert": cert,
      "tls-key": key,
      "tls-ca": ca,
    };
    await story({ dir, ca: Deno.readTextFileSync(ca), settings });
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** The code an operation fails with; 0 = it does not. */
function codeOf(promise: Promise<unknown>): Promise<number> {
  return promise.then(() => 0, (error) => {
    assert.ok(error instanceof StoreError, String(error));
    return error.code;
  });
}

function open(cluster: TestCluster, ca: string, user: string, password: string) {
  const auth = { user, password };
  return openCluster({ meta: cluster.metas, timeoutMs: 20_000, tls: { ca }, auth });
}

async function becomes(code: number, operation: () => Promise<unknown>): Promise<void> {
  let last = -1;
  const isSo = async () => (last = await codeOf(operation())) === code;
  assert.ok(await waitFor(isSo, 20_000, 100), `expected error ${code}, the last one is ${last}`);
}

async function checkUsers(cluster: TestCluster, ca: string): Promise<void> {
  await using root = open(cluster, ca, CLUSTER_USER, SECRET);
  await root.admin.users.create("ada", { password: PASSWORD });
  await root.admin.users.create("eve", { password: PASSWORD });
  await using ada = open(cluster, ca, "ada", PASSWORD);
  await using eve = open(cluster, ca, "eve", PASSWORD);
  const [hers, others] = [ada.table("closed"), eve.table("closed")];
  // Open to every user until somebody is granted something.
  await hers.set("h", "s", "v");
  assert.equal(await codeOf(ada.admin.createTable("mine")), Err.ACL_DENY);
  assert.equal(await codeOf(ada.admin.dropTable("closed")), Err.ACL_DENY);
  assert.equal(await codeOf(ada.admin.users.list()), Err.ACL_DENY);
  await root.admin.users.grant("ada", ["read"], "closed");
  await becomes(Err.ACL_DENY, () => hers.set("h", "s", "w"));
  await becomes(Err.ACL_DENY, () => others.get("h", "s"));
  assert.notEqual(await hers.get("h", "s"), undefined);
  await root.admin.users.grant("ada", ["write"], "closed");
  await becomes(0, () => hers.set("h", "s", "w"));
  assert.equal(await hers.incr("h", "n", 1n), 1n);
  // Meta tells a user without rights not even where the table is.
  await using stranger = open(cluster, ca, "eve", PASSWORD);
  assert.equal(await codeOf(stranger.table("closed").get("h", "s")), Err.ACL_DENY);
  await ada.admin.users.setPassword("ada", "another password");
  await becomes(Err.UNAUTHENTICATED, () => ada.table("closed").get("h", "s", { timeoutMs: 500 }));
  await using wrong = open(cluster, ca, "ada", PASSWORD);
  assert.equal(await codeOf(wrong.table("closed").get("h", "s")), Err.UNAUTHENTICATED);
}

async function checkStrangers(cluster: TestCluster, ca: string): Promise<void> {
  const tls = { ca, cert: "", key: "" };
  const rpc = new TcpRpcClient({
    identity: { cluster: cluster.cluster, node: cluster.addressOf("r1"), role: "replica" },
    dial: clientDialSecurity({ user: "eve", password: PASSWORD }, tls),
  });
  const nobody = new TcpRpcClient({
    identity: { cluster: cluster.cluster, node: cluster.addressOf("r1"), role: "replica" },
    dial: clientDialSecurity(undefined, tls),
  });
  const [meta, replica] = [cluster.metas[0]!, cluster.addressOf("r2")];
  const node = cluster.addressOf("r1");
  const stats = {
    replicas: 0,
    primaries: 0,
    diskTotalBytes: 0,
    diskFreeBytes: 0,
    draining: false,
    disks: [],
  };
  const beacon = {
    ...{ node, incarnation: 2 ** 50, sentAt: 0, shardPorts: [1], httpPort: 0 },
    ...{ store: "", leaseMs: 0 },
  };
  const head = { partition: 2 ** 16, from: node, incarnation: 2 ** 50, ballot: 2 ** 40 };
  const fetch = { partition: 2 ** 16, from: node, signature: 0, source: "log" as const };
  try {
    for (const [who, code] of [[rpc, Err.ACL_DENY], [nobody, Err.UNAUTHENTICATED]] as const) {
      const sync = { node, incarnation: 2 ** 50, replicas: [], stats };
      const labels = new Map<string, string>();
      assert.equal(await codeOf(who.call(meta, Beacon, { ...beacon, labels }, 3000)), code);
      assert.equal(await codeOf(who.call(meta, ConfigSync, sync, 3000)), code);
      assert.equal(await codeOf(who.call(meta, SyncUsers, { version: 0 }, 3000)), code);
      const asked = { ...fetch, position: 0, image: 0 };
      assert.equal(await codeOf(who.call(replica, LearnFetch, asked, 3000)), code);
      // A message has no answer: the table goes on serving, and somebody wrote it down.
      who.send(replica, RemoveReplica, head);
    }
  } finally {
    await rpc.close();
    await nobody.close();
  }
}

Deno.test("a secured cluster serves its users, and nobody else gets in", async () => {
  await withFiles(async ({ ca, settings }) => {
    const dial = clientDialSecurity({ user: CLUSTER_USER, password: SECRET }, {
      ...{ ca, cert: "", key: "" },
    });
    await withCluster({ settings, dial }, async (cluster) => {
      await cluster.createTable("closed", 4, 3);
      await checkUsers(cluster, ca);
      await checkStrangers(cluster, ca);
      await using plain = openCluster({ meta: cluster.metas, timeoutMs: 500 });
      assert.notEqual(await codeOf(plain.table("closed").get("h", "s")), 0);
      // Users survive meta, and servers learn them again.
      await cluster.stop("m1");
      await cluster.start("m1");
      await cluster.stop("r1");
      await cluster.start("r1");
      await cluster.waitForTable("closed", 3);
      await using ada = open(cluster, ca, "ada", "another password");
      await ada.table("closed").set("h", "s", "still");
      const logs = ["m1", "r1", "r2", "r3"].map((name) => cluster.outputOf(name)).join("\n");
      for (const word of [SECRET, PASSWORD, "another password"]) assert.ok(!logs.includes(word));
      assert.match(logs, /audit.*put_user/);
      assert.match(logs, /audit.*beacon.*ACL_DENY|audit.*ACL_DENY.*beacon/);
      assert.match(logs, /audit.*remove_replica/);
    });
  });
});
