// Stories of MetaCore: partitions become healthy, survive deaths, come back after everybody was
// lost.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { Err, World } from "./world.ts";

Deno.test("MetaCore makes a table healthy and spreads its primaries", () => {
  const w = new World(3);
  const id = w.table("temp", 9);
  const primaries = new Map<string, number>();
  for (let i = 0; i < 9; i++) {
    const config = w.stored(id, i);
    assert.equal(config.secondaries.length, 2);
    assert.equal(config.ballot, 3);
    primaries.set(config.primary, (primaries.get(config.primary) ?? 0) + 1);
  }
  assert.deepEqual([...primaries.values()], [3, 3, 3]);
  const { tables, health } = w.ok("listTables", { status: undefined });
  assert.equal(tables[0]!.status, "available");
  assert.equal(health[0]!.healthy, 9);
  const { nodes } = w.ok("queryConfig", { table: "temp", indices: [] });
  assert.deepEqual(nodes.map(({ shardPorts }) => shardPorts), [[7], [7], [7]]);
});

Deno.test("MetaCore fails over after one death of three, and takes the server back", () => {
  const w = new World(3);
  const id = w.table("temp");
  const before = w.stored(id);
  w.node(before.primary).up = false;
  w.run(5900);
  assert.equal(w.stored(id).primary, before.primary, "not before the grace period");
  w.run(1500);
  const after = w.stored(id);
  assert.notEqual(after.primary, before.primary);
  assert.ok(before.secondaries.includes(after.primary));
  assert.equal(after.ballot, before.ballot + 2);
  assert.deepEqual(after.lastDrops, [before.primary]);
  w.run(3000);
  assert.equal(w.stored(id).ballot, after.ballot, "nobody else to add");
  w.node(before.primary).up = true;
  w.node(before.primary).incarnation++;
  w.run(2500);
  assert.equal(w.stored(id).secondaries.length, 2);
  assert.deepEqual(w.stored(id).lastDrops, []);
});

Deno.test("MetaCore lets the primary remove a dead secondary", () => {
  const w = new World(3);
  const id = w.table("temp");
  const { primary, secondaries } = w.stored(id);
  w.node(secondaries[0]!).up = false;
  w.node(primary).obeys = false;
  w.proposals.length = 0;
  w.run(7500);
  assert.ok(w.proposals.length > 0);
  for (const { to, message } of w.proposals) {
    assert.equal(to, primary);
    assert.equal(message.change, "DOWNGRADE_TO_INACTIVE");
    assert.equal(message.node, secondaries[0]);
  }
  assert.equal(w.stored(id).secondaries.length, 2, "meta itself changes nothing");
  w.node(primary).obeys = true;
  w.run(1100);
  assert.deepEqual(w.stored(id).secondaries, [secondaries[1]]);
});

Deno.test("MetaCore keeps secondaries that died after the primary: they still count", () => {
  const w = new World(3);
  const id = w.table("temp");
  const before = w.stored(id);
  for (const node of w.nodes.values()) node.up = false;
  w.run(8000);
  const after = w.stored(id);
  assert.equal(after.primary, "");
  assert.deepEqual(after.secondaries, before.secondaries);
  w.node(before.secondaries[1]!).up = true;
  w.run(2000);
  assert.equal(w.stored(id).primary, "", "one of three is too few: frozen");
  w.node(before.secondaries[0]!).up = true;
  w.run(2000);
  assert.ok(before.secondaries.includes(w.stored(id).primary));
});

Deno.test("MetaCore asks only alive secondaries to lead", () => {
  const w = new World(5);
  const id = w.table("temp");
  const { primary, secondaries: [first, second] } = w.stored(id);
  w.node(primary).up = false;
  w.node(first!).up = false;
  w.run(7500);
  assert.equal(w.stored(id).primary, second);
});

Deno.test("MetaCore prefers the lost server until the delay is over", () => {
  const w = new World(4, { replicaAssignDelayMs: 20_000 });
  const id = w.table("temp");
  const before = w.stored(id);
  const lost = before.secondaries[0]!;
  w.node(lost).up = false;
  w.run(15_000);
  assert.equal(w.stored(id).secondaries.length, 1, "it is expected back");
  w.node(lost).up = true;
  w.run(3000);
  assert.deepEqual(w.stored(id).secondaries, [before.secondaries[1]!, lost]);
  w.node(lost).up = false;
  w.run(30_000);
  const { secondaries } = w.stored(id);
  assert.equal(secondaries.length, 2);
  assert.ok(!secondaries.includes(lost), "another server has its place");
});

