// Messages through msgpack and back, including the numbers and byte strings msgpack treats specially.

import assert from "node:assert/strict";
import fc from "fast-check";
import { toHex, utf8 } from "../../../src/base/bytes.ts";
import { decode, encode } from "../../../src/schema/codec.ts";
import { CheckAndMutate, Incr, MultiGet } from "../../../src/schema/client_rpc.ts";
import { bytes, i53, i64, list, SchemaError, str, struct, u53 } from "../../../src/schema/field.ts";
import { Prepare } from "../../../src/schema/replica_rpc.ts";
import { RowBlock } from "../../../src/schema/row_block.ts";

const numbers = struct({ a: u53, b: i53, c: i64 });

Deno.test("codec keeps 53-bit and 64-bit integers exact", () => {
  const anyI64 = fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n });
  const anyI53 = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER });
  fc.assert(fc.property(fc.maxSafeNat(), anyI53, anyI64, (a, b, c) => {
    assert.deepEqual(decode(numbers, encode(numbers, { a, b, c }), "x"), { a, b, c });
  }));
});

Deno.test("codec keeps byte strings and texts", () => {
  const field = struct({ list: list(bytes), text: str });
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.string(), (parts, text) => {
      const got = decode(field, encode(field, { list: parts, text }), "x");
      assert.deepEqual(got.list.map(toHex), parts.map(toHex));
      assert.equal(got.text, text);
    }),
  );
});

Deno.test("codec carries whole requests", () => {
  const head = { partition: 65537, session: 0, sequence: 0, answeredBelow: 0 };
  const incr = { ...head, key: utf8("k"), increment: -(1n << 63n), expireTs: -1 };
  const got = decode(Incr.request, encode(Incr.request, incr), "incr");
  assert.equal(got.increment, incr.increment);
  assert.equal(got.expireTs, -1);
  const cam = {
    ...head,
    hashKey: utf8("h"),
    checkSortKey: utf8("s"),
    checkType: 3,
    checkOperand: new Uint8Array(0),
    returnCheckValue: true,
    mutations: [{ kind: "put" as const, sortKey: utf8("a"), value: utf8("b"), expireTs: 9 }],
  };
  const back = decode(CheckAndMutate.request, encode(CheckAndMutate.request, cam), "cam");
  assert.equal(back.mutations[0]!.kind, "put");
  assert.equal(toHex(back.mutations[0]!.value), "62");
});

Deno.test("codec results own their bytes: a second encode leaves the first alone", () => {
  const field = struct({ key: bytes });
  const first = encode(field, { key: utf8("first") });
  const copy = toHex(first);
  for (let i = 0; i < 100; i++) encode(field, { key: utf8("second-" + i) });
  assert.equal(toHex(first), copy);
});

Deno.test("decode throws on damaged bytes and never hangs", () => {
  const whole = encode(MultiGet.response, {
    rows: RowBlock.of([{ key: utf8("k"), value: utf8("v"), expireTs: undefined }]),
    complete: true,
  });
  assert.throws(() => decode(MultiGet.response, whole.subarray(0, whole.length - 1), "x"));
  assert.throws(() => decode(Prepare.request, whole, "x"), SchemaError);
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
    try {
      decode(MultiGet.response, noise, "x");
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  }));
});
