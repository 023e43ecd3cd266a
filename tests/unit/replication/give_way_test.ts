// Stories of a group whose members give way: a primary to another one, to disks without room, and damaged copies to
// whole ones.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { formed, type Group } from "./group.ts";

Deno.test("ReplicaCore ends what it has begun before it gives the partition away", () => {
  const group = formed();
  group.member("C").holdLog = true;
  group.put("A", "w1", "k", "v");
  group.run();
  group.propose("A", "DOWNGRADE_TO_SECONDARY", "A");
  group.put("A", "w2", "k", "w");
  group.run();
  assert.equal(group.core("A").status, "primary", "w1 is not answered yet");
  group.member("C").holdLog = false;
  group.run();
  assert.equal(group.reply("w1")?.error, Err.OK);
  assert.equal(group.core("A").status, "secondary");
  assert.equal(group.reply("w2")?.error, Err.INVALID_STATE, "certainly not done");
  group.propose("B", "UPGRADE_TO_PRIMARY", "B");
  group.run();
  group.put("B", "w3", "k", "x");
  group.run();
  assert.equal(group.reply("w3")?.error, Err.OK);
});

Deno.test("ReplicaCore gives the partition away although a member hangs", () => {
  const group = formed();
  group.member("C").holdLog = true;
  group.put("A", "w1", "k", "v");
  group.run();
  group.propose("A", "DOWNGRADE_TO_SECONDARY", "A");
  group.pass(600);
  assert.equal(group.core("A").status, "secondary");
  assert.equal(group.reply("w1")?.error, Err.OUTCOME_UNKNOWN);
});

Deno.test("ReplicaCore takes no writes while a member's disk is full, and reads go on", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.run();
  for (const name of ["A", "B"]) {
    group.step(name, { kind: "disk", full: true });
    group.run();
    group.put("A", `full ${name}`, "k", "w");
    group.run();
    assert.equal(group.reply(`full ${name}`)?.error, Err.DISK_INSUFFICIENT, name);
    assert.equal(group.core("A").readable, true);
    group.step(name, { kind: "disk", full: false });
    group.run();
    group.put("A", `again ${name}`, "k", name);
    group.run();
    assert.equal(group.reply(`again ${name}`)?.error, Err.OK, name);
  }
  // A new primary hears of it with its first group check.
  group.step("C", { kind: "disk", full: true });
  group.crash("A");
  group.failOver("A", "B");
  group.run();
  group.put("B", "w9", "k", "w");
  group.run();
  assert.equal(group.reply("w9")?.error, Err.DISK_INSUFFICIENT);
});

Deno.test("ReplicaCore refuses what is queued when its disk gets full", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.step("A", { kind: "disk", full: true });
  group.run();
  assert.equal(group.reply("w1")?.error, Err.DISK_INSUFFICIENT);
});

/** Everybody asks meta, as a damaged replica does. */
function syncConfigs(group: Group): void {
  for (const name of group.members.keys()) {
    group.step(name, { kind: "config", config: group.config });
  }
  group.run();
}

const DAMAGED = { kind: "damaged", reason: "a test" } as const;

Deno.test("ReplicaCore gives a damaged secondary up when its primary has removed it", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.step("C", DAMAGED);
  assert.equal(group.core("C").status, "secondary", "Until then it is a member");
  group.run();
  syncConfigs(group);
  assert.equal(group.core("C").status, "error");
  assert.deepEqual([group.config.primary, group.config.secondaries], ["A", ["B"]]);
  assert.equal(group.reply("w1")?.error, Err.OK);
});

Deno.test("ReplicaCore gives a damaged primary up after it has answered its clients", () => {
  const group = formed();
  group.member("B").holdLog = true;
  group.put("A", "w1", "k", "v");
  group.run();
  group.step("A", DAMAGED);
  group.run();
  assert.equal(group.config.primary, "A", "It waits for the write");
  group.member("B").holdLog = false;
  group.run();
  group.step("A", DAMAGED);
  group.run();
  assert.equal(group.reply("w1")?.error, Err.OK);
  assert.equal(group.core("A").status, "error");
  assert.deepEqual([group.config.primary, group.config.secondaries], ["", ["B", "C"]]);
});

Deno.test("ReplicaCore keeps one of three copies that are found damaged at the same moment", () => {
  for (const order of ["ABC", "ACB", "BAC", "BCA", "CAB", "CBA"]) {
    const group = formed();
    for (let round = 0; round < 20; round++) {
      for (const name of order) group.step(name, DAMAGED);
      group.run();
      const { primary, secondaries } = group.config;
      if (primary === "") group.propose(secondaries[0]!, "UPGRADE_TO_PRIMARY", secondaries[0]!);
      group.run();
      syncConfigs(group);
    }
    const { primary, secondaries } = group.config;
    assert.deepEqual(secondaries, [], order);
    assert.equal(group.core(primary).status, "primary", order);
    assert.equal(group.core(primary).readable, true, order);
    const others = [...order].filter((name) => name !== primary);
    for (const name of others) assert.equal(group.core(name).status, "error", order);
  }
});

Deno.test("ReplicaCore does not learn on top of damaged rows", () => {
  const group = formed();
  group.crash("C");
  group.step("A", { kind: "peerDown", node: "C" });
  group.run();
  group.restart("C");
  group.step("C", DAMAGED);
  assert.equal(group.core("C").status, "inactive", "No member: nothing to give up");
  group.propose("A", "ADD_SECONDARY", "C");
  group.run();
  assert.equal(group.core("C").status, "error", "A new replica learns instead");
});
