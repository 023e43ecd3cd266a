// The failure detector alone, and what meta makes of beacons.

import assert from "node:assert/strict";
import { FailureDetector } from "../../../src/placement/failure_detector.ts";
import { META_DEFAULTS } from "../../../src/placement/io.ts";
import { aliveCountMin, allows, effectiveLevel } from "../../../src/placement/levels.ts";
import { World } from "./world.ts";

function beacon(node: string, incarnation = 1) {
  const labels = new Map<string, string>();
  return {
    node,
    incarnation,
    sentAt: 0,
    shardPorts: [1],
    httpPort: 0,
    labels,
    store: "",
    leaseMs: 0,
  };
}

/** Ticks every 100 ms; returns who died and when. */
function runTo(detector: FailureDetector, from: number, to: number): [string, number][] {
  const dead: [string, number][] = [];
  for (let now = from + 100; now <= to; now += 100) {
    for (const { node } of detector.check(now).dead) dead.push([node, now]);
  }
  return dead;
}

Deno.test("FailureDetector declares dead after the grace period, at the next check, once", () => {
  const detector = new FailureDetector(META_DEFAULTS, 0);
  assert.equal(detector.beacon(beacon("a"), 1000), "alive");
  assert.deepEqual(runTo(detector, 0, 20_000), [["a", 7500]]);
  assert.equal(detector.aliveCount, 0);
  assert.equal(detector.beacon(beacon("a"), 20_000), "alive");
  assert.equal(detector.aliveCount, 1);
});

Deno.test("FailureDetector never declares dead before a full grace period of silence", () => {
  const detector = new FailureDetector(META_DEFAULTS, 0);
  let heardAt = 0;
  for (let now = 0; now <= 60_000; now += 100) {
    if (now % 5900 === 0) detector.beacon(beacon("a"), heardAt = now);
    for (const _ of detector.check(now).dead) assert.fail(`Dead after ${now - heardAt}`);
  }
});

Deno.test("FailureDetector that was paused convicts nobody for its own absence", () => {
  const detector = new FailureDetector(META_DEFAULTS, 0);
  detector.beacon(beacon("a"), 0);
  runTo(detector, 0, 2000);
  const { dead, pausedMs } = detector.check(60_000);
  assert.deepEqual([dead.length, pausedMs], [0, 58_000]);
  // Two of six seconds of silence had passed before the pause.
  const [[, at]] = runTo(detector, 60_000, 70_000) as [[string, number]];
  assert.ok(at > 64_000 && at <= 64_600, `${at}`);
});

Deno.test("FailureDetector gives no credit into the future for a beacon read right after a pause", () => {
  const detector = new FailureDetector(META_DEFAULTS, 0);
  detector.beacon(beacon("a"), 0);
  runTo(detector, 0, 2000);
  detector.beacon(beacon("a"), 59_999);
  detector.check(60_000);
  const [[, at]] = runTo(detector, 60_000, 70_000) as [[string, number]];
  assert.ok(at > 66_000 && at <= 66_600, `${at}`);
});

Deno.test("FailureDetector tells new, restarted and stale processes apart", () => {
  const detector = new FailureDetector(META_DEFAULTS, 0);
  assert.equal(detector.beacon(beacon("a", 5), 0), "alive");
  assert.equal(detector.beacon(beacon("a", 5), 100), "known");
  detector.get("a")!.collected = true;
  assert.equal(detector.beacon(beacon("a", 6), 200), "restarted");
  assert.equal(detector.get("a")!.collected, false);
  assert.equal(detector.beacon(beacon("a", 5), 5000), "stale");
  assert.equal(detector.get("a")!.heardAt, 200, "a stale beacon is no sign of life");
  runTo(detector, 200, 10_000);
  assert.equal(detector.beacon(beacon("a", 3), 10_000), "alive", "its clock may have gone back");
});

Deno.test("FailureDetector refuses a grace period that is not longer than the lease", () => {
  assert.throws(() => new FailureDetector({ ...META_DEFAULTS, graceMs: 5000 }, 0), /grace/);
});

