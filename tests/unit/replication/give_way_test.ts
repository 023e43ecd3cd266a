// Stories of a group whose members give way: a primary to another one, to disks without room, and damaged copies to
// whole ones.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import { formed, Group } from "./group.ts";

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

Deno.test("ReplicaCore of the last copy refuses only the write that needs a damaged row", () => {
  const group = new Group(["A"]);
  group.config = { ...group.config, maxReplicaCount: 1 };
  group.form();
  group.write("A", "open", { kind: "openSession" });
  group.run();
  const session = group.reply("open")!.decree;
  const member = group.member("A");
  member.damagedKey = "k";
  const incr = (token: string, key: string, inSession = 0, sequence = 0) => {
    const op = { kind: "incr", key: utf8(key), increment: 1n, expireTs: 0 } as const;
    group.write("A", token, op, inSession, sequence);
  };
  // One batch: what is before and behind it is in the same mutation.
  group.put("A", "w1", "x", "1");
  incr("w2", "k");
  incr("w3", "k", session, 1);
  group.put("A", "w4", "y", "1");
  group.run();
  const errors = ["w1", "w2", "w3", "w4"].map((token) => group.reply(token)?.error);
  assert.deepEqual(errors, [Err.OK, Err.INVALID_STATE, Err.INVALID_STATE, Err.OK]);
  assert.equal(group.reply("w1")!.decree, group.reply("w4")!.decree);
  assert.deepEqual([group.core("A").status, group.core("A").readable], ["primary", true]);
  // Nothing is remembered of what was not done.
  member.damagedKey = undefined;
  incr("w3 again", "k", session, 1);
  group.run();
  assert.equal(group.reply("w3 again")?.result, "1");
});

Deno.test("ReplicaCore leaves it to the word about the damage whether a primary gives way", () => {
  const group = formed();
  group.member("A").damagedKey = "k";
  group.write("A", "w", { kind: "incr", key: utf8("k"), increment: 1n, expireTs: 0 });
  group.run();
  assert.deepEqual([group.core("A").status, group.reply("w")?.error], [
    "primary",
    Err.INVALID_STATE,
  ]);
  group.step("A", DAMAGED);
  group.run();
  assert.equal(group.core("A").status, "error");
  assert.deepEqual([group.config.primary, group.config.secondaries], ["", ["B", "C"]]);
});
