// Reads that others than the primary may answer: whom they go to, and what happens when nobody is fresh enough.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import type { TableOptions } from "../../../src/client/cluster.ts";
import { FakeCluster, type SeenCall } from "./fake_cluster.ts";

const ROW = ["h", "s"] as const;

async function open(options: TableOptions = {}) {
  const fake = new FakeCluster();
  fake.addTable("t", 1);
  const cluster = new Cluster(fake, { meta: ["m1:1", "m2:1"], timeoutMs: 2000 });
  const table = cluster.table("t", options);
  await table.set(...ROW, "v");
  const { primary } = fake.table("t")!.partitions[0]!;
  fake.calls.length = 0;
  return { fake, cluster, table, primary };
}

const text = (bytes: Uint8Array | undefined) => bytes === undefined ? undefined : fromUtf8(bytes);

/** Calls of reads. */
function reads(fake: FakeCluster): SeenCall[] {
  return fake.calls.filter((call) => call.name !== "query_config");
}

Deno.test("Stale reads of every kind go to the secondaries in turn and spare the primary", async () => {
  const { fake, table, primary, cluster } = await open();
  for (let i = 0; i < 2; i++) {
    await table.get(...ROW, { stale: true });
    await table.ttl(...ROW, { stale: true });
    await table.multiGet("h", ["s"], { stale: true });
    await table.multiGet("h", { stale: true });
    await table.sortKeyCount("h", { stale: true });
    await table.batchGet([{ hashKey: "h", sortKey: "s" }], { stale: true });
    assert.equal(await table.scan("h", { stale: true }).count(), 1);
  }
  const asked = reads(fake);
  assert.equal(asked.length, 14);
  assert(asked.every(({ request }) => request.stale && request.stalenessMaxMs === 0));
  const servers = new Set(asked.map(({ address }) => address));
  assert.deepEqual([servers.size, servers.has(primary)], [2, false]);
  await cluster.close();
});

Deno.test("A bounded stale read is left to the primary without asking meta", async () => {
  const { fake, table, primary, cluster } = await open();
  fake.fault = ({ name, address }) =>
    name === "get" && address !== primary ? { before: Err.INVALID_STATE } : undefined;
  assert.equal(text(await table.get(...ROW, { stale: { maxStalenessMs: 50 } })), "v");
  assert.deepEqual(fake.calls.map(({ address }) => address === primary), [false, true]);
  assert.deepEqual(fake.calls.map(({ request }) => request.stalenessMaxMs), [50, 50]);
  await cluster.close();
});

Deno.test("Stale reads are answered while there is no primary", async () => {
  const { fake, table, primary, cluster } = await open();
  fake.fault = ({ name, address }) =>
    name === "get" && address === primary ? { before: Err.CONNECT_FAILED } : undefined;
  for (let i = 0; i < 5; i++) assert.equal(text(await table.get(...ROW, { stale: true })), "v");
  fake.table("t")!.partitions[0]!.primary = "";
  fake.fault = () => undefined;
  for (let i = 0; i < 5; i++) assert.equal(text(await table.get(...ROW, { stale: true })), "v");
  await cluster.close();
});

Deno.test("A staleness that is no time is refused before anything is sent", async () => {
  const { fake, table, cluster } = await open();
  for (const maxStalenessMs of [0, -1, 1.5, NaN, 2 ** 31]) {
    assert.throws(
      () => table.get(...ROW, { stale: { maxStalenessMs } }),
      (error) => error instanceof StoreError && error.code === Err.INVALID_ARGUMENT,
    );
  }
  assert.equal(fake.calls.length, 0);
  await cluster.close();
});

Deno.test("A slow read is repeated at a follower, and the first answer counts", async () => {
  for (const how of ["table", "read"] as const) {
    const { fake, table, primary, cluster } = await open(
      how === "table" ? { hedgeAfterMs: 5 } : {},
    );
    const options = how === "read" ? { hedgeAfterMs: 5 } : {};
    fake.fault = ({ name, request }) =>
      name === "get" && !request.stale ? { before: Err.BUSY } : undefined;
    assert.equal(text(await table.get(...ROW, options)), "v");
    const stale = reads(fake).filter(({ request }) => request.stale);
    assert.deepEqual(stale.map(({ address }) => address === primary), [false]);
    await cluster.close();
  }
});

Deno.test("A hedged read fails with the first attempt's reason, and only after both have failed", async () => {
  const { fake, table, cluster } = await open({ hedgeAfterMs: 5, timeoutMs: 100 });
  let followers = 0;
  fake.fault = ({ name, request }) => {
    if (name !== "get") return undefined;
    if (!request.stale) return { before: Err.BUSY };
    return ++followers === 1 ? { before: Err.INVALID_ARGUMENT } : { before: Err.BUSY };
  };
  const error = await table.get(...ROW).then(() => undefined, (e) => e);
  assert.equal((error as StoreError).code, Err.BUSY);
  assert.equal(followers, 1);
  fake.fault = () => undefined;
  assert.equal(text(await table.get(...ROW)), "v");
  await cluster.close();
});

Deno.test("The second attempt of a hedged read ends with the read's own deadline", async () => {
  const fake = new FakeCluster();
  fake.addTable("t", 1);
  let mono = 1000;
  const clock = { now: () => ({ mono, wall: 1e12 }) };
  const cluster = new Cluster(fake, { meta: ["m1:1"], timeoutMs: 900 }, clock);
  const table = cluster.table("t", { hedgeAfterMs: 5 });
  await table.set(...ROW, "v");
  fake.fault = ({ name, request }) => name === "get" && !request.stale ? { silent: true } : {};
  const read = table.get(...ROW);
  mono += 600;
  assert.equal(text(await read), "v");
  const reads = fake.calls.filter(({ name }) => name === "get");
  assert.deepEqual(reads.map(({ timeoutMs }) => timeoutMs), [900, 300]);
  await cluster.close();
});

Deno.test("A read that is answered in time is not repeated, nor is a write ever", async () => {
  const { fake, table, cluster } = await open({ hedgeAfterMs: 20 });
  let stale = 0;
  fake.fault = ({ request }) => {
    if (request.stale === true) stale++;
    return undefined;
  };
  for (let i = 0; i < 200; i++) await table.get(...ROW);
  let refusals = 0;
  fake.fault = ({ name }) => name === "put" && ++refusals < 6 ? { before: Err.BUSY } : undefined;
  await table.set(...ROW, "w");
  assert.equal(stale, 0);
  await cluster.close();
});
