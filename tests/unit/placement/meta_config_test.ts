// Stories of MetaCore: changing one configuration, with lost answers, slow and uncertain stores,
// and leaders that are replaced in the middle.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import type { PartitionConfig } from "../../../src/schema/types.ts";
import { Err, type StoreEffect, World } from "./world.ts";

/** A healthy one-partition table and the request of its primary to remove its first secondary. */
function removal(nodeCount = 3) {
  const w = new World(nodeCount);
  const id = w.table("temp");
  for (const node of w.nodes.values()) node.obeys = false;
  const config = w.stored(id);
  const removed = config.secondaries[0]!;
  const request = w.request(config, "DOWNGRADE_TO_INACTIVE", removed, config.primary);
  return { w, id, config, removed, request };
}

Deno.test("Update: a repeated request whose answer was lost is answered OK", () => {
  const { w, id, removed, request } = removal();
  const first = w.ok("updateConfig", request);
  assert.equal(first.error, 0);
  assert.ok(!first.config!.secondaries.includes(removed));
  const again = w.ok("updateConfig", request);
  assert.equal(again.error, 0);
  assert.deepEqual(again.config, first.config);
  assert.equal(w.stored(id).ballot, request.config.ballot, "written once");
});

Deno.test("Update: a request under an old or too new ballot gets INVALID_VERSION and what is stored", () => {
  const { w, config, request } = removal();
  for (const ballot of [config.ballot, config.ballot + 2]) {
    const answer = w.ok("updateConfig", { ...request, config: { ...request.config, ballot } });
    assert.equal(answer.error, Err.INVALID_VERSION);
    assert.deepEqual(answer.config, config);
  }
});

Deno.test("Update: the members must be what the change makes of them, and the asker in charge", () => {
  const { w, id, config, removed, request } = removal();
  const { primary, secondaries } = config;
  const other = secondaries[1]!;
  const wrong: Partial<typeof request>[] = [
    { config: { ...request.config, secondaries: [] } },
    { config: { ...request.config, primary: other, secondaries: [primary] } },
    { config: { ...request.config, secondaries: [other, other] } },
    { node: other },
    { from: other },
    { change: "UPGRADE_TO_SECONDARY" },
    { change: "ADD_SECONDARY" },
    { change: "DROP_PARTITION" },
    { change: "ASSIGN_PRIMARY", node: primary },
    { change: "UPGRADE_TO_PRIMARY", node: removed, from: removed },
  ];
  for (const part of wrong) {
    const answer = w.ok("updateConfig", { ...request, ...part });
    assert.equal(answer.error, Err.INVALID_VERSION, JSON.stringify(part));
    assert.deepEqual(answer.config, config);
  }
  assert.equal(w.stored(id).ballot, config.ballot);
});

Deno.test("Update: a server may always ask to leave", () => {
  const { w, id, config, removed } = removal();
  w.ok("updateConfig", w.request(config, "DOWNGRADE_TO_INACTIVE", removed, removed));
  assert.ok(!w.stored(id).secondaries.includes(removed));
});

Deno.test("Update: at most one member above the count, and only an alive one", () => {
  const w = new World(5);
  const id = w.table("temp");
  for (const node of w.nodes.values()) node.obeys = false;
  const config = w.stored(id);
  const others = [...w.nodes.keys()].filter((name) =>
    name !== config.primary && !config.secondaries.includes(name)
  );
  const [fourth, fifth] = others as [string, string];
  w.node(fourth).up = false;
  w.run(8000);
  const add = (node: string, of: PartitionConfig) =>
    w.ok("updateConfig", w.request(of, "UPGRADE_TO_SECONDARY", node, config.primary)).error;
  assert.equal(add(fourth, config), Err.INVALID_VERSION);
  w.node(fourth).up = true;
  w.run(1000);
  assert.equal(add(fourth, config), 0);
  const full = w.stored(id);
  const next = {
    ...full,
    ballot: full.ballot + 1,
    secondaries: [...full.secondaries, fifth],
  };
  const answer = w.ok("updateConfig", {
    change: "UPGRADE_TO_SECONDARY",
    node: fifth,
    from: full.primary,
    incarnation: 1,
    config: next,
  });
  assert.equal(answer.error, Err.INVALID_VERSION);
});

Deno.test("Update: unknown partitions are told so", () => {
  const { w, request } = removal();
  const partition = partitionId(9, 0);
  const answer = w.ok("updateConfig", { ...request, config: { ...request.config, partition } });
  assert.equal(answer.error, Err.OBJECT_NOT_FOUND);
  assert.equal(answer.config, undefined);
});

Deno.test("Update: no answer while a change is in flight; the repetition of that change gets its answer", () => {
  const { w, config, request } = removal();
  w.holdStore = true;
  const first = w.send("updateConfig", request);
  const other = w.request(config, "DOWNGRADE_TO_INACTIVE", config.secondaries[1]!, config.primary);
  const second = w.send("updateConfig", other);
  const repeated = w.send("updateConfig", request);
  assert.equal(w.held.length, 1);
  w.release();
  assert.equal(w.answer(first), undefined, "its caller has given up");
  assert.equal(w.answer(second), undefined);
  assert.equal(w.answer<"updateConfig">(repeated)?.response?.error, 0);
});

