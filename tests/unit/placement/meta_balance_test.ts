// Stories of MetaCore: an operator balances, drains and brings back; deaths in the middle of a move.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { META_REQUESTS, type MetaAnswer } from "../../../src/placement/io.ts";
import { Err, World } from "./world.ts";

/** Replicas and primaries per server, as the store has them. */
function shares(w: World, id: number, partitions: number): Map<string, [number, number]> {
  const counts = new Map<string, [number, number]>();
  for (const name of w.nodes.keys()) counts.set(name, [0, 0]);
  for (let i = 0; i < partitions; i++) {
    const { primary, secondaries } = w.stored(id, i);
    for (const node of [primary, ...secondaries]) counts.get(node)![0]++;
    counts.get(primary)![1]++;
  }
  return counts;
}

function balance(w: World, action: "status" | "start" | "stop"): MetaAnswer<"balance"> {
  return w.ok("balance", { action });
}

function grown(): { w: World; id: number } {
  const w = new World(3);
  const id = w.table("temp", 12);
  w.addNode("n4:1");
  w.run(2000);
  return { w, id };
}

Deno.test("MetaCore balances onto a new server when told to, never with a member less", () => {
  const { w, id } = grown();
  assert.deepEqual(shares(w, id, 12).get("n4:1"), [0, 0], "nothing by itself at level steady");
  const plan = balance(w, "status");
  assert.equal(plan.running, false);
  assert.equal(plan.waitsFor, "");
  assert.ok(plan.next.length > 0);
  w.run(3000);
  assert.deepEqual(shares(w, id, 12).get("n4:1"), [0, 0], "a question starts nothing");
  balance(w, "start");
  for (let i = 0; i < 200; i++) {
    w.run(100);
    for (let p = 0; p < 12; p++) {
      const { primary, secondaries } = w.stored(id, p);
      assert.ok(secondaries.length + (primary === "" ? 0 : 1) >= 3);
    }
  }
  for (const counts of shares(w, id, 12).values()) assert.deepEqual(counts, [9, 3]);
  const after = balance(w, "status");
  assert.equal(after.running, false, "it ends");
  assert.deepEqual(after.next, []);
  assert.ok(after.started >= 9);
});

Deno.test("MetaCore balances all the time at level lively, and stops below", () => {
  const { w, id } = grown();
  w.ok("controlMeta", { level: "lively" });
  w.run(1500);
  assert.ok(shares(w, id, 12).get("n4:1")![0] > 0);
  w.ok("controlMeta", { level: "steady" });
  const before = shares(w, id, 12);
  w.run(5000);
  assert.deepEqual(shares(w, id, 12), before);
  w.ok("controlMeta", { level: "lively" });
  w.run(20_000);
  for (const counts of shares(w, id, 12).values()) assert.deepEqual(counts, [9, 3]);
});

Deno.test("MetaCore waits with moves while a partition is not healthy", () => {
  const { w } = grown();
  w.node("n1:1").up = false;
  w.run(7000);
  const { waitsFor, next } = balance(w, "start");
  assert.match(waitsFor, /not healthy|dead/);
  assert.deepEqual(next, []);
  w.run(3000);
  assert.equal(balance(w, "stop").running, false);
});

Deno.test("MetaCore survives the death of a receiver in the middle of its moves", () => {
  const { w, id } = grown();
  w.node("n4:1").obeys = false;
  balance(w, "start");
  w.run(500);
  assert.ok(balance(w, "status").moving > 0);
  w.node("n4:1").up = false;
  w.run(12_000);
  for (let p = 0; p < 12; p++) {
    const { primary, secondaries } = w.stored(id, p);
    assert.notEqual(primary, "");
    assert.equal(secondaries.length, 2);
  }
  assert.equal(balance(w, "status").running, false, "the rest is equal already");
});

Deno.test("MetaCore drains a server, remembers it, and gives it nothing new", () => {
  const w = new World(4);
  const id = w.table("temp", 8);
  assert.equal(w.ask("drain", { node: "no:1", drained: true })?.error, Err.OBJECT_NOT_FOUND);
  assert.deepEqual(w.ok("drain", { node: "n2:1", drained: true }).drained, ["n2:1"]);
  w.sync(w.node("n2:1"));
  w.run(20_000);
  assert.deepEqual(shares(w, id, 8).get("n2:1"), [0, 0]);
  const shown = w.ok("listNodes", {}).nodes.find(({ node }) => node === "n2:1");
  assert.equal(shown?.stats?.draining, true);
  w.restartMeta();
  const other = w.table("other", 8);
  w.run(5000);
  assert.deepEqual(shares(w, other, 8).get("n2:1"), [0, 0]);
  assert.deepEqual(w.ok("drain", { node: "n2:1", drained: false }).drained, []);
  balance(w, "start");
  w.run(30_000);
  assert.ok(shares(w, other, 8).get("n2:1")![0] > 0);
});