Deno.test("MetaCore asks another server when the first one never does what it should", () => {
  const w = new World(4);
  for (const node of w.nodes.values()) node.obeys = false;
  const { tableId } = w.ok("createTable", {
    name: "temp",
    partitionCount: 1,
    maxReplicaCount: 1,
    envs: new Map(),
    successIfExists: false,
  });
  w.run(1000);
  const first = w.proposals.at(-1)!.to;
  for (const node of w.nodes.values()) node.obeys = node.name !== first;
  w.run(12_000);
  assert.notEqual(w.stored(tableId).primary, "");
  assert.notEqual(w.stored(tableId).primary, first);
});

Deno.test("MetaCore repeats a proposal that got lost", () => {
  const w = new World(1);
  w.node("n1:1").obeys = false;
  const { tableId } = w.ok("createTable", {
    name: "temp",
    partitionCount: 1,
    maxReplicaCount: 1,
    envs: new Map(),
    successIfExists: false,
  });
  w.run(3000);
  assert.ok(w.proposals.length >= 3 && w.proposals.length <= 4, `${w.proposals.length}`);
  w.node("n1:1").obeys = true;
  w.run(1100);
  assert.equal(w.stored(tableId).primary, "n1:1");
});

/** A partition that lost its members one after another: first the secondary, then the primary. */
function lostAll(w: World): { id: number; previous: string; recent: string } {
  const id = w.table("temp", 1, 2);
  const { primary, secondaries } = w.stored(id);
  const previous = secondaries[0]!;
  w.node(previous).up = false;
  w.run(8000);
  w.node(primary).up = false;
  w.run(8000);
  const config = w.stored(id);
  assert.deepEqual(config.lastDrops, [previous, primary]);
  assert.equal(config.primary, "");
  return { id, previous, recent: primary };
}

Deno.test("DDD a: the only lost member leads again as soon as it is back", () => {
  const w = new World(4);
  const id = w.table("temp", 1, 1);
  const { primary } = w.stored(id);
  w.node(primary).up = false;
  w.run(40_000);
  assert.equal(w.stored(id).primary, "", "nobody else has the data");
  w.node(primary).up = true;
  w.run(2000);
  assert.equal(w.stored(id).primary, primary);
});

Deno.test("DDD a: the only lost member that came back without its replica leads nothing", () => {
  const w = new World(4);
  const id = w.table("temp", 1, 1);
  const { primary } = w.stored(id);
  w.node(primary).up = false;
  w.node(primary).obeys = false;
  w.run(10_000);
  w.node(primary).up = true;
  w.beacons();
  w.sync(w.node(primary));
  w.run(20_000);
  assert.equal(w.stored(id).primary, "");
  const [lost] = w.ok("dddDiagnose", { tableId: id }).partitions;
  assert.match(lost!.reason, /came back without its replica/);
});

Deno.test("DDD b: the last two must be alive and have reported", () => {
  const w = new World(5);
  const { id, previous, recent } = lostAll(w);
  const partition = partitionId(id, 0);
  w.node(recent).up = true;
  w.run(2000);
  w.node(recent).reports.set(partition, w.report(partition, 3, { committed: 5, maxPrepared: 6 }));
  w.sync(w.node(recent));
  w.run(2000);
  assert.equal(w.stored(id).primary, "", "the last one alone is not trusted");
  w.node(previous).up = true;
  w.run(2000);
  assert.equal(w.stored(id).primary, "", "the other one has not reported");
  w.sync(w.node(previous));
  w.run(200);
  assert.equal(w.stored(id).primary, recent, "the other one has no replica, which is an answer");
});

Deno.test("DDD c, d: the last member leads unless it shows a loss", () => {
  // Ballot, commit point, highest prepared decree of the one before the last, and of the last.
  const stories = [
    { name: "no data at all", a: undefined, b: undefined, leads: "" },
    { name: "knows less committed, holds all of it", a: [2, 9, 9], b: [3, 5, 9], leads: "recent" },
    {
      name: "the former member heard of newer ballots",
      a: [9, 5, 6],
      b: [3, 4, 6],
      leads: "recent",
    },
    { name: "the former member holds a tail", a: [2, 5, 9], b: [3, 6, 8], leads: "recent" },
    { name: "lost what the other one knows committed", a: [3, 9, 9], b: [3, 6, 8], leads: "" },
    { name: "lost its replica", a: [3, 6, 8], b: undefined, leads: "previous" },
  ] as const;
  for (const { name, a, b, leads } of stories) {
    const w = new World(5);
    const { id, previous, recent } = lostAll(w);
    const partition = partitionId(id, 0);
    for (const [server, state] of [[previous, a], [recent, b]] as const) {
      const node = w.node(server);
      node.up = true;
      if (state === undefined) continue;
      const [ballot, committed, maxPrepared] = state;
      node.reports.set(partition, w.report(partition, ballot, { committed, maxPrepared }));
    }
    w.beacons();
    w.sync(w.node(previous));
    w.sync(w.node(recent));
    w.run(2000);
    const expected = leads === "" ? "" : leads === "recent" ? recent : previous;
    assert.equal(w.stored(id).primary, expected, name);
    if (leads === "") assert.ok(w.notes.some(({ event }) => event === "noCandidate"), name);
  }
});

