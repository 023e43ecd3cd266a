// Scans across batches, and the life of their contexts.

import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import type { GetScannerRequest } from "../../../src/schema/client_rpc.ts";
import { RowBlock } from "../../../src/schema/row_block.ts";
import type { Filter, Row } from "../../../src/schema/types.ts";
import type { ReadScope } from "../../../roles/replica/reads.ts";
import { ScanContexts } from "../../../roles/replica/scans.ts";
import { EngineError } from "../../../storage/engine.ts";
import { engineOf, key, ok, rawTexts, scanRequest, scopeOf } from "./reads_fixture.ts";

const filter = (type: Filter["type"], pattern: string): Filter => ({
  type,
  pattern: utf8(pattern),
});
const next = (context: number) => ({ partition: 65536, context });

/** Runs a scan to its end. */
async function scanAll(contexts: ScanContexts, scope: ReadScope, request: GetScannerRequest) {
  let batch = ok(await contexts.open(scope, request));
  const rows: Row[] = [...batch.rows.toArray()];
  let count = batch.count;
  let batches = 1;
  while (batch.context !== 0) {
    batch = ok(await contexts.next(scope, next(batch.context)));
    rows.push(...batch.rows.toArray());
    count += batch.count;
    batches++;
  }
  return { text: rawTexts(RowBlock.of(rows)), count, batches };
}

const ROWS = ["/s=0", "a/1=1", "a/2=2", "b/1=3", "b/dead=x@1", "aa/1=4@2000", "ab/9=5"];

Deno.test("ScanContexts reads all user rows in raw key order", async () => {
  const contexts = new ScanContexts(1);
  const scope = scopeOf(engineOf(...ROWS));
  const whole = await scanAll(contexts, scope, scanRequest());
  assert.equal(whole.text, "/s=0 a/1=1 a/2=2 b/1=3 aa/1=4 ab/9=5");
  assert.equal(whole.batches, 1);
  const steps = await scanAll(contexts, scope, scanRequest({ batchSize: 2 }));
  assert.deepEqual([steps.text, steps.batches], [whole.text, 3]);
  assert.equal(contexts.size, 0);
});

Deno.test("ScanContexts honours bounds and never leaves the user's keys", async () => {
  const contexts = new ScanContexts(1);
  const scope = scopeOf(engineOf(...ROWS));
  const scan = async (changes: Partial<GetScannerRequest>) =>
    (await scanAll(contexts, scope, scanRequest(changes))).text;
  const [a1, b1] = [key("a", "1"), key("b", "1")];
  assert.equal(await scan({ startKey: a1, stopKey: b1 }), "a/1=1 a/2=2");
  assert.equal(
    await scan({ startKey: a1, startInclusive: false, stopKey: b1, stopInclusive: true }),
    "a/2=2 b/1=3",
  );
  assert.equal(await scan({ startKey: b1, stopKey: a1 }), "");
  assert.equal(await scan({ startKey: b1, stopKey: b1 }), "");
  const all = await scan({});
  assert.equal(
    await scan({ stopKey: new Uint8Array([0xff, 0xff, 0xff]), stopInclusive: true }),
    all,
  );
  assert.equal(await scan({ startKey: new Uint8Array([0xff, 0xff]) }), "");
});

Deno.test("ScanContexts filters hash keys and sort keys", async () => {
  const contexts = new ScanContexts(1);
  const scope = scopeOf(engineOf(...ROWS));
  const cases: [Filter, Filter, string][] = [
    [filter("prefix", "a"), filter("none", ""), "a/1 a/2 aa/1 ab/9"],
    [filter("exact", "a"), filter("none", ""), "a/1 a/2"],
    [filter("postfix", "b"), filter("none", ""), "b/1 ab/9"],
    [filter("anywhere", "a"), filter("exact", "1"), "a/1 aa/1"],
    [filter("none", ""), filter("prefix", "1"), "a/1 b/1 aa/1"],
    [filter("exact", ""), filter("postfix", ""), "/s a/1 a/2 b/1 aa/1 ab/9"],
    [filter("exact", "nobody"), filter("none", ""), ""],
  ];
  for (const [hashKeyFilter, sortKeyFilter, expected] of cases) {
    const request = scanRequest({ hashKeyFilter, sortKeyFilter, noValue: true });
    assert.equal((await scanAll(contexts, scope, request)).text, expected, hashKeyFilter.type);
  }
  const huge = { type: "prefix" as const, pattern: new Uint8Array(65535) };
  const answer = await contexts.open(scope, scanRequest({ hashKeyFilter: huge }));
  assert.equal(answer, Err.INVALID_ARGUMENT);
});

