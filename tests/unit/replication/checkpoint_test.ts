// When a replica makes its state durable: protocol.md, §15. Told through group.ts.

import assert from "node:assert/strict";
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
