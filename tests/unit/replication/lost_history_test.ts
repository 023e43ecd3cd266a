// Stories of what must be impossible, and is noticed: a member finds that something committed is gone, a word comes from
// a process that has died since, a ballot was promised before a crash. docs/protocol.md, §6, §10.5, §12.2, I6.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { encodeMutation } from "../../../src/schema/mutation.ts";
import type { PeerMessage } from "../../../src/schema/replica_rpc.ts";
import { formed, type Group, PARTITION } from "./group.ts";

type PrepareAck = Extract<PeerMessage, { kind: "prepareAck" }>;

/** A leads B and C; B has committed one write and holds another. */
function halfCommitted(): Group {
  const group = formed();
  group.put("A", "w1", "k", "1");
  group.pass(600);
  group.put("A", "w2", "k", "2");
  group.run();
  const { committed, maxPrepared } = group.core("B").report();
  assert.equal(maxPrepared, committed + 1);
  return group;
}

/** How A begins what it says to B. */
function fromA(group: Group) {
  const { ballot, reconcileEnd } = group.core("A");
  return { partition: PARTITION, from: "A", incarnation: 1, ballot, reconcileEnd: reconcileEnd! };
}

function hears(group: Group, name: string, message: PeerMessage): void {
  group.step(name, { kind: "message", message });
}

/** A group check of A that names `committed`. */
function checkOf(group: Group, committed: number): PeerMessage {
  const body = { ...fromA(group), role: "secondary" as const, signature: 0, committed };
  return { kind: "groupCheck", body };
}

function assertMissing(group: Group, decree: number): void {
  const { notes } = group.member("B");
  assert.equal(group.core("B").status, "error");
  assert.match(notes.findLast((line) => line.startsWith("condemned"))!, new RegExp(`${decree} is`));
}

Deno.test("ReplicaCore that has committed more than its new primary held gives itself up and drops nothing", () => {
  const group = halfCommitted();
  const { committed, maxPrepared, ballot } = group.core("B").report();
  const body = { ...fromA(group), from: "C", ballot: ballot + 1, reconcileEnd: committed - 1 };
  const role = "secondary" as const;
  hears(group, "B", { kind: "groupCheck", body: { ...body, role, signature: 0, committed: 0 } });
  group.run();
  assert.equal(group.core("B").status, "error");
  assert.equal(group.core("B").report().maxPrepared, maxPrepared);
  const drops = group.member("B").log.some((record) =>
    record.kind === "ballot" && record.ballot > ballot && record.reconcileEnd < maxPrepared
  );
  assert(!drops, "Nor does a restart");
});

Deno.test("ReplicaCore gives itself up when a prepare says that what it lacks is committed", () => {
  const group = halfCommitted();
  const { maxPrepared, ballot } = group.core("B").report();
  const mutation = encodeMutation({
    ...{ ballot, decree: maxPrepared + 3, lastCommitted: maxPrepared + 1 },
    ...{ timestampUs: 1, body: new Uint8Array(0) },
  });
  const body = { ...fromA(group), role: "secondary" as const, signature: 0, committed: 0 };
  hears(group, "B", { kind: "prepare", body: { ...body, mutation } });
  assertMissing(group, maxPrepared + 1);
});

Deno.test("ReplicaCore gives itself up when a group check says that what it lacks is committed", () => {
  const group = halfCommitted();
  const { maxPrepared } = group.core("B").report();
  hears(group, "B", checkOf(group, maxPrepared + 1));
  assertMissing(group, maxPrepared + 1);
});

Deno.test("ReplicaCore gives itself up when its log reaches the hole in what is committed", () => {
  const group = formed();
  group.member("B").holdLog = true;
  group.put("A", "w", "k", "v");
  group.run();
  const { maxPrepared } = group.core("B").report();
  hears(group, "B", checkOf(group, maxPrepared + 1));
  assert.equal(group.core("B").status, "secondary", "So far only its own log is late");
  group.sync(group.member("B"));
  assertMissing(group, maxPrepared + 1);
});

Deno.test("ReplicaCore gives itself up when it rejoins and lacks what is committed", () => {
  const group = halfCommitted();
  group.crash("B");
  group.drop = (_to, { kind }) => kind === "rejoin";
  group.restart("B");
  const { maxPrepared } = group.core("B").report();
  const body = { ...fromA(group), accepted: true, committed: maxPrepared + 1 };
  hears(group, "B", { kind: "rejoinReply", body });
  assert.equal(group.core("B").status, "error");
});

Deno.test("ReplicaCore counts no acknowledgement of a process whose successor has spoken", () => {
  const group = formed();
  const late: PrepareAck[] = [];
  group.drop = (to, message) => {
    if (message.kind === "prepareAck" && message.body.from === "B") return late.push(message) > 0;
    // What the new process is sent again does not arrive either.
    return to === "B" && message.kind === "prepare" && late.length > 0;
  };
  group.put("A", "w", "k", "v");
  group.run();
  const old = late.at(-1)!;
  assert.equal(old.body.decree, group.core("A").report().maxPrepared);
  group.crash("B");
  const lost = group.member("B").log.pop();
  assert.equal(lost?.kind, "mutation");
  group.restart("B");
  assert.equal(group.core("B").status, "secondary", "Nothing that was committed is missing");
  hears(group, "A", old);
  group.run();
  assert.equal(group.reply("w"), undefined, "B does not hold it any more");
  group.drop = () => false;
  group.pass(600);
  assert.equal(group.reply("w")?.error, Err.OK);
  assert.equal(group.core("B").report().maxPrepared, group.core("A").report().maxPrepared);
});

Deno.test("ReplicaCore keeps a ballot that it heard of from meta alone through a crash", () => {
  const group = formed();
  const ballot = group.config.ballot + 1;
  group.step("B", { kind: "config", config: { ...group.config, ballot } });
  group.sync(group.member("B"));
  group.crash("B");
  group.open("B", true);
  assert.equal(group.core("B").ballot, ballot);
});
