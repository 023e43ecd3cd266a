// How the garbage collector is told of memory behind objects of an addon.

import assert from "node:assert/strict";
import { ExternalMemory, TOLD_AFTER_BYTES } from "../../../storage/external_memory.ts";

Deno.test("The collector is told once for every so many bytes", () => {
  const told: number[] = [];
  const memory = new ExternalMemory((bytes) => told.push(bytes));
  memory.abandon(TOLD_AFTER_BYTES - 1);
  assert.equal(told.length, 0);
  memory.abandon(1);
  assert.equal(told.length, 1);
  memory.abandon(TOLD_AFTER_BYTES - 1);
  assert.equal(told.length, 1);
  memory.abandon(5 * TOLD_AFTER_BYTES);
  assert.equal(told.length, 2, "one is enough for whatever is there");
});

Deno.test("Without addresses for the buffer nothing fails", () => {
  let tries = 0;
  const memory = new ExternalMemory(() => {
    tries++;
    throw new RangeError("Array buffer allocation failed");
  });
  memory.abandon(TOLD_AFTER_BYTES);
  memory.abandon(TOLD_AFTER_BYTES);
  assert.equal(tries, 2);
});

Deno.test("V8 begins a full collection when it is told", async () => {
  const module = new URL("../../../storage/external_memory.ts", import.meta.url).href;
  // Old objects are watched: whatever collection finds them garbage is a full one.
  const program = `
    const { ExternalMemory, TOLD_AFTER_BYTES } = await import("${module}");
    const memory = new ExternalMemory();
    let seen = 0;
    const registry = globalThis.registry = new FinalizationRegistry(() => seen++);
    let watched = {};
    registry.register(watched, 0);
    gc();
    gc();
    watched = undefined;
    const turns = async (n) => {
      for (let i = 0; i < n && seen === 0; i++) await new Promise((resolve) => setTimeout(resolve, 2));
    };
    await turns(50);
    const before = seen;
    memory.abandon(TOLD_AFTER_BYTES);
    await turns(5000);
    console.log(before, seen);`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-check", "--v8-flags=--expose-gc", program],
  }).output();
  const text = new TextDecoder();
  assert.equal(text.decode(stdout).trim(), "0 1", text.decode(stderr));
});
