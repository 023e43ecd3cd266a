// What an operator decides beside tables and balance: who may join, who gets nothing new, who leads a partition
// that was lost, and what the lowest level forbids. docs/meta.md, "Cure", "Failure detector".

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { membersOf } from "../../../src/placement/config_change.ts";
import { Err, World } from "./world.ts";

Deno.test("A black-listed server keeps what it has and gets nothing new", () => {
  const w = new World(4, { replicaAssignDelayMs: 1000 });
  const id = w.table("t");
  const config = w.stored(id);
  const outside = [...w.nodes.keys()].find((name) => !membersOf(config).includes(name))!;
  assert.deepEqual(w.ok("blackList", { action: "add", node: outside }).nodes, [outside]);
  assert.deepEqual(w.ok("blackList", { action: "add", node: config.primary }).nodes.length, 2);
  w.run(2000);
  assert.deepEqual(membersOf(w.stored(id)), membersOf(config));
  w.node(config.secondaries[0]!).up = false;
  w.run(20_000);
  assert.equal(membersOf(w.stored(id)).length, 2, "the only free server is listed");
  // Lasts over a change of the leader.
  w.restartMeta();
  assert.equal(w.ok("blackList", { action: "show", node: "" }).nodes.length, 2);
  w.run(20_000);
  assert.equal(membersOf(w.stored(id)).length, 2);
  w.ok("blackList", { action: "remove", node: outside });
  w.run(20_000);
  assert.ok(membersOf(w.stored(id)).includes(outside));
  const bad = w.ask("blackList", { action: "add", node: "nonsense" })!;
  assert.deepEqual([bad.error, bad.detail], [
    Err.INVALID_ARGUMENT,
    '"nonsense" is no server: expected host:port',
  ]);
  const long = w.ask("blackList", { action: "add", node: `${"h".repeat(2_000_000)}:1` })!;
  assert.equal(long.error, Err.INVALID_ARGUMENT);
  assert.ok(long.detail.length < 400);
});

Deno.test("A lost member that is black-listed is not waited for", () => {
  const w = new World(4, { replicaAssignDelayMs: 1_000_000 });
  const id = w.table("t");
  const lost = w.stored(id).secondaries[0]!;
  w.node(lost).up = false;
  w.run(10_000);
  assert.equal(membersOf(w.stored(id)).length, 2, "it is expected back");
  w.ok("blackList", { action: "add", node: lost });
  w.run(3000);
  assert.equal(membersOf(w.stored(id)).length, 3);
});

Deno.test("A server that is restarted again and again gets nothing new until it runs for a while", () => {
  const w = new World(4, { replicaAssignDelayMs: 1000 });
  const id = w.table("t");
  const config = w.stored(id);
  const outside = [...w.nodes.values()].find(({ name }) => !membersOf(config).includes(name))!;
  for (let i = 0; i < 5; i++) {
    outside.incarnation++;
    w.run(20_000);
  }
  assert.ok(w.notes.some(({ event }) => event === "nodeUnstable"));
  w.addNode("n5:1");
  w.beacon(w.node("n5:1"));
  // It would be the first choice: n5 comes later in the list.
  w.node(config.secondaries[0]!).up = false;
  w.run(20_000);
  assert.ok(membersOf(w.stored(id)).includes("n5:1"));
  // With nobody else left it is better than nobody.
  w.node("n5:1").up = false;
  w.run(20_000);
  assert.ok(membersOf(w.stored(id)).includes(outside.name));
});

Deno.test("A server that ran long between restarts is stable", () => {
  const w = new World(1);
  const node = w.node("n1:1");
  for (let i = 0; i < 8; i++) {
    node.incarnation++;
    w.run(601_000);
  }
  assert.ok(!w.notes.some(({ event }) => event === "nodeUnstable"));
});

Deno.test("A server outside the allow list does not join; one that has joined stays", () => {
  const w = new World(2, { allowList: "n1:1,n2:1" });
  w.addNode("n3:1");
  assert.equal(w.beacon(w.node("n3:1")).response!.allowed, false);
  assert.equal(w.ok("listNodes", {}).nodes.length, 2);
  assert.ok(w.notes.some(({ event }) => event === "notListed"));
});

