// Table operations against the fake cluster: results, refusals, exactly once, routes and failures.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { FakeCluster } from "./fake_cluster.ts";

function open(options: { timeoutMs?: number; exactlyOnce?: boolean } = {}) {
  const fake = new FakeCluster();
  fake.addTable("t", 4);
  const cluster = new Cluster(fake, { meta: ["m1:1", "m2:1"], ...options });
  return { fake, cluster, table: cluster.table("t") };
}

async function failure(promise: Promise<unknown>): Promise<StoreError> {
  const error = await promise.then(() => undefined, (e: unknown) => e);
  assert.ok(error instanceof StoreError, `Expected a StoreError, got ${error}`);
  return error;
}

const text = (bytes: Uint8Array | undefined) => bytes === undefined ? undefined : fromUtf8(bytes);

Deno.test("Table stores, reads and removes one row", async () => {
  const { table, fake } = open();
  assert.equal(await table.get("h", "s"), undefined);
  assert.equal(await table.ttl("h", "s"), undefined);
  await table.set("h", "s", "v");
  assert.equal(text(await table.get("h", "s")), "v");
  assert.equal(await table.exist("h", "s"), true);
  assert.equal(await table.ttl("h", "s"), -1);
  await table.set(utf8("h"), utf8("s"), utf8("w"), { ttl: 100 });
  const ttl = await table.ttl("h", "s");
  assert.ok(ttl === 100 || ttl === 99, `ttl ${ttl}`);
  await table.del("h", "s");
  assert.equal(await table.exist("h", "s"), false);
  // One route query and one session serve them all.
  const names = fake.takeNames();
  assert.equal(names.filter((n) => n === "query_config").length, 1);
  assert.equal(names.filter((n) => n === "open_session").length, 1);
});

Deno.test("Table works on several rows of a hash key", async () => {
  const { table } = open();
  const rows = ["a", "b", "c", "d"].map((k) => ({ sortKey: k, value: k.toUpperCase() }));
  await table.multiSet("h", rows);
  assert.equal(await table.sortKeyCount("h"), 4);
  const listed = await table.multiGet("h", ["b", "nope", "d"]);
  assert.deepEqual(listed.rows.map((r) => text(r.value)), ["B", "D"]);
  const range = await table.multiGet("h", { start: "b", startInclusive: false, countMax: 1 });
  assert.deepEqual(range.rows.map((r) => text(r.sortKey)), ["c"]);
  assert.equal(range.complete, false);
  const keys = await table.multiGetSortKeys("h");
  assert.deepEqual(keys.sortKeys.map(text), ["a", "b", "c", "d"]);
  assert.deepEqual(await table.multiGet("h", []), { rows: [], complete: true });
  assert.equal(await table.multiDel("h", ["a", "zz"]), 2);
  assert.equal(await table.multiDelRange("h", { start: "b", stop: "d" }), 2);
  assert.deepEqual((await table.multiGetSortKeys("h")).sortKeys.map(text), ["d"]);
});

Deno.test("Table increments and compares", async () => {
  const { table } = open();
  assert.equal(await table.incr("h", "n"), 1n);
  assert.equal(await table.incr("h", "n", 41), 42n);
  assert.equal(await table.incr("h", "n", -(2n ** 40n)), 42n - 2n ** 40n);
  await table.set("h", "x", "text");
  assert.equal((await failure(table.incr("h", "x"))).code, Err.INVALID_ARGUMENT);
  const check = { sortKey: "x", type: "bytes_equal", operand: "text", returnValue: true } as const;
  const passed = await table.checkAndSet("h", check, { value: "next" });
  assert.deepEqual([passed.passed, text(passed.value)], [true, "text"]);
  const failed = await table.checkAndSet("h", check, { value: "never", sortKey: "y" });
  assert.deepEqual([failed.passed, text(failed.value)], [false, "next"]);
  const mutated = await table.checkAndMutate("h", { sortKey: "y", type: "not_exist" }, [
    { put: "y", value: "1" },
    { remove: "x" },
  ]);
  assert.equal(mutated.passed, true);
  assert.equal(await table.get("h", "x"), undefined);
  assert.deepEqual(await table.compareExchange("h", "y", undefined, "2"), {
    exchanged: false,
    actual: utf8("1"),
  });
  assert.equal((await table.compareExchange("h", "y", "1", "2")).exchanged, true);
  assert.equal(text(await table.get("h", "y")), "2");
});

