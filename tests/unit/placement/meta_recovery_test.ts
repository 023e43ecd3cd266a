// Meta whose store is lost: servers of the old one are not admitted, nothing is promised to clients, and an
// operator has the tables rebuilt. docs/meta.md, "Recovery".

import assert from "node:assert/strict";
import type { ReplicaReport, TableInfo } from "../../../src/schema/types.ts";
import { Err, World } from "./world.ts";

const START = {
  action: "start",
  nodes: [] as string[],
  skipBadNodes: false,
  skipLostPartitions: false,
} as const;
const STATUS = { ...START, action: "status" } as const;

/** A cluster with one table whose store is then lost. */
function lostWorld(): { w: World; table: TableInfo } {
  const w = new World(3);
  w.table("t", 2);
  const { tables: [table] } = w.ok("listTables", { status: undefined });
  for (const node of w.nodes.values()) {
    for (const partition of w.ok("queryConfig", { table: "t", indices: [] }).partitions) {
      const report = w.report(partition.partition, partition.ballot, {
        ...{ committed: 5, lastPrepared: 5, maxPrepared: 5, mutationBallot: partition.ballot },
      });
      node.reports.set(partition.partition, report);
    }
  }
  w.tree.clear();
  w.restartMeta();
  return { w, table: table! };
}

/** Servers answer the wish for their reports, as they do with every beacon. */
function report(w: World, table: TableInfo, names = [...w.nodes.keys()]): void {
  for (const name of names) {
    const node = w.node(name);
    const { response } = w.beacon(node);
    if (response?.wantsStored !== true) continue;
    const replicas: ReplicaReport[] = [...node.reports.values()];
    // Whoever is admitted has a lease, and heard of no table.
    const { allowed: isServing } = response;
    const stock = { node: name, incarnation: 1, store: node.store, isServing };
    w.ok("reportStored", { ...stock, tables: isServing ? [] : [table], replicas });
  }
}

Deno.test("Meta admits no server of another store, and says so", () => {
  const { w } = lostWorld();
  const { response } = w.beacon(w.node("n1:1"));
  assert.deepEqual([response!.isLeader, response!.allowed], [true, false]);
  assert.equal(w.ok("listNodes", {}).nodes.length, 0);
  const { details } = w.ok("clusterInfo", {});
  assert.match(details.get("warning")!, /n1:1, n2:1, n3:1 hold data of another store.*recover/);
  assert.ok(w.notes.some(({ event }) => event === "foreignServer"));
});

Deno.test("Meta that lost its store neither makes tables nor denies those it had", () => {
  const { w } = lostWorld();
  const create = { name: "x", partitionCount: 1, maxReplicaCount: 1, envs: new Map() };
  const made = w.ask("createTable", { ...create, successIfExists: false });
  assert.equal(made!.error, Err.UNDER_RECOVERY);
  const asked = w.ask("queryConfig", { table: "t", indices: [] });
  assert.equal(asked!.error, Err.UNDER_RECOVERY);
  assert.match(asked!.detail, /another store/);
});

Deno.test("Meta forgets servers of another store that are gone", () => {
  const { w } = lostWorld();
  for (const node of w.nodes.values()) node.up = false;
  w.run(10_000);
  assert.equal(w.ok("clusterInfo", {}).details.get("warning"), undefined);
  assert.equal(w.ask("queryConfig", { table: "t", indices: [] })!.error, Err.APP_NOT_EXIST);
});

Deno.test("Meta admits a new server beside its own, and tells it whose it is", () => {
  const w = new World(1);
  w.addNode("n2:1");
  const { response } = w.beacon(w.node("n2:1"));
  assert.equal(response!.allowed, true);
  assert.equal(w.node("n2:1").store, w.node("n1:1").store);
  w.restartMeta();
  assert.equal(w.ok("listNodes", {}).nodes.length, 2);
});

