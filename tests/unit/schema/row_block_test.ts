// Rows as one byte string: what goes in comes out, in memory of its own, and nothing malformed gets through.

import assert from "node:assert/strict";
import fc from "fast-check";
import { RowBlock, rowBlock } from "../../../src/schema/row_block.ts";
import type { Row } from "../../../src/schema/types.ts";

const anyRow: fc.Arbitrary<Row> = fc.record({
  key: fc.uint8Array({ maxLength: 300 }),
  value: fc.option(fc.uint8Array({ maxLength: 1000 }), { nil: undefined }),
  expireTs: fc.option(fc.integer({ min: 0, max: 0xffffffff }), { nil: undefined }),
}, { noNullPrototype: true });

Deno.test("rowBlock carries rows, whatever they are", () => {
  fc.assert(fc.property(fc.array(anyRow, { maxLength: 50 }), (rows) => {
    const written = RowBlock.of(rows);
    const bytes = new Uint8Array(rowBlock.write(written) as Uint8Array);
    const read = rowBlock.read(bytes, "rows");
    // The frame it came in may be overwritten.
    bytes.fill(0xee);
    const dataBytes = rows.reduce(
      (sum, { key, value }) => sum + key.length + (value?.length ?? 0),
      0,
    );
    for (const block of [written, read]) {
      assert.deepEqual(block.toArray(), rows);
      assert.deepEqual([block.count, block.dataBytes], [rows.length, dataBytes]);
    }
  }));
});

Deno.test("RowBlock turns the order of its rows around", () => {
  fc.assert(fc.property(fc.array(anyRow, { maxLength: 50 }), (rows) => {
    const block = RowBlock.of(rows);
    assert.deepEqual(block.toArray(), rows);
    block.reverse();
    assert.deepEqual(block.toArray(), [...rows].reverse());
  }));
});

Deno.test("RowBlock keeps rows of all sizes apart from those of other blocks", () => {
  // Pieces of 64 KiB are used again as soon as a block is complete.
  const rows = [10, 60_000, 100, 70_000, 0, 200_000, 65_000, 300].map((length, i): Row => ({
    key: new Uint8Array([i]),
    value: new Uint8Array(length).fill(i + 1),
    expireTs: undefined,
  }));
  const started = Array.from({ length: 3 }, () => new RowBlock());
  for (const { key, value } of rows) for (const block of started) block.add(key, value);
  const early = RowBlock.of(rows.slice(0, 3));
  assert.deepEqual(early.toArray(), rows.slice(0, 3));
  const late = new RowBlock();
  for (const block of started) {
    assert.deepEqual(block.toArray(), rows);
    late.add(new Uint8Array([9]), new Uint8Array(60_000).fill(99));
  }
  assert.equal(late.toArray().length, 3);
  for (const block of started) assert.deepEqual(block.toArray(), rows);
  assert.throws(() => late.add(new Uint8Array(0), undefined), /complete/);
});

Deno.test("rowBlock refuses blocks that are cut off, too long, or promise too much", () => {
  const row = { key: new Uint8Array([1, 2]), value: new Uint8Array([3]), expireTs: 7 };
  const good = rowBlock.write(RowBlock.of([row, row])) as Uint8Array;
  for (let length = 0; length < good.length; length++) {
    assert.throws(() => rowBlock.read(good.slice(0, length), "rows"), /"rows"/, `${length} bytes`);
  }
  assert.throws(() => rowBlock.read(new Uint8Array([...good, 0]), "rows"), /too many/);
  assert.throws(() => rowBlock.read(new Uint8Array([255, 255, 255, 255]), "rows"), /cut off/);
  assert.throws(() => rowBlock.read([], "rows"), /expected a block of rows/);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    try {
      rowBlock.read(bytes, "rows");
    } catch (error) {
      assert.equal((error as Error).name, "SchemaError");
    }
  }));
});
