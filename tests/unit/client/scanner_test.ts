// Scans against the fake cluster: completeness, order, limits and lost servers.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { fullScanParts, hashScanPart, isEmptyPart } from "../../../src/client/scan_plan.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { FakeCluster } from "./fake_cluster.ts";

async function filled(hashKeys: number, sortKeys: number) {
  const fake = new FakeCluster();
  fake.addTable("t", 5);
  const cluster = new Cluster(fake, { meta: ["m1:1"] });
  const table = cluster.table("t");
  for (let h = 0; h < hashKeys; h++) {
    const rows = [...Array(sortKeys).keys()].map((s) => ({
      sortKey: `s${String(s).padStart(3, "0")}`,
      value: `${h}.${s}`,
    }));
    await table.multiSet(`h${h}`, rows);
  }
  fake.calls.length = 0;
  return { fake, table, cluster };
}

async function keys(scan: AsyncIterable<{ hashKey: Uint8Array; sortKey: Uint8Array }>) {
  const seen: string[] = [];
  for await (const row of scan) seen.push(`${fromUtf8(row.hashKey)}/${fromUtf8(row.sortKey)}`);
  return seen;
}

Deno.test("Scan of a hash key yields all its rows in order over many batches", async () => {
  const { table, fake } = await filled(3, 25);
  const seen = await keys(table.scan("h1", { batchSize: 4 }));
  assert.equal(seen.length, 25);
  assert.deepEqual(seen, [...seen].sort());
  assert.equal(fake.calls.filter((c) => c.name === "scan").length, 6);
});

Deno.test("Scan respects bounds and filters", async () => {
  const { table } = await filled(2, 12);
  const of = (options: Parameters<typeof table.scan>[1]) => keys(table.scan("h0", options));
  assert.deepEqual(await of({ start: "s003", stop: "s005" }), ["h0/s003", "h0/s004"]);
  assert.deepEqual(
    await of({ start: "s003", startInclusive: false, stop: "s005", stopInclusive: true }),
    ["h0/s004", "h0/s005"],
  );
  assert.deepEqual(await of({ filter: { type: "prefix", pattern: "s01" } }), [
    "h0/s010",
    "h0/s011",
  ]);
  assert.deepEqual(await of({ filter: { type: "postfix", pattern: "7" } }), ["h0/s007"]);
  assert.deepEqual(await of({ start: "x", stop: "b" }), []);
});

Deno.test("Scan of the table yields every row once and counts them", async () => {
  const { table } = await filled(30, 7);
  const seen = await keys(table.fullScan({ batchSize: 3, parallel: 2 }));
  assert.equal(seen.length, 210);
  assert.equal(new Set(seen).size, 210);
  assert.equal(await table.fullScan({ batchSize: 10 }).count(), 210);
  const some = { hashKeyFilter: { type: "exact", pattern: "h7" } } as const;
  assert.equal(await table.fullScan(some).count(), 7);
  const parts = await Promise.all(
    [0, 1, 2, 3, 4].map((index) => keys(table.fullScan({ partitions: [index] }))),
  );
  assert.equal(parts.flat().length, 210);
});

Deno.test("Scan goes on behind the last row when contexts and servers are lost", async () => {
  const { table, fake } = await filled(20, 10);
  let calls = 0;
  fake.fault = ({ name }) => {
    if (name !== "scan" && name !== "get_scanner") return undefined;
    calls++;
    if (calls % 7 === 0) {
      for (const p of fake.tables[0]!.partitions) {
        p.primary = p.primary === "n1:1" ? "n2:1" : "n1:1";
        p.ballot++;
      }
      return { after: Err.CONNECTION_LOST };
    }
    if (name === "scan" && calls % 5 === 0) return { before: Err.SCAN_CONTEXT_LOST };
    return undefined;
  };
  const seen = await keys(table.fullScan({ batchSize: 3 }));
  assert.equal(seen.length, 200);
  assert.equal(new Set(seen).size, 200);
  assert.equal(await table.fullScan({ batchSize: 30 }).count(), 200);
});

Deno.test("Scan gives its context back when it is left early, and fails if nothing helps", async () => {
  const { table, fake } = await filled(1, 50);
  for await (const _ of table.scan("h0", { batchSize: 5 })) break;
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(fake.calls.at(-1)!.name, "clear_scanner");
  assert.equal(fake.tables[0]!.partitions.reduce((n, p) => n + p.scans.size, 0), 0);
  fake.fault = ({ name }) => name === "get_scanner" ? { before: Err.ACL_DENY } : undefined;
  const error = await keys(table.scan("h0")).catch((e: unknown) => e);
  assert.ok(error instanceof StoreError && error.code === Err.ACL_DENY);
});

Deno.test("Scan of a table that is re-created meanwhile fails instead of mixing two tables", async () => {
  const { table, fake } = await filled(10, 10);
  const run = async () => {
    for await (const _ of table.fullScan({ batchSize: 2 })) {
      if (fake.tables.length > 1) continue;
      fake.tables[0]!.status = "dropped";
      fake.addTable("t", 3);
    }
  };
  const error = await run().catch((e: unknown) => e);
  assert.ok(error instanceof StoreError && error.code === Err.PARENT_PARTITION_MISUSED);
});

