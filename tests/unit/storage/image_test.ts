// Images from one engine into another.

import assert from "node:assert/strict";
import { fromUtf8, toHex, utf8 } from "../../../src/base/bytes.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { appliedOp, FORMAT_KEY, readApplied, readSessions } from "../../../storage/apply.ts";
import { type Engine, EngineError } from "../../../storage/engine.ts";
import { type ImageChunk, ImageExport, ImageImport, rowsChecksum } from "../../../storage/image.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";

const key = (i: number) => encodeKey(utf8("h"), utf8(String(i).padStart(5, "0")));
const WINDOW = utf8("window");

async function fill(engine: Engine, rows: number, decree: number, bytes = 10): Promise<void> {
  const value = new Uint8Array(bytes).fill(decree);
  for (let i = 0; i < rows; i++) await engine.write([{ type: "put", key: key(i), value }]);
  await engine.write([appliedOp(decree)]);
}

async function copy(from: ImageExport, into: ImageImport): Promise<number> {
  for (let position = 0;; position++) {
    const chunk = await from.chunk(position)!;
    assert.equal(await into.add(chunk.rows, chunk.checksum), undefined);
    if (chunk.done) return position + 1;
  }
}

async function content(engine: Engine): Promise<string[]> {
  const iterator = engine.range({ lt: new Uint8Array([0xff, 0xff]) });
  const rows = await iterator.next(1_000_000);
  await iterator.close();
  return rows.map(([k, v]) => `${toHex(k)}=${toHex(v)}`);
}

Deno.test("ImageExport and ImageImport copy rows, decree and window", async () => {
  for (const rows of [0, 1, 57]) {
    const source = new MemoryEngine();
    await fill(source, rows, 42);
    const target = new MemoryEngine();
    const image = new ImageExport(source, WINDOW, { chunkBytesMax: 100 });
    const into = new ImageImport(target);
    const chunks = await copy(image, into);
    const done = await into.finish(image.decree);
    assert.deepEqual([done.decree, fromUtf8(done.sessions), into.rows], [42, "window", rows]);
    assert.ok(chunks >= rows / 6, `${chunks} chunks`);
    const survivor = target.survivor("power");
    assert.deepEqual(await content(survivor), await content(source));
    assert.equal(readApplied(survivor), 42);
    assert.deepEqual([readSessions(survivor).decree, fromUtf8(readSessions(survivor).image)], [
      42,
      "window",
    ]);
    assert.notEqual(survivor.get(FORMAT_KEY), undefined);
    await image.close();
  }
});

Deno.test("ImageExport copies between LevelDBs while the source is written", async () => {
  const dirs = [Deno.makeTempDirSync(), Deno.makeTempDirSync()] as const;
  const source = await openLevelEngine(dirs[0]);
  const target = await openLevelEngine(dirs[1]);
  await fill(source, 300, 5, 1000);
  const before = await content(source);
  const image = new ImageExport(source, WINDOW, { chunkBytesMax: 50_000 });
  const into = new ImageImport(target);
  await fill(source, 310, 6, 900);
  const chunks = await copy(image, into);
  assert.ok(chunks >= 3 && chunks <= 7, `${chunks} chunks`);
  assert.equal((await into.finish(image.decree)).decree, 5);
  assert.deepEqual(await content(target), before);
  await image.close();
  await source.close();
  await target.close();
  for (const dir of dirs) Deno.removeSync(dir, { recursive: true });
});

Deno.test("ImageExport repeats its newest chunk and refuses all other positions", async () => {
  const source = new MemoryEngine();
  await fill(source, 20, 1);
  const image = new ImageExport(source, WINDOW, { chunkBytesMax: 50 });
  assert.equal(image.chunk(1), undefined);
  const plain = (c: ImageChunk) => [c.rows.map(toHex), c.done, c.checksum];
  const [first, again] = await Promise.all([image.chunk(0), image.chunk(0)]);
  assert.deepEqual(plain(first!), plain(again!));
  const second = await image.chunk(1)!;
  assert.notDeepEqual(second.rows.map(toHex), first!.rows.map(toHex));
  assert.deepEqual(plain((await image.chunk(1))!), plain(second));
  assert.equal(image.chunk(0), undefined);
  assert.equal(image.chunk(3), undefined);
  let position = 2;
  while (!(await image.chunk(position)!).done) position++;
  assert.equal(image.chunk(position + 1), undefined);
  assert.ok((await image.chunk(position)!).done);
  await Promise.all([image.close(), image.close()]);
  assert.equal(image.chunk(position), undefined);
});

Deno.test("ImageExport refuses keys that name no row", async () => {
  const source = new MemoryEngine();
  source.writeNow([{ type: "put", key: new Uint8Array([0]), value: utf8("x") }]);
  const image = new ImageExport(source, WINDOW);
  await assert.rejects(image.chunk(0)!, EngineError);
  await assert.rejects(image.chunk(0)!, EngineError);
  await image.close();
});

Deno.test("ImageImport refuses bad chunks without a trace", async () => {
  const engine = new MemoryEngine();
  const into = new ImageImport(engine);
  const bad: [Uint8Array[], RegExp][] = [
    [[key(1)], /without a value/],
    [[key(1), utf8("v"), new Uint8Array([0xff, 0xff, 0x61]), utf8("v")], /names no row/],
    [[key(1), utf8("v"), utf8(""), utf8("v")], /names no row/],
    [[new Uint8Array([0xff, 0xff, ...utf8("sessions")]), utf8("short")], /too short/],
  ];
  for (const [rows, reason] of bad) {
    assert.match((await into.add(rows, rowsChecksum(rows)))!, reason);
  }
  assert.match((await into.add([key(1), utf8("v")], 1))!, /checksum/);
  assert.equal(engine.size, 0);
});

Deno.test("ImageImport finish insists on the window of the same decree", async () => {
  const source = new MemoryEngine();
  await fill(source, 3, 9);
  const image = new ImageExport(source, WINDOW);
  const empty = new ImageImport(new MemoryEngine());
  await assert.rejects(empty.finish(9), { kind: "corruption" });
  const other = new ImageImport(new MemoryEngine());
  await copy(image, other);
  await assert.rejects(other.finish(10), { kind: "corruption" });
  await image.close();
});

Deno.test("rowsChecksum notices a changed, missing or moved row", () => {
  const rows = [utf8("a"), utf8("1"), utf8("b"), utf8("2")];
  const sum = rowsChecksum(rows);
  assert.notEqual(rowsChecksum([utf8("a"), utf8("1"), utf8("b"), utf8("3")]), sum);
  assert.notEqual(rowsChecksum(rows.slice(0, 2)), sum);
  assert.notEqual(rowsChecksum([...rows.slice(2), ...rows.slice(0, 2)]), sum);
});

Deno.test("ImageExport leaves no snapshot open that it cannot use", () => {
  const source = new MemoryEngine();
  let closed = 0;
  source.snapshot = () => ({
    get: () => {
      throw new EngineError("corruption", "A block is damaged");
    },
    range: () => {
      throw new Error("Not expected");
    },
    close: async () => void closed++,
  });
  assert.throws(() => new ImageExport(source, WINDOW), { kind: "corruption" });
  assert.equal(closed, 1);
});
