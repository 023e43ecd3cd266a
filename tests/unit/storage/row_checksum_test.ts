// No wrong value leaves a LevelDB, whatever becomes of the bytes of its tables while it is open.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { ensureFormat, FORMAT_KEY, formatOp } from "../../../storage/apply.ts";
import { type Engine, EngineError } from "../../../storage/engine.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { ROW_CHECKSUM_BYTES, RowCheck, RowSeal } from "../../../storage/row_checksum.ts";

const ROWS = 200;
const keyOf = (i: number) => utf8(`key ${String(i).padStart(4, "0")}`);
const valueOf = (i: number) => `the value of row ${i}, written once`;
const isCorruption = (error: Error) => error instanceof EngineError && error.kind === "corruption";

/** One table, not compressed: what is written to its file is what the next read finds. */
async function open(dir: string): Promise<{ engine: Engine; path: string }> {
  const engine = await openLevelEngine(dir, { compression: false, cacheBytes: 0 });
  await ensureFormat(engine);
  await engine.write(Array.from({ length: ROWS }, (_, i) => ({
    type: "put",
    key: keyOf(i),
    value: utf8(valueOf(i)),
  })));
  await engine.flush();
  return { engine, path: engine.tableFiles!()[0]! };
}

Deno.test("RowCheck takes a row back as it was sealed, and no other", () => {
  const random = new Prng("rows");
  const seal = new RowSeal();
  for (const length of [0, 5000, 1, 12, 64 * 1024, 100_000]) {
    const check = new RowCheck(true);
    const value = Uint8Array.from({ length }, () => random.below(256));
    const key = utf8(`key of ${length}`);
    const stored = seal.close(key, value);
    assert.equal(stored.length, length + ROW_CHECKSUM_BYTES);
    assert.deepEqual(check.open(key, stored), value);
    assert.equal(check.damage, undefined);
    for (let i = 0; i < 100; i++) {
      const other = stored.slice();
      other[random.below(other.length)]! ^= 1 << random.below(8);
      assert.throws(() => check.open(key, other), isCorruption);
    }
    assert.throws(() => check.open(utf8("another key"), stored), isCorruption);
    assert.throws(() => check.open(key, stored.subarray(0, 3)), isCorruption);
    assert.match(check.damage!, /damaged/);
  }
});

Deno.test("A flipped bit in a value is an error of every kind of read, never another value", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-rot-" });
  const { engine, path } = await open(dir);
  const sound = Deno.readFileSync(path);
  const text = new TextDecoder("latin1").decode(sound);
  const random = new Prng("rot");
  for (let round = 0; round < 50; round++) {
    const row = random.below(ROWS);
    const bytes = sound.slice();
    const at = text.indexOf(valueOf(row)) + random.below(valueOf(row).length);
    bytes[at]! ^= 1 << random.below(8);
    Deno.writeFileSync(path, bytes);
    assert.throws(() => engine.get(keyOf(row)), isCorruption);
    const snapshot = engine.snapshot();
    assert.throws(() => snapshot.get(keyOf(row)), isCorruption);
    for (const source of [engine, snapshot]) {
      const range = source.range({});
      await assert.rejects(range.next(ROWS), isCorruption);
      await range.close();
    }
    await snapshot.close();
    const other = (row + 1) % ROWS;
    assert.equal(fromUtf8(engine.get(keyOf(other))!), valueOf(other));
  }
  assert.match(engine.damage!, /A row is damaged/);
  await engine.close();
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("Damage that LevelDB merges into a new table is still found", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-rot-" });
  const { engine, path } = await open(dir);
  const bytes = Deno.readFileSync(path);
  bytes[new TextDecoder("latin1").decode(bytes).indexOf(valueOf(7))]! ^= 4;
  Deno.writeFileSync(path, bytes);
  // Written again, so that there is something to merge.
  await engine.write([{ type: "put", key: keyOf(8), value: utf8("new") }]);
  await engine.compact(keyOf(0), keyOf(ROWS));
  assert.equal(engine.tableFiles!().includes(path), false, "it was merged");
  assert.equal(fromUtf8(engine.get(keyOf(8))!), "new");
  assert.throws(() => engine.get(keyOf(7)), isCorruption);
  await engine.close();
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("A database of before checksums is read and written as it is", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-old-" });
  // What such a database begins with: the data version as one byte. Written with checksums it would have five.
  const { ClassicLevel } = await import("classic-level");
  const views = { keyEncoding: "view", valueEncoding: "view" } as const;
  const db = new ClassicLevel<Uint8Array, Uint8Array>(dir, views);
  const format = formatOp();
  assert(format.type === "put");
  await db.put(FORMAT_KEY, format.value);
  await db.put(keyOf(1), utf8("old"));
  await db.close();
  for (let start = 0; start < 2; start++) {
    const engine = await openLevelEngine(dir);
    await ensureFormat(engine);
    assert.equal(fromUtf8(engine.get(keyOf(1))!), "old");
    await engine.write([{ type: "put", key: keyOf(2), value: utf8("new") }]);
    assert.equal(fromUtf8(engine.get(keyOf(2))!), "new");
    await engine.close();
  }
  Deno.removeSync(dir, { recursive: true });
});