Deno.test("DDD: an operator may choose where the rules do not", () => {
  const w = new World(5);
  const { id, previous } = lostAll(w);
  w.node(previous).up = true;
  w.beacons();
  w.ok("propose", {
    partition: partitionId(id, 0),
    change: "ASSIGN_PRIMARY",
    target: "",
    node: previous,
    force: true,
    empty: false,
  });
  w.run(1000);
  assert.equal(w.stored(id).primary, previous);
});

Deno.test("MetaCore does not promote a secondary that lost committed mutations", () => {
  const w = new World(3);
  const id = w.table("temp");
  const before = w.stored(id);
  const partition = partitionId(id, 0);
  const hint = w.request(before, "PRIMARY_FORCE_UPDATE_BALLOT", before.primary, before.primary, 50);
  w.ok("updateConfig", hint);
  const { ballot } = w.stored(id);
  const [lossy, whole] = before.secondaries as [string, string];
  for (const [name, maxPrepared] of [[lossy, 40], [whole, 50]] as const) {
    const report = w.report(partition, ballot + 1, { status: "secondary", maxPrepared });
    w.node(name).reports.set(partition, report);
    w.sync(w.node(name));
  }
  w.node(before.primary).up = false;
  w.run(8000);
  assert.equal(w.stored(id).primary, whole);
});

Deno.test("Freeze: two deaths of three stop cures, but not the removal of dead primaries", () => {
  const w = new World(3);
  const id = w.table("temp", 3);
  const [a, b] = ["n1:1", "n2:1"];
  w.node(a).up = false;
  w.node(b).up = false;
  w.run(10_000);
  for (let i = 0; i < 3; i++) assert.ok(["", "n3:1"].includes(w.stored(id, i).primary));
  assert.equal(w.ok("clusterInfo", {}).level, "freezed");
  const own = [0, 1, 2].map((i) => w.stored(id, i)).find(({ primary }) => primary === "n3:1")!;
  const request = w.request(own, "DOWNGRADE_TO_INACTIVE", a, "n3:1");
  assert.equal(w.ok("updateConfig", request).error, Err.STATE_FREEZED);
});

Deno.test("A function level below freezed keeps even dead primaries", () => {
  const w = new World(3);
  const id = w.table("temp");
  const { primary } = w.stored(id);
  w.ok("controlMeta", { level: "blind" });
  w.node(primary).up = false;
  w.run(10_000);
  assert.equal(w.stored(id).primary, primary);
  w.ok("controlMeta", { level: "steady" });
  w.run(1000);
  assert.notEqual(w.stored(id).primary, primary);
});

Deno.test("MetaCore adds a member above the count on an operator's proposal, and removes another", () => {
  const w = new World(4);
  const id = w.table("temp");
  const before = w.stored(id);
  const outside = [...w.nodes.keys()].find((name) =>
    name !== before.primary && !before.secondaries.includes(name)
  )!;
  w.ok("propose", {
    partition: partitionId(id, 0),
    change: "ADD_SECONDARY_FOR_LB",
    target: "",
    node: outside,
    force: false,
    empty: false,
  });
  const after = w.stored(id);
  assert.equal(after.ballot, before.ballot + 2, "added, and one too many removed");
  assert.equal(after.secondaries.length, 2);
  assert.ok(after.secondaries.includes(outside), "the one with fewest replicas stays");
});

Deno.test("MetaCore counts partitions as unwritable by the rule by which replicas refuse writes", () => {
  for (
    const [wanted, alive, unwritable] of [[1, 1, 0], [2, 1, 0], [3, 2, 0], [3, 1, 1], [5, 3, 0], [
      5,
      2,
      1,
    ]] as const
  ) {
    const w = new World(wanted);
    const id = w.table("temp", 1, wanted);
    w.run(5000);
    const { secondaries } = w.stored(id);
    assert.equal(secondaries.length, wanted - 1);
    for (const node of secondaries.slice(alive - 1)) w.node(node).up = false;
    w.run(8000);
    const [health] = w.ok("listTables", { status: undefined }).health;
    const counts = [health!.healthy, health!.writeUnhealthy, health!.readUnhealthy];
    assert.deepEqual(counts, [alive === wanted ? 1 : 0, unwritable, 0], `${alive} of ${wanted}`);
  }
});
