// Stories of one replica group, told through group.ts: each pins down one rule of docs/protocol.md.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { formed } from "./group.ts";

Deno.test("ReplicaCore answers a write after every member has logged it", () => {
  const group = formed();
  group.member("C").holdLog = true;
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1"), undefined);
  assert.equal(group.row("A", "k"), undefined);
  group.member("C").holdLog = false;
  group.run();
  assert.equal(group.reply("w1")?.error, Err.OK);
  assert.equal(group.row("A", "k"), "v");
});

Deno.test("ReplicaCore waits for its own log too", () => {
  const group = formed();
  group.member("A").holdLog = true;
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1"), undefined);
  group.member("A").holdLog = false;
  group.run();
  assert.equal(group.reply("w1")?.error, Err.OK);
});

Deno.test("ReplicaCore tells secondaries the commit point when it is idle", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.run();
  group.pass(600);
  for (const name of ["A", "B", "C"]) assert.equal(group.row(name, "k"), "v", name);
});

Deno.test("ReplicaCore batches queued writes into one mutation", () => {
  const group = formed();
  const before = group.core("A").committed;
  for (let i = 0; i < 10; i++) group.put("A", `w${i}`, `k${i}`, "v");
  group.run();
  assert.equal(group.core("A").committed, before + 1);
  for (let i = 0; i < 10; i++) assert.equal(group.reply(`w${i}`)?.decree, before + 1);
});

Deno.test("ReplicaCore refuses writes and reads on a secondary", () => {
  const group = formed();
  group.put("B", "w1", "k", "v");
  assert.equal(group.reply("w1")?.error, Err.INVALID_STATE);
  assert.equal(group.core("B").readable, false);
  assert.equal(group.core("A").readable, true);
});

Deno.test("ReplicaCore removes a secondary that does not acknowledge, then commits", () => {
  const group = formed();
  group.drop = (to) => to === "C";
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1"), undefined);
  group.pass(3200);
  assert.equal(group.reply("w1")?.error, Err.OK);
  assert.deepEqual(group.config.secondaries, ["B"]);
  assert.deepEqual(group.config.lastDrops, ["C"]);
});

Deno.test("ReplicaCore removes a secondary whose process is gone at once", () => {
  const group = formed();
  group.crash("C");
  group.put("A", "w1", "k", "v");
  group.run();
  group.step("A", { kind: "peerDown", node: "C" });
  group.run();
  assert.equal(group.reply("w1")?.error, Err.OK);
  assert.deepEqual(group.config.secondaries, ["B"]);
});

Deno.test("ReplicaCore resends a lost prepare", () => {
  const group = formed();
  let lost = 0;
  group.drop = (to, message) => to === "B" && message.kind === "prepare" && lost++ === 0;
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1"), undefined);
  group.pass(600);
  assert.equal(group.reply("w1")?.error, Err.OK);
  assert.deepEqual(group.config.secondaries, ["B", "C"]);
});

Deno.test("ReplicaCore never acknowledges across a gap", () => {
  const group = formed();
  let lost = 0;
  group.drop = (to, message) => to === "B" && message.kind === "prepare" && lost++ === 0;
  group.put("A", "w1", "k", "1");
  group.run();
  group.put("A", "w2", "k", "2");
  group.run();
  // The gap answer made the primary send both again.
  assert.equal(group.reply("w1")?.error, Err.OK);
  assert.equal(group.reply("w2")?.error, Err.OK);
  assert(group.member("B").notes.some((n) => n.startsWith("gap")));
});

Deno.test("ReplicaCore asks once for what is missing before a whole batch of prepares", () => {
  const group = formed();
  let prepares = 0;
  let gaps = 0;
  group.drop = (to, { kind, body }) => {
    if (kind === "prepareAck" && body.error === Err.GAP) gaps++;
    return to === "B" && kind === "prepare" && prepares++ === 0;
  };
  // A mutation opens one session: five of them in one batch.
  for (let i = 1; i <= 5; i++) group.write("A", `w${i}`, { kind: "openSession" });
  group.run();
  assert.deepEqual([gaps, prepares], [1, 5 + 5]);
  for (let i = 1; i <= 5; i++) assert.equal(group.reply(`w${i}`)?.error, Err.OK);
});

Deno.test("ReplicaCore keeps every acknowledged write through a takeover", () => {
  const group = formed();
  for (let i = 0; i < 5; i++) {
    group.put("A", `w${i}`, `k${i}`, `v${i}`);
    group.run();
  }
  group.crash("A");
  group.failOver("A", "B");
  assert.equal(group.core("B").status, "primary");
  assert.equal(group.core("B").readable, true);
  for (let i = 0; i < 5; i++) assert.equal(group.row("B", `k${i}`), `v${i}`);
  group.put("B", "after", "k9", "v9");
  group.run();
  assert.equal(group.reply("after")?.error, Err.OK);
});

Deno.test("ReplicaCore is not readable before it has applied all it had prepared", () => {
  const group = formed();
  // Prepared everywhere, committed nowhere: A dies before the acks arrive.
  group.drop = (to, message) => to === "A" && message.kind === "prepareAck";
  group.put("A", "w1", "k", "v");
  group.run();
  group.crash("A");
  group.drop = (to) => to === "C";
  group.failOver("A", "B");
  assert.equal(group.core("B").status, "primary");
  assert.equal(group.core("B").readable, false);
  group.drop = () => false;
  group.pass(600);
  assert.equal(group.core("B").readable, true);
  assert.equal(group.row("B", "k"), "v");
});

