// Rows in front of an engine: the newest operation per key, also for keys whose hashes are equal.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Prng } from "../../../src/base/prng.ts";
import { encodeBody } from "../../../src/schema/mutation_body.ts";
import type { BatchOp } from "../../../storage/engine.ts";
import { PackedOps } from "../../../storage/packed_ops.ts";
import { RowLayer } from "../../../storage/row_layer.ts";

const KEYS = 500;

const keyOf = (i: number): Uint8Array => utf8(`key ${i}`);

const putOf = (i: number, value: string): BatchOp => ({
  type: "put",
  key: keyOf(i),
  value: utf8(value),
});

/** What a layer holds, in the order of keys. */
function contentOf(layer: RowLayer): [string, string | null][] {
  return Array.from(layer.ops(), (op): [string, string | null] => [
    fromUtf8(op.key),
    op.type === "put" ? fromUtf8(op.value) : null,
  ]).sort(([a], [b]) => a < b ? -1 : 1);
}

/** The same operations as a mutation brings them. */
function packed(ops: readonly BatchOp[]): PackedOps {
  const all = new PackedOps();
  const bodyOps = ops.map((op) => ({
    key: op.key,
    value: op.type === "put" ? op.value : undefined,
  }));
  assert(all.addBody(encodeBody([], bodyOps)));
  return all;
}

/** Random operations on the layer and on a map; what both hold must be equal all the time. */
function runModel(layer: RowLayer, random: Prng): void {
  const model = new Map<string, string | null>();
  for (let n = 0; n < 2000; n++) {
    const ops = Array.from({ length: random.below(5) }, (_, at): BatchOp => {
      const i = random.below(KEYS);
      const isPut = random.chance(0.8);
      const value = `${n} ${at}` + "v".repeat(random.pick([0, 1, 10, 300]));
      model.set(fromUtf8(keyOf(i)), isPut ? value : null);
      return isPut ? putOf(i, value) : { type: "del", key: keyOf(i) };
    });
    layer.add(random.chance(0.5) ? ops : packed(ops));
    const other = random.below(KEYS + 10);
    const found = layer.find(keyOf(other));
    assert.equal(found && fromUtf8(found), model.get(fromUtf8(keyOf(other))));
  }
  assert.equal(layer.size, model.size);
  assert.deepEqual(contentOf(layer), [...model].sort(([a], [b]) => a < b ? -1 : 1));
}

Deno.test("RowLayer keeps the newest operation of every key, also of those with equal hashes", () => {
  const three = (bytes: Uint8Array, at: number, length: number) => bytes[at + length - 1]! % 3;
  for (const hash of [undefined, three, () => -1]) {
    const layer = new RowLayer(hash);
    // Cleared, it is as good as a new one.
    for (const seed of ["first", "second"]) {
      runModel(layer, new Prng(seed));
      layer.clear();
      assert.deepEqual([layer.size, layer.bytes, contentOf(layer)], [0, 0, []]);
    }
  }
});

Deno.test("RowLayer counts what it holds, replaced rows included: a hot key must make a batch leave too", () => {
  const layer = new RowLayer();
  for (let n = 0; n < 100; n++) layer.add([putOf(1, "x".repeat(100))]);
  assert.equal(layer.size, 1);
  assert(layer.bytes > 100 * 100);
});

Deno.test("PackedOps yields what was packed, and refuses a body that is cut", () => {
  const ops = [putOf(1, "one"), { type: "del", key: keyOf(2) } as const, putOf(3, "")];
  const all = packed(ops);
  all.addPut(utf8("keyvalue"), 3);
  const last = { type: "put", key: utf8("key"), value: utf8("value") };
  assert.deepEqual([...all], [...ops, last]);
  const body = encodeBody([], [{ key: keyOf(1), value: utf8("value") }]);
  assert(!new PackedOps().addBody(body.subarray(0, body.length - 1)));
});

Deno.test("RowLayer holds values of any size, and copies all it is given", () => {
  const layer = new RowLayer();
  const given = new Map<number, Uint8Array>();
  for (const size of [0, 1, 60_000, 65_536, 65_537, 1_000_000, 3]) {
    const value = new Uint8Array(size).fill(size % 251);
    given.set(size, value.slice());
    const key = keyOf(size);
    layer.add([{ type: "put", key, value }]);
    key.fill(0);
    value.fill(0);
  }
  for (const [size, value] of given) assert.deepEqual(layer.find(keyOf(size)), value);
});

Deno.test("RowLayer: a value that was found stays what it was", () => {
  const layer = new RowLayer();
  layer.add([putOf(1, "before")]);
  const found = layer.find(keyOf(1))!;
  layer.add([putOf(1, "behind")]);
  layer.clear();
  for (let i = 0; i < KEYS; i++) layer.add([putOf(i, "later")]);
  assert.equal(fromUtf8(found), "before");
});
