// Small parts of a replica server: the queue behind the shared log, addresses, the lease gate, write limits.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { CHECK_TYPES } from "../../../src/schema/client_rpc.ts";
import { WRITE_BYTES_MAX } from "../../../src/schema/write_size.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { LeaseGate } from "../../../roles/replica/control_link.ts";
import { DurableQueue } from "../../../roles/replica/durable_queue.ts";
import { NodeBook } from "../../../roles/replica/node_book.ts";
import {
  decodeCheckAndMutate,
  decodeCheckAndSet,
  decodeMultiPut,
  decodeMultiRemove,
  decodePut,
} from "../../../roles/replica/write_handlers.ts";

const HEAD = { partition: 65536, session: 0, sequence: 0, answeredBelow: 0 };
const H = new TextEncoder().encode("h");
const S = new TextEncoder().encode("s");

class Owner {
  readonly tokens: number[] = [];
  onDurable(token: number): void {
    this.tokens.push(token);
  }
}

Deno.test("DurableQueue tells each replica once, with its newest durable token", () => {
  const queue = new DurableQueue<Owner>();
  const [a, b] = [new Owner(), new Owner()];
  queue.push(10, a, 1);
  queue.push(20, b, 1);
  queue.push(30, a, 2);
  queue.push(40, a, 3);
  queue.settle(30);
  assert.deepEqual([a.tokens, b.tokens, queue.size], [[2], [1], 1]);
  queue.settle(30);
  queue.settle(40);
  assert.deepEqual([a.tokens, b.tokens, queue.size], [[2, 3], [1], 0]);
});

Deno.test("DurableQueue keeps its order over many rounds", () => {
  const queue = new DurableQueue<Owner>();
  const owner = new Owner();
  for (let i = 1; i <= 20_000; i++) {
    queue.push(i, owner, i);
    if (i % 3 === 0) queue.settle(i - 1);
  }
  queue.settle(20_000);
  assert.equal(owner.tokens.at(-1), 20_000);
  assert.deepEqual(owner.tokens, owner.tokens.toSorted((x, y) => x - y));
  assert.equal(queue.size, 0);
});

Deno.test("NodeBook names the shard of a partition, and the node behind it", () => {
  const book = new NodeBook();
  assert.equal(book.address("h:1", 5), "h:1");
  book.update([{ node: "h:1", shardPorts: [7, 8] }]);
  assert.equal(book.address("h:1", 4), "h:7");
  assert.equal(book.address("h:1", 5), "h:8");
  assert.equal(book.nodeOf("h:8"), "h:1");
  book.update([{ node: "h:1", shardPorts: [9] }]);
  assert.equal(book.address("h:1", 5), "h:9");
  assert.equal(book.nodeOf("h:8"), "h:8");
});

Deno.test("LeaseGate is shut before the first beacon, and by either clock", () => {
  const now = { mono: 0, wall: 0 };
  const gate = new LeaseGate({ now: () => now });
  assert.equal(gate.held, false);
  gate.set(100, 1000);
  assert.equal(gate.held, true);
  now.mono = 100;
  assert.equal(gate.held, false);
  now.mono = 99;
  now.wall = 1000;
  assert.equal(gate.held, false);
});

Deno.test("LeaseGate is seen by another reader of the same memory", () => {
  const memory = new SharedArrayBuffer(16);
  const clock = { now: () => ({ mono: 5, wall: 5 }) };
  const reader = new LeaseGate(clock, memory);
  new LeaseGate(clock, memory).set(10, 10);
  assert.equal(reader.held, true);
});

Deno.test("decodePut refuses malformed keys and oversized writes as INVALID_DATA", () => {
  const value = new Uint8Array(10);
  const put = (key: Uint8Array, bytes = value) =>
    decodePut({ ...HEAD, key, value: bytes, expireTs: 0 });
  assert.ok("op" in put(encodeKey(H, S)));
  for (
    const key of [new Uint8Array(0), new Uint8Array([0, 9, 1]), new Uint8Array(65540).fill(255)]
  ) {
    const refused = put(key);
    assert.equal("error" in refused && refused.error, Err.INVALID_DATA);
  }
  const key = encodeKey(H, S);
  assert.ok("op" in put(key, new Uint8Array(WRITE_BYTES_MAX - key.length)));
  assert.ok("error" in put(key, new Uint8Array(WRITE_BYTES_MAX - key.length + 1)));
});

Deno.test("decodeMultiPut and decodeMultiRemove join hash key and sort keys", () => {
  const put = decodeMultiPut({
    ...HEAD,
    hashKey: H,
    rows: [{ sortKey: S, value: S }],
    expireTs: 9,
  });
  assert.deepEqual("op" in put && put.op, {
    kind: "put",
    rows: [{ key: encodeKey(H, S), value: S, expireTs: 9 }],
  });
  const remove = decodeMultiRemove({ ...HEAD, hashKey: H, sortKeys: [S, H] });
  assert.deepEqual("op" in remove && remove.op, {
    kind: "remove",
    keys: [encodeKey(H, S), encodeKey(H, H)],
    returnCount: true,
  });
  const tooLong = decodeMultiPut({
    ...HEAD,
    hashKey: new Uint8Array(65535),
    rows: [],
    expireTs: 0,
  });
  assert.equal("error" in tooLong && tooLong.error, Err.INVALID_DATA);
});

Deno.test("decodeCheckAndSet sets the checked row when no other is named, and refuses unknown checks", () => {
  const request = {
    ...HEAD,
    hashKey: H,
    checkSortKey: S,
    checkType: 3,
    checkOperand: new Uint8Array(0),
    returnCheckValue: true,
    setSortKey: undefined,
    setValue: H,
    expireTs: 0,
  };
  const decoded = decodeCheckAndSet(request);
  assert.deepEqual("op" in decoded && decoded.op, {
    kind: "checkAndSet",
    row: { key: encodeKey(H, S), value: H, expireTs: 0 },
    checkKey: encodeKey(H, S),
    checkType: "exist",
    checkOperand: new Uint8Array(0),
    returnCheckValue: true,
  });
  const unknown = decodeCheckAndSet({ ...request, checkType: CHECK_TYPES.length });
  assert.equal("error" in unknown && unknown.error, Err.INVALID_ARGUMENT);
});

Deno.test("decodeCheckAndMutate keeps the order of its puts and removes", () => {
  const decoded = decodeCheckAndMutate({
    ...HEAD,
    hashKey: H,
    checkSortKey: S,
    checkType: 0,
    checkOperand: new Uint8Array(0),
    returnCheckValue: false,
    mutations: [
      { kind: "remove", sortKey: S, value: new Uint8Array(0), expireTs: 0 },
      { kind: "put", sortKey: S, value: H, expireTs: 1 },
    ],
  });
  assert.ok("op" in decoded && decoded.op.kind === "checkAndMutate");
  assert.deepEqual(decoded.op.mutations, [
    { key: encodeKey(H, S), remove: true },
    { key: encodeKey(H, S), value: H, expireTs: 1 },
  ]);
});