Deno.test("Recovery rebuilds the tables and takes the identity the servers know", () => {
  const { w, table } = lostWorld();
  const before = w.node("n1:1").store;
  assert.equal(w.ok("recover", START).state, "waiting");
  w.run(3000);
  // Leases of an earlier leader may still run.
  assert.equal(w.ok("recover", STATUS).state, "waiting");
  w.run(4000);
  report(w, table);
  const { state, lines } = w.ok("recover", STATUS);
  assert.equal(state, "done", lines.join("\n"));
  w.run(3000);
  assert.equal(w.node("n1:1").store, before);
  for (const node of w.nodes.values()) assert.equal(w.sync(node).error, 0);
  w.run(3000);
  const config = w.shown("t", 1);
  assert.notEqual(config.primary, "");
  assert.equal(config.secondaries.length, 2);
  assert.ok(config.ballot > 1000);
  assert.equal(w.ok("clusterInfo", {}).details.get("warning"), undefined);
  w.restartMeta();
  assert.deepEqual(w.shown("t", 1).primary, config.primary);
});

Deno.test("Recovery keeps a server that came to the empty store", () => {
  const { w, table } = lostWorld();
  w.addNode("n4:1");
  w.beacon(w.node("n4:1"));
  w.ok("recover", START);
  w.run(7000);
  report(w, table);
  assert.equal(w.ok("recover", STATUS).state, "done");
  w.run(2000);
  assert.equal(w.node("n4:1").store, w.node("n1:1").store);
  assert.equal(w.ok("listNodes", {}).nodes.length, 4);
});

Deno.test("Recovery without an answer of every server changes nothing", () => {
  const { w, table } = lostWorld();
  const before = w.tree.size;
  w.ok("recover", START);
  w.run(7000);
  report(w, table, ["n1:1", "n2:1"]);
  w.run(16_000);
  const failed = w.ok("recover", STATUS);
  assert.equal(failed.state, "failed");
  assert.match(failed.lines.join("\n"), /n3:1 does not answer/);
  assert.equal(w.tree.size, before);
  // The operator goes on without it.
  w.ok("recover", { ...START, nodes: ["n1:1", "n2:1", "n3:1"], skipBadNodes: true });
  w.run(100);
  report(w, table, ["n1:1", "n2:1"]);
  w.run(16_000);
  assert.equal(w.ok("recover", STATUS).state, "done");
});

Deno.test("Recovery that is interrupted is no cluster, and runs again", () => {
  const { w, table } = lostWorld();
  w.ok("recover", START);
  w.run(7000);
  w.holdStore = true;
  report(w, table);
  w.release(); // the mark
  w.release(); // the tables, but not the end
  w.holdStore = false;
  w.restartMeta();
  const { details } = w.ok("clusterInfo", {});
  assert.match(details.get("warning")!, /another store|interrupted/);
  assert.equal(w.ask("queryConfig", { table: "t", indices: [] })!.error, Err.UNDER_RECOVERY);
  w.ok("recover", START);
  w.run(7000);
  report(w, table);
  assert.equal(w.ok("recover", STATUS).state, "done");
  w.run(2000);
  assert.equal(w.ok("listTables", { status: "available" }).tables.length, 1);
});

Deno.test("Recovery is refused where tables are, and where nobody shows itself", () => {
  const w = new World(3);
  w.table("t");
  const refused = w.ask("recover", START)!;
  assert.equal(refused.error, Err.INVALID_ARGUMENT);
  assert.match(refused.detail, /only an empty store/);
  const empty = new World(0);
  assert.match(empty.ask("recover", START)!.detail, /No replica server/);
});

Deno.test("A store made anew by the same process is another store", () => {
  const w = new World(2);
  w.table("t", 1, 2);
  const before = w.node("n1:1").store;
  w.tree.clear();
  w.event({ kind: "lost", reason: "the root was deleted" });
  w.event({ kind: "elected", epoch: ++w.epoch });
  assert.equal(w.beacon(w.node("n1:1")).response!.allowed, false);
  assert.notEqual(w.ok("clusterInfo", {}).details.get("store"), before);
});