Deno.test("Table refuses arguments that break a rule without sending them", () => {
  const { table, fake } = open();
  const refused = (code: number, run: () => unknown) =>
    assert.throws(run, (e) => e instanceof StoreError && e.code === code);
  refused(Err.INVALID_ARGUMENT, () => table.set("h", "s", "v", { ttl: -1 }));
  refused(Err.INVALID_ARGUMENT, () => table.set("h", "s", "v", { ttl: 1.5 }));
  refused(Err.INVALID_DATA, () => table.get(new Uint8Array(65535), "s"));
  refused(Err.INVALID_ARGUMENT, () => table.multiSet("h", []));
  refused(Err.INVALID_ARGUMENT, () => table.multiDel("h", []));
  refused(Err.INVALID_ARGUMENT, () => table.multiGet("", ["a"]));
  refused(Err.INVALID_ARGUMENT, () => table.incr("h", "s", 2n ** 63n));
  // deno-lint-ignore no-explicit-any
  refused(Err.INVALID_ARGUMENT, () => table.set("h", "s", 5 as any));
  assert.equal(fake.calls.length, 0);
});

Deno.test("Table applies a write once although its answer was lost twice", async () => {
  const { table, fake } = open();
  await table.incr("h", "n");
  let losses = 2;
  fake.fault = ({ name }) =>
    name === "incr" && losses-- > 0 ? { after: Err.CONNECTION_LOST } : undefined;
  assert.equal(await table.incr("h", "n"), 2n);
  assert.equal(await table.incr("h", "n"), 3n);
  const sent = fake.calls.filter((c) => c.name === "incr").map((c) => c.request.sequence);
  assert.deepEqual(sent, [1, 2, 2, 2, 3]);
});

Deno.test("Table without exactly-once reports a lost answer as unknown", async () => {
  const { table, fake } = open({ exactlyOnce: false });
  fake.fault = ({ name }) => name === "put" ? { after: Err.CONNECTION_LOST } : undefined;
  const error = await failure(table.set("h", "s", "v"));
  assert.equal(error.code, Err.CONNECTION_LOST);
  assert.equal(error.outcome, "unknown");
  assert.equal(fake.calls.filter((c) => c.name === "put").length, 1);
  assert.equal(fake.calls.filter((c) => c.name === "open_session").length, 0);
});

Deno.test("Table opens a new session when the old one is forgotten, unless the fate is unknown", async () => {
  const { table, fake } = open();
  await table.incr("h", "n");
  for (const p of fake.tables[0]!.partitions) p.sessions.clear();
  assert.equal(await table.incr("h", "n"), 2n);
  let isLost = true;
  fake.fault = ({ name }) => {
    if (name !== "incr" || !isLost) return undefined;
    isLost = false;
    queueMicrotask(() => fake.tables[0]!.partitions.forEach((p) => p.sessions.clear()));
    return { after: Err.TIMEOUT };
  };
  const error = await failure(table.incr("h", "n"));
  assert.equal(error.code, Err.SESSION_EXPIRED);
  assert.equal(error.outcome, "unknown");
  assert.equal(await table.incr("h", "n"), 4n);
});

Deno.test("Table tells the partition which results it may forget", async () => {
  const { table, fake } = open();
  await Promise.all([1, 2, 3, 4, 5].map(() => table.incr("h", "n")));
  await table.incr("h", "n");
  const last = fake.calls.at(-1)!.request;
  assert.deepEqual([last.sequence, last.answeredBelow], [6, 6]);
});

