// What every storage engine must do (storage/engine.ts). Run on the real engine by engine_level_test.ts and
// on its twin by engine_memory_test.ts, so that tests which use the twin say something about the product.

import assert from "node:assert/strict";
import fc from "fast-check";
import { compareBytes, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import {
  type BatchOp,
  type Engine,
  EngineError,
  type EngineIterator,
  type Entry,
  type RangeOptions,
} from "../../storage/engine.ts";

/** How the suite makes engines. */
export interface EngineFactory {
  readonly name: string;
  /** A fresh, empty engine; the suite closes it. */
  open(): Promise<Engine>;
}

const put = (key: string, value: string): BatchOp => ({
  type: "put",
  key: utf8(key),
  value: utf8(value),
});
const del = (key: string): BatchOp => ({ type: "del", key: utf8(key) });
const text = (bytes: Uint8Array | undefined) =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);
const texts = (entries: readonly Entry[]) =>
  entries.map(([key, value]) => `${text(key)}=${text(value)}`).join(" ");

async function all(iterator: EngineIterator, step = 3): Promise<Entry[]> {
  const entries: Entry[] = [];
  try {
    for (;;) {
      const part = await iterator.next(step);
      entries.push(...part);
      if (part.length < step) return entries;
    }
  } finally {
    await iterator.close();
  }
}

/** Registers the tests. */
export function engineSuite(factory: EngineFactory): void {
  function test(name: string, run: (engine: Engine) => Promise<void>): void {
    Deno.test(`${factory.name} ${name}`, async () => {
      const engine = await factory.open();
      try {
        await run(engine);
      } finally {
        await engine.close();
      }
    });
  }
  pointTests(test);
  rangeTests(test);
  isolationTests(test);
  lifeTests(test);
  modelTest(factory);
}

type Register = (name: string, run: (engine: Engine) => Promise<void>) => void;

function pointTests(test: Register): void {
  test("reads what was written, and undefined for the rest", async (engine) => {
    await engine.write([put("a", "1"), put("b", ""), put("c", "3"), del("c"), del("nothing")]);
    assert.equal(text(engine.get(utf8("a"))), "1");
    assert.equal(text(engine.get(utf8("b"))), "");
    assert.equal(engine.get(utf8("c")), undefined);
    assert.equal(text(engine.get(utf8("b"))), "");
  });

  test("applies the operations of a batch in order", async (engine) => {
    await engine.write([put("k", "1"), del("k"), put("k", "2"), put("k", "3")]);
    assert.equal(text(engine.get(utf8("k"))), "3");
    await engine.write([]);
  });

  test("applies concurrent batches in the order of their calls", async (engine) => {
    const writes: Promise<void>[] = [];
    for (let i = 0; i < 50; i++) {
      writes.push(engine.write([put("k", String(i)), put(`k${i}`, "x")]));
    }
    await Promise.all(writes);
    assert.equal(text(engine.get(utf8("k"))), "49");
  });

  test("copies keys and values of a batch", async (engine) => {
    const key = utf8("key");
    const value = utf8("value");
    const written = engine.write([{ type: "put", key, value }]);
    key.fill(0);
    value.fill(0);
    await written;
    assert.equal(text(engine.get(utf8("key"))), "value");
  });

  test("keeps keys of any bytes, the empty value and a large value", async (engine) => {
    const keys = ["00", "0000", "00ff", "ff", "ffff", "ffff61"].map((hex) => fromHex(hex)!);
    const large = new Uint8Array(1 << 20).fill(7);
    await engine.write(keys.map((key) => ({ type: "put", key, value: large })));
    assert.equal(engine.get(fromHex("0000")!)!.length, 1 << 20);
    const got = await all(engine.range({}));
    assert.deepEqual(got.map(([key]) => toHex(key)), [
      "00",
      "0000",
      "00ff",
      "ff",
      "ffff",
      "ffff61",
    ]);
  });
}

function rangeTests(test: Register): void {
  test("reads ranges with every kind of bound, both ways", async (engine) => {
    await engine.write([put("a", "1"), put("b", "2"), put("c", "3"), put("d", "4")]);
    const cases: [RangeOptions, string][] = [
      [{}, "a=1 b=2 c=3 d=4"],
      [{ gte: utf8("b") }, "b=2 c=3 d=4"],
      [{ gt: utf8("b") }, "c=3 d=4"],
      [{ gt: utf8("bb") }, "c=3 d=4"],
      [{ lt: utf8("c") }, "a=1 b=2"],
      [{ lte: utf8("c") }, "a=1 b=2 c=3"],
      [{ gte: utf8("b"), lt: utf8("d") }, "b=2 c=3"],
      [{ gt: utf8("a"), lte: utf8("b") }, "b=2"],
      [{ gt: utf8("c"), lt: utf8("b") }, ""],
      [{ gt: utf8("b"), lt: utf8("b") }, ""],
      [{ gte: utf8("x") }, ""],
    ];
    for (const [options, expected] of cases) {
      assert.equal(texts(await all(engine.range(options))), expected);
      const reversed = await all(engine.range({ ...options, reverse: true }));
      assert.equal(texts(reversed.reverse()), expected);
    }
  });

  test("leaves values out on request", async (engine) => {
    await engine.write([put("a", "1")]);
    assert.equal(texts(await all(engine.range({ values: false }))), "a=");
  });

  test("returns as many entries as asked for, however large they are", async (engine) => {
    const value = new Uint8Array(50_000);
    for (let i = 0; i < 12; i++) {
      await engine.write([{ type: "put", key: utf8(`k${String(i).padStart(2, "0")}`), value }]);
    }
    const iterator = engine.range({});
    assert.equal((await iterator.next(10)).length, 10);
    assert.equal((await iterator.next(10)).length, 2);
    assert.equal((await iterator.next(10)).length, 0);
    await iterator.close();
    const bounded = engine.range({});
    let total = 0;
    for (;;) {
      const part = await bounded.next(10, 1);
      if (part.length === 0) break;
      assert.ok(part.length < 10, `got ${part.length}`);
      total += part.length;
    }
    assert.equal(total, 12);
    await bounded.close();
  });
}

