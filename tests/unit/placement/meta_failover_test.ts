// Stories of fast fail-over: a server whose own address refuses connections is gone, and only then.

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

Deno.test("MetaCore takes a server back that was declared dead at once", () => {
  const { w, id, primary, probedAt } = crashed();
  w.event({ kind: "refused", node: primary, probedAt });
  w.run(500);
  w.node(primary).up = true;
  w.node(primary).incarnation++;
  w.run(3000);
  assert.equal(w.stored(id).secondaries.length, 2);
});