Deno.test("Table follows a moved primary", async () => {
  const { table, fake } = open();
  await table.set("h", "s", "v");
  for (const p of fake.tables[0]!.partitions) {
    p.primary = "n2:1";
    p.ballot++;
  }
  assert.equal(text(await table.get("h", "s")), "v");
  await table.set("h", "s", "w");
  assert.equal(fake.calls.filter((c) => c.name === "query_config").length, 2);
  assert.equal(fake.calls.at(-1)!.address, "n2:1");
});

Deno.test("Table waits for a primary until the deadline", async () => {
  const { table, fake } = open({ timeoutMs: 150 });
  for (const p of fake.tables[0]!.partitions) p.primary = "";
  const error = await failure(table.set("h", "s", "v"));
  assert.equal(error.code, Err.INVALID_STATE);
  assert.equal(error.outcome, "not done");
  assert.match(error.message, /has no primary/);
  const waiting = table.get("h", "s", { timeoutMs: 5000 });
  for (const p of fake.tables[0]!.partitions) {
    p.primary = "n3:1";
    p.ballot++;
  }
  assert.equal(await waiting, undefined);
});

Deno.test("Table follows a re-created table and refuses a missing one", async () => {
  const { table, fake } = open();
  await table.set("h", "s", "v");
  fake.tables[0]!.status = "dropped";
  const error = await failure(table.get("h", "s"));
  assert.equal(error.code, Err.APP_NOT_EXIST);
  const said = error.message.match(/APP_NOT_EXIST/g);
  assert.equal(said?.length, 1, `the code is named once: ${error.message}`);
  fake.addTable("t", 16);
  assert.equal(await table.get("h", "s"), undefined);
  await table.set("h", "s", "v2");
  assert.equal(text(await table.get("h", "s")), "v2");
});

Deno.test("Table shares one route query among all that wait", async () => {
  const { table, fake } = open();
  await Promise.all(Array.from({ length: 50 }, (_, i) => table.set(`h${i}`, "s", "v")));
  const names = fake.takeNames();
  assert.equal(names.filter((n) => n === "query_config").length, 1);
  assert.equal(names.filter((n) => n === "open_session").length, 4);
  const rows = await table.batchGet(
    [...Array(60).keys()].map((i) => ({ hashKey: `h${i}`, sortKey: "s" })),
  );
  assert.equal(rows.length, 50);
  assert.equal(fake.takeNames().length, 4);
});

Deno.test("Table batchGet asks again for what a limit cut off", async () => {
  const { table, fake } = open();
  const keys = [...Array(40).keys()].map((i) => ({ hashKey: `h${i}`, sortKey: "s" }));
  for (const k of keys) await table.set(k.hashKey, k.sortKey, k.hashKey);
  fake.scanBatch = 3;
  const rows = await table.batchGet(keys);
  assert.deepEqual(rows.map((r) => text(r.value)).sort(), keys.map((k) => k.hashKey).sort());
});

Deno.test("Table batchGet has a row as often as its key was given, wherever an answer is cut", async () => {
  for (const scanBatch of [1, 2, 3, 4, 1000]) {
    const fake = new FakeCluster();
    fake.addTable("t", 1);
    const table = new Cluster(fake, { meta: ["m1:1"] }).table("t");
    for (const sortKey of ["a", "b", "c"]) await table.set("h", sortKey, sortKey);
    fake.scanBatch = scanBatch;
    for (const asked of ["aba", "aab", "abcabc", "axbxa", "ccc"]) {
      const rows = await table.batchGet([...asked].map((sortKey) => ({ hashKey: "h", sortKey })));
      const found = rows.map((row) => text(row.value)).join("");
      assert.equal(found, asked.replaceAll("x", ""), `${asked}, ${scanBatch} rows at a time`);
    }
  }
});