Deno.test("ReplicaCore drops a ghost tail when another primary has gone on", () => {
  const group = formed();
  // Only C gets the prepare; A dies; B leads and never had it.
  group.drop = (to, message) => to === "B" && message.kind === "prepare";
  group.put("A", "ghost", "k", "ghost");
  group.run();
  group.crash("A");
  group.drop = () => false;
  group.failOver("A", "B");
  group.put("B", "w", "k", "real");
  group.run();
  assert.equal(group.reply("w")?.error, Err.OK);
  assert(group.member("C").notes.some((n) => n.startsWith("truncate")));
  group.crash("B");
  group.failOver("B", "C");
  assert.equal(group.row("C", "k"), "real");
});

Deno.test("ReplicaCore makes a ghost harmless even if nothing was written between takeovers", () => {
  const group = formed();
  group.drop = (to, message) => to === "B" && message.kind === "prepare";
  group.put("A", "ghost", "k", "ghost");
  group.run();
  group.crash("A");
  group.drop = () => false;
  group.failOver("A", "B");
  assert.equal(group.core("B").readable, true);
  group.crash("B");
  group.failOver("B", "C");
  group.pass(1000);
  assert.equal(group.row("C", "k"), undefined);
});

Deno.test("ReplicaCore logs again what a new primary prepares again", () => {
  const group = formed();
  group.drop = (to, message) => to === "A" && message.kind === "prepareAck";
  group.put("A", "w1", "k", "v");
  group.run();
  group.crash("A");
  group.drop = () => false;
  group.failOver("A", "B");
  const ballots = group.member("C").log.flatMap((r) =>
    r.kind === "mutation"
      ? [new DataView(r.payload.buffer, r.payload.byteOffset).getUint32(0, true)]
      : []
  );
  assert.deepEqual(ballots, [...ballots].sort((a, b) => a - b));
  assert(ballots.at(-1)! > ballots[0]!);
});

Deno.test("ReplicaCore raises the ballot when a primary restarts", () => {
  const group = formed();
  const ballot = group.config.ballot;
  group.put("A", "w1", "k", "v");
  group.run();
  group.crash("A");
  group.restart("A");
  assert.equal(group.config.ballot, ballot + 1);
  assert.equal(group.core("A").status, "primary");
  assert.equal(group.row("A", "k"), "v");
});

Deno.test("ReplicaCore lets a restarted secondary count again only after the primary agreed", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.run();
  group.crash("B");
  group.drop = (to, message) => to === "A" && message.kind === "rejoin";
  group.restart("B");
  assert.equal(group.core("B").status, "inactive");
  group.drop = () => false;
  group.pass(600);
  assert.equal(group.core("B").status, "secondary");
  group.put("A", "w2", "k", "v2");
  group.run();
  assert.equal(group.reply("w2")?.error, Err.OK);
});

Deno.test("ReplicaCore removes a restarted secondary that lost acknowledged mutations", () => {
  const group = formed();
  for (let i = 0; i < 3; i++) {
    group.put("A", `w${i}`, "k", `${i}`);
    group.run();
  }
  group.crash("B");
  group.member("B").log.splice(-2);
  group.restart("B");
  group.pass(200);
  assert.deepEqual(group.config.secondaries, ["C"]);
  // Meta adds it again, and it learns.
  group.propose("A", "ADD_SECONDARY", "B");
  group.pass(1500);
  assert.deepEqual(group.config.secondaries, ["C", "B"]);
  group.put("A", "last", "k", "last");
  group.pass(600);
  assert.equal(group.row("B", "k"), "last");
});

Deno.test("ReplicaCore survives the restart of all members at once", () => {
  const group = formed();
  for (let i = 0; i < 20; i++) {
    group.put("A", `w${i}`, `k${i}`, "v");
    group.run();
  }
  for (const name of ["A", "B", "C"]) group.crash(name);
  for (const name of ["B", "C", "A"]) group.restart(name);
  group.pass(2000);
  assert.equal(group.core("A").status, "primary");
  assert.equal(group.core("B").status, "secondary");
  assert.equal(group.core("C").status, "secondary");
  for (let i = 0; i < 20; i++) assert.equal(group.row("A", `k${i}`), "v");
  group.put("A", "after", "k", "v");
  group.run();
  assert.equal(group.reply("after")?.error, Err.OK);
});

Deno.test("ReplicaCore needs a majority of members for a write", () => {
  const group = formed();
  for (const name of ["B", "C"]) {
    group.crash(name);
    group.step("A", { kind: "peerDown", node: name });
    group.run();
  }
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1")?.error, Err.NOT_ENOUGH_MEMBER);
  assert.equal(group.core("A").readable, true);
});

Deno.test("ReplicaCore condemns itself when its log fails", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.step("A", { kind: "flush" });
  group.step("A", { kind: "appendFailed", reason: "fsync: I/O error" });
  assert.equal(group.core("A").status, "error");
  assert.equal(group.reply("w1")?.error, Err.OUTCOME_UNKNOWN);
  assert(group.member("A").notes.some((n) => n.startsWith("close")));
});

Deno.test("ReplicaCore ignores prepares of an older ballot and says so", () => {
  const group = formed();
  const held: { to: string; message: never }[] = [];
  group.drop = (to, message) => {
    if (message.kind !== "prepare" || to !== "C") return false;
    held.push({ to, message: message as never });
    return true;
  };
  group.put("A", "w1", "k", "old");
  group.run();
  group.drop = () => false;
  const { config } = group;
  group.config = { ...config, ballot: config.ballot + 1, primary: "", secondaries: ["B", "C"] };
  group.propose("B", "UPGRADE_TO_PRIMARY", "B");
  group.run();
  const before = group.member("C").log.length;
  for (const { message } of held) group.step("C", { kind: "message", message });
  group.run();
  assert.equal(group.member("C").log.length, before);
  // The answer told A that it is history.
  assert.equal(group.core("A").status, "inactive");
});
