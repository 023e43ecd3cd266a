// Stories of MetaCore: the life of a table, with crashes of meta between any two writes.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import type { MetaBody } from "../../../src/placement/io.ts";
import { Err, World } from "./world.ts";

function creation(part: Partial<MetaBody<"createTable">> = {}): MetaBody<"createTable"> {
  return {
    name: "temp",
    partitionCount: 4,
    maxReplicaCount: 3,
    envs: new Map(),
    successIfExists: false,
    ...part,
  };
}

Deno.test("Create refuses what cannot be, with a reason", () => {
  const w = new World(3);
  const wrong: [Partial<MetaBody<"createTable">>, RegExp][] = [
    [{ name: "" }, /name/],
    [{ name: "a b" }, /name/],
    [{ name: "x".repeat(129) }, /name/],
    [{ partitionCount: 0 }, /Partition count 0: expected 1 to 1024/],
    [{ partitionCount: 1025 }, /Partition count/],
    [{ maxReplicaCount: 0 }, /Replica count 0: expected 1 to 5/],
    [{ maxReplicaCount: 6 }, /Replica count 6/],
    [{ maxReplicaCount: 4 }, /only 3 servers are alive/],
    [{ envs: new Map([["default_tl", "1"]]) }, /Unknown table variable "default_tl".*default_ttl/],
  ];
  for (const [part, reason] of wrong) {
    const answer = w.ask("createTable", creation(part));
    assert.equal(answer?.error, Err.INVALID_ARGUMENT);
    assert.match(answer!.detail, reason);
  }
  assert.equal(w.ok("listTables", { status: undefined }).tables.length, 0);
});

Deno.test("Create is answered when everything is stored, and shows nothing before", () => {
  const w = new World(3, { storeBatch: 2 });
  w.holdStore = true;
  const token = w.send("createTable", creation({ partitionCount: 5 }));
  assert.equal(w.ok("listTables", { status: undefined }).tables.length, 0);
  for (let writes = 0; writes < 3; writes++) {
    assert.equal(w.answer(token), undefined);
    assert.notEqual(w.ask("queryConfig", { table: "temp", indices: [] })?.error, 0);
    w.release();
  }
  assert.equal(w.ok("listTables", { status: undefined }).tables[0]!.status, "creating");
  assert.equal(w.proposals.length, 0, "nobody gets a partition of a table that may not come to be");
  w.release();
  assert.equal(w.answer<"createTable">(token)?.response?.tableId, 1);
  assert.equal(w.ok("queryConfig", { table: "temp", indices: [] }).partitions.length, 5);
});

Deno.test("Create of an existing table", () => {
  const w = new World(3);
  const id = w.table("temp", 4);
  assert.equal(w.ask("createTable", creation())?.error, Err.APP_EXIST);
  const successIfExists = true;
  assert.equal(w.ok("createTable", creation({ successIfExists })).tableId, id);
  const other = w.ask("createTable", creation({ successIfExists, partitionCount: 8 }));
  assert.equal(other?.error, Err.INVALID_ARGUMENT);
  assert.match(other!.detail, /exists with 4 partitions/);
});

Deno.test("Create twice at the same time makes one table", () => {
  const w = new World(3);
  w.holdStore = true;
  w.send("createTable", creation());
  assert.equal(w.ask("createTable", creation())?.error, Err.BUSY_CREATING);
});

Deno.test("Create is finished by the next leader, wherever it stopped", () => {
  for (let stored = 0; stored <= 4; stored++) {
    const w = new World(3, { storeBatch: 2 });
    w.holdStore = true;
    w.send("createTable", creation({ partitionCount: 5 }));
    for (let i = 0; i < stored; i++) w.release();
    w.holdStore = false;
    w.restartMeta();
    w.run(2000);
    const { tables } = w.ok("listTables", { status: undefined });
    if (stored === 0) {
      assert.equal(tables.length, 0);
      continue;
    }
    assert.equal(tables[0]!.status, "available");
    assert.equal(w.ok("listTables", { status: undefined }).health[0]!.healthy, 5);
  }
});

