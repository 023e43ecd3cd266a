// Attempts that hang: a server that stopped says nothing, and only meta knows who serves instead.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { Attempts } from "../../../src/client/attempts.ts";
import { FakeCluster } from "./fake_cluster.ts";

/** A cluster whose first server can be silenced, and whose time moves by hand. */
function open(options: { exactlyOnce?: boolean } = {}) {
  const fake = new FakeCluster();
  const { partitions } = fake.addTable("t", 1);
  let mono = 1000;
  const clock = { now: () => ({ mono, wall: 1e12 }) };
  const cluster = new Cluster(fake, { meta: ["m1:1"], timeoutMs: 60_000, ...options }, clock);
  const pass = async (ms: number) => {
    mono += ms;
    fake.onTick!();
    // A query has its answer after some turns.
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setTimeout(resolve, 0));
    fake.onTick!();
  };
  const silence = () => fake.fault = (call) => call.address === "n1:1" ? { silent: true } : {};
  return { fake, cluster, table: cluster.table("t"), partition: partitions[0]!, pass, silence };
}

Deno.test("A hanging write goes to the new primary and happens once", async () => {
  const { fake, table, partition, pass, silence } = open();
  await table.incr("h", "n");
  silence();
  const second = table.incr("h", "n");
  await pass(400);
  assert.equal(fake.takeNames().filter((name) => name === "query_config").length, 1);
  // The route is looked at, and is what it was: the attempt waits on.
  await pass(200);
  assert.deepEqual(fake.takeNames(), ["query_config"]);
  partition.primary = "n2:1";
  partition.ballot++;
  await pass(600);
  assert.equal(await second, 2n);
  assert.deepEqual(fake.takeNames(), ["query_config", "incr"]);
  await fake.close();
});

Deno.test("A hanging write that must not be repeated ends with an unknown outcome", async () => {
  const { table, partition, pass, silence } = open({ exactlyOnce: false });
  await table.set("h", "s", "v");
  silence();
  const write = table.set("h", "s", "w").then(() => undefined, (error: unknown) => error);
  await new Promise((resolve) => setTimeout(resolve, 0));
  partition.primary = "n2:1";
  partition.ballot++;
  await pass(600);
  const error = await write;
  assert(error instanceof StoreError);
  assert.deepEqual([error.code, error.outcome], [Err.OUTCOME_UNKNOWN, "unknown"]);
});

Deno.test("A hanging read of any replica goes to another one", async () => {
  const { fake, table, pass } = open();
  await table.set("h", "s", "v");
  fake.fault = (call) => call.name === "get" && call.address !== "n1:1" ? { silent: true } : {};
  const read = table.get("h", "s", { stale: true });
  await new Promise((resolve) => setTimeout(resolve, 0));
  await pass(1100);
  assert.equal(fromUtf8((await read)!), "v");
});

Deno.test("A table does not flood meta while many attempts hang", async () => {
  const { fake, table, pass, silence } = open();
  await table.get("h", "s");
  silence();
  const reads = Array.from({ length: 100 }, () => table.get("h", "s").catch(() => "closed"));
  await new Promise((resolve) => setTimeout(resolve, 0));
  fake.takeNames();
  for (let i = 0; i < 20; i++) await pass(100);
  const asked = fake.takeNames().filter((name) => name === "query_config").length;
  assert.ok(asked >= 2 && asked <= 5, `${asked} queries in two seconds`);
  void reads;
});

Deno.test("Attempts tells the overdue ones in their order", () => {
  const attempts = new Attempts<{ sentAt: number; sentBefore: undefined; sentAfter: undefined }>();
  const all = [1, 2, 3, 4].map(() => ({ sentAt: 0, sentBefore: undefined, sentAfter: undefined }));
  for (const [i, attempt] of all.entries()) attempts.add(attempt, i);
  const seen = (until: number) => attempts.overdue(until).map((one) => all.indexOf(one));
  assert.deepEqual(seen(2), [0, 1, 2]);
  attempts.remove(all[1]!);
  attempts.remove(all[1]!);
  attempts.remove(all[3]!);
  assert.deepEqual(seen(9), [0, 2]);
  attempts.remove(all[0]!);
  attempts.add(all[0]!, 9);
  assert.deepEqual(seen(9), [2, 0]);
  attempts.remove(all[2]!);
  attempts.remove(all[0]!);
  assert.deepEqual(seen(9), []);
});