Deno.test("Levels: small clusters freeze only when fewer than half are left", () => {
  assert.deepEqual([1, 2, 3, 4, 10].map(aliveCountMin), [1, 1, 2, 2, 2]);
  const level = (alive: number, known: number) => effectiveLevel("steady", alive, known, 50);
  assert.equal(level(2, 3), "steady");
  assert.equal(level(1, 3), "freezed");
  assert.equal(level(1, 2), "steady");
  assert.equal(level(1, 1), "steady");
  assert.equal(level(0, 1), "freezed");
  assert.equal(level(4, 10), "freezed");
  assert.equal(level(5, 10), "steady");
  assert.equal(effectiveLevel("blind", 0, 10, 50), "blind", "never raised");
  assert.ok(allows("lively", "steady") && !allows("freezed", "steady"));
});

Deno.test("A new leader gives every member a full grace period, whoever has died meanwhile", () => {
  const w = new World(3);
  const id = w.table("temp");
  const { primary } = w.stored(id);
  w.node(primary).up = false;
  w.run(5000);
  w.restartMeta();
  w.run(5500);
  assert.equal(w.stored(id).primary, primary);
  w.run(1500);
  assert.notEqual(w.stored(id).primary, primary);
});

Deno.test("A paused leader does not fail over partitions of servers that were fine", () => {
  const w = new World(3);
  const id = w.table("temp");
  const before = w.stored(id);
  w.mono += 60_000;
  w.run(3000);
  assert.deepEqual(w.stored(id), before);
  assert.ok(w.notes.some(({ event }) => event === "detectorPaused"));
});

Deno.test("A restarted server stays a member", () => {
  const w = new World(3);
  const id = w.table("temp");
  const before = w.stored(id);
  w.node(before.primary).incarnation++;
  w.run(3000);
  assert.deepEqual(w.stored(id), before);
  assert.ok(w.notes.some(({ event }) => event === "nodeRestarted"));
});

Deno.test("A standby and a loading leader say what they are", () => {
  const w = new World(1);
  w.event({ kind: "lost", reason: "test" });
  assert.equal(w.core.role, "standby");
  const ack = w.beacon(w.node("n1:1")).response!;
  assert.deepEqual([ack.isLeader, ack.leader], [false, ""]);
});

Deno.test("A store of another cluster, or one that is damaged, is not led", () => {
  const w = new World(1);
  const id = w.table("temp", 2, 1);
  const whole = new Map(w.tree);
  const stories: [string, () => void, RegExp][] = [
    ["foreign", () => w.tree.delete("/cluster"), /not "\/cluster"/],
    ["lost partition", () => w.tree.delete(`/tables/${id}/1`), /Partition 1 of table 1/],
    ["garbled", () => {
      const path = `/tables/${id}/0`;
      w.tree.set(path, { path, value: new Uint8Array([123]), version: 3 });
    }, /not JSON/],
    ["newer", () => {
      const path = `/tables/${id}`;
      const value = new TextEncoder().encode('{"tableId":1,"color":"red"}');
      w.tree.set(path, { path, value, version: 3 });
    }, /unknown field "color"/],
  ];
  for (const [name, damage, reason] of stories) {
    w.tree.clear();
    for (const [path, node] of whole) w.tree.set(path, node);
    damage();
    w.abdicated = undefined;
    w.restartMeta();
    assert.match(w.abdicated ?? "", reason, name);
    assert.equal(w.core.role, "standby", name);
  }
});

Deno.test("A server whose lease is not below the grace is not admitted, and the log says why once", () => {
  const w = new World(3);
  const id = w.table("temp");
  const { primary } = w.stored(id);
  const node = w.node(primary);
  node.incarnation++;
  node.leaseMs = META_DEFAULTS.graceMs;
  assert.equal(w.beacon(node).response!.allowed, false);
  w.run(3000);
  const notes = () => w.notes.filter(({ event }) => event === "leaseTooLong");
  const { incarnation, leaseMs } = node;
  const graceMs = META_DEFAULTS.graceMs;
  assert.deepEqual(notes().map(({ details }) => details), [
    { node: primary, incarnation, leaseMs, graceMs },
  ]);
  // It never got a lease, so others may lead when it has been silent to this leader for the grace.
  w.run(6000);
  assert.notEqual(w.stored(id).primary, primary);
  node.incarnation++;
  w.beacon(node);
  assert.equal(notes().length, 2, "its next start is told again");
  for (const short of [META_DEFAULTS.graceMs - 1, 0]) {
    node.leaseMs = short;
    node.incarnation++;
    assert.equal(w.beacon(node).response!.allowed, true, `${short} ms; 0 = an older server`);
  }
});
