// When a replica makes its state durable: protocol.md, §15. Told through group.ts.

import assert from "node:assert/strict";
import type { ReplicaEffect, ReplicaEvent } from "../../../src/replication/io.ts";
import { Group } from "./group.ts";

Deno.test("ReplicaCore takes a checkpoint when it is told to, and only if there is something to keep", () => {
  const group = new Group(["A", "B", "C"]);
  group.form();
  group.put("A", "v", "k", "v");
  group.pass(200);
  const durable = (name: string) => group.core(name).durable;
  const before = durable("B");
  group.step("A", { kind: "checkpointDue" });
  group.run();
  assert.equal(durable("A"), group.core("A").applied, "the first one is due anyway");
  group.put("A", "w", "k", "w");
  group.pass(200);
  assert.ok(durable("A") < group.core("A").applied, "the interval is long");
  group.step("A", { kind: "checkpointDue" });
  group.run();
  assert.equal(durable("A"), group.core("A").applied);
  assert.equal(durable("B"), before, "each replica by itself");
});

Deno.test("ReplicaCore takes one checkpoint at a time, also when an image came while one ran", () => {
  const group = new Group(["A", "B", "C"]);
  group.form();
  group.put("A", "v", "k", "v");
  group.pass(200);
  const core = group.core("A");
  /** Attempts of the checkpoints that an event makes it take. */
  const attempts = (event: ReplicaEvent): number[] => {
    const out: ReplicaEffect[] = [];
    core.step(event, { mono: group.now, wall: group.now }, out);
    return out.flatMap((effect) => effect.kind === "checkpoint" ? [effect.attempt] : []);
  };
  const due = (): number[] => attempts({ kind: "checkpointDue" });
  const [first] = due();
  const decree = core.applied;
  attempts({ kind: "imageInstalled", signature: 1, decree, sessions: new Uint8Array(0) });
  group.put("A", "w", "k", "w");
  group.pass(200);
  assert.ok(core.applied > decree);
  const [second] = due();
  assert.ok(first !== undefined && second !== undefined && second > first);
  attempts({ kind: "checkpointed", attempt: first, decree: 0 });
  assert.deepEqual(due(), [], "the second one still runs");
  attempts({ kind: "checkpointed", attempt: second, decree: core.applied });
  assert.equal(core.durable, core.applied);
});
