// Stories of a primary and meta: lost contact, lost answers. docs/protocol.md §9.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { Group } from "./group.ts";

function formed(): Group {
  const group = new Group(["A", "B", "C"]);
  group.form();
  return group;
}

Deno.test("ReplicaCore stops at once when contact with meta is lost, and resumes", () => {
  const group = formed();
  group.member("B").holdLog = true;
  group.put("A", "w1", "k", "v");
  group.run();
  group.step("A", { kind: "metaContact", connected: false });
  assert.equal(group.reply("w1")?.error, Err.OUTCOME_UNKNOWN);
  assert.equal(group.core("A").readable, false);
  group.put("A", "w2", "k", "v");
  assert.equal(group.reply("w2")?.error, Err.INVALID_STATE);
  group.member("B").holdLog = false;
  group.run();
  group.step("A", { kind: "metaContact", connected: true });
  group.step("A", { kind: "config", config: group.config });
  group.pass(600);
  assert.equal(group.core("A").readable, true);
  assert.equal(group.row("A", "k"), "v");
});

Deno.test("ReplicaCore does not resume an old configuration while a request is unanswered", () => {
  const group = formed();
  group.metaDown = true;
  group.crash("C");
  group.step("A", { kind: "peerDown", node: "C" });
  group.run();
  group.step("A", { kind: "metaContact", connected: false });
  group.step("A", { kind: "metaContact", connected: true });
  group.step("A", { kind: "config", config: group.config });
  group.run();
  assert.equal(group.core("A").status, "inactive");
  group.metaDown = false;
  group.pass(1200);
  assert.equal(group.core("A").status, "primary");
  assert.deepEqual(group.config.secondaries, ["B"]);
});

Deno.test("ReplicaCore accepts the answer to a lost reconfiguration reply", () => {
  const group = formed();
  group.crash("C");
  group.step("A", { kind: "peerDown", node: "C" });
  // The first answer is lost: the queue of events is thrown away.
  const step = group.step.bind(group);
  let lost = 0;
  group.step = (name, event) => {
    if (event.kind === "configReply" && lost++ === 0) return;
    step(name, event);
  };
  group.run();
  assert.equal(group.core("A").status, "inactive");
  group.pass(1200);
  assert.equal(group.core("A").status, "primary");
  assert.equal(group.updates.filter((u) => u.startsWith("DOWNGRADE")).length, 2);
});
