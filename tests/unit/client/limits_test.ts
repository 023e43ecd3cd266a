// What is too large is refused by the client, before anything is sent, with the numbers that help.

import assert from "node:assert/strict";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { WRITE_BYTES_MAX } from "../../../src/schema/write_size.ts";
import { FakeCluster } from "./fake_cluster.ts";

function open() {
  const fake = new FakeCluster();
  fake.addTable("t", 1);
  const cluster = new Cluster(fake, { meta: ["m1:1", "m2:1"] });
  return { fake, cluster, table: cluster.table("t") };
}

const bytes = (count: number) => new Uint8Array(count).fill(7);
const text = (count: number) => "x".repeat(count);

Deno.test("Writes above the limit are refused by the client, whatever their kind", async () => {
  const { table, fake, cluster } = open();
  const big = bytes(WRITE_BYTES_MAX);
  const half = { sortKey: "s", value: bytes(WRITE_BYTES_MAX / 2) };
  const check = { sortKey: "s", type: "exist" as const };
  const writes: (() => Promise<unknown>)[] = [
    () => table.set("h", "s", big),
    () => table.set("h", "s", text(WRITE_BYTES_MAX)),
    () => table.set("h", bytes(WRITE_BYTES_MAX), ""),
    () => table.del("h", big),
    () => table.incr("h", big),
    () => table.multiSet("h", [half, half]),
    () => table.multiDel("h", [half.value, half.value]),
    () => table.checkAndSet("h", check, { value: big }),
    () => table.checkAndSet("h", { ...check, operand: big }, { value: "" }),
    () =>
      table.checkAndMutate("h", check, [{ put: "a", value: half.value }, { put: big, value: "" }]),
    () => table.compareExchange("h", "s", half.value, half.value),
  ];
  for (const write of writes) {
    const error = await (async () => await write())().then(() => undefined, (e) => e);
    assert(error instanceof StoreError, String(write));
    assert.equal(error.code, Err.INVALID_DATA, String(write));
    assert.match(error.message, /Write of \d+ bytes: keys and values may have 1048576 together/);
    assert.equal(error.outcome, "not done");
  }
  assert.deepEqual(fake.calls, []);
  await table.set("h", "s", bytes(WRITE_BYTES_MAX - 4));
  assert.equal((await table.get("h", "s"))!.length, WRITE_BYTES_MAX - 4);
  await cluster.close();
});

Deno.test("Hash keys above 65534 bytes and lists above 100000 are refused by the client", async () => {
  const { table, fake, cluster } = open();
  const refused = (run: () => unknown, pattern: RegExp) =>
    assert.throws(run, (error) =>
      error instanceof StoreError && error.code === Err.INVALID_DATA &&
      pattern.test(error.message));
  const long = /hash key has 65535 bytes, at most 65534/;
  refused(() => table.get(bytes(65535), "s"), long);
  refused(() => table.set(text(65535), "s", "v"), long);
  refused(() => table.multiGet(bytes(65535)), long);
  refused(() => table.scan(bytes(65535)), long);
  const many = Array.from({ length: 100_001 }, () => "s");
  refused(() => table.multiGet("h", many), /list of sort keys has 100001 elements/);
  refused(() => table.multiDel("h", many), /list of sort keys has 100001 elements/);
  assert.deepEqual(fake.calls, []);
  await table.set(bytes(65534), "s", "v");
  await cluster.close();
});

Deno.test("batchGet and multiDelRange split what one request cannot carry", async () => {
  const { table, fake, cluster } = open();
  fake.scanBatch = 100_000;
  const rows = Array.from({ length: 12_000 }, (_, i) => `k${i}`);
  await table.multiSet("h", rows.map((sortKey) => ({ sortKey, value: "v" })));
  fake.calls.length = 0;
  const found = await table.batchGet(rows.map((sortKey) => ({ hashKey: "h", sortKey })));
  assert.equal(found.length, 12_000);
  assert.deepEqual(fake.calls.map(({ request }) => request.keys.length), [5000, 5000, 2000]);
  const heavy = Array.from({ length: 60 }, (_, i) => new Uint8Array(40_000).fill(i));
  for (const sortKey of heavy) await table.set("heavy", sortKey, "v");
  assert.equal(await table.multiDelRange("heavy"), 60);
  assert.equal(await table.sortKeyCount("heavy"), 0);
  await cluster.close();
});

Deno.test("A timeout that is no time above 0 is refused by the client, wherever it is given", async () => {
  const { table, fake, cluster } = open();
  const check = { sortKey: "s", type: "exist" as const };
  for (const timeoutMs of [NaN, 0, -1, "soon" as unknown as number]) {
    const options = { timeoutMs };
    const runs: (() => unknown)[] = [
      () => new Cluster(fake, { meta: ["m1:1"], timeoutMs }),
      () => cluster.table("t", options),
      () => table.get("h", "s", options),
      () => table.multiGet("h", { timeoutMs }),
      () => table.batchGet([{ hashKey: "h", sortKey: "s" }], options),
      () => table.set("h", "s", "v", options),
      () => table.incr("h", "s", 1, options),
      () => table.checkAndSet("h", check, { value: "v" }, options),
      () => table.scan("h", options),
      () => table.fullScan(options),
      () => cluster.admin.createTable("u", options),
      () => cluster.admin.recallTable(1, "", options),
    ];
    for (const run of runs) {
      const error = await (async () => await run())().then(() => undefined, (e) => e);
      assert(error instanceof StoreError, `${run}, ${timeoutMs}`);
      assert.equal(error.code, Err.INVALID_ARGUMENT, String(run));
      assert.match(error.message, /timeoutMs is (NaN|0|-1|soon), expected a positive number/);
    }
  }
  assert.deepEqual(fake.calls, []);
  await cluster.close();
});