Deno.test("Drop takes everybody out, keeps the number, and recall brings the data's owners back", () => {
  const w = new World(3);
  const id = w.table("temp", 2);
  const before = [w.stored(id, 0), w.stored(id, 1)];
  const { expiresAt } = w.ok("dropTable", {
    name: "temp",
    reserveSeconds: 60,
    successIfNotExists: false,
  });
  assert.equal(expiresAt, Math.floor(w.wall / 1000) + 60);
  for (const [index, config] of before.entries()) {
    const after = w.stored(id, index);
    assert.equal(after.ballot, config.ballot + 1);
    assert.deepEqual([after.primary, after.secondaries], ["", []]);
    assert.deepEqual(after.lastDrops, [...config.secondaries, config.primary]);
    for (const name of after.lastDrops) {
      const report = w.report(after.partition, after.ballot, { committed: 3, maxPrepared: 3 });
      w.node(name).reports.set(after.partition, report);
    }
  }
  assert.equal(w.ask("queryConfig", { table: "temp", indices: [] })?.error, Err.APP_NOT_EXIST);
  for (const node of w.nodes.values()) {
    const answer = w.sync(node).response!;
    assert.equal(answer.configs[0]!.primary, "", "the replica is told that it is no member");
    assert.equal(answer.tables[0]!.status, "dropped");
    assert.deepEqual(answer.garbage, []);
  }
  const second = w.table("temp");
  assert.equal(second, id + 1, "numbers are not used again");
  const taken = w.ask("recallTable", { tableId: id, newName: "" });
  assert.equal(taken?.error, Err.INVALID_ARGUMENT);
  w.ok("recallTable", { tableId: id, newName: "old" });
  w.run(3000);
  const recalled = w.shown("old");
  assert.equal(recalled.primary, before[0]!.primary);
  assert.equal(recalled.secondaries.length, 2);
});

Deno.test("Drop is finished by the next leader", () => {
  const w = new World(3);
  const id = w.table("temp", 3);
  w.holdStore = true;
  w.send("dropTable", { name: "temp", reserveSeconds: 0, successIfNotExists: false });
  w.release();
  w.release();
  assert.equal(w.ask("createTable", creation())?.error, Err.BUSY_DROPPING);
  w.holdStore = false;
  w.restartMeta();
  assert.equal(w.ok("listTables", { status: "dropped" }).tables[0]?.tableId, id);
  for (const index of [0, 1, 2]) assert.equal(w.stored(id, index).primary, "");
});

Deno.test("Drop waits for a change in flight and builds on it", () => {
  const w = new World(3);
  const id = w.table("temp");
  const config = w.stored(id);
  for (const node of w.nodes.values()) node.obeys = false;
  w.holdStore = true;
  w.send(
    "updateConfig",
    w.request(config, "DOWNGRADE_TO_INACTIVE", config.secondaries[0]!, config.primary),
  );
  const drop = w.send("dropTable", { name: "temp", reserveSeconds: 9, successIfNotExists: false });
  while (w.held.length > 0) w.release();
  assert.equal(w.answer(drop)?.error, 0);
  assert.equal(w.stored(id).ballot, config.ballot + 2);
  assert.equal(w.stored(id).primary, "");
});

Deno.test("Drop of a missing table", () => {
  const w = new World(1);
  const drop = { name: "none", reserveSeconds: 0 };
  assert.equal(
    w.ask("dropTable", { ...drop, successIfNotExists: false })?.error,
    Err.APP_NOT_EXIST,
  );
  w.ok("dropTable", { ...drop, successIfNotExists: true });
});

Deno.test("While a table is dropped its members hear BUSY until each is out", () => {
  const w = new World(3);
  const id = w.table("temp");
  const { primary } = w.stored(id);
  w.holdStore = true;
  w.send("dropTable", { name: "temp", reserveSeconds: 0, successIfNotExists: false });
  w.release();
  assert.equal(w.sync(w.node(primary)).error, Err.BUSY);
  w.release();
  assert.equal(w.sync(w.node(primary)).error, 0);
});

