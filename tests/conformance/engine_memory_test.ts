// The in-memory twin passes the engine suite, and models crashes and failures.

import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { type BatchOp, EngineError } from "../../storage/engine.ts";
import { MemoryEngine } from "../sim/memory_engine.ts";
import { engineSuite } from "./engine_suite.ts";

engineSuite({ name: "MemoryEngine", open: async () => new MemoryEngine() });

const put = (key: string, value: string): BatchOp => ({
  type: "put",
  key: utf8(key),
  value: utf8(value),
});

Deno.test("MemoryEngine survives a power loss with its last flush, a process crash with everything", async () => {
  const engine = new MemoryEngine();
  engine.writeNow([put("a", "1")]);
  await engine.flush();
  engine.writeNow([put("b", "2")]);
  const power = engine.survivor("power");
  const process = engine.survivor("process");
  engine.writeNow([put("c", "3")]);
  assert.deepEqual([power.size, process.size, engine.size], [1, 2, 3]);
  process.writeNow([put("d", "4")]);
  assert.deepEqual([process.survivor("power").size, process.survivor("process").size], [1, 3]);
});

Deno.test("MemoryEngine fails and delays operations by its hooks", async () => {
  let release = () => {};
  const engine = new MemoryEngine({
    write: () => new Promise<void>((resolve) => release = resolve),
    flush: () => {
      throw new EngineError("io", "No space left");
    },
  });
  const written = engine.write([put("a", "1")]);
  assert.equal(engine.get(utf8("a")), undefined);
  release();
  await written;
  assert.equal(engine.size, 1);
  await assert.rejects(engine.flush(), { kind: "io" });
  assert.equal(engine.survivor("power").size, 0);
});
