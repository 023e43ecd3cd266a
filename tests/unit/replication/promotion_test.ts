// Stories of a learner whose promotion is stored late, of one that gives up, and of a primary that missed configurations.
// docs/protocol.md, "Learning" (§11.8).

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import type { PeerMessage } from "../../../src/schema/replica_rpc.ts";
import { Group, PARTITION } from "./group.ts";

/** A leads B and C; D has learned, and its promotion is on its way to a meta that does not answer. */
function promoting(): Group {
  const group = new Group(["A", "B", "C", "D"]);
  group.propose("A", "ASSIGN_PRIMARY", "A");
  group.run();
  for (const name of ["B", "C"]) {
    group.propose("A", "ADD_SECONDARY", name);
    group.pass(100);
  }
  group.config = { ...group.config, maxReplicaCount: 4 };
  group.notify();
  group.put("A", "w1", "k", "1");
  group.run();
  group.metaDown = true;
  group.propose("A", "ADD_SECONDARY", "D");
  group.pass(100);
  assert.equal(group.core("D").status, "learner");
  assert.equal(group.core("A").status, "inactive", "A waits for meta");
  return group;
}

Deno.test("ReplicaCore that learned before its process ended is the member that the configuration names", () => {
  const group = promoting();
  group.crash("D");
  group.restart("D");
  assert.equal(group.core("D").transient, false, "not a member yet");
  group.metaDown = false;
  group.pass(1200);
  assert.deepEqual(group.config.secondaries, ["B", "C", "D"]);
  assert.equal(group.core("D").status, "secondary");
  group.put("A", "w2", "k", "2");
  group.pass(600);
  assert.equal(group.reply("w2")?.error, Err.OK);
  assert.equal(group.row("D", "k"), "2");
});

Deno.test("ReplicaCore that begins to learn sends no acknowledgement that was due as a member", () => {
  const group = new Group(["A", "B", "C"]);
  group.form();
  group.put("A", "w1", "k", "1");
  group.run();
  const { partition, ballot } = group.config;
  const head = { partition, from: "A", incarnation: 1 };
  const mutation = group.member("B").log.at(-1)!;
  assert.equal(mutation.kind, "mutation");
  const { payload } = mutation as Extract<typeof mutation, { kind: "mutation" }>;
  const body = { ...head, ballot, role: "secondary" as const, signature: 0, reconcileEnd: 0 };
  const acks: number[] = [];
  group.drop = (_to, message) => {
    if (message.kind === "prepareAck") acks.push(message.body.decree);
    return true;
  };
  group.member("B").holdLog = true;
  const hear = (message: PeerMessage) => group.step("B", { kind: "message", message });
  // One batch of input: a repeated prepare, the group check that makes it a learner, and what it learns.
  hear({ kind: "prepare", body: { ...body, committed: 1, mutation: payload } });
  const signature = 1e9;
  const learning = { ...body, ballot: ballot + 1, role: "learner" as const, signature };
  hear({ kind: "groupCheck", body: { ...learning, committed: 2 } });
  hear({
    kind: "learnReply",
    body: {
      ...{ ...head, ballot: ballot + 1, signature, error: Err.OK, source: "cache" as const },
      ...{ fromScratch: false, prepareStart: 3, committed: 2, reconcileEnd: 2 },
      mutations: [payload],
    },
  });
  group.run();
  assert.deepEqual([group.core("B").status, acks], ["learner", []]);
  group.member("B").holdLog = false;
  group.run();
  assert.equal(group.core("B").applied, 2);
});

/** D begins to learn anew, with what it had dropped, just before its promotion is stored. */
function tooLate(): Group {
  const group = promoting();
  const { partition, ballot } = group.config;
  group.drop = (_to, message) => message.kind === "learnReply" || message.kind === "groupCheck";
  group.crash("D");
  group.restart("D");
  // A group check of before, late.
  group.step("D", {
    kind: "message",
    message: {
      kind: "groupCheck",
      body: {
        ...{ partition, ballot, from: "A", incarnation: 1, role: "learner" },
        ...{ signature: 1e9, reconcileEnd: 0, committed: 0 },
      },
    },
  });
  assert.equal(group.core("D").status, "learner");
  group.metaDown = false;
  group.pass(1200);
  assert.deepEqual(group.config.secondaries, ["B", "C", "D"]);
  return group;
}

Deno.test("ReplicaCore that cannot be the member it is named leaves an idle group", () => {
  const group = tooLate();
  group.drop = () => false;
  group.pass(5000);
  assert.deepEqual([group.config.primary, group.config.secondaries], ["A", ["B", "C"]]);
});

