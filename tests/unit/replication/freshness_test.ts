// How fresh a follower knows its rows to be: never fresher than they are.

import assert from "node:assert/strict";
import fc from "fast-check";
import { formed } from "./group.ts";

Deno.test("ReplicaCore of a secondary is as fresh as its primary's last word", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.run();
  // The next write brings the news that the first one is committed, and so does a quiet moment.
  group.pass(600);
  const { freshAt } = group.core("B");
  assert(freshAt >= group.now - 600 && freshAt <= group.now);
  group.drop = (to) => to === "B";
  group.pass(2500);
  assert.equal(group.core("B").freshAt, freshAt, "Nothing was heard");
  assert(group.core("C").freshAt > freshAt, "Group checks are words, too");
});

Deno.test("ReplicaCore of a secondary is not fresh before it has applied what it heard of", () => {
  const group = formed();
  group.put("A", "w1", "k", "v1");
  group.run();
  group.pass(600);
  const { applied } = group.core("B");
  const at = group.now;
  // Lost: the word that this write is committed, which its client was told.
  group.drop = (to, message) => to === "B" && message.kind !== "prepare";
  group.put("A", "w2", "k", "v2");
  group.run();
  group.pass(300);
  assert.equal(group.reply("w2")?.error, 0);
  assert.equal(group.core("B").applied, applied);
  assert.equal(group.core("B").freshAt, at, "The answer to the client came after the last word");
});

Deno.test("ReplicaCore does not take an old mutation that is sent again for news", () => {
  const group = formed();
  const before = group.core("B").applied;
  // Two mutations on their way: the second one was formed before the first one was committed.
  for (const token of ["w1", "w2"]) {
    group.put("A", token, token, "v");
    group.step("A", { kind: "flush" });
  }
  let lost = 0;
  group.drop = (to, message) => to === "B" && (message.kind !== "prepare" || ++lost === 2);
  group.run();
  assert.equal(group.reply("w1")?.error, 0, "The first one is committed");
  const at = group.now;
  group.pass(700);
  assert(lost > 2, "The second one was sent again");
  assert.equal(group.core("B").applied, before);
  const { freshAt } = group.core("B");
  assert(freshAt <= at, `Fresh at ${freshAt}, but a write is missing since ${at}`);
});

Deno.test("ReplicaCore trusts no new primary before it knows what the old one committed", () => {
  const group = formed();
  group.put("A", "w1", "k", "v");
  group.run();
  assert.equal(group.reply("w1")?.error, 0);
  // Neither B nor C has heard that the write is committed.
  group.crash("A");
  const before = group.now;
  group.drop = (_to, message) => message.kind === "prepareAck";
  group.pass(100);
  group.failOver("A", "B");
  group.pass(200);
  const { freshAt, applied } = group.core("C");
  assert(freshAt <= before, `Fresh at ${freshAt} with ${applied} applied`);
  group.drop = () => false;
  group.pass(1500);
  assert(group.core("C").freshAt > before);
  assert.equal(group.row("C", "k"), "v");
});

Deno.test("ReplicaCore never claims to be fresher than it is", () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom("put", "flush") },
    { weight: 3, arbitrary: fc.constant("run") },
    { weight: 3, arbitrary: fc.constant("pass") },
    { weight: 1, arbitrary: fc.constantFrom("deaf B", "deaf C", "mute A", "slow B", "heal") },
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const group = formed();
      const acknowledged: { decree: number; at: number }[] = [];
      let puts = 0;
      const seen = new Set<string>();
      const look = () => {
        for (let i = 0; i < puts; i++) {
          const reply = group.reply(`w${i}`);
          if (seen.has(`w${i}`) || reply === undefined || reply.error !== 0) continue;
          seen.add(`w${i}`);
          acknowledged.push({ decree: reply.decree, at: group.now });
        }
        for (const name of ["B", "C"]) {
          const { status, freshAt, applied } = group.core(name);
          if (status !== "secondary") continue;
          // Messages travel for up to one tick of 50 ms here.
          const missing = acknowledged.find((w) => w.at < freshAt - 50 && w.decree > applied);
          assert.equal(missing, undefined, `${name} claims ${freshAt} with ${applied}`);
        }
      };
      for (const what of steps) {
        if (what === "put") group.put("A", `w${puts++}`, `k${puts % 5}`, "v");
        else if (what === "flush") group.step("A", { kind: "flush" });
        else if (what === "run") group.run();
        else if (what === "pass") group.pass(100);
        else if (what === "slow B") group.member("B").holdLog = !group.member("B").holdLog;
        else if (what === "heal") group.drop = () => false;
        else if (what === "mute A") group.drop = (to) => to === "A";
        else group.drop = (to) => to === what.slice(-1);
        look();
      }
    }),
    { numRuns: 150 },
  );
});
