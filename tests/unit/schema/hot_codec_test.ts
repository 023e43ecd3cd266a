// Messages written by hand against the general way: the same bytes out, the same value in, and the same verdict on
// everything that is not quite such a message.

import assert from "node:assert/strict";
import fc from "fast-check";
import { toHex } from "../../../src/base/bytes.ts";
import { Get, MultiGet, MultiPut, Put, Scan } from "../../../src/schema/client_rpc.ts";
import { decode, encode, encodeShared } from "../../../src/schema/codec.ts";
import { bytes, type Field, list, struct, u53 } from "../../../src/schema/field.ts";
import { Prepare, PrepareAck } from "../../../src/schema/replica_rpc.ts";
import { RowBlock } from "../../../src/schema/row_block.ts";

const anyNumber = fc.oneof(
  fc.maxSafeNat(),
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0xfff0, max: 0x1000f }),
  fc.integer({ min: 0xffff_fff0, max: 0x1_0000_000f }),
);
const anyBytes = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.uint8Array({ minLength: 250, maxLength: 260 }),
);
const anyRows = fc.array(
  fc.record({ key: anyBytes, value: fc.option(anyBytes, { nil: undefined }) }),
  { maxLength: 20 },
).map((rows) => RowBlock.of(rows.map((row) => ({ ...row, expireTs: undefined }))));
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const writeHead = {
  partition: anyNumber,
  session: anyNumber,
  sequence: anyNumber,
  answeredBelow: anyNumber,
};
const peerHead = {
  partition: anyNumber,
  from: fc.oneof(fc.string({ maxLength: 300 }), fc.constant("127.0.0.1:34801")),
  incarnation: anyNumber,
  ballot: anyNumber,
};

interface Message {
  readonly name: string;
  // deno-lint-ignore no-explicit-any
  readonly field: Field<any>;
  readonly any: fc.Arbitrary<object>;
}

const MESSAGES: Message[] = [
  {
    name: "put request",
    field: Put.request,
    any: fc.record({ ...writeHead, key: anyBytes, value: anyBytes, expireTs: u32 }),
  },
  {
    name: "put response",
    field: Put.response,
    any: fc.record({ decree: anyNumber, result: fc.option(anyBytes, { nil: undefined }) }),
  },
  {
    name: "multi_put request",
    field: MultiPut.request,
    any: fc.record({
      ...writeHead,
      hashKey: anyBytes,
      rows: fc.array(fc.record({ sortKey: anyBytes, value: anyBytes }), { maxLength: 20 }),
      expireTs: u32,
    }),
  },
  {
    name: "get request",
    field: Get.request,
    any: fc.record({
      partition: anyNumber,
      stale: fc.boolean(),
      key: anyBytes,
      stalenessMaxMs: anyNumber,
    }),
  },
  {
    name: "get response",
    field: Get.response,
    any: fc.record({ value: fc.option(anyBytes, { nil: undefined }) }),
  },
  {
    name: "multi_get response",
    field: MultiGet.response,
    any: fc.record({ rows: anyRows, complete: fc.boolean() }),
  },
  {
    name: "scan response",
    field: Scan.response,
    any: fc.record({ context: anyNumber, rows: anyRows, count: u32 }),
  },
  {
    name: "prepare",
    field: Prepare.request,
    any: fc.record({
      ...peerHead,
      role: fc.constantFrom("secondary" as const, "learner" as const),
      signature: anyNumber,
      reconcileEnd: anyNumber,
      mutation: anyBytes,
      committed: anyNumber,
    }),
  },
  {
    name: "prepare_ack",
    field: PrepareAck.request,
    any: fc.record({
      ...peerHead,
      signature: anyNumber,
      decree: anyNumber,
      error: fc.integer({ min: 0, max: 0xffff }),
      lastPrepared: anyNumber,
      committed: anyNumber,
    }),
  },
];

/** The same field without its codec by hand. */
function general<T>({ write, read }: Field<T>): Field<T> {
  return { write, read };
}

/** A value as text; the order of its fields does not matter. */
function shown(value: object): string {
  const show = (_: string, part: unknown) => {
    if (part instanceof RowBlock) return part.toArray();
    return part instanceof Uint8Array ? toHex(part) : part;
  };
  return JSON.stringify(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1), show);
}

/** What a decoder makes of bytes: a value, or a complaint. */
function verdict<T>(field: Field<T>, input: Uint8Array): string {
  try {
    return shown(decode(field, new Uint8Array(input), "message") as object);
  } catch (error) {
    return `refused: ${(error as Error).message}`;
  }
}

for (const { name, field, any } of MESSAGES) {
  Deno.test(`hot codec: a ${name} has the bytes and values of the general way`, () => {
    assert.ok(field.hot !== undefined);
    fc.assert(fc.property(any, (value) => {
      const written = encode(field, value);
      assert.equal(toHex(written), toHex(encode(general(field), value)));
      assert.equal(toHex(encodeShared(field, value)), toHex(written));
      assert.equal(verdict(field, written), shown(value));
      assert.equal(verdict(general(field), written), shown(value));
    }));
  });

  Deno.test(`hot codec: a damaged ${name} gets the verdict of the general way`, () => {
    const damage = fc.array(fc.tuple(fc.nat(1000), fc.nat(255)), { maxLength: 3 });
    fc.assert(
      fc.property(
        any,
        damage,
        fc.nat(30),
        fc.uint8Array({ maxLength: 3 }),
        (value, at, cut, more) => {
          const whole = encode(field, value);
          const input = new Uint8Array([...whole.subarray(0, whole.length - cut), ...more]);
          for (const [place, byte] of at) if (input.length > 0) input[place % input.length] = byte;
          assert.equal(verdict(field, input), verdict(general(field), input));
        },
      ),
    );
  });
}

Deno.test("hot codec: a message of a newer and of an older peer is read", () => {
  const newer = struct({ decree: u53, result: bytes, more: list(u53) });
  const sent = encode(newer, { decree: 7, result: new Uint8Array([1]), more: [1, 2] });
  assert.equal(verdict(Put.response, sent), shown({ decree: 7, result: new Uint8Array([1]) }));
  const older = encode(struct({ decree: u53 }), { decree: 8 });
  assert.deepEqual(decode(Put.response, older, "x"), { decree: 8, result: undefined });
});

Deno.test("hot codec: bytes of one message do not change with the next", () => {
  const first = encode(Get.response, { value: new Uint8Array([1, 2]) });
  encode(Get.response, { value: new Uint8Array([3, 4]) });
  assert.deepEqual(decode(Get.response, first, "x"), { value: new Uint8Array([1, 2]) });
});