Deno.test("Update: nothing shows a configuration before it is stored (M11)", () => {
  const { w, config, request } = removal();
  w.holdStore = true;
  const token = w.send("updateConfig", request);
  w.run(3000);
  assert.equal(w.answer(token), undefined);
  assert.equal(w.shown("temp").ballot, config.ballot);
  const primary = w.sync(w.node(config.primary));
  assert.equal(primary.response?.configs[0]?.ballot, config.ballot);
  for (const { message } of w.proposals) assert.ok(message.config.ballot <= config.ballot);
  w.release();
  assert.equal(w.shown("temp").ballot, config.ballot + 1);
  assert.equal(w.answer<"updateConfig">(token)?.response?.config?.ballot, config.ballot + 1);
});

Deno.test("Update: an older process of a server has no say", () => {
  const { w, config, request } = removal();
  const primary = w.node(config.primary);
  primary.incarnation++;
  w.beacon(primary);
  assert.equal(w.ask("updateConfig", request), undefined);
  const { incarnation } = primary;
  assert.equal(w.ok("updateConfig", { ...request, incarnation }).error, 0);
});

Deno.test("A dead primary's last request may land, but is not answered; its removal builds on it", () => {
  const { w, id, config, removed, request } = removal();
  w.holdStore = true;
  const token = w.send("updateConfig", request);
  w.node(config.primary).up = false;
  w.run(8000);
  assert.equal(w.held.length, 1, "one change in flight");
  w.release();
  assert.equal(w.answer(token), undefined);
  assert.equal(w.held.length, 1, "now the removal of the primary");
  w.release();
  const after = w.stored(id);
  assert.equal(after.ballot, config.ballot + 2);
  assert.equal(after.primary, "");
  assert.deepEqual(after.secondaries, [config.secondaries[1]]);
  assert.deepEqual(after.lastDrops, [removed, config.primary]);
});

Deno.test("A primary that comes back while its removal is being stored hears BUSY, then the truth (M20)", () => {
  const { w, config } = removal();
  w.holdStore = true;
  const primary = w.node(config.primary);
  primary.up = false;
  w.run(8000);
  assert.equal(w.held.length, 1);
  assert.equal(w.sync(primary).error, Err.BUSY, "dead: its beacon comes first");
  primary.up = true;
  w.beacons();
  assert.equal(w.sync(primary).error, Err.BUSY);
  const secondary = w.sync(w.node(config.secondaries[0]!));
  assert.equal(secondary.response?.configs[0]?.primary, config.primary, "not stored yet");
  const hint = primary.syncHint;
  w.release();
  primary.reports.set(config.partition, w.report(config.partition, config.ballot));
  assert.equal(w.sync(primary).response?.configs[0]?.primary, "");
  w.beacons();
  assert.notEqual(primary.syncHint, hint, "it is told to look");
});

Deno.test("Store: an unknown outcome is decided by what is stored", () => {
  for (const happened of [true, false]) {
    const { w, id, config, request } = removal();
    w.holdStore = true;
    const token = w.send("updateConfig", request);
    if (happened) w.release("unknown");
    else w.lose();
    assert.equal(w.answer(token), undefined);
    assert.equal(w.shown("temp").ballot, config.ballot);
    w.readBack();
    if (!happened) {
      assert.equal(w.held.length, 1, "written again");
      w.release();
    }
    assert.equal(w.answer<"updateConfig">(token)?.response?.error, 0);
    assert.equal(w.stored(id).ballot, config.ballot + 1);
    assert.equal(w.held.length, 0);
  }
});

Deno.test("Store: a late first attempt and its repetition write once", () => {
  const { w, id, config, request } = removal();
  w.holdStore = true;
  const token = w.send("updateConfig", request);
  const first: StoreEffect = w.lose();
  w.readBack();
  // The first attempt was still on its way and lands now; the second finds another version.
  w.apply(first.changes);
  const second = w.held.shift()!;
  assert.deepEqual(second.changes, first.changes);
  const { write } = second;
  w.event({ kind: "stored", write, result: { kind: "refused", reason: "badVersion" } });
  w.readBack();
  assert.equal(w.answer<"updateConfig">(token)?.response?.error, 0);
  assert.equal(w.stored(id).ballot, config.ballot + 1);
});

Deno.test("Store: reading back is repeated while it fails", () => {
  const { w, request } = removal();
  w.holdStore = true;
  const token = w.send("updateConfig", request);
  w.release("unknown");
  const { write } = w.readBacks.shift()!;
  w.event({ kind: "readBack", write, nodes: undefined });
  w.run(2000);
  assert.equal(w.readBacks.length, 1);
  w.readBack();
  assert.equal(w.answer<"updateConfig">(token)?.response?.error, 0);
});

