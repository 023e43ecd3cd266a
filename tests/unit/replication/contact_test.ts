// Stories of a primary and meta: lost contact, lost answers, writes that come meanwhile. docs/protocol.md §9.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { formed, Group } from "./group.ts";

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

Deno.test("ReplicaCore does not become primary by an answer that comes after contact was lost", () => {
  const group = formed();
  group.crash("C");
  const step = group.step.bind(group);
  group.step = (name, event) => {
    // The answer is under way while the lease ends.
    if (event.kind === "configReply") step(name, { kind: "metaContact", connected: false });
    step(name, event);
  };
  group.step("A", { kind: "peerDown", node: "C" });
  group.run();
  assert.equal(group.core("A").ballot, group.config.ballot);
  assert.deepEqual([group.core("A").status, group.core("A").readable], ["inactive", false]);
  group.step("A", { kind: "metaContact", connected: true });
  assert.equal(group.core("A").status, "inactive");
  group.step("A", { kind: "config", config: group.config });
  assert.equal(group.core("A").status, "primary");
  group.put("A", "w1", "k", "v");
  group.pass(600);
  assert.equal(group.reply("w1")?.error, Err.OK);
});

Deno.test("ReplicaCore refuses what came while it lost its majority", () => {
  const group = formed();
  group.crash("B");
  group.crash("C");
  group.step("A", { kind: "peerDown", node: "B" });
  group.run();
  group.metaDown = true;
  group.step("A", { kind: "peerDown", node: "C" });
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1"), undefined, "A and C are enough");
  group.metaDown = false;
  group.pass(1200);
  assert.equal(group.core("A").status, "primary");
  assert.equal(group.reply("w1")?.error, Err.NOT_ENOUGH_MEMBER);
  assert.equal(group.row("A", "k"), undefined);
});

Deno.test("ReplicaCore takes what came between two configurations without another event", () => {
  const group = new Group(["A"]);
  group.config = { ...group.config, maxReplicaCount: 1 };
  group.form();
  let attempt = 0;
  group.update = (_from, asked) => {
    attempt = asked.attempt;
    group.config = asked.config;
  };
  group.propose("A", "PRIMARY_FORCE_UPDATE_BALLOT", "A");
  group.put("A", "w1", "k", "v");
  group.run();
  const { maxPrepared } = group.core("A").report();
  group.step("A", { kind: "configReply", attempt, error: Err.OK, config: group.config });
  assert.equal(group.core("A").report().maxPrepared, maxPrepared + 1);
  group.run();
  assert.equal(group.reply("w1")?.error, Err.OK);
});