Deno.test("MetaCore shows the whole plan, and how much is left of it", () => {
  const { w, id } = grown();
  const plan = w.ok("balance", { action: "plan" });
  assert.equal(plan.remaining, plan.next.length);
  assert.equal(plan.isMore, false);
  assert.ok(plan.next.length >= 9 && balance(w, "status").next.length <= 10);
  balance(w, "start");
  w.run(500);
  const half = balance(w, "status");
  assert.ok(half.started > 0 && half.remaining < plan.remaining);
  w.run(20_000);
  assert.equal(balance(w, "status").remaining, 0);
  for (const counts of shares(w, id, 12).values()) assert.deepEqual(counts, [9, 3]);
});

Deno.test("MetaCore keeps members of a partition off one host, and spreads them over zones", () => {
  const w = new World(0);
  const place = (i: number) => [["host", `h${i >> 1}`], ["zone", i < 4 ? "a" : "b"]] as const;
  for (let i = 0; i < 6; i++) w.addNode(`n${i}:1`, new Map(place(i)));
  w.run(1500);
  const id = w.table("temp", 12);
  w.run(5000);
  const hostsOf = (p: number) => {
    const { primary, secondaries } = w.stored(id, p);
    return [primary, ...secondaries].map((node) => Number(node[1]) >> 1).sort();
  };
  for (let p = 0; p < 12; p++) assert.deepEqual(hostsOf(p), [0, 1, 2], "one on each host");
  // A host is gone: nobody takes its place on a host that has one.
  w.node("n4:1").up = w.node("n5:1").up = false;
  w.run(60_000);
  for (let p = 0; p < 12; p++) assert.deepEqual(hostsOf(p), [0, 1]);
  assert.equal(w.ask("forgetNode", { node: "n0:1" })?.error, Err.INVALID_STATE, "a member");
  w.ok("forgetNode", { node: "n4:1" });
  w.run(5000);
  for (let p = 0; p < 12; p++) assert.deepEqual(hostsOf(p), [0, 1], "one of its servers is known");
  w.ok("forgetNode", { node: "n5:1" });
  w.run(60_000);
  for (let p = 0; p < 12; p++) assert.equal(hostsOf(p).length, 3, "it is not expected any more");
  // A new host: what shares one moves apart when somebody balances.
  w.addNode("n9:1", new Map([["host", "h9"]]));
  w.run(2000);
  balance(w, "start");
  w.run(60_000);
  for (let p = 0; p < 12; p++) assert.equal(new Set(hostsOf(p)).size, 3);
});

Deno.test("MetaCore plans no move before a new leader has heard every server that has partitions", () => {
  const w = new World(0, { functionLevel: "lively" });
  for (let i = 0; i < 6; i++) {
    w.addNode(`n${i}:1`, new Map([["host", `h${i}`], ["zone", "abc"[i >> 1]!]]));
  }
  w.run(1500);
  const id = w.table("temp", 12);
  w.run(20_000);
  const before = shares(w, id, 12);
  for (const node of w.nodes.values()) node.up = false;
  w.restartMeta();
  w.proposals.length = 0;
  w.beacon(w.node("n0:1"));
  w.event({ kind: "tick" });
  assert.deepEqual(w.proposals.map(({ message }) => message.change), []);
  assert.match(balance(w, "status").waitsFor, /n\d:1 has not reported yet/);
  for (const node of w.nodes.values()) node.up = true;
  w.run(5000);
  assert.equal(balance(w, "status").waitsFor, "");
  assert.deepEqual(shares(w, id, 12), before);
});

