// Throttles of a partition: pure, with time passed in.

import assert from "node:assert/strict";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { encodeKey, partitionIndexOf } from "../../../src/schema/key_format.ts";
import { parseTableEnvs } from "../../../src/schema/table_envs.ts";
import { DelayLine } from "../../../roles/replica/delay_line.ts";
import { PartitionGuard } from "../../../roles/replica/partition_guard.ts";
import { RateThrottle, TokenBucket } from "../../../roles/replica/throttle.ts";

function throttle(delay: number | undefined, reject: number | undefined, partitions = 1) {
  const one = new RateThrottle();
  const step = (units: number | undefined, ms: number) =>
    units === undefined ? undefined : { units, ms };
  one.configure({ delay: step(delay, 20), reject: step(reject, 30) }, partitions);
  return one;
}

Deno.test("RateThrottle delays above one limit and refuses above the other, second by second", () => {
  const one = throttle(2, 4);
  const kinds = (count: number, at: number) =>
    Array.from({ length: count }, () => one.admit(1, at)?.kind ?? "go").join(" ");
  // A partition's share is its part of the limit plus one.
  assert.equal(kinds(7, 100), "go go go delay delay reject reject");
  assert.equal(kinds(1, 999), "reject");
  assert.equal(kinds(4, 1000), "go go go delay");
});

Deno.test("RateThrottle shares the table's limit between partitions", () => {
  const one = throttle(undefined, 100, 8);
  let admitted = 0;
  while (one.admit(1, 0) === undefined) admitted++;
  assert.equal(admitted, 13);
});

Deno.test("RateThrottle does not count what it refuses, and lets a large request pass alone", () => {
  const one = throttle(undefined, 99);
  assert.equal(one.admit(60, 0), undefined);
  assert.deepEqual(one.admit(60, 0), { kind: "reject", ms: 30 });
  assert.equal(one.admit(40, 0), undefined, "The refused request left room");
  assert.equal(one.admit(5000, 1000), undefined, "Larger than the limit, alone in its second");
  assert.equal(one.admit(1, 1000)?.kind, "reject");
});

Deno.test("RateThrottle without a limit admits everything", () => {
  const one = throttle(1, 1);
  one.configure(undefined, 1);
  for (let i = 0; i < 1000; i++) assert.equal(one.admit(1_000_000, 0), undefined);
});

Deno.test("TokenBucket refuses below zero and earns its rate back, one second at most", () => {
  const bucket = new TokenBucket();
  bucket.configure(1000, 0);
  assert.equal(bucket.hasTokens(0), true);
  bucket.charge(1500);
  assert.equal(bucket.hasTokens(0), false);
  assert.equal(bucket.hasTokens(500), false);
  assert.equal(bucket.hasTokens(501), true);
  assert.equal(bucket.hasTokens(60_000), true);
  bucket.charge(1001);
  assert.equal(bucket.hasTokens(60_000), false, "A minute saved up one second only");
  bucket.configure(1000, 60_000);
  assert.equal(bucket.hasTokens(60_000), false, "The same limit again forgives nothing");
  bucket.configure(0, 60_000);
  assert.equal(bucket.hasTokens(60_000), true);
});

Deno.test("PartitionGuard knows the keys of its partition, with and without hash key", () => {
  const count = 6;
  for (let i = 0; i < 200; i++) {
    const name = utf8(`k${i}`);
    const index = partitionIndexOf(name, EMPTY, count);
    for (let p = 0; p < count; p++) {
      const guard = new PartitionGuard(partitionId(3, p), count);
      assert.equal(guard.ownsKey(encodeKey(name, utf8("s"))), p === index);
      assert.equal(guard.ownsKey(encodeKey(EMPTY, name)), p === index);
      assert.equal(guard.owns(name, EMPTY), p === index);
      assert.equal(guard.owns(EMPTY, name), p === index);
    }
  }
  const unknown = new PartitionGuard(partitionId(3, 5));
  assert.equal(unknown.ownsKey(encodeKey(utf8("any"), EMPTY)), true);
});

Deno.test("PartitionGuard gives a write back to its count when its size is refused", () => {
  const guard = new PartitionGuard(partitionId(1, 0));
  const envs = parseTableEnvs(
    new Map([
      ["replica.write_throttling", "1*reject*0"],
      ["replica.write_throttling_by_size", "100*reject*7"],
    ]),
  );
  guard.configure(1, envs, 0);
  assert.equal(guard.admitWrite(90, 0), undefined);
  assert.deepEqual(guard.admitWrite(90, 0), { kind: "reject", ms: 7 });
  assert.equal(guard.admitWrite(5, 0), undefined, "The count had room for a second write");
  assert.deepEqual(guard.admitWrite(1, 0), { kind: "reject", ms: 0 });
});

Deno.test("DelayLine lets go in time, keeps the rest, and empties when it closes", () => {
  let now = 0;
  const gone: string[] = [];
  let rounds = 0;
  const line = new DelayLine(() => now, () => rounds++);
  line.add(20, () => gone.push("b"));
  line.add(10, () => gone.push("a"));
  line.add(1000, () => gone.push("c"));
  line.step();
  assert.equal(rounds, 0);
  now = 10;
  line.step();
  assert.deepEqual([gone.join(), rounds, line.size], ["a", 1, 2]);
  now = 25;
  line.step();
  assert.deepEqual([gone.join(), rounds, line.size], ["a,b", 2, 1]);
  line.close();
  assert.deepEqual([gone.join(), line.size], ["a,b,c", 0]);
});

Deno.test("DelayLine is bounded", () => {
  const line = new DelayLine(() => 0, () => {});
  let added = 0;
  while (line.add(5, () => {})) added++;
  assert.equal(added, 10_000);
  line.close();
});
