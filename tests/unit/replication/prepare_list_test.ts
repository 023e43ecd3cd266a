// The prepare list: what may be replaced, dropped, committed and forgotten.

import assert from "node:assert/strict";
import { encodedOf, PrepareList } from "../../../src/replication/prepare_list.ts";
import type { Mutation } from "../../../src/schema/mutation.ts";

function mutation(decree: number, ballot: number): Mutation {
  return { ballot, decree, lastCommitted: 0, timestampUs: decree, body: new Uint8Array(8) };
}

function put(list: PrepareList, decree: number, ballot: number, logged = true): void {
  const m = mutation(decree, ballot);
  list.put(m, encodedOf(m), 1, 0).logged = logged;
}

Deno.test("PrepareList keeps the tail when a ballot changes", () => {
  const list = new PrepareList(0);
  put(list, 1, 1);
  put(list, 2, 1);
  put(list, 3, 1);
  put(list, 1, 2);
  assert.equal(list.maxPrepared, 3);
  assert.equal(list.get(3)?.mutation.ballot, 1);
});

Deno.test("PrepareList last prepared stops at a fall of ballots, a hole and an unlogged entry", () => {
  const list = new PrepareList(0);
  put(list, 1, 2);
  put(list, 2, 1);
  assert.equal(list.lastPrepared, 1);
  put(list, 2, 2);
  assert.equal(list.lastPrepared, 2);
  put(list, 4, 2);
  assert.equal(list.lastPrepared, 2);
  put(list, 3, 2, false);
  assert.equal(list.lastPrepared, 2);
});

Deno.test("PrepareList truncates only above the end and only smaller ballots", () => {
  const list = new PrepareList(0);
  put(list, 1, 1);
  put(list, 2, 1);
  put(list, 3, 3);
  put(list, 4, 1);
  assert.deepEqual(list.truncate(1, 3).map((e) => e.mutation.decree), [2, 4]);
  assert.equal(list.maxPrepared, 3);
});

Deno.test("PrepareList refuses to commit what is not logged", () => {
  const list = new PrepareList(0);
  put(list, 1, 1, false);
  assert.throws(() => list.commitNext(), { name: "AssertionError" });
});

Deno.test("PrepareList refuses a smaller ballot and a committed decree", () => {
  const list = new PrepareList(0);
  put(list, 1, 2);
  assert.throws(() => put(list, 1, 1), { name: "AssertionError" });
  list.commitNext();
  assert.throws(() => put(list, 1, 3), { name: "AssertionError" });
});

Deno.test("PrepareList keeps waiting clients when an entry is replaced", () => {
  const list = new PrepareList(0);
  const first = mutation(1, 1);
  const reply = { tokens: ["t"], session: 0, sequence: 0, error: 0, result: undefined };
  list.put(first, encodedOf(first), 1, 0).replies.push(reply);
  put(list, 1, 2);
  assert.deepEqual(list.get(1)?.replies, [reply]);
});

Deno.test("PrepareList trims the applied cache by count and by bytes", () => {
  const list = new PrepareList(0);
  for (let d = 1; d <= 10; d++) {
    put(list, d, 1);
    list.commitNext();
  }
  list.trim(8, 5, 1_000_000);
  assert(list.covers(4, 10) && !list.covers(3, 10));
  list.trim(8, 5, 0);
  assert(list.covers(9, 10) && !list.covers(8, 10));
});

Deno.test("PrepareList rewinds to what is applied and keeps the cache below", () => {
  const list = new PrepareList(0);
  for (let d = 1; d <= 6; d++) put(list, d, 1);
  for (let d = 1; d <= 4; d++) list.commitNext();
  assert.equal(list.rewind(3).length, 3);
  assert.equal(list.committed, 3);
  assert.equal(list.maxPrepared, 3);
  assert(list.covers(1, 3));
});

Deno.test("PrepareList keeps the bytes of what is applied, from blocks of any size", () => {
  const list = new PrepareList(0);
  const sizes = [1, 3000, 10, 100_000, 5, 64 * 1024 - 32, 7];
  const bodies = Array.from({ length: 3000 }, (_, i) => sizes[i % sizes.length]! % 5000 + (i % 3));
  const encodedAt = (decree: number) => {
    const body = new Uint8Array(bodies[decree - 1]!).fill(decree);
    return encodedOf({ ballot: 1, decree, lastCommitted: 0, timestampUs: decree, body });
  };
  let low = 0;
  for (let d = 1; d <= bodies.length; d++) {
    const body = new Uint8Array(bodies[d - 1]!).fill(d);
    const m = { ballot: 1, decree: d, lastCommitted: 0, timestampUs: d, body };
    list.put(m, encodedOf(m), 1, 0).logged = true;
    list.commitNext();
    if (d % 7 !== 0) continue;
    list.trim(d, 100, 1_000_000);
    low = Math.max(low, d - 100);
    assert.equal(list.get(d), undefined, "Applied mutations have no entry");
  }
  assert.equal(list.encoded(low), undefined);
  for (let d = low + 1; d <= bodies.length; d++) {
    assert.deepEqual(list.encoded(d), encodedAt(d));
  }
});