function isolationTests(test: Register): void {
  test("snapshots do not see later writes", async (engine) => {
    await engine.write([put("a", "1"), put("b", "2")]);
    const snapshot = engine.snapshot();
    await engine.write([put("a", "new"), del("b"), put("c", "3")]);
    assert.equal(text(snapshot.get(utf8("a"))), "1");
    assert.equal(text(snapshot.get(utf8("b"))), "2");
    assert.equal(snapshot.get(utf8("c")), undefined);
    assert.equal(texts(await all(snapshot.range({}))), "a=1 b=2");
    await engine.flush();
    assert.equal(texts(await all(snapshot.range({ reverse: true }))), "b=2 a=1");
    await snapshot.close();
    assert.equal(texts(await all(engine.range({}))), "a=new c=3");
  });

  test("iterators see the moment of their creation", async (engine) => {
    await engine.write([put("a", "1"), put("b", "2"), put("c", "3")]);
    const iterator = engine.range({});
    await engine.write([put("aa", "x"), del("c")]);
    assert.equal(texts(await iterator.next(1)), "a=1");
    await engine.write([put("b", "changed")]);
    assert.equal(texts(await iterator.next(10)), "b=2 c=3");
    await iterator.close();
  });
}

function lifeTests(test: Register): void {
  test("closes twice, with an open iterator and snapshot, and then refuses", async (engine) => {
    await engine.write([put("a", "1")]);
    const iterator = engine.range({});
    const snapshot = engine.snapshot();
    const write = engine.write([put("b", "2")]);
    await Promise.all([engine.close(), engine.close()]);
    await write;
    const isClosed = (error: unknown) => error instanceof EngineError && error.kind === "closed";
    assert.throws(() => engine.get(utf8("a")), isClosed);
    assert.throws(() => engine.range({}), isClosed);
    assert.throws(() => engine.snapshot(), isClosed);
    assert.throws(() => snapshot.get(utf8("a")), isClosed);
    await assert.rejects(engine.write([put("c", "3")]), isClosed);
    await assert.rejects(iterator.next(1), isClosed);
    await assert.rejects(engine.flush(), isClosed);
    await assert.rejects(engine.compact(utf8("a"), utf8("b")), isClosed);
    await assert.rejects(engine.approximateSize(utf8("a"), utf8("b")), isClosed);
    await iterator.close();
    await snapshot.close();
  });

  test("flushes and compacts without losing a row", async (engine) => {
    for (let i = 0; i < 100; i++) await engine.write([put(`k${i}`, String(i))]);
    await engine.flush();
    await engine.write([del("k7")]);
    await engine.flush();
    await engine.flush();
    await engine.compact(utf8("k"), utf8("l"));
    assert.equal((await all(engine.range({}), 50)).length, 99);
    assert.equal(engine.get(utf8("k7")), undefined);
    assert.ok(await engine.approximateSize(utf8("k"), utf8("l")) >= 0);
  });
}

/** Random operations against a plain Map. */
function modelTest(factory: EngineFactory): void {
  const key = fc.uint8Array({ minLength: 1, maxLength: 3, max: 3 });
  const batch = fc.array(
    fc.record({ key, value: fc.option(fc.uint8Array({ maxLength: 8 }), { nil: undefined }) }),
    { maxLength: 6 },
  );
  const bound = fc.option(fc.record({ key, inclusive: fc.boolean() }), { nil: undefined });
  const step = fc.record({
    batch,
    low: bound,
    high: bound,
    reverse: fc.boolean(),
    flush: fc.boolean(),
  });

  Deno.test(`${factory.name} agrees with a map under random operations`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const engine = await factory.open();
        const model = new Map<string, string>();
        try {
          for (const { batch, low, high, reverse, flush } of steps) {
            await engine.write(
              batch.map(({ key, value }) =>
                value === undefined ? { type: "del", key } : { type: "put", key, value }
              ),
            );
            for (const { key, value } of batch) {
              if (value === undefined) model.delete(toHex(key));
              else model.set(toHex(key), toHex(value));
            }
            if (flush) await engine.flush();
            const got = await all(engine.range({
              ...(low && (low.inclusive ? { gte: low.key } : { gt: low.key })),
              ...(high && (high.inclusive ? { lte: high.key } : { lt: high.key })),
              reverse,
            }));
            const above = (hex: string) =>
              !low || inside(compareBytes(fromHex(hex)!, low.key), low);
            const below = (hex: string) =>
              !high || inside(compareBytes(high.key, fromHex(hex)!), high);
            const expected = [...model].filter(([hex]) => above(hex) && below(hex))
              .sort(([a], [b]) => compareBytes(fromHex(a)!, fromHex(b)!));
            if (reverse) expected.reverse();
            assert.deepEqual(got.map(([k, v]) => [toHex(k), toHex(v)]), expected);
            for (const { key } of batch) {
              const value = engine.get(key);
              assert.equal(value && toHex(value), model.get(toHex(key)));
            }
          }
        } finally {
          await engine.close();
        }
      }),
      { numRuns: 40 },
    );
  });
}

function inside(comparison: number, bound: { inclusive: boolean }): boolean {
  return bound.inclusive ? comparison >= 0 : comparison > 0;
}