Deno.test("hashScanPart narrows a prefix filter to a range of raw keys", () => {
  const hash = utf8("h");
  const part = hashScanPart(hash, { filter: { type: "prefix", pattern: "ab" }, start: "aa" });
  assert.deepEqual(part.startKey, encodeKey(hash, utf8("ab")));
  assert.deepEqual(part.stopKey, encodeKey(hash, utf8("ac")));
  const inner = hashScanPart(hash, {
    filter: { type: "prefix", pattern: "ab" },
    start: "abx",
    startInclusive: false,
    stop: "aby",
    stopInclusive: true,
  });
  assert.deepEqual(inner.startKey, encodeKey(hash, utf8("abx")));
  assert.deepEqual([inner.startInclusive, inner.stopInclusive], [false, true]);
  assert.equal(isEmptyPart(hashScanPart(hash, { start: "b", stop: "a" })), true);
  assert.equal(isEmptyPart(hashScanPart(hash, { start: "b", stop: "b" })), true);
  assert.equal(
    isEmptyPart(hashScanPart(hash, { start: "b", stop: "b", stopInclusive: true })),
    false,
  );
});

Deno.test("Scan of the table refuses numbers that cannot be, instead of waiting or finding nothing", async () => {
  const { table, fake } = await filled(3, 3);
  const refused = (error: unknown) =>
    error instanceof StoreError && error.code === Err.INVALID_ARGUMENT;
  for (const parallel of [NaN, Infinity, 0, -1, 1.5]) {
    assert.throws(() => table.fullScan({ parallel }), refused, `parallel ${parallel}`);
  }
  for (const index of [NaN, -1, 0.5]) {
    assert.throws(() => table.fullScan({ partitions: [0, index] }), refused, `partition ${index}`);
  }
  for (const batchSize of [NaN, 0, -1, 0.5]) {
    assert.throws(() => table.scan("h0", { batchSize }), refused, `batchSize ${batchSize}`);
    assert.throws(() => table.fullScan({ batchSize }), refused, `batchSize ${batchSize}`);
  }
  for (const most of [NaN, -1, 0.5]) {
    assert.throws(() => table.multiGet("h0", { countMax: most }), refused, `countMax ${most}`);
    assert.throws(() => table.multiGet("h0", { bytesMax: most }), refused, `bytesMax ${most}`);
  }
  assert.deepEqual(fake.calls, []);
  await assert.rejects(keys(table.fullScan({ partitions: [1, 9] })), refused);
  await assert.rejects(table.fullScan({ partitions: [5] }).count(), refused);
  assert.equal((await keys(table.fullScan({ parallel: 2 ** 40 }))).length, 9);
  assert.deepEqual(fullScanParts(4, { partitions: [3, 1] }).map(({ index }) => index), [3, 1]);
});

/** Lets everything run that needs no time: the fake answers in microtasks. */
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("Scan tells the loop of a read-ahead that failed while a row was used", async () => {
  const { table, fake } = await filled(1, 50);
  let rows = 0;
  const run = async () => {
    for await (const _ of table.scan("h0", { batchSize: 5 })) {
      rows++;
      fake.fault = ({ name }) =>
        name === "scan" || name === "get_scanner" ? { before: Err.ACL_DENY } : undefined;
      await turn();
    }
  };
  const error = await run().catch((e: unknown) => e);
  assert.ok(error instanceof StoreError && error.code === Err.ACL_DENY);
  assert.ok(rows >= 5 && rows < 50, `${rows} rows before the failure`);
});

Deno.test("Scan may be left after its cluster was closed", async () => {
  const { table, fake, cluster } = await filled(1, 50);
  // The read-ahead is on its way until the cluster closes.
  const onTheirWay: (() => void)[] = [];
  const start: typeof fake.start = fake.start.bind(fake);
  fake.start = (address, rpc, request, timeoutMs, done) => {
    if (rpc.name === "scan") onTheirWay.push(() => done(Err.CLOSED, undefined, ""));
    else start(address, rpc, request, timeoutMs, done);
  };
  for await (const _ of table.scan("h0", { batchSize: 5 })) {
    await cluster.close();
    for (const end of onTheirWay) end();
    await turn();
    break;
  }
  await turn();
  assert.equal(onTheirWay.length, 1);
});

Deno.test("Scan stops counting everywhere when one partition fails", async () => {
  const { table, fake } = await filled(30, 10);
  fake.fault = ({ name, request }) =>
    name === "get_scanner" && request.partition === partitionId(1, 1)
      ? { before: Err.ACL_DENY }
      : undefined;
  const counting = table.fullScan({ batchSize: 2, parallel: 2 }).count();
  const error = await counting.catch((e: unknown) => e);
  assert.ok(error instanceof StoreError && error.code === Err.ACL_DENY);
  await turn();
  const { partitions } = fake.tables[0]!;
  const opened = fake.calls.filter(({ name }) => name === "get_scanner").length;
  assert.ok(opened < partitions.length, `${opened} parts were opened`);
  assert.equal(partitions.reduce((n, p) => n + p.scans.size, 0), 0);
});
