// A member that says it is settled may be ticked rarely: then time brings nothing but group checks and checkpoints.

import assert from "node:assert/strict";
import type { ReplicaEffect } from "../../../src/replication/io.ts";
import { formed, Group, SETTINGS } from "./group.ts";

/** What a tick makes a member do. */
function tick(group: Group, name: string): ReplicaEffect[] {
  const out: ReplicaEffect[] = [];
  group.core(name).step({ kind: "tick" }, group.time(), out);
  return out;
}

/** Lets time pass until a member is settled. */
function settle(group: Group, name: string): void {
  for (let i = 0; i < 100 && !group.core(name).settled; i++) group.pass(50);
  assert(group.core(name).settled, `${name} settles`);
}

Deno.test("ReplicaCore that is settled has nothing to do until the next group check", () => {
  const group = formed();
  settle(group, "A");
  group.put("A", "w", "k", "v");
  group.run();
  assert.equal(group.reply("w")?.error, 0);
  assert(!group.core("A").settled, "the others have not heard of the commit");
  const before = group.now;
  settle(group, "A");
  assert(group.now - before >= SETTINGS.idleCommitMs);
  for (const name of ["A", "B", "C"]) {
    settle(group, name);
    assert.equal(group.core(name).applied, group.core("A").applied, name);
  }
  const end = group.now + SETTINGS.groupCheckIntervalMs - 50;
  for (; group.now < end; group.now += 50) {
    for (const name of ["A", "B", "C"]) assert.deepEqual(tick(group, name), [], name);
  }
  group.now += 50;
  assert.deepEqual(tick(group, "A").map(({ kind }) => kind), ["send", "send"]);
  assert(group.core("A").settled);
});

Deno.test("ReplicaCore is not settled while it leads a learner, or gives the partition away", () => {
  const group = formed();
  settle(group, "A");
  group.drop = (to) => to === "D";
  group.propose("A", "ADD_SECONDARY_FOR_LB", "D");
  group.run();
  assert(!group.core("A").settled, "it has to notice that D is silent");
  group.pass(20 * SETTINGS.groupCheckIntervalMs);
  settle(group, "A");
  // A write is on its way when it is told to give way.
  group.member("B").holdLog = true;
  group.put("A", "w", "k", "v");
  group.run();
  group.propose("A", "DOWNGRADE_TO_SECONDARY", "A");
  assert(!group.core("A").settled);
  group.member("B").holdLog = false;
  group.metaDown = true;
  group.pass(SETTINGS.idleCommitMs);
  assert(!group.core("A").settled, "meta has not answered");
});

Deno.test("ReplicaCore is never settled with intervals that a second more would be late for", () => {
  for (const short of [{ groupCheckIntervalMs: 1000 }, { checkpointIntervalMs: 500 }]) {
    const group = new Group(["A", "B", "C"]);
    group.settings = { ...SETTINGS, ...short };
    group.open("B", false);
    group.form();
    settle(group, "A");
    settle(group, "C");
    group.pass(4000);
    assert(!group.core("B").settled, JSON.stringify(short));
  }
});
