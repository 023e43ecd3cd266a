// Operations on many partitions while meta is away: they know all routes or ask for them, until their deadline.

import assert from "node:assert/strict";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { FakeCluster, type Fate } from "./fake_cluster.ts";

const KEYS = [..."abcdef"].map((hashKey) => ({ hashKey, sortKey: "s" }));

/** A table with a row for each of KEYS, and a client that knows nothing of it yet. */
async function open() {
  const fake = new FakeCluster();
  fake.addTable("t", 4);
  const writer = new Cluster(fake, { meta: ["m1:1"] }).table("t");
  for (const { hashKey, sortKey } of KEYS) await writer.set(hashKey, sortKey, "v");
  const cluster = new Cluster(fake, { meta: ["m1:1"] });
  /** What happens to queries of routes; INVALID_STATE is what the client does not ask another meta server about. */
  const queries = (fate: () => Fate | undefined) => {
    fake.fault = ({ name }) => name === "query_config" ? fate() : undefined;
  };
  return { fake, cluster, table: cluster.table("t"), queries };
}

async function failure(promise: Promise<unknown>): Promise<StoreError> {
  const error = await promise.then(() => undefined, (e: unknown) => e);
  assert.ok(error instanceof StoreError, `Expected a StoreError, got ${error}`);
  return error;
}

Deno.test("A scan of the table goes on with the routes it knows, and a batchGet does", async () => {
  const { table, queries } = await open();
  assert.equal((await table.batchGet(KEYS)).length, KEYS.length);
  queries(() => ({ before: Err.INVALID_STATE }));
  assert.equal(await table.fullScan().count(), KEYS.length);
  assert.equal((await table.batchGet(KEYS)).length, KEYS.length);
  // A table that is gone is no outage.
  queries(() => ({ before: Err.APP_NOT_EXIST }));
  assert.equal((await failure(table.fullScan().count())).code, Err.APP_NOT_EXIST);
  // Nobody answers at all: what is known counts when the patience is over.
  queries(() => ({ silent: true }));
  assert.equal(await table.fullScan({ timeoutMs: 50 }).count(), KEYS.length);
});

Deno.test("Without routes meta is asked until it answers", async () => {
  for (const kind of ["batchGet", "fullScan", "scan"] as const) {
    const { table, queries } = await open();
    let refusals = 0;
    queries(() => ++refusals <= 3 ? { before: Err.INVALID_STATE } : undefined);
    if (kind === "batchGet") assert.equal((await table.batchGet(KEYS)).length, KEYS.length);
    if (kind === "fullScan") assert.equal(await table.fullScan().count(), KEYS.length);
    if (kind === "scan") assert.equal(await table.scan("a").count(), 1);
    assert.equal(refusals, 4);
  }
});

Deno.test("Without routes operations end at their deadline, or at once if asking is in vain", async () => {
  const { table, queries } = await open();
  queries(() => ({ silent: true }));
  const hung = await failure(table.batchGet(KEYS, { timeoutMs: 50 }));
  assert.equal(hung.code, Err.TIMEOUT);
  assert.equal((await failure(table.fullScan({ timeoutMs: 50 }).count())).code, Err.TIMEOUT);
  const refusing = await open();
  refusing.queries(() => ({ before: Err.INVALID_STATE, detail: "No leader" }));
  const refused = await failure(refusing.table.batchGet(KEYS, { timeoutMs: 200 }));
  assert.deepEqual([refused.code, refused.detail], [Err.INVALID_STATE, "No leader"]);
  for (const code of [Err.APP_NOT_EXIST, Err.UNAUTHENTICATED]) {
    let asked = 0;
    refusing.queries(() => ({ before: ++asked > 0 ? code : 0 }));
    assert.equal((await failure(refusing.table.batchGet(KEYS))).code, code);
    assert.equal(asked, 1);
  }
});