Deno.test("ScanContexts counts and returns expiry on request", async () => {
  const contexts = new ScanContexts(1);
  const scope = scopeOf(engineOf(...ROWS), { scanExaminedMax: 3 });
  const counted = await scanAll(contexts, scope, scanRequest({ countOnly: true, batchSize: 1 }));
  assert.deepEqual([counted.text, counted.count, counted.batches], ["", 6, 3]);
  const request = scanRequest({ hashKeyFilter: filter("prefix", "a"), returnExpireTs: true });
  const rows = await scanAll(contexts, scope, request);
  assert.deepEqual([rows.text, rows.count], ["a/1=1@0 a/2=2@0 aa/1=4@2000 ab/9=5@0", 0]);
});

Deno.test("ScanContexts bounds a batch by rows, examined rows, bytes and time", async () => {
  const engine = engineOf(...Array.from({ length: 20 }, (_, i) => `h/${i + 10}=123456`));
  const first = async (scope: ReadScope, changes: Partial<GetScannerRequest> = {}) => {
    const contexts = new ScanContexts(1);
    const batch = ok(await contexts.open(scope, scanRequest(changes)));
    const open = batch.context !== 0;
    await contexts.close();
    return [batch.rows.count, open];
  };
  assert.deepEqual(await first(scopeOf(engine), { batchSize: 4 }), [4, true]);
  assert.deepEqual(await first(scopeOf(engine), { batchSize: 20 }), [20, false]);
  assert.deepEqual(await first(scopeOf(engine, { scanRowsMax: 7 })), [7, true]);
  assert.deepEqual(await first(scopeOf(engine, { scanExaminedMax: 5 })), [5, true]);
  assert.deepEqual(await first(scopeOf(engine, { scanBytesMax: 12 })), [2, true]);
  const none = { sortKeyFilter: filter("exact", "29") };
  assert.deepEqual(await first(scopeOf(engine, { scanExaminedMax: 5 }), none), [0, true]);
  const many = engineOf(...Array.from({ length: 600 }, (_, i) => `h/${i}=1`));
  let clock = 0;
  const [rows, open] = await first(scopeOf(many, { rangeTimeMsMax: 5 }, () => clock += 10));
  assert.ok(Number(rows) > 0 && Number(rows) < 600 && open === true, String(rows));
});

Deno.test("ScanContexts scans see the moment of their opening", async () => {
  const engine = engineOf("h/a=1", "h/b=2", "h/c=3");
  const contexts = new ScanContexts(1);
  const scope = scopeOf(engine);
  const batch = ok(await contexts.open(scope, scanRequest({ batchSize: 1 })));
  engine.writeNow([{ type: "del", key: key("h", "b") }, {
    type: "put",
    key: key("h", "bb"),
    value: utf8(""),
  }]);
  const second = ok(await contexts.next(scope, next(batch.context)));
  assert.equal(rawTexts(second.rows), "h/b=2");
  await contexts.close();
});

Deno.test("ScanContexts names are used once, are unique, and differ between replicas", async () => {
  const engine = engineOf("h/a=1", "h/b=2", "h/c=3");
  const scope = scopeOf(engine);
  const [one, two] = [new ScanContexts(1), new ScanContexts(0xffff_ffff)];
  const first = ok(await one.open(scope, scanRequest({ batchSize: 1 })));
  assert.ok(Number.isSafeInteger(first.context) && first.context > 0);
  assert.equal(await two.next(scope, next(first.context)), Err.SCAN_CONTEXT_LOST);
  const other = ok(await two.open(scope, scanRequest({ batchSize: 1 })));
  assert.ok(Number.isSafeInteger(other.context) && other.context > 0);
  const both = await Promise.all([
    one.next(scope, next(first.context)),
    one.next(scope, next(first.context)),
  ]);
  assert.equal(both.filter((answer) => answer === Err.SCAN_CONTEXT_LOST).length, 1);
  assert.equal(await one.next(scope, next(0)), Err.SCAN_CONTEXT_LOST);
  await Promise.all([one.close(), two.close()]);
});

