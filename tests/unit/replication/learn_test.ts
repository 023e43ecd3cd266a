// Stories of learners, told through group.ts: where a learner gets what it lacks, and when it counts. docs/protocol.md,
// "Learning" (§11).

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { formed, Group, SETTINGS } from "./group.ts";

Deno.test("ReplicaCore teaches a learner by log and cache while writes go on", () => {
  const group = formed();
  // More than the cache holds, so that the learner needs the log first.
  for (let i = 0; i < 100; i++) {
    group.put("A", `w${i}`, `k${i}`, "v");
    group.run();
  }
  group.crash("B");
  group.step("A", { kind: "peerDown", node: "B" });
  group.run();
  for (let i = 100; i < 200; i++) {
    group.put("A", `w${i}`, `k${i}`, "v");
    group.run();
  }
  group.restart("B");
  group.propose("A", "ADD_SECONDARY", "B");
  for (let i = 200; i < 230; i++) {
    group.put("A", `w${i}`, `k${i}`, "v");
    group.pass(100);
  }
  assert.deepEqual(group.config.secondaries, ["C", "B"]);
  group.pass(1000);
  for (let i = 0; i < 230; i++) {
    assert.equal(group.reply(`w${i}`)?.error, Err.OK, `w${i}`);
    assert.equal(group.row("B", `k${i}`), "v", `k${i}`);
  }
  const sources = group.member("B").notes.filter((n) => n.includes('"source"')).join();
  assert(sources.includes("log") && sources.includes("cache"), sources);
});

Deno.test("ReplicaCore keeps a quarter of its cache while nobody learns", () => {
  const group = formed({ ...SETTINGS, cacheMutationsMax: 1000, cacheBytesMax: 8000 });
  const firstSource = (name: string) =>
    group.member(name).notes.find((each) => each.includes('"source"'));
  // More than a quarter of the cache, and less than half of it.
  const write = () => {
    for (let i = 0; i < 10; i++) {
      group.put("A", `w${i}`, `k${i}`, "v".repeat(250));
      group.run();
    }
  };
  const leave = (name: string) => {
    group.crash(name);
    group.member(name).notes.length = 0;
    group.step("A", { kind: "peerDown", node: name });
    group.run();
  };
  leave("B");
  write();
  group.restart("B");
  group.propose("A", "ADD_SECONDARY", "B");
  group.pass(500);
  assert.deepEqual(group.config.secondaries, ["C", "B"]);
  assert(firstSource("B")!.includes("log"), firstSource("B"));
  // What is written once somebody learns stays.
  leave("C");
  group.drop = (to) => to === "C";
  group.propose("A", "ADD_SECONDARY", "C");
  write();
  group.drop = () => false;
  group.restart("C");
  group.pass(3000);
  assert.deepEqual(group.config.secondaries, ["B", "C"]);
  assert(firstSource("C")!.includes("cache"), firstSource("C"));
});

Deno.test("ReplicaCore takes an image where the log of its primary cannot be read", () => {
  const group = formed();
  group.isLogLost = true;
  group.crash("B");
  group.step("A", { kind: "peerDown", node: "B" });
  group.run();
  // More than the cache holds.
  for (let i = 0; i < 100; i++) {
    group.put("A", `w${i}`, `k${i}`, "v");
    group.run();
  }
  group.restart("B");
  group.propose("A", "ADD_SECONDARY", "B");
  group.pass(2000);
  assert.deepEqual(group.config.secondaries, ["C", "B"]);
  assert.equal(group.row("B", "k99"), "v");
});

Deno.test("ReplicaCore counts a learner's log before it is a member", () => {
  const group = new Group(["A", "B"]);
  group.propose("A", "ASSIGN_PRIMARY", "A");
  group.run();
  group.config = { ...group.config, maxReplicaCount: 2 };
  group.step("A", { kind: "config", config: group.config });
  group.drop = (_to, message) => message.kind === "learnCompletion";
  group.propose("A", "ADD_SECONDARY", "B");
  group.run();
  group.pass(200);
  group.member("B").holdLog = true;
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1"), undefined);
  group.member("B").holdLog = false;
  group.run();
  assert.equal(group.reply("w1")?.error, Err.OK);
});