Deno.test("A recalled table that expired is gone", () => {
  const w = new World(3);
  const tableId = w.table("temp");
  w.ok("dropTable", { name: "temp", reserveSeconds: 5, successIfNotExists: false });
  w.wall += 6000;
  const answer = w.ask("recallTable", { tableId, newName: "" });
  assert.equal(answer?.error, Err.APP_NOT_EXIST);
});

Deno.test("Rename and variables change the table for clients and servers", () => {
  const w = new World(3);
  w.table("temp");
  w.table("other");
  const hint = w.node("n1:1").syncHint;
  assert.equal(
    w.ask("renameTable", { oldName: "temp", newName: "other" })?.error,
    Err.INVALID_ARGUMENT,
  );
  w.ok("renameTable", { oldName: "temp", newName: "new" });
  assert.equal(w.shown("new").maxReplicaCount, 3);
  assert.equal(w.ask("queryConfig", { table: "temp", indices: [] })?.error, Err.APP_NOT_EXIST);
  const update = (part: Partial<MetaBody<"updateTableEnvs">>) =>
    w.ask("updateTableEnvs", { table: "new", action: "set", set: new Map(), keys: [], ...part });
  const set = new Map([["default_ttl", "60"], ["manual_compact.disabled", "true"]]);
  assert.deepEqual(update({ set })?.response?.envs, set);
  assert.equal(update({ set: new Map([["default_ttl", "x"]]) })?.error, Err.INVALID_ARGUMENT);
  assert.equal(update({ action: "delete", keys: ["default_ttl"] })?.response?.envs.size, 1);
  assert.equal(update({ action: "clear", keys: ["manual_compact"] })?.response?.envs.size, 0);
  w.run(1000);
  assert.notEqual(w.node("n1:1").syncHint, hint);
  w.restartMeta();
  assert.equal(w.ok("listTables", { status: "available" }).tables.length, 2);
  assert.equal(w.shown("new").maxReplicaCount, 3);
});

Deno.test("A frozen cluster makes no tables", () => {
  const w = new World(3);
  w.node("n1:1").up = false;
  w.node("n2:1").up = false;
  w.run(8000);
  const answer = w.ask("createTable", creation({ maxReplicaCount: 1 }));
  assert.equal(answer?.error, Err.STATE_FREEZED);
});

Deno.test("Queries name what is wrong with them", () => {
  const w = new World(3);
  w.table("temp", 2);
  assert.equal(w.ask("queryConfig", { table: "none", indices: [] })?.error, Err.APP_NOT_EXIST);
  const answer = w.ask("queryConfig", { table: "temp", indices: [2] });
  assert.equal(answer?.error, Err.INVALID_ARGUMENT);
  assert.match(answer!.detail, /has 2 partitions, asked for 2/);
});

Deno.test("Garbage: only beside a partition that was whole for a while, only what is idle and old", () => {
  const w = new World(4);
  const id = w.table("temp");
  const config = w.stored(id);
  const partition = partitionId(id, 0);
  const outside = [...w.nodes.values()].find(({ name }) =>
    name !== config.primary && !config.secondaries.includes(name)
  )!;
  const garbage = (ballot: number, status: "inactive" | "learner" = "inactive") => {
    outside.reports.set(partition, w.report(partition, ballot, { status }));
    return w.sync(outside).response?.garbage;
  };
  w.run(590_000);
  assert.deepEqual(garbage(1), [], "whole for less than ten minutes");
  w.run(20_000);
  w.ok("controlMeta", { level: "freezed" });
  assert.deepEqual(garbage(1), []);
  w.ok("controlMeta", { level: "steady" });
  assert.deepEqual(garbage(1), [partition]);
  assert.deepEqual(garbage(1, "learner"), []);
  assert.deepEqual(garbage(config.ballot + 1), [], "newer than the store: evidence");
  outside.reports.set(partitionId(77, 0), w.report(partitionId(77, 0), 1));
  assert.deepEqual(garbage(1), [partition], "what meta does not know is not touched");
  assert.ok(w.notes.some(({ event }) => event === "unknownReplica"));
  w.node(config.secondaries[0]!).up = false;
  w.node(config.primary).obeys = false;
  w.run(8000);
  assert.deepEqual(garbage(1), [], "the partition is not whole");
});