Deno.test("ScanContexts forget idle scans, and keep those that go on", async () => {
  const engine = engineOf("h/a=1", "h/b=2", "h/c=3", "h/d=4");
  let clock = 0;
  const scope = scopeOf(engine, { scanIdleMsMax: 100 }, () => clock);
  const contexts = new ScanContexts(1);
  const idle = ok(await contexts.open(scope, scanRequest({ batchSize: 1 })));
  let busy = ok(await contexts.open(scope, scanRequest({ batchSize: 1 })));
  clock = 99;
  busy = ok(await contexts.next(scope, next(busy.context)));
  clock = 100;
  contexts.expire(clock);
  assert.equal(await contexts.next(scope, next(idle.context)), Err.SCAN_CONTEXT_LOST);
  assert.equal(rawTexts(ok(await contexts.next(scope, next(busy.context))).rows), "h/c=3");
  await contexts.close();
});

Deno.test("ScanContexts answers BUSY when too many are open, and clear makes room", async () => {
  const scope = scopeOf(engineOf("h/a=1", "h/b=2"), { scanContextsMax: 2 });
  const contexts = new ScanContexts(1);
  const request = scanRequest({ batchSize: 1 });
  const first = ok(await contexts.open(scope, request));
  const second = ok(await contexts.open(scope, request));
  assert.equal(await contexts.open(scope, request), Err.BUSY);
  assert.equal(contexts.clear(first.context), true);
  assert.equal(contexts.clear(first.context), false);
  await Promise.resolve();
  await contexts.next(scope, next(second.context));
  assert.notEqual(await contexts.open(scope, request), Err.BUSY);
  await contexts.close();
});

Deno.test("ScanContexts close gives up idle and running scans without calling them finished", async () => {
  const scope = scopeOf(engineOf("h/a=1", "h/b=2", "h/c=3"));
  const contexts = new ScanContexts(1);
  const idle = ok(await contexts.open(scope, scanRequest({ batchSize: 1 })));
  const running = contexts.open(scope, scanRequest({ batchSize: 1 }));
  await contexts.close();
  const batch = ok(await running);
  assert.notEqual(batch.context, 0);
  for (const context of [idle.context, batch.context]) {
    assert.equal(await contexts.next(scope, next(context)), Err.SCAN_CONTEXT_LOST);
  }
  assert.equal(await contexts.open(scope, scanRequest()), Err.INVALID_STATE);
  assert.equal(contexts.size, 0);
});

async function scanOn(contexts: ScanContexts, scope: ReadScope, context: number): Promise<void> {
  while (context !== 0) context = ok(await contexts.next(scope, next(context))).context;
}

Deno.test("ScanContexts passes an engine's failure on and keeps nothing", async () => {
  // More than a scan has in memory: one block in use and one read ahead.
  const engine = engineOf(...Array.from({ length: 600 }, (_, i) => `h/${1000 + i}=v`));
  const scope = scopeOf(engine);
  const contexts = new ScanContexts(1);
  const batch = ok(await contexts.open(scope, scanRequest({ batchSize: 1 })));
  await engine.close();
  await assert.rejects(scanOn(contexts, scope, batch.context), EngineError);
  await contexts.close();
  assert.equal(contexts.size, 0);
});

Deno.test("ScanContexts yields every row once, whatever the batch limits", async () => {
  const name = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 3 });
  await fc.assert(fc.asyncProperty(
    fc.uniqueArray(fc.tuple(name, name), { maxLength: 25, selector: ([h, s]) => `${h}/${s}` }),
    fc.integer({ min: 0, max: 5 }),
    fc.integer({ min: 1, max: 30 }),
    fc.integer({ min: 1, max: 30 }),
    async (keys, batchSize, scanExaminedMax, scanBytesMax) => {
      const engine = engineOf(...keys.map(([h, s]) => `${h}/${s}=v`));
      const scope = scopeOf(engine, { scanExaminedMax, scanBytesMax });
      const { text } = await scanAll(new ScanContexts(5), scope, scanRequest({ batchSize }));
      assert.deepEqual(
        text.split(" ").filter(Boolean).sort(),
        keys.map(([h, s]) => `${h}/${s}=v`).sort(),
      );
    },
  ));
});