Deno.test("Store: another writer's content, or a refusal, ends the reign (M21)", () => {
  for (const refused of [true, false]) {
    const { w, id, request } = removal();
    w.holdStore = true;
    const token = w.send("updateConfig", request);
    const { write } = w.held.shift()!;
    if (refused) {
      w.event({ kind: "stored", write, result: { kind: "refused", reason: "badVersion" } });
    } else {
      const path = `/tables/${id}/0`;
      const { version } = w.tree.get(path)!;
      w.tree.set(path, { path, value: new Uint8Array([1]), version: version + 1 });
      w.event({ kind: "stored", write, result: { kind: "unknown", reason: "timeout" } });
      w.readBack();
    }
    assert.notEqual(w.abdicated, undefined);
    assert.equal(w.core.role, "standby");
    assert.equal(w.answer(token), undefined);
    assert.equal(w.ask("listNodes", {})?.error, Err.FORWARD_TO_OTHERS);
  }
});

Deno.test("Leadership lost in the middle of a write: no answer, no effect, the next leader sees what is stored", () => {
  const { w, id, config, request } = removal();
  w.holdStore = true;
  const token = w.send("updateConfig", request);
  const create = w.send("createTable", {
    name: "other",
    partitionCount: 2,
    maxReplicaCount: 1,
    envs: new Map(),
    successIfExists: false,
  });
  w.event({ kind: "following", leader: "meta:2" });
  assert.equal(w.answer(create)?.error, Err.OUTCOME_UNKNOWN);
  const refused = w.ask("queryConfig", { table: "temp", indices: [] });
  assert.equal(refused?.error, Err.FORWARD_TO_OTHERS);
  assert.equal(refused?.detail, "meta:2");
  const ack = w.beacon(w.node(config.primary)).response!;
  assert.deepEqual([ack.isLeader, ack.leader], [false, "meta:2"]);
  const proposals = w.proposals.length;
  w.release();
  w.release();
  w.run(10_000);
  assert.equal(w.answer(token), undefined);
  assert.equal(w.proposals.length, proposals);
  w.holdStore = false;
  w.restartMeta();
  assert.equal(w.shown("temp").ballot, config.ballot + 1);
  assert.deepEqual(w.shown("temp"), w.stored(id));
  w.run(1000);
  assert.equal(w.ok("listTables", { status: "available" }).tables.length, 2);
});

Deno.test("A leader that cannot prove its lead acks no beacon, answers nobody, proposes nothing (M10)", () => {
  const { w, id, config } = removal();
  w.event({ kind: "leaderUntil", mono: w.mono + 500 });
  assert.equal(w.beacon(w.node(config.primary)).response?.isLeader, true);
  w.node(config.primary).up = false;
  w.mono += 600;
  const proposals = w.proposals.length;
  for (const node of w.nodes.values()) {
    assert.equal(w.beacon(node).response?.isLeader, false);
    assert.equal(w.sync(node).error, Err.FORWARD_TO_OTHERS);
  }
  assert.equal(w.ask("queryConfig", { table: "temp", indices: [] })?.error, Err.FORWARD_TO_OTHERS);
  w.run(10_000);
  assert.equal(w.proposals.length, proposals);
  assert.equal(w.stored(id).ballot, config.ballot, "and writes nothing");
});

Deno.test("A store that was slow for a while makes nobody look dead", () => {
  const { w, id, config } = removal();
  w.event({ kind: "leaderUntil", mono: w.mono });
  w.run(20_000);
  w.event({ kind: "leaderUntil", mono: Infinity });
  w.run(1000);
  assert.equal(w.stored(id).ballot, config.ballot);
});

Deno.test("SetMaxReplicaCount reaches each partition with its next ballot", () => {
  const w = new World(3);
  const id = w.table("temp", 2);
  assert.deepEqual(w.ok("setMaxReplicaCount", { table: "temp", maxReplicaCount: 2 }), {
    previous: 3,
  });
  w.run(3000);
  for (const index of [0, 1]) {
    const config = w.stored(id, index);
    assert.equal(config.maxReplicaCount, 2);
    assert.equal(config.secondaries.length, 1);
  }
  w.ok("setMaxReplicaCount", { table: "temp", maxReplicaCount: 3 });
  w.run(3000);
  assert.equal(w.stored(id).secondaries.length, 2);
});

Deno.test("SetMaxReplicaCount is finished by the next leader", () => {
  const w = new World(3);
  const id = w.table("temp", 2);
  for (const node of w.nodes.values()) node.obeys = false;
  w.ok("setMaxReplicaCount", { table: "temp", maxReplicaCount: 1 });
  w.run(2000);
  assert.deepEqual([0, 1].map((index) => w.stored(id, index).maxReplicaCount), [3, 3]);
  for (const node of w.nodes.values()) node.obeys = true;
  w.restartMeta();
  w.run(5000);
  for (const index of [0, 1]) {
    const { maxReplicaCount, secondaries } = w.stored(id, index);
    assert.deepEqual([maxReplicaCount, secondaries], [1, []]);
  }
});
