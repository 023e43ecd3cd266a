// Stories of a group whose members give way: a primary to another one, to disks without room, and damaged copies to
// whole ones.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { Group } from "./group.ts";

function formed(): Group {
  const group = new Group(["A", "B", "C"]);
  group.form();
  return group;
}

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

Deno.test("ReplicaCore gives a damaged copy up, but not the last one", () => {
  const group = formed();
  const damaged = { kind: "damaged", reason: "a test" } as const;
  group.step("C", damaged);
  assert.equal(group.core("C").status, "error", "a secondary");
  group.step("A", damaged);
  assert.equal(group.core("A").status, "error", "a primary with a secondary");
  group.failOver("A", "B");
  group.run();
  for (const name of ["A", "C"]) {
    if (group.config.secondaries.includes(name)) {
      group.propose("B", "DOWNGRADE_TO_INACTIVE", name);
      group.run();
    }
  }
  assert.deepEqual(group.config.secondaries, []);
  group.step("B", damaged);
  assert.equal(group.core("B").status, "primary", "the last one");
  assert.equal(group.core("B").readable, true);
});