Deno.test("Cluster finds the meta leader from a standby and after a change", async () => {
  const { fake } = open();
  fake.leader = "m2:1";
  const cluster = new Cluster(fake, { meta: ["m1:1"] });
  await cluster.table("t").set("h", "s", "v");
  assert.deepEqual(fake.calls.slice(0, 2).map((c) => c.address), ["m1:1", "m2:1"]);
  fake.leader = "m1:1";
  assert.equal((await cluster.admin.listTables()).tables.length, 1);
  assert.equal(cluster.admin.leader, "m1:1");
});

Deno.test("Cluster admin does not repeat a change whose fate is unknown", async () => {
  const { fake, cluster } = open();
  fake.fault = ({ name }) => name === "rename_table" ? { after: Err.TIMEOUT } : undefined;
  const error = await failure(cluster.admin.renameTable("t", "u"));
  assert.equal(error.outcome, "unknown");
  assert.equal(fake.calls.filter((c) => c.name === "rename_table").length, 1);
});

Deno.test("Cluster admin does not ask again what a meta leader has refused", async () => {
  const { fake, cluster } = open();
  for (const code of [Err.OBJECT_NOT_FOUND, Err.INVALID_STATE]) {
    fake.calls.length = 0;
    fake.fault = ({ name }) =>
      name === "drain" ? { before: code, detail: "No such server" } : undefined;
    const error = await failure(cluster.admin.drain("x:1", true));
    assert.deepEqual([error.code, error.detail], [code, "No such server"]);
    assert.deepEqual(fake.takeNames(), ["drain"]);
  }
});

Deno.test("Cluster admin creates a table and reports progress", async () => {
  const { fake, cluster } = open();
  const seen: string[] = [];
  fake.fault = ({ name }) => {
    if (name !== "query_config") return undefined;
    const parts = fake.table("new")!.partitions;
    const blank = parts.findLast((p) => p.primary === "");
    if (blank !== undefined) blank.primary = "n1:1";
    else if (seen.length === 0) { for (const p of parts.slice(0, 2)) p.primary = ""; }
    return undefined;
  };
  await cluster.admin.createTable("new", {
    partitionCount: 3,
    onProgress: (ready, total) => seen.push(`${ready}/${total}`),
  });
  assert.deepEqual(seen, ["1/3", "2/3", "3/3"]);
  const again = await failure(cluster.admin.createTable("new", { failIfExists: true }));
  assert.equal(again.code, Err.APP_EXIST);
});

Deno.test("Cluster close ends what waits and says whether it may have been done", async () => {
  const { fake, cluster, table } = open();
  await table.set("h", "s", "v");
  fake.fault = ({ name }) => name === "put" ? { after: Err.TIMEOUT } : { before: Err.BUSY };
  const write = failure(table.set("h", "s", "w"));
  const read = failure(table.get("h", "s"));
  await new Promise((resolve) => setTimeout(resolve, 30));
  await cluster.close();
  assert.equal((await write).code, Err.OUTCOME_UNKNOWN);
  assert.equal((await read).code, Err.CLOSED);
  assert.equal((await failure(table.get("h", "s"))).code, Err.CLOSED);
});

Deno.test("Cluster does not depend on its log: operations end although it throws", async () => {
  const fake = new FakeCluster();
  fake.addTable("t", 4);
  let lines = 0;
  const log = () => {
    lines++;
    throw new Error("The log is full");
  };
  const cluster = new Cluster(fake, { meta: ["m1:1", "m2:1"], log });
  let refusals = 2;
  fake.fault = ({ name }) =>
    name === "put" && refusals-- > 0 ? { before: Err.INVALID_STATE } : undefined;
  await cluster.table("t").set("h", "s", "v");
  assert.equal((await failure(cluster.table("nope").get("h", "s"))).code, Err.APP_NOT_EXIST);
  assert.equal(lines, 3);
  await cluster.close();
});
