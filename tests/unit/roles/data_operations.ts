// Random operations on the rows of one partition, for the model test.

import fc from "fast-check";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import type { Filter } from "../../../src/schema/types.ts";

/** A key of ff bytes, which have no next key of the same length. */
export const FF = (count: number) => new Uint8Array(count).fill(0xff);

/** Few keys, so that operations meet; the nasty ones are among them. */
const key = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(EMPTY, utf8("a"), utf8("aa"), utf8("b"), FF(1), FF(2)) },
  { weight: 2, arbitrary: fc.constantFrom(FF(255), FF(300), new Uint8Array(3), utf8("a\xff")) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 4 }) },
);
const value = fc.oneof(
  fc.constantFrom("", "5", "-3", "0x1f", "010", " 7", "9223372036854775807", "abc", "08").map(utf8),
  fc.uint8Array({ maxLength: 40 }),
);
const life = fc.constantFrom(0, 0, 0, 2, 30);
const filter: fc.Arbitrary<Filter> = fc.record({
  type: fc.constantFrom("none", "anywhere", "prefix", "postfix", "exact"),
  pattern: fc.oneof(key, fc.constant(EMPTY)),
});
const checkHead = { hash: key, sort: key, checkType: fc.nat(17), operand: value };

/** Operations on few keys. */
export const operation = fc.oneof(
  { weight: 6, arbitrary: fc.record({ op: c("put"), hash: key, sort: key, value, life }) },
  { weight: 2, arbitrary: fc.record({ op: c("remove"), hash: key, sort: key }) },
  {
    weight: 3,
    arbitrary: fc.record({
      op: c("multiPut"),
      hash: key,
      rows: fc.array(fc.tuple(key, value), { maxLength: 6 }),
      life,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      op: c("multiRemove"),
      hash: key,
      sorts: fc.array(key, { maxLength: 4 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: c("incr"),
      hash: key,
      sort: key,
      by: fc.oneof(
        fc.bigInt({ min: -9n, max: 9n }),
        fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      ),
      life: fc.constantFrom(0, 0, 30, -1),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ op: c("checkAndSet"), ...checkHead, to: fc.option(key), value, life }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: c("checkAndMutate"),
      ...checkHead,
      changes: fc.array(fc.tuple(key, fc.option(value)), { maxLength: 4 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ op: c("point"), hash: key, sort: key }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: c("batchGet"),
      keys: fc.array(fc.tuple(key, key), { minLength: 1, maxLength: 6 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      op: c("multiGet"),
      hash: key,
      start: key,
      stop: key,
      startInclusive: fc.boolean(),
      stopInclusive: fc.boolean(),
      filter,
      reverse: fc.boolean(),
      noValue: fc.boolean(),
      countMax: fc.constantFrom(0, 0, 1, 3),
      bytesMax: fc.constantFrom(0, 0, 10),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: c("scan"),
      hashFilter: filter,
      sortFilter: filter,
      batchSize: fc.constantFrom(0, 1, 2, 7),
      countOnly: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      op: c("burst"),
      sort: key,
      first: value,
      by: fc.array(fc.bigInt(-5n, 5n), { maxLength: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ op: c("time"), seconds: fc.constantFrom(1, 2, 40) }) },
);
/** One random operation. */
export type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

function c<const T extends string>(name: T) {
  return fc.constant(name);
}
