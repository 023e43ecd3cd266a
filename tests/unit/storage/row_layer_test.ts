// Rows in front of an engine: the newest operation per key, also for keys whose hashes are equal.

import assert from "node:assert/strict";
import type { BatchOp } from "../../../storage/engine.ts";
import { RowLayer } from "../../../storage/row_layer.ts";

const KEYS = 500;

function keyOf(i: number): Uint8Array {
  const key = new Uint8Array(8);
  new DataView(key.buffer).setFloat64(0, Math.sqrt(i + 1));
  return key;
}

const putOf = (key: Uint8Array, value: number): BatchOp => ({
  type: "put",
  key,
  value: new Uint8Array([value]),
});

Deno.test("RowLayer keeps the newest operation of every key, also of those with equal hashes", () => {
  keepsNewest(new RowLayer());
  keepsNewest(new RowLayer((key) => key[7]! % 3));
});

function keepsNewest(layer: RowLayer): void {
  for (let i = 0; i < KEYS; i++) layer.add(putOf(keyOf(i), 1));
  const bytes = layer.bytes;
  for (let i = 0; i < KEYS; i++) layer.add(putOf(keyOf(i), 2));
  assert.equal(layer.size, KEYS);
  assert.equal(layer.bytes, bytes, "A replaced row is not counted twice");
  for (let i = 0; i < KEYS; i++) {
    const op = layer.find(keyOf(i));
    assert.ok(op?.type === "put" && op.value[0] === 2);
  }
  assert.equal(layer.find(keyOf(KEYS)), undefined);
  assert.equal(layer.ops().length, KEYS);
}

Deno.test("RowLayer holds deletes, and counts them", () => {
  const layer = new RowLayer();
  layer.add(putOf(keyOf(1), 1));
  layer.add({ type: "del", key: keyOf(1) });
  assert.equal(layer.find(keyOf(1))?.type, "del");
  assert.equal(layer.size, 1);
  assert.equal(layer.find(new Uint8Array(0)), undefined);
});
