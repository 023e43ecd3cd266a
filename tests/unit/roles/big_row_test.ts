// A hundred thousand rows under one hash key: no way of reading them all loses or repeats one.

import assert from "node:assert/strict";
import { EMPTY, fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import {
  BatchGet,
  GetScanner,
  MultiGet,
  MultiPut,
  Scan,
  SortKeyCount,
} from "../../../src/schema/client_rpc.ts";
import { decodeKey, encodeKey, nextHashKey } from "../../../src/schema/key_format.ts";
import type { Row } from "../../../src/schema/types.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { RANGES_RUNNING_MAX } from "../../../roles/replica/range_turns.ts";
import { multiGet, scanRequest } from "./reads_fixture.ts";
import { LeadShard, WRITE_HEAD } from "./shard_fixture.ts";

const ROWS = 100_000;
const HASH = utf8("big");

const name = (i: number) => utf8(`row${String(i).padStart(6, "0")}`);

/** Number of a row by its sort key; checks its value. */
function numberOf({ key, value }: Row): number {
  const number = Number(fromUtf8(key).slice(3));
  if (value !== undefined) assert.equal(fromUtf8(value), `value ${number}`);
  return number;
}

/** Fails unless these are all numbers, ascending. */
function assertAll(numbers: readonly number[]): void {
  assert.equal(numbers.length, ROWS);
  for (let i = 0; i < ROWS; i++) if (numbers[i] !== i) assert.fail(`${numbers[i]} at ${i}`);
}

async function fill(shard: LeadShard): Promise<void> {
  for (let at = 0; at < ROWS; at += 5000) {
    const rows = Array.from({ length: 5000 }, (_, i) => ({
      sortKey: name(at + i),
      value: utf8(`value ${at + i}`),
    }));
    await shard.must(MultiPut, { ...WRITE_HEAD, hashKey: HASH, rows, expireTs: 0 });
  }
  // Neighbours that must not be seen.
  for (const hashKey of [utf8("bif"), utf8("bih"), utf8("bi"), utf8("bigg")]) {
    const rows = [{ sortKey: name(1), value: EMPTY }];
    await shard.must(MultiPut, { ...WRITE_HEAD, hashKey, rows, expireTs: 0 });
  }
}

async function pages(shard: LeadShard, reverse: boolean, countMax: number): Promise<number[]> {
  const found: number[][] = [];
  let edge = EMPTY as Uint8Array;
  for (;;) {
    const range = edge.length === 0
      ? {}
      : reverse
      ? { stopSortKey: edge }
      : { startSortKey: edge, startInclusive: false };
    const { partition } = shard;
    const request = multiGet({ partition, hashKey: HASH, reverse, countMax, ...range });
    const answer = await shard.must(MultiGet, request);
    const rows = answer.rows.toArray();
    assert(rows.length <= (countMax === 0 ? 3000 : countMax));
    found.push(rows.map(numberOf));
    if (answer.complete) break;
    edge = reverse ? rows[0]!.key : rows.at(-1)!.key;
  }
  return (reverse ? found.reverse() : found).flat();
}

async function scanned(shard: LeadShard, batchSize: number): Promise<number[]> {
  const { partition } = shard;
  const range = { startKey: encodeKey(HASH, EMPTY), stopKey: nextHashKey(HASH) };
  let batch = await shard.must(GetScanner, scanRequest({ partition, ...range, batchSize }));
  const found: number[] = [];
  for (;;) {
    for (const row of batch.rows.toArray()) {
      found.push(numberOf({ ...row, key: decodeKey(row.key)!.sortKey }));
    }
    if (batch.context === 0) return found;
    batch = await shard.must(Scan, { context: batch.context });
  }
}

/** Fails if a short range waits until one of many long counts is done. */
async function assertCountsDelayNobody(shard: LeadShard): Promise<void> {
  const { partition } = shard;
  const order: string[] = [];
  const counts = Array.from({ length: 2 * RANGES_RUNNING_MAX }, async () => {
    const head = { stale: false, stalenessMaxMs: 0 };
    await shard.must(SortKeyCount, { ...head, hashKey: HASH });
    order.push("count");
  });
  await shard.must(MultiGet, multiGet({ partition, hashKey: HASH, countMax: 10 }));
  order.push("range");
  await Promise.all(counts);
  assert.equal(order[0], "range");
}

Deno.test("One hash key with 100000 rows is read whole, forwards, backwards and by scan", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus_big_" });
  const engine = await openLevelEngine(`${dir}/engine`);
  const shard = await LeadShard.start({ engine });
  await fill(shard);
  const head = { stale: false, stalenessMaxMs: 0 };
  assert.equal((await shard.must(SortKeyCount, { ...head, hashKey: HASH })).count, ROWS);
  assertAll(await pages(shard, false, 0));
  assertAll(await pages(shard, true, 0));
  assertAll(await pages(shard, false, 777));
  assertAll(await pages(shard, true, 777));
  assertAll(await scanned(shard, 0));
  assertAll(await scanned(shard, 333));
  const keys = Array.from({ length: ROWS }, (_, i) => encodeKey(HASH, name(i)));
  await assertCountsDelayNobody(shard);
  const batch = await shard.must(BatchGet, { ...head, keys });
  assertAll(
    batch.rows.toArray().map((row) => numberOf({ ...row, key: decodeKey(row.key)!.sortKey })),
  );
  await shard.close();
  Deno.removeSync(dir, { recursive: true });
});
