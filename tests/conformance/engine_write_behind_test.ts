// The write-behind engine passes the engine suite over both engines, and keeps its own promises: rows are readable
// before the database has them, what waits is bounded, a snapshot taken in exclusive() is exact, and a failure
// loses nothing that was readable.

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { type BatchOp, EngineError, type Entry } from "../../storage/engine.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";
import {
  batchMsOf,
  WriteBehindEngine,
  type WriteBehindOptions,
} from "../../storage/write_behind.ts";
import { MemoryEngine } from "../sim/memory_engine.ts";
import { engineSuite } from "./engine_suite.ts";

const ROOT = Deno.makeTempDirSync({ prefix: "pegasus_behind_" });
globalThis.addEventListener("unload", () => Deno.removeSync(ROOT, { recursive: true }));

engineSuite({
  name: "WriteBehindEngine over LevelEngine",
  open: async () =>
    new WriteBehindEngine(await openLevelEngine(Deno.makeTempDirSync({ dir: ROOT }))),
});
engineSuite({
  name: "WriteBehindEngine over MemoryEngine",
  open: () => Promise.resolve(new WriteBehindEngine(new MemoryEngine())),
});

const put = (key: string, value: string): BatchOp => ({
  type: "put",
  key: utf8(key),
  value: utf8(value),
});
const del = (key: string): BatchOp => ({ type: "del", key: utf8(key) });

/** A database that takes its batches when the test says so. */
class Gated {
  readonly batches: number[] = [];
  readonly inner: MemoryEngine;
  readonly engine: WriteBehindEngine;
  #open: (() => void)[] = [];