Deno.test("MetaCore gives no new replica to a server without room", () => {
  const w = new World(3);
  const disks = [
    ["good", 5],
    ["low", 1],
  ] as const;
  w.node("n2:1").disks = disks.map(([state, primaries], i) => ({
    ...{ tag: `d${i}`, path: `/d${i}`, state, primaries, replicas: 0 },
    ...{ totalBytes: 0, freeBytes: 0, reason: "" },
  }));
  w.sync(w.node("n2:1"));
  w.run(1500);
  const first = w.table("first", 6, 1);
  w.run(3000);
  assert.equal(shares(w, first, 6).get("n2:1")![0], 2, "one good directory is enough");
  w.node("n2:1").disks = w.node("n2:1").disks.map((disk) => ({ ...disk, state: "low" }));
  w.sync(w.node("n2:1"));
  const second = w.table("second", 6, 2);
  w.run(5000);
  assert.equal(shares(w, second, 6).get("n2:1")![0], 0);
  balance(w, "start");
  w.run(10_000);
  assert.equal(shares(w, second, 6).get("n2:1")![0], 0);
});

Deno.test("MetaCore forgets a server that is gone for good, and nothing else", () => {
  const w = new World(4);
  w.table("temp", 4);
  const forget = (node: string) => w.ask("forgetNode", { node })?.error ?? Err.OK;
  assert.equal(forget("no:1"), Err.OBJECT_NOT_FOUND);
  w.ok("drain", { node: "n4:1", drained: true });
  w.run(20_000);
  assert.equal(forget("n4:1"), Err.INVALID_STATE, "it is alive");
  w.node("n4:1").up = false;
  w.run(10_000);
  w.ok("forgetNode", { node: "n4:1" });
  assert.ok(!w.ok("listNodes", {}).nodes.some(({ node }) => node === "n4:1"));
  assert.deepEqual(w.ok("drain", { node: "n3:1", drained: false }).drained, [], "the mark is gone");
  w.node("n4:1").up = true;
  w.run(2000);
  assert.equal(w.ok("listNodes", {}).nodes.find(({ node }) => node === "n4:1")?.alive, true);
});

Deno.test("MetaCore does not forget a server that comes back while its mark is taken away", () => {
  const w = new World(4);
  w.table("temp", 4);
  w.ok("drain", { node: "n4:1", drained: true });
  w.run(20_000);
  w.node("n4:1").up = false;
  w.run(10_000);
  w.holdStore = true;
  const token = w.send("forgetNode", { node: "n4:1" });
  w.node("n4:1").up = true;
  w.beacon(w.node("n4:1"));
  w.release();
  const { error, detail } = w.answer<"forgetNode">(token)!;
  assert.deepEqual([error, detail], [Err.INVALID_STATE, '"n4:1" came back; its mark is gone']);
  assert.equal(w.ok("listNodes", {}).nodes.find(({ node }) => node === "n4:1")?.alive, true);
  assert.deepEqual(w.ok("drain", { node: "n4:1", drained: false }).drained, []);
});

Deno.test("MetaCore makes one move for an operator, and says why it does not", () => {
  const w = new World(4);
  const id = w.table("temp", 1);
  const partition = partitionId(id, 0);
  const { primary: a, secondaries: [b, c] } = w.stored(id, 0);
  const d = [...w.nodes.keys()].find((name) => ![a, b, c].includes(name))!;
  const move = (kind: "movePrimary" | "copyPrimary" | "copySecondary", from: string, to: string) =>
    w.ask("moveReplica", { move: { partition, kind, from, to } });
  const members = () => {
    w.run(2000);
    const { primary, secondaries } = w.stored(id, 0);
    return [primary, ...[...secondaries].sort()];
  };
  assert.match(move("movePrimary", b!, c!)!.detail, /is not its primary/);
  assert.match(move("movePrimary", a, d)!.detail, /is not its secondary/);
  assert.match(move("copySecondary", b!, c!)!.detail, /a member already/);
  assert.match(move("copySecondary", b!, "no:1")!.detail, /is not alive/);
  assert.equal(move("movePrimary", a, b!)!.error, 0);
  assert.deepEqual(members(), [b!, ...[a, c!].sort()]);
  assert.equal(move("copySecondary", a, d)!.error, 0);
  assert.deepEqual(members(), [b!, ...[c!, d].sort()]);
  assert.equal(move("copyPrimary", b!, a)!.error, 0);
  assert.deepEqual(members(), [a, ...[c!, d].sort()]);
  w.node(b!).obeys = false;
  assert.equal(move("copySecondary", d, b!)!.error, 0);
  assert.equal(move("copySecondary", d, b!)!.error, Err.BUSY);
});

Deno.test("MetaCore refuses to drain the last server", () => {
  const w = new World(1);
  w.table("temp", 2, 1);
  const answer = w.ask("drain", { node: "n1:1", drained: true });
  assert.equal(answer?.error, Err.INVALID_ARGUMENT);
  assert.equal(META_REQUESTS.drain.code, 335);
});