Deno.test("ddd_diagnose tells why nobody leads, what is left, and who loses least", () => {
  const w = new World(5);
  const id = w.table("t", 1, 2);
  assert.deepEqual(w.ok("dddDiagnose", { tableId: 0 }).partitions, []);
  const { primary, secondaries: [first] } = w.stored(id);
  for (const name of [first!, primary]) {
    w.node(name).up = false;
    w.run(8000);
  }
  const [dead] = w.ok("dddDiagnose", { tableId: 0 }).partitions;
  assert.match(dead!.reason, / is dead/);
  assert.deepEqual([dead!.choice, dead!.config.lastDrops], ["", [first, primary]]);

  // Both come back: the last one lost what the one before it knows committed.
  const partition = partitionId(id, 0);
  for (const [name, committed, maxPrepared] of [[first!, 9, 8], [primary, 3, 6]] as const) {
    const values = { committed, maxPrepared, mutationBallot: 2 };
    w.node(name).reports.set(partition, w.report(partition, 3, values));
    w.node(name).up = true;
  }
  w.beacons();
  w.sync(w.node(first!));
  w.sync(w.node(primary));
  w.run(2000);
  const [lost] = w.ok("dddDiagnose", { tableId: id }).partitions;
  assert.match(lost!.reason, /decree 9 was committed, only 6 is left/);
  assert.deepEqual([lost!.choice, lost!.lost], [first, 1]);
  assert.deepEqual(lost!.nodes.map(({ alive, collected }) => [alive, collected]), [
    [true, true],
    [true, true],
  ]);
  assert.deepEqual(w.ok("dddDiagnose", { tableId: id + 1 }).partitions, []);
  const choice = { partition, change: "ASSIGN_PRIMARY" as const, force: true, empty: false };
  w.ok("propose", { ...choice, target: first!, node: first! });
  w.run(1000);
  assert.equal(w.stored(id).primary, first);
  assert.deepEqual(w.ok("dddDiagnose", { tableId: 0 }).partitions, []);
});

Deno.test("A partition whose copies are all gone begins with nothing where an operator says so", () => {
  const w = new World(6);
  const id = w.table("t", 1, 2);
  const before = w.stored(id);
  const { primary, secondaries: [secondary] } = before;
  // The secondary dies first and nobody can take it out: the primary does not obey.
  w.node(primary).obeys = false;
  for (const name of [secondary!, primary]) w.node(name).up = false;
  w.run(10_000);
  assert.deepEqual([w.stored(id).primary, w.stored(id).secondaries], ["", [secondary]]);
  assert.match(
    w.ok("dddDiagnose", { tableId: 0 }).partitions[0]!.reason,
    /every secondary is dead/,
  );

  const partition = partitionId(id, 0);
  const [free, other] = [...w.nodes.keys()].filter((name) => w.node(name).up);
  const propose = { partition, change: "ASSIGN_PRIMARY" as const, target: "", node: free! };
  w.node(other!).reports.set(partition, w.report(partition, 1, { maxPrepared: 3 }));
  w.sync(w.node(other!));
  const holds = w.ask("propose", { ...propose, node: other!, force: true, empty: true })!;
  assert.match(holds.detail, /holds a replica of the partition/);
  const add = { ...propose, change: "ADD_SECONDARY" as const, force: true, empty: true };
  assert.match(w.ask("propose", add)!.detail, /Only ASSIGN_PRIMARY can be empty/);
  const polite = w.ask("propose", { ...propose, force: false, empty: true })!;
  assert.equal(polite.error, Err.INVALID_ARGUMENT, "members are not forgotten without force");
  w.ok("propose", { ...propose, force: true, empty: true });
  w.run(3000);
  assert.ok(w.proposals.some(({ to, message }) => to === free && message.empty));
  assert.equal(w.stored(id).primary, free);
  assert.ok(w.stored(id).ballot > before.ballot);
});

Deno.test("A forced proposal in a cluster that died out leads to one that can be used again", () => {
  const w = new World(4);
  const id = w.table("t", 1, 3);
  const { primary, secondaries } = w.stored(id);
  w.node(primary).obeys = false;
  for (const name of [...secondaries, primary]) w.node(name).up = false;
  w.run(10_000);
  assert.equal(w.ok("clusterInfo", {}).level, "freezed");
  const [left] = [...w.nodes.keys()].filter((name) => w.node(name).up);
  const partition = partitionId(id, 0);
  const request = {
    ...{ partition, change: "ASSIGN_PRIMARY" as const, target: "", node: left! },
    ...{ force: true, empty: true },
  };
  const frozen = w.ask("propose", request)!;
  assert.equal(frozen.error, Err.STATE_FREEZED);
  assert.match(frozen.detail, /1 of 4 known .* forget_node/);
  for (const name of [...secondaries, primary]) w.ok("forgetNode", { node: name });
  w.ok("propose", request);
  w.run(3000);
  assert.equal(w.stored(id).primary, left);
});

Deno.test("Level stopped forbids every change of tables, and blind does not", () => {
  const w = new World(3);
  w.table("t");
  const envs = { table: "t", action: "set" as const, set: new Map([["default_ttl", "1"]]) };
  w.ok("controlMeta", { level: "stopped" });
  const refused = w.ask("updateTableEnvs", { ...envs, keys: [] })!;
  assert.deepEqual([refused.error, refused.detail], [
    Err.STATE_FREEZED,
    "The function level is stopped",
  ]);
  const drop = { name: "t", reserveSeconds: 0, successIfNotExists: false };
  assert.equal(w.ask("dropTable", drop)!.error, Err.STATE_FREEZED);
  const user = { name: "ada", action: "create" as const, admin: false, verifier: undefined };
  w.ok("putUser", user);
  const grant = { user: "ada", rights: ["read" as const], table: "t", revoke: false };
  assert.equal(w.ask("grant", grant)!.error, Err.STATE_FREEZED);
  w.ok("grant", { ...grant, rights: ["admin" as const], table: "" });
  w.ok("controlMeta", { level: "blind" });
  w.ok("updateTableEnvs", { ...envs, keys: [] });
  w.ok("grant", grant);
});