  constructor(options: WriteBehindOptions = {}) {
    this.inner = new MemoryEngine({
      write: (ops) => {
        this.batches.push(ops.length);
        return new Promise((resolve) => this.#open.push(resolve));
      },
    });
    this.engine = new WriteBehindEngine(this.inner, options);
  }

  text(key: string): string | undefined {
    const value = this.engine.get(utf8(key));
    return value === undefined ? undefined : fromUtf8(value);
  }

  /** Lets the oldest batch through. */
  async pass(): Promise<void> {
    while (this.#open.length === 0) await turn();
    this.#open.shift()!();
    for (let i = 0; i < 5; i++) await turn();
  }

  async close(): Promise<void> {
    let closed = false;
    const closing = this.engine.close().finally(() => closed = true);
    while (!closed) {
      this.#open.shift()?.();
      await turn();
    }
    await closing;
  }
}

const turn = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

async function rows(entries: Promise<Entry[]>): Promise<string[]> {
  return (await entries).map(([key, value]) => `${fromUtf8(key)}=${fromUtf8(value)}`);
}

Deno.test("WriteBehindEngine shows rows before the database has them, newest first", async () => {
  const gated = new Gated({ batchBytes: 1 });
  assert.equal(gated.engine.apply([put("a", "1"), put("b", "1")]), undefined);
  assert.equal(gated.engine.apply([put("a", "2"), del("b"), put("c", "2")]), undefined);
  assert.equal(gated.inner.size, 0);
  assert.deepEqual(["a", "b", "c", "d"].map((key) => gated.text(key)), [
    "2",
    undefined,
    "2",
    undefined,
  ]);
  await gated.pass();
  assert.equal(fromUtf8(gated.inner.get(utf8("b"))!), "1", "The database is behind");
  assert.equal(gated.text("b"), undefined);
  await gated.pass();
  assert.deepEqual(["a", "b", "c"].map((key) => gated.text(key)), ["2", undefined, "2"]);
  assert.deepEqual(gated.batches, [2, 3]);
  await gated.close();
});

Deno.test("WriteBehindEngine writes one operation per key, and many applies at once", async () => {
  const gated = new Gated({ batchBytes: 1 << 20, batchMs: 1 });
  for (let i = 0; i < 100; i++) gated.engine.apply([put("same", String(i)), put(`k${i}`, "x")]);
  await gated.pass();
  assert.deepEqual(gated.batches, [101]);
  assert.equal(gated.text("same"), "99");
  await gated.close();
});

Deno.test("WriteBehindEngine makes applies wait while too much waits for the database", async () => {
  const gated = new Gated({ batchBytes: 1, waitingBytesMax: 200 });
  assert.equal(gated.engine.apply([put("a", "x".repeat(180))]), undefined);
  const second = gated.engine.apply([put("b", "2")]);
  const third = gated.engine.apply([put("c", "3")]);
  assert.ok(second instanceof Promise && third instanceof Promise);
  assert.equal(gated.text("b"), undefined, "A waiting apply is not done");
  await gated.pass();
  await Promise.all([second, third]);
  assert.deepEqual(["a", "b", "c"].map((key) => gated.text(key)?.length), [180, 1, 1]);
  await gated.close();
});

Deno.test("WriteBehindEngine takes an exact snapshot while applies go on", async () => {
  const gated = new Gated();
  gated.engine.apply([put("a", "1")]);
  assert.throws(() => gated.engine.snapshot(), EngineError);
  let seen: Promise<string[]> | undefined;
  gated.engine.exclusive(() => {
    const snapshot = gated.engine.snapshot();
    const range = snapshot.range({});
    seen = rows(range.next(10)).finally(async () => {
      await range.close();
      await snapshot.close();
    });
  });
  const later = gated.engine.apply([put("a", "2")]);
  assert.ok(later instanceof Promise, "The apply waits for the snapshot");
  await gated.pass();
  await later;
  assert.deepEqual(await seen, ["a=1"]);
  assert.equal(gated.text("a"), "2");
  await gated.close();
});

Deno.test("WriteBehindEngine ranges hold what was applied before them", async () => {
  const gated = new Gated();
  gated.engine.apply([put("a", "1"), put("b", "1")]);
  const range = gated.engine.range({});
  const found = rows(range.next(10));
  await gated.pass();
  assert.deepEqual(await found, ["a=1", "b=1"]);
  await range.close();
  await gated.close();
});

Deno.test("WriteBehindEngine stays readable after a failed batch and refuses everything else", async () => {
  const inner = new MemoryEngine({
    write: () => Promise.reject(new EngineError("io", "The disk is gone")),
  });
  const engine = new WriteBehindEngine(inner, { batchBytes: 1 });
  engine.apply([put("a", "1")]);
  const range = engine.range({});
  await assert.rejects(range.next(1), /disk is gone/);
  await range.close();
  assert.equal(fromUtf8(engine.get(utf8("a"))!), "1");
  await assert.rejects(engine.apply([put("a", "2")])!, /disk is gone/);
  await assert.rejects(engine.write([put("a", "2")]), /disk is gone/);
  await assert.rejects(engine.flush(), /disk is gone/);
  let taken = false;
  engine.exclusive(() => taken = true);
  await turn();
  assert.ok(taken, "Whoever waits for a quiet moment is not left waiting");
  await engine.close();
  assert.throws(() => engine.range({}), EngineError);
});

Deno.test("WriteBehindEngine agrees with a map under any order of applies, reads and batches", async () => {
  const key = fc.integer({ min: 0, max: 7 }).map((n) => `k${n}`);
  const step = fc.oneof(
    fc.record({
      do: fc.constant("apply" as const),
      ops: fc.array(fc.tuple(key, fc.option(fc.string({ maxLength: 3 }))), { maxLength: 5 }),
    }),
    fc.record({ do: fc.constantFrom("read", "range", "pause", "flush", "write") }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const inner = new MemoryEngine({ write: () => turn() });
      const engine = new WriteBehindEngine(inner, { batchBytes: 300, waitingBytesMax: 500 });
      const model = new Map<string, string>();
      let count = 0;
      for (const one of steps) {
        if ("ops" in one) {
          const ops = one.ops.map(([k, v]) => v === null ? del(k) : put(k, v));
          const waits = engine.apply(ops);
          if (waits !== undefined) await waits;
          for (const [k, v] of one.ops) v === null ? model.delete(k) : model.set(k, v);
        } else if (one.do === "pause") await turn();
        else if (one.do === "flush") await engine.flush();
        else if (one.do === "write") {
          model.set("k0", String(++count));
          await engine.write([put("k0", String(count))]);
        } else if (one.do === "range") {
          const range = engine.range({});
          const found = await rows(range.next(100));
          await range.close();
          assert.deepEqual(found, [...model].map(([k, v]) => `${k}=${v}`).sort());
        }
        for (let i = 0; i < 8; i++) {
          const value = engine.get(utf8(`k${i}`));
          assert.equal(value === undefined ? undefined : fromUtf8(value), model.get(`k${i}`));
        }
      }
      await engine.close();
    }),
    { numRuns: 60 },
  );
});

/** A database on a disk without room, and one that needs to be opened anew after that. */
function onFullDisk() {
  const state = { full: true, broken: false, refused: 0, attempts: 0 };
  const inner = new MemoryEngine({
    write: () => {
      state.attempts++;
      if (state.full || state.broken) throw new EngineError("noSpace", "No space left on device");
      return Promise.resolve();
    },
  });
  const room = {
    get isFull() {
      return state.full;
    },
    refused: () => void state.refused++,
  };
  return { state, engine: new WriteBehindEngine(inner, { room, waitingBytesMax: 200 }) };
}

Deno.test("WriteBehindEngine keeps rows readable on a full disk and writes them when there is room", async () => {
  const { state, engine } = onFullDisk();
  assert.equal(engine.apply([put("a", "1")]), undefined);
  const flushed = engine.flush();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(state.refused, 1);
  engine.apply([put("b", "2".repeat(200))]);
  // What waits is bounded: the next one waits for room.
  let applied = false;
  const waiting = engine.apply([put("c", "3")])!.then(() => applied = true);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(applied, false);
  assert.equal(fromUtf8(engine.get(utf8("a"))!), "1");
  assert.equal(state.attempts, 1, "a full disk is not asked again and again");
  state.full = false;
  await flushed;
  await waiting;
  await engine.flush();
  for (const key of ["a", "b", "c"]) assert.notEqual(engine.get(utf8(key)), undefined, key);
  await engine.close();
});

Deno.test("WriteBehindEngine fails when the database refuses although there is room", async () => {
  const { state, engine } = onFullDisk();
  engine.apply([put("a", "1")]);
  const flushed = engine.flush();
  await new Promise((resolve) => setTimeout(resolve, 0));
  state.broken = true;
  state.full = false;
  await assert.rejects(flushed, { kind: "noSpace" });
  assert.equal(fromUtf8(engine.get(utf8("a"))!), "1", "it stays readable");
  await assert.rejects(engine.apply([put("b", "2")])!, { kind: "noSpace" });
  await engine.close();
});

/** Of an operation that may go on for ever: how it has failed, as soon as it has. */
function failureOf(running: Promise<unknown>): { kind: string } {
  const seen = { kind: "" };
  running.catch((error: EngineError) => seen.kind = error.kind);
  return seen;
}

Deno.test("WriteBehindEngine refuses ranges and snapshots on a full disk instead of letting them wait", async () => {
  const { state, engine } = onFullDisk();
  engine.apply([put("a", "1")]);
  // Asked for before the batch was refused, and after that.
  const early = engine.range({});
  const refused = failureOf(early.next(1));
  let taken = 0;
  engine.exclusive(() => taken++);
  const flushed = engine.flush();
  await turn();
  const late = engine.range({});
  const refusedLate = failureOf(late.next(1));
  engine.exclusive(() => taken++);
  await turn();
  assert.deepEqual([refused.kind, refusedLate.kind, taken], ["noSpace", "noSpace", 2]);
  assert.equal(engine.apply([put("b", "2")]), undefined, "applies do not wait for a snapshot");
  state.full = false;
  await flushed;
  const range = engine.range({});
  assert.deepEqual(await rows(range.next(5)), ["a=1", "b=2"]);
  for (const one of [early, late, range]) await one.close();
  await engine.close();
});

Deno.test("WriteBehindEngine lets go whoever waits for room when nobody shall wait any more", async () => {
  for (const isRefusedFirst of [true, false]) {
    const { engine } = onFullDisk();
    engine.apply([put("a", "1".repeat(200))]);
    const flushed = failureOf(engine.flush());
    const applied = failureOf(engine.apply([put("b", "2")])!);
    if (isRefusedFirst) await turn();
    engine.stopWaiting();
    await turn();
    assert.deepEqual([flushed.kind, applied.kind], ["noSpace", "noSpace"]);
    assert.equal(engine.get(utf8("a"))?.length, 200, "it stays readable");
    await engine.close();
  }
});

Deno.test("WriteBehindEngine closes while it waits for room", async () => {
  const { engine } = onFullDisk();
  engine.apply([put("a", "1")]);
  const flushed = engine.flush();
  await new Promise((resolve) => setTimeout(resolve, 0));
  const failed = assert.rejects(flushed, { kind: "closed" });
  await engine.close();
  await failed;
});

Deno.test("batchMsOf() gives neighbours different waits within the bounds", () => {
  const waits = Array.from({ length: 64 }, (_, n) => batchMsOf(n));
  assert(waits.every((ms) => ms >= 500 && ms < 1000));
  const sorted = waits.toSorted((a, b) => a - b);
  for (let i = 1; i < sorted.length; i++) assert(sorted[i]! - sorted[i - 1]! > 1);
});
