// Bytes of segment heads, blocks and records: what is written reads back, and nothing else does.
// Every flipped bit, every cut and every wrong place must be noticed. docs/log_format.md,
// "Segment", "Block", "Record".

import assert from "node:assert/strict";
import fc from "fast-check";
import { BlockBuffer } from "../../../storage/block_buffer.ts";
import {
  checkBlock,
  decodeBallot,
  decodeRecords,
  decodeSegmentHead,
  encodeBallot,
  encodeSegmentHead,
  findBlock,
  type SegmentHead,
  SegmentKind,
  viewOf,
} from "../../../storage/log_format.ts";
import type { LogRecord } from "../../../storage/log.ts";
import { ballotRecord, copyRecord, mutationRecord } from "./log_fixture.ts";

const HEAD: SegmentHead = {
  kind: SegmentKind.SHARED,
  index: 3,
  startPosition: 2 ** 40 + 5,
  owner: 1_800_000_000,
  previousSequence: 2 ** 33,
  previousDecree: 7,
  shardCount: 4,
  table: [
    { partition: 65536 * 2 ** 31 - 1, generation: 2 ** 50, sequence: 9 },
    { partition: 65536, generation: 1, sequence: 2 ** 45 },
  ],
};

function blocksOf(records: readonly LogRecord[], position: number, synced = 0): Uint8Array {
  const buffer = new BlockBuffer(64);
  for (const record of records) buffer.append(record);
  return buffer.seal(position, synced).slice();
}

Deno.test("Segment head reads back and any flipped bit or cut is noticed", () => {
  const bytes = encodeSegmentHead(HEAD);
  assert.deepEqual(decodeSegmentHead(bytes, "f"), { head: HEAD, headBytes: bytes.length });
  for (let at = 0; at < bytes.length; at++) {
    assert.equal(decodeSegmentHead(bytes.subarray(0, at), "f"), undefined);
    for (let bit = 0; bit < 8; bit++) {
      const bad = bytes.slice();
      bad[at]! ^= 1 << bit;
      assert.equal(decodeSegmentHead(bad, "f"), undefined, `byte ${at} bit ${bit}`);
    }
  }
});

Deno.test("Block reads back and any flipped bit, cut or other place is noticed", () => {
  const records = [mutationRecord(1), ballotRecord(2, 5, 6), mutationRecord(3, { bytes: 0 })];
  const bytes = blocksOf(records, 1000, 900);
  const view = viewOf(bytes);
  const block = checkBlock(bytes, view, 0, 1000);
  assert.deepEqual(block, { end: bytes.length, position: 1000, synced: 900 });
  assert.deepEqual(decodeRecords(bytes, view, 0, bytes.length)!.map(copyRecord), records);
  assert.equal(checkBlock(bytes, view, 0, 1001), undefined);
  for (let at = 0; at < bytes.length; at++) {
    const cut = bytes.slice(0, at);
    assert.equal(checkBlock(cut, viewOf(cut), 0, undefined), undefined);
    const bad = bytes.slice();
    bad[at]! ^= 0x10;
    assert.equal(checkBlock(bad, viewOf(bad), 0, undefined), undefined, `byte ${at}`);
  }
});

Deno.test("findBlock is not misled by a payload that holds a block", () => {
  const inner = blocksOf([mutationRecord(9)], 0);
  const hostile = blocksOf([{ ...mutationRecord(1), payload: inner }], 500);
  const after = blocksOf([mutationRecord(2)], 500 + hostile.length);
  const bytes = new Uint8Array(hostile.length + after.length);
  bytes.set(hostile);
  bytes.set(after, hostile.length);
  bytes[4]! ^= 1;
  assert.equal(findBlock(bytes, viewOf(bytes), 0, 500), hostile.length);
  assert.equal(findBlock(hostile, viewOf(hostile), 1, 500), -1);
});

Deno.test("BlockBuffer keeps any records in order through growth, splits and reuse", () => {
  const record = fc.record({
    partition: fc.integer({ min: 0, max: 2 ** 47 }),
    generation: fc.maxSafeNat(),
    sequence: fc.maxSafeNat(),
    decree: fc.maxSafeNat(),
    kind: fc.constantFrom(1 as const, 2 as const),
    payload: fc.oneof(
      fc.uint8Array({ maxLength: 100 }),
      fc.constantFrom(300_000, 700_000, 1_100_000).map((size) => new Uint8Array(size).fill(7)),
    ),
  }, { noNullPrototype: true });
  const buffer = new BlockBuffer(64);
  fc.assert(
    fc.property(fc.array(record, { maxLength: 12 }), fc.nat(2 ** 40), (records, position) => {
      for (const one of records) buffer.append(one);
      const bytes = buffer.seal(position, 0).slice();
      buffer.clear();
      assert.equal(buffer.size, 0);
      const view = viewOf(bytes);
      const found: LogRecord[] = [];
      for (let at = 0; at < bytes.length;) {
        const block = checkBlock(bytes, view, at, position)!;
        const part = decodeRecords(bytes, view, at, block.end)!;
        assert.ok(part.length === 1 || block.end - at <= 1024 * 1024 + 28);
        found.push(...part.map(copyRecord));
        at = block.end;
      }
      assert.deepEqual(found, records);
    }),
    { numRuns: 60 },
  );
});

Deno.test("Ballot payload reads back and nothing else does", () => {
  assert.deepEqual(decodeBallot(encodeBallot(7, Number.MAX_SAFE_INTEGER)), {
    ballot: 7,
    reconcileEnd: Number.MAX_SAFE_INTEGER,
  });
  assert.equal(decodeBallot(new Uint8Array(15)), undefined);
  assert.equal(decodeBallot(new Uint8Array(16).fill(0xff)), undefined);
});
