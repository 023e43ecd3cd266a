// Long lists of keys: the same answers as of short ones, of one moment, in slices between which others are served.

import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { POINTS_AT_ONCE, readPoints } from "../../../roles/replica/point_reads.ts";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { encodeValue } from "../../../src/schema/value_format.ts";
import type { BatchOp, Engine } from "../../../storage/engine.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { WriteBehindEngine } from "../../../storage/write_behind.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";

const COUNT = 4 * POINTS_AT_ONCE;
const keyOf = (i: number) => utf8(`key ${i}`);
const put = (i: number, value: string, expireTs = 0): BatchOp => ({
  type: "put",
  key: keyOf(i),
  value: encodeValue(utf8(value), expireTs, 1),
});

/** A read of keys 0 .. count; its clock moves at every look. */
function read(engine: Engine, options: { count?: number; rowsMax?: number; bytesMax?: number }) {
  const rows: string[] = [];
  let ms = 0;
  const done = readPoints({
    engine,
    nowSeconds: 1000,
    now: () => ms += 0.05,
    count: options.count ?? COUNT,
    keyAt: keyOf,
    rowsMax: options.rowsMax ?? Infinity,
    bytesMax: options.bytesMax ?? Infinity,
    add: (i, value) => {
      rows.push(`${i}=${fromUtf8(value)}`);
      return value.length;
    },
  });
  return { rows, done };
}

Deno.test("readPoints finds the same in one piece and in slices", async () => {
  const random = new Prng("points");
  for (let round = 0; round < 20; round++) {
    const engine = new MemoryEngine();
    const expected: string[] = [];
    let bytes = 0;
    const rowsMax = random.chance(0.5) ? random.below(COUNT) : Infinity;
    const bytesMax = random.chance(0.5) ? random.below(3000) : Infinity;
    let complete = true;
    for (let i = 0; i < COUNT; i++) {
      if (random.chance(0.3)) continue;
      const isExpired = random.chance(0.2);
      engine.writeNow([put(i, `v${i}`, isExpired ? 999 : 0)]);
      if (isExpired || !complete) continue;
      complete = expected.length < rowsMax && bytes < bytesMax;
      if (!complete) continue;
      expected.push(`${i}=v${i}`);
      bytes += `v${i}`.length;
    }
    const sliced = read(engine, { rowsMax, bytesMax });
    assert(sliced.done instanceof Promise);
    assert.equal(await sliced.done, complete);
    assert.deepEqual(sliced.rows, expected);
    const short = read(engine, { count: POINTS_AT_ONCE, rowsMax, bytesMax });
    assert.equal(typeof short.done, "boolean");
    assert.deepEqual(short.rows, expected.slice(0, short.rows.length));
  }
});

Deno.test("readPoints leaves turns to others, one slice per turn for all lists together", async () => {
  const engine = new MemoryEngine();
  for (let i = 0; i < COUNT; i++) engine.writeNow([put(i, "v")]);
  const lists = Array.from({ length: 3 }, () => read(engine, {}));
  let most = 0;
  let turns = 0;
  let running = true;
  let before = 0;
  const look = () => {
    const sum = lists.reduce((total, { rows }) => total + rows.length, 0);
    most = Math.max(most, sum - before);
    before = sum;
    turns++;
    if (running) setImmediate(look);
  };
  setImmediate(look);
  await Promise.all(lists.map(({ done }) => done));
  running = false;
  // A slice is 1 ms, and the clock moves 0.05 ms per row.
  assert(most > 0 && most <= 25, `${most} rows in one turn`);
  assert(turns >= 3 * COUNT / 25, `${turns} turns`);
});

Deno.test("readPoints answers a long list as of one moment, whatever is applied meanwhile", async () => {
  const dir = Deno.makeTempDirSync();
  const engine = new WriteBehindEngine(await openLevelEngine(dir));
  const all = (value: string) => Array.from({ length: COUNT }, (_, i) => put(i, value));
  await engine.apply(all("old"));
  const list = read(engine, {});
  let writing = true;
  const writer = (async () => {
    for (let n = 0; writing; n++) {
      await engine.apply(all(`new ${n}`));
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  assert.equal(await list.done, true);
  writing = false;
  await writer;
  assert.equal(list.rows.length, COUNT);
  assert.equal(new Set(list.rows.map((row) => row.replace(/^.*=/, ""))).size, 1);
  await engine.close();
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("readPoints fails when its database is closed in the middle", async () => {
  const dir = Deno.makeTempDirSync();
  const engine = new WriteBehindEngine(await openLevelEngine(dir));
  await engine.write(Array.from({ length: COUNT }, (_, i) => put(i, "v")));
  const list = read(engine, {});
  const failed = assert.rejects(list.done as Promise<boolean>, /closed|not open/i);
  while (list.rows.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await engine.close();
  await failed;
  assert(list.rows.length < COUNT);
  Deno.removeSync(dir, { recursive: true });
});
