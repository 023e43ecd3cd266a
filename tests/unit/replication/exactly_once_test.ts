// Stories of repeated writes: docs/protocol.md §16.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import { formed } from "./group.ts";

Deno.test("ReplicaCore applies a repeated write of a session once", () => {
  const group = formed();
  group.write("A", "open", { kind: "openSession" });
  group.run();
  const session = group.reply("open")!.decree;
  const incr = { kind: "incr", key: utf8("n"), increment: 1n, expireTs: 0 } as const;
  group.write("A", "first", incr, session, 1);
  group.run();
  group.write("A", "again", incr, session, 1);
  group.run();
  assert.equal(group.reply("first")?.result, "1");
  assert.deepEqual(group.reply("again"), group.reply("first"));
  assert.equal(group.row("A", "n"), "1");
});

Deno.test("ReplicaCore joins a repeated write with the one in flight", () => {
  const group = formed();
  group.write("A", "open", { kind: "openSession" });
  group.run();
  const session = group.reply("open")!.decree;
  const incr = { kind: "incr", key: utf8("n"), increment: 1n, expireTs: 0 } as const;
  group.member("B").holdLog = true;
  group.write("A", "first", incr, session, 1);
  group.run();
  group.write("A", "again", incr, session, 1);
  group.run();
  group.member("B").holdLog = false;
  group.run();
  assert.equal(group.reply("first")?.result, "1");
  assert.equal(group.reply("again")?.result, "1");
  assert.equal(group.row("A", "n"), "1");
});

Deno.test("ReplicaCore remembers a session's outcome through a takeover", () => {
  const group = formed();
  group.write("A", "open", { kind: "openSession" });
  group.run();
  const session = group.reply("open")!.decree;
  const incr = { kind: "incr", key: utf8("n"), increment: 5n, expireTs: 0 } as const;
  // Logged everywhere, but the client never hears of it.
  group.drop = (to, message) => to === "A" && message.kind === "prepareAck";
  group.write("A", "first", incr, session, 1);
  group.run();
  group.crash("A");
  group.drop = () => false;
  group.failOver("A", "B");
  group.write("B", "retry", incr, session, 1);
  group.run();
  assert.equal(group.reply("retry")?.result, "5");
  assert.equal(group.row("B", "n"), "5");
});

Deno.test("ReplicaCore refuses a session it does not know", () => {
  const group = formed();
  const incr = { kind: "incr", key: utf8("n"), increment: 1n, expireTs: 0 } as const;
  group.write("A", "w", incr, 12345, 1);
  group.run();
  assert.equal(group.reply("w")?.error, Err.SESSION_EXPIRED);
  assert.equal(group.row("A", "n"), undefined);
});

Deno.test("ReplicaCore evaluates an increment against writes in flight", () => {
  const group = formed();
  const incr = { kind: "incr", key: utf8("n"), increment: 1n, expireTs: 0 } as const;
  group.member("B").holdLog = true;
  for (let i = 0; i < 5; i++) {
    group.write("A", `w${i}`, incr);
    group.run();
  }
  group.member("B").holdLog = false;
  group.run();
  for (let i = 0; i < 5; i++) assert.equal(group.reply(`w${i}`)?.result, String(i + 1));
});
