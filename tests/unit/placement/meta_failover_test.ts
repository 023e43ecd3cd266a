// Stories of fast fail-over: a server whose own address refuses connections is gone, and only then; one that is
// about to end gives away first what it leads.

import assert from "node:assert/strict";
import { World } from "./world.ts";

function crashed(settings = {}): { w: World; id: number; primary: string; probedAt: number } {
  const w = new World(3, settings);
  const id = w.table("temp");
  const { primary } = w.stored(id);
  w.node(primary).up = false;
  w.run(100);
  w.event({ kind: "connectionLost", node: primary });
  return { w, id, primary, probedAt: w.mono };
}

Deno.test("MetaCore fails over at once when a crashed server's address refuses", () => {
  const { w, id, primary, probedAt } = crashed();
  assert.deepEqual(w.probes.map(({ node }) => node), [primary]);
  w.event({ kind: "refused", node: primary, probedAt });
  w.run(100);
  const { primary: next, lastDrops } = w.stored(id);
  assert.notEqual(next, primary);
  assert.notEqual(next, "");
  assert.deepEqual(lastDrops, [primary]);
});

Deno.test("MetaCore does not fail over for a broken connection alone", () => {
  const { w, id, primary } = crashed();
  w.run(4000);
  assert.equal(w.stored(id).primary, primary);
});

Deno.test("MetaCore believes a beacon that came after the probe was sent", () => {
  const { w, id, primary, probedAt } = crashed();
  // The next process of the server is up before the verdict on the last one arrives.
  w.node(primary).up = true;
  w.node(primary).incarnation++;
  w.beacon(w.node(primary));
  w.event({ kind: "refused", node: primary, probedAt });
  w.run(100);
  assert.equal(w.stored(id).primary, primary);
});

Deno.test("MetaCore asks nobody when fast fail-over is off", () => {
  const { w } = crashed({ fastFailover: false });
  assert.deepEqual(w.probes, []);
});

Deno.test("MetaCore asks a server that died while another leader took over", () => {
  const w = new World(3);
  const id = w.table("temp");
  const { primary } = w.stored(id);
  w.node(primary).up = false;
  w.restartMeta();
  w.run(1900);
  assert.deepEqual(w.probes, [], "the others are heard");
  w.run(200);
  assert.deepEqual(w.probes.map(({ node }) => node), [primary]);
  w.event({ kind: "refused", node: primary, probedAt: w.mono });
  w.run(100);
  assert.notEqual(w.stored(id).primary, primary);
  w.run(10_000);
  assert.equal(w.probes.length, 1, "a dead one is not asked again");
});

Deno.test("MetaCore takes a server back that was declared dead at once", () => {
  const { w, id, primary, probedAt } = crashed();
  w.event({ kind: "refused", node: primary, probedAt });
  w.run(500);
  w.node(primary).up = true;
  w.node(primary).incarnation++;
  w.run(3000);
  assert.equal(w.stored(id).secondaries.length, 2);
});

Deno.test("MetaCore gives other primaries to the partitions of a server that is about to end", () => {
  const w = new World(4);
  const id = w.table("temp", 8);
  const all = () => [0, 1, 2, 3, 4, 5, 6, 7].map((index) => w.stored(id, index));
  const { primary: leaver } = w.stored(id);
  const node = w.node(leaver);
  const led = all().filter(({ primary }) => primary === leaver).length;
  node.leaving = true;
  assert.equal(w.sync(node).response!.handOver, led);
  const after = all();
  assert.ok(after.every(({ primary }) => primary !== leaver && primary !== ""));
  assert.ok(after.every(({ secondaries }) => secondaries.length === 2), "it is still a member");
  assert.equal(w.sync(node).response!.handOver, 0);
  // It gets nothing back, not even from the cure.
  w.run(5000);
  assert.ok(all().every(({ primary }) => primary !== leaver));
  // Its next process is like any other.
  node.leaving = false;
  node.incarnation++;
  w.run(1000);
  w.sync(node);
  const other = after[0]!.primary;
  w.node(other).leaving = true;
  w.sync(w.node(other));
  assert.ok(all().every(({ primary }) => primary !== other));
});

Deno.test("MetaCore lets a server end at once if nobody can lead instead", () => {
  const w = new World(3);
  const single = w.table("single", 3, 1);
  assert.ok(single > 0);
  for (const node of w.nodes.values()) {
    node.leaving = true;
    assert.equal(w.sync(node).response!.handOver, 0, node.name);
  }
  w.table("whole", 3, 3);
  for (const node of w.nodes.values()) assert.equal(w.sync(node).response!.handOver, 0, node.name);
});

Deno.test("MetaCore fails over from nobody while a whole cluster starts", () => {
  const w = new World(3);
  const id = w.table("temp");
  const { primary, ballot } = w.stored(id);
  const nodes = w.stored(id).secondaries.concat(primary).map((name) => w.node(name));
  for (const node of nodes) node.up = false;
  w.restartMeta();
  // Their databases take a while to open, one's longer than the others'.
  w.run(4000);
  assert.deepEqual(w.probes, []);
  for (const node of nodes) {
    node.incarnation++;
    node.up = true;
    w.run(800);
  }
  w.run(5000);
  assert.deepEqual(w.probes, []);
  const after = w.stored(id);
  assert.equal(after.primary, primary, "who led before leads again");
  assert.ok(after.ballot >= ballot && after.secondaries.length === 2);
});
