// Stories of MetaCore: servers that are gone for good, and partitions that still name them as lost members.
// docs/meta.md, "Cure", "DDD".

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { World } from "./world.ts";

/** A partition of one replica that was moved off a server before the next one was lost. */
function movedThenLost(w: World): { id: number; left: string; recent: string } {
  const id = w.table("temp", 1, 1);
  const { primary: left } = w.stored(id);
  w.ok("drain", { node: left, drained: true });
  w.run(20_000);
  const { primary: recent } = w.stored(id);
  assert.notEqual(recent, left);
  w.node(left).up = false;
  w.run(8000);
  w.node(recent).up = false;
  w.run(8000);
  assert.deepEqual(w.stored(id).lastDrops, [left, recent]);
  const partition = partitionId(id, 0);
  w.node(recent).reports.set(partition, w.report(partition, 3, { committed: 5, maxPrepared: 5 }));
  return { id, left, recent };
}

/** The next process of a server tells what it holds. */
function restart(w: World, name: string): void {
  const node = w.node(name);
  node.incarnation++;
  node.up = true;
  w.beacons();
  w.sync(node);
  w.run(2000);
}

Deno.test("DDD b: a server that was forgotten is not waited for, also by the next leader", () => {
  const w = new World(4);
  const { id, left, recent } = movedThenLost(w);
  restart(w, recent);
  assert.equal(w.stored(id).primary, "", "the other one may come back");
  w.restartMeta();
  restart(w, recent);
  assert.match(w.ok("dddDiagnose", { tableId: id }).partitions[0]!.reason, / is dead/);
  w.ok("forgetNode", { node: left });
  w.run(2000);
  assert.equal(w.stored(id).primary, recent);
  w.node(recent).up = false;
  w.run(8000);
  w.restartMeta();
  restart(w, recent);
  assert.equal(w.stored(id).primary, recent, "the store remembers");
});

Deno.test("DDD b: a forgotten server that came back counts again", () => {
  const w = new World(4);
  const { id, left, recent } = movedThenLost(w);
  w.ok("forgetNode", { node: left });
  restart(w, left);
  w.node(left).up = false;
  w.run(8000);
  restart(w, recent);
  assert.equal(w.stored(id).primary, "");
  w.restartMeta();
  restart(w, recent);
  assert.equal(w.stored(id).primary, "", "the store says no more that it is forgotten");
});

Deno.test("DDD d: a forgotten server does not lead for one that lost its replica", () => {
  const w = new World(4);
  const { id, left, recent } = movedThenLost(w);
  w.node(recent).reports.clear();
  const partition = partitionId(id, 0);
  w.node(left).reports.set(partition, w.report(partition, 2, { committed: 3, maxPrepared: 3 }));
  restart(w, left);
  w.node(left).up = false;
  w.run(8000);
  w.ok("forgetNode", { node: left });
  restart(w, recent);
  assert.equal(w.stored(id).primary, "");
  const [lost] = w.ok("dddDiagnose", { tableId: id }).partitions;
  assert.match(lost!.reason, /no data; an operator must decide/);
});
