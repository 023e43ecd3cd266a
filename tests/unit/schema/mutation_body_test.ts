// The body of a mutation: exact bytes, round trips, and refusal of damaged input.

import assert from "node:assert/strict";
import fc from "fast-check";
import { toHex, utf8 } from "../../../src/base/bytes.ts";
import {
  type BodyOp,
  encodeBody,
  readBody,
  type SessionRecord,
} from "../../../src/schema/mutation_body.ts";

function read(bytes: Uint8Array): { whole: boolean; sessions: SessionRecord[]; ops: BodyOp[] } {
  const sessions: SessionRecord[] = [];
  const ops: BodyOp[] = [];
  const whole = readBody(bytes, {
    session: (record) => sessions.push(record),
    put: (key, value) => ops.push({ key, value }),
    remove: (key) => ops.push({ key, value: undefined }),
  });
  return { whole, sessions, ops };
}

const plain = (ops: readonly BodyOp[]) =>
  ops.map((op) => [toHex(op.key), op.value === undefined ? "del" : toHex(op.value)]);

const anyBytes = fc.uint8Array({ maxLength: 200 });
const anyOps = fc.array(
  fc.record({ key: anyBytes, value: fc.option(anyBytes, { nil: undefined }) }),
  { maxLength: 20 },
);
const anySessions = fc.array(
  fc.record({
    session: fc.maxSafeNat(),
    sequence: fc.maxSafeNat(),
    answeredBelow: fc.maxSafeNat(),
    error: fc.nat(70),
    result: fc.option(anyBytes, { nil: undefined }),
  }),
  { maxLength: 5 },
);

Deno.test("encodeBody writes the documented bytes", () => {
  const body = encodeBody(
    [{ session: 300, sequence: 1, answeredBelow: 0, error: 0, result: utf8("r") }],
    [{ key: utf8("k"), value: utf8("vv") }, { key: utf8("d"), value: undefined }],
  );
  assert.equal(
    toHex(body),
    "01" + "ac02" + "01" + "00" + "00" + "02" + "72" + "036b027676" + "0264",
  );
});

Deno.test("encodeBody of nothing is empty and readBody accepts it", () => {
  assert.equal(encodeBody([], []).length, 0);
  assert.deepEqual(read(new Uint8Array(0)), { whole: true, sessions: [], ops: [] });
});

Deno.test("readBody undoes encodeBody", () => {
  fc.assert(fc.property(anySessions, anyOps, (sessions, ops) => {
    const got = read(encodeBody(sessions, ops));
    assert.equal(got.whole, true);
    assert.deepEqual(plain(got.ops), plain(ops));
    assert.deepEqual(
      got.sessions.map((s) => ({ ...s, result: s.result && toHex(s.result) })),
      sessions.map((s) => ({ ...s, result: s.result && toHex(s.result) })),
    );
  }));
});

Deno.test("readBody without put and remove reads only the sessions", () => {
  const body = encodeBody(
    [{ session: 1, sequence: 2, answeredBelow: 3, error: 4, result: undefined }],
    [{ key: utf8("k"), value: utf8("v") }],
  );
  const seen: number[] = [];
  assert.equal(readBody(body, { session: (s) => seen.push(s.sequence) }), true);
  assert.deepEqual(seen, [2]);
});

Deno.test("readBody reports a body cut inside an operation", () => {
  const body = encodeBody([], [{ key: utf8("key"), value: utf8("value") }]);
  for (let cut = 2; cut < body.length; cut++) {
    assert.equal(read(body.subarray(0, cut)).whole, false, `cut at ${cut}`);
  }
});

Deno.test("readBody never throws on arbitrary bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
    read(bytes);
  }));
});
