// Mutations to batches, and the rows a replica keeps for itself.

import assert from "node:assert/strict";
import { toHex, utf8 } from "../../../src/base/bytes.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import type { Mutation } from "../../../src/schema/mutation.ts";
import { type BodyOp, encodeBody } from "../../../src/schema/mutation_body.ts";
import {
  APPLIED_KEY,
  applyOps,
  ensureFormat,
  FORMAT_KEY,
  formatOp,
  readApplied,
  readSessions,
  sessionsOp,
} from "../../../storage/apply.ts";
import { compareBytes } from "../../../src/base/bytes.ts";
import { USER_KEYS_END } from "../../../src/schema/key_format.ts";
import { EngineError } from "../../../storage/engine.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";

function mutation(decree: number, ops: BodyOp[]): Mutation {
  const session = { session: 9, sequence: 1, answeredBelow: 0, error: 0, result: utf8("r") };
  const body = ops.length === 0 ? new Uint8Array(0) : encodeBody([session], ops);
  return { ballot: 1, decree, lastCommitted: 0, timestampUs: 1, body };
}

const key = (text: string) => encodeKey(utf8("h"), utf8(text));
const isCorrupt = (error: unknown) => error instanceof EngineError && error.kind === "corruption";

Deno.test("applyOps makes one batch of several decrees and counts empty ones", () => {
  const engine = new MemoryEngine();
  assert.equal(readApplied(engine), 0);
  engine.writeNow([...applyOps([
    mutation(1, [{ key: key("a"), value: utf8("1") }, { key: key("b"), value: utf8("2") }]),
    mutation(2, []),
    mutation(3, [{ key: key("a"), value: undefined }, { key: key("b"), value: utf8("3") }]),
  ], 0)]);
  assert.equal(engine.get(key("a")), undefined);
  assert.equal(toHex(engine.get(key("b"))!), "33");
  assert.equal(readApplied(engine), 3);
  engine.writeNow([...applyOps([mutation(4, [])], 3)]);
  assert.equal(readApplied(engine), 4);
  assert.deepEqual([...applyOps([], 4)], []);
});

Deno.test("applyOps is harmless when replayed over a newer state that ends the same", () => {
  const engine = new MemoryEngine();
  const all = [
    mutation(1, [{ key: key("a"), value: utf8("1") }]),
    mutation(2, [{ key: key("a"), value: undefined }]),
    mutation(3, [{ key: key("a"), value: utf8("3") }]),
  ];
  engine.writeNow([...applyOps(all, 0)]);
  engine.writeNow([...applyOps(all.slice(1), 1)]);
  assert.equal(toHex(engine.get(key("a"))!), "33");
  assert.equal(readApplied(engine), 3);
});

Deno.test("applyOps refuses gaps and bodies that are not whole", () => {
  assert.throws(() => applyOps([mutation(2, [])], 0), /no gap/);
  assert.throws(() => applyOps([mutation(1, []), mutation(3, [])], 0), /no gap/);
  const whole = mutation(1, [{ key: key("a"), value: utf8("12345") }]);
  const cut = { ...whole, body: whole.body.subarray(0, whole.body.length - 1) };
  assert.throws(() => applyOps([cut], 0), isCorrupt);
});

Deno.test("The sessions row keeps decree and image", () => {
  const engine = new MemoryEngine();
  assert.deepEqual([readSessions(engine).decree, readSessions(engine).image.length], [0, 0]);
  engine.writeNow([sessionsOp(Number.MAX_SAFE_INTEGER, utf8("image"))]);
  const { decree, image } = readSessions(engine);
  assert.equal(decree, Number.MAX_SAFE_INTEGER);
  assert.equal(toHex(image), toHex(utf8("image")));
});

Deno.test("Damaged meta rows are corruption", () => {
  const engine = new MemoryEngine();
  const short = { type: "put", value: new Uint8Array(3) } as const;
  engine.writeNow([{ ...short, key: sessionsOp(1, utf8("")).key }]);
  assert.throws(() => readSessions(engine), isCorrupt);
  const huge = new Uint8Array(8).fill(0xff);
  engine.writeNow([{ type: "put", key: APPLIED_KEY, value: huge }]);
  assert.throws(() => readApplied(engine), isCorrupt);
});

Deno.test("ensureFormat marks a new engine and refuses an unknown version", async () => {
  const engine = new MemoryEngine();
  await ensureFormat(engine);
  assert.deepEqual([...engine.get(FORMAT_KEY)!], [1]);
  await ensureFormat(engine);
  engine.writeNow([{ type: "put", key: FORMAT_KEY, value: new Uint8Array([9]) }]);
  await assert.rejects(ensureFormat(engine), /Data version is 9, expected 1/);
});

Deno.test("Meta rows sort above every user key", () => {
  for (const op of [sessionsOp(1, utf8("")), formatOp(), ...applyOps([mutation(1, [])], 0)]) {
    assert.ok(compareBytes(op.key, USER_KEYS_END) > 0);
  }
});
