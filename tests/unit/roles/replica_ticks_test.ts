// Who is told how often that time passes.

import assert from "node:assert/strict";
import { ReplicaTicks } from "../../../roles/replica/replica_ticks.ts";

function replica(settled: boolean) {
  const made = {
    busy: false,
    settled,
    core: { settled },
    ticks: 0,
    failed: false,
    noticeFailure: () => made.failed,
    deliver: ({ kind }: { kind: string }) => {
      assert.equal(kind, "tick");
      made.ticks++;
      // As a driver does: the core has heard something.
      made.settled = false;
    },
    writeLog: () => {},
  };
  return made;
}

function many(count: number, settled: boolean) {
  return new Map(Array.from({ length: count }, (_, i) => [i, replica(settled)]));
}

Deno.test("ReplicaTicks ticks settled replicas every second, idle ones five times as often", () => {
  const replicas = new Map([[1, replica(true)], [2, replica(false)]]);
  const ticks = new ReplicaTicks(replicas);
  for (let i = 0; i < 100; i++) ticks.tick(false);
  assert.deepEqual([...replicas.values()].map((one) => one.ticks), [10, 50]);
});

Deno.test("ReplicaTicks ticks who heard something with the next tick", () => {
  const replicas = many(3, true);
  const ticks = new ReplicaTicks(replicas);
  for (let i = 0; i < 9; i++) {
    replicas.get(1)!.busy = true;
    ticks.tick(true);
  }
  assert.deepEqual([...replicas.values()].map((one) => one.ticks), [0, 9, 0]);
  assert(!replicas.get(1)!.busy);
});

Deno.test("ReplicaTicks lets very many take turns, and comes to all of them", () => {
  const replicas = many(1300, true);
  const ticks = new ReplicaTicks(replicas);
  const most: number[] = [];
  for (let i = 0; i < 10; i++) {
    const before = [...replicas.values()].reduce((sum, one) => sum + one.ticks, 0);
    ticks.tick(false);
    most.push([...replicas.values()].reduce((sum, one) => sum + one.ticks, 0) - before);
  }
  assert.equal(Math.max(...most), 512);
  for (const [i, { ticks }] of replicas) assert.equal(ticks, 1, `replica ${i}`);
});

Deno.test("ReplicaTicks lets who fails close", () => {
  const replicas = many(1, false);
  replicas.get(0)!.failed = true;
  const ticks = new ReplicaTicks(replicas);
  for (let i = 0; i < 4; i++) ticks.tick(true);
  assert.equal(replicas.get(0)!.ticks, 0);
});