Deno.test("ReplicaCore that cannot be the member it is named leaves a group without a primary", () => {
  const group = tooLate();
  for (const name of ["A", "B", "C"]) group.crash(name);
  const { ballot } = group.config;
  group.config = { ...group.config, ballot: ballot + 1, primary: "", secondaries: ["D"] };
  group.notify();
  group.propose("D", "UPGRADE_TO_PRIMARY", "D");
  group.run();
  assert.deepEqual([group.config.primary, group.config.secondaries], ["", []]);
  assert.equal(group.core("D").status, "inactive");
  // A meta that refuses makes it no member either.
  const refused = tooLate();
  for (const name of ["A", "B", "C"]) refused.crash(name);
  const old = refused.config;
  refused.config = { ...old, ballot: old.ballot + 1, primary: "", secondaries: ["D"] };
  refused.update = (from, { attempt }) => {
    refused.later(from, {
      ...{ kind: "configReply", attempt, error: Err.INVALID_VERSION, config: refused.config },
    });
  };
  for (let i = 0; i < 3; i++) refused.notify();
  assert.deepEqual([refused.core("D").status, refused.core("D").transient], ["inactive", false]);
});

Deno.test("ReplicaCore commits what only a learner had held up when that learner gives up", () => {
  const group = new Group(["A", "B", "C"]);
  group.form();
  group.crash("C");
  group.step("A", { kind: "peerDown", node: "C" });
  group.run();
  group.restart("C");
  // It holds everything so far, and its next acknowledgements and its last word are lost.
  group.drop = (to, { kind, body }) =>
    to === "A" && body.from === "C" && (kind === "learnCompletion" || kind === "prepareAck");
  group.propose("A", "ADD_SECONDARY", "C");
  group.run();
  group.put("A", "w", "k", "v");
  group.run();
  assert.equal(group.reply("w"), undefined, "The learner counts");
  const { ballot } = group.core("A");
  const signature = group.core("A").learnerSignature("C");
  const head = { partition: PARTITION, from: "C", incarnation: 2, ballot, signature };
  const body = { ...head, committed: 0, lastPrepared: 0, learned: false, diskFull: false };
  const message = { kind: "groupCheckReply", body: { ...body, status: "inactive" } } as const;
  group.step("A", { kind: "message", message });
  group.run();
  assert.equal(group.reply("w")?.error, Err.OK);
});

Deno.test("ReplicaCore leads anew when it finds itself primary two configurations later", () => {
  const group = new Group(["A", "B", "C"]);
  group.form();
  group.member("A").holdLog = true;
  group.put("A", "w", "k", "v");
  group.run();
  // Both others have left by themselves, and the primary has heard of neither.
  const { config } = group;
  group.config = { ...config, ballot: config.ballot + 2, secondaries: [], lastDrops: ["B", "C"] };
  group.crash("B");
  group.crash("C");
  group.step("A", { kind: "config", config: group.config });
  group.member("A").holdLog = false;
  group.run();
  const { status, ballot, readable } = group.core("A");
  assert.deepEqual([status, ballot, readable], ["primary", group.config.ballot, true]);
  assert.equal(group.reply("w")?.error, Err.OK);
});

Deno.test("ReplicaCore forgets the learners of an earlier reign when it leads anew", () => {
  const group = promoting();
  assert.equal(group.core("A").transient, true, "The learner that has learned is known");
  const { config } = group;
  group.config = { ...config, ballot: config.ballot + 2, secondaries: [], lastDrops: ["B", "C"] };
  for (const name of ["B", "C", "D"]) group.crash(name);
  group.step("A", { kind: "config", config: group.config });
  assert.equal(group.core("A").status, "primary");
  assert.equal(group.core("A").learnerSignature("D"), 0);
  group.run();
  assert.equal(group.core("A").readable, true, "It waits for nobody else");
});

Deno.test("ReplicaCore that learns applies what it holds, also when far more is committed elsewhere", () => {
  const group = new Group(["A", "B", "C"]);
  group.propose("A", "ASSIGN_PRIMARY", "A");
  group.run();
  group.propose("A", "ADD_SECONDARY", "B");
  group.pass(100);
  group.put("A", "w1", "k", "1");
  group.run();
  group.member("C").holdLog = true;
  group.propose("A", "ADD_SECONDARY", "C");
  group.run();
  const { applied } = group.core("C");
  const { partition, ballot } = group.config;
  const signature = group.core("A").learnerSignature("C");
  const body = { partition, from: "A", incarnation: 1, ballot, signature, reconcileEnd: 0 };
  const check = { ...body, role: "learner" as const, committed: 50 };
  group.step("C", { kind: "message", message: { kind: "groupCheck", body: check } });
  assert.equal(group.core("C").applied, applied, "its log is held back");
  group.member("C").holdLog = false;
  group.run();
  assert.equal(group.row("C", "k"), "1");
});
