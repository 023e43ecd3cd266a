// The simulator as part of every test run: a few seeds end to end, equal seeds give equal runs, and bugs
// that are planted by hand in its models are found. Long runs are `deno task sim` (docs/testing.md).

import assert from "node:assert/strict";
import { Prng } from "../../../src/base/prng.ts";
import { NodeClock } from "../../sim/clocks.ts";
import { Coverage, unreached } from "../../sim/coverage.ts";
import { ModelEngine } from "../../sim/model_engine.ts";
import { MUTANTS } from "../../sim/mutants.ts";
import { Scheduler } from "../../sim/scheduler.ts";
import { type RunResult, runSeed } from "../../sim/world.ts";

const ROOT = new URL("../../../", import.meta.url);

function explain(result: RunResult): string {
  const replay = `npx -y deno@2.9.6 task sim --seed ${result.seed}`;
  return `seed ${result.seed}: ${result.failure?.message}\nReplay: ${replay}`;
}

/** What a handful of seeds must reach whatever they draw: each of these comes dozens of times in them. */
const CERTAIN = [
  "edge.between>primary",
  "edge.between>secondary",
  "edge.learner>secondary",
  "edge.primary>between",
  "crash",
  "learn.from.cache",
  "learn.from.log",
  "note.gap",
  "takeover.barrier",
  "takeover.reprepare2",
  "reconfigure.PRIMARY_FORCE_UPDATE_BALLOT",
  "op.done",
  "op.notDone",
  "op.unknown",
  "unknown.notObserved",
  "lease.lost",
  "lease.gained",
  "log.collected",
];

Deno.test("The simulator finds nothing in the first seeds and reaches what it must", async () => {
  const total = new Coverage();
  for (let number = 1; number <= 16; number++) {
    const result = await runSeed({ seed: `first ${number}` });
    assert.equal(result.failure, undefined, explain(result));
    assert.ok(
      result.history.length > 50,
      `seed ${result.seed} did only ${result.history.length} operations`,
    );
    total.add(result.coverage);
  }
  assert.deepEqual(unreached(total, CERTAIN), []);
  assert.deepEqual(unreached(new Coverage(), ["crash"]), ["crash"]);
});

// Seeds that found something once. Changed code gives them another meaning: they are more seeds, not more
// proof.
Deno.test("The simulator finds nothing in seeds that found something", async () => {
  for (const seed of ["33", "5239", "5775", "22950", "30149", "1159", "379"]) {
    const result = await runSeed({ seed });
    assert.equal(result.failure, undefined, explain(result));
  }
});

Deno.test("Equal seeds give equal runs", async () => {
  for (let number = 1; number <= 5; number++) {
    const [a, b] = [
      await runSeed({ seed: `twice ${number}` }),
      await runSeed({ seed: `twice ${number}` }),
    ];
    assert.equal(a.failure, undefined, explain(a));
    assert.deepEqual([a.hash, a.events], [b.hash, b.events]);
  }
  assert.notEqual((await runSeed({ seed: "x" })).hash, (await runSeed({ seed: "y" })).hash);
});

Deno.test("A grace period shorter than the lease is found", async () => {
  const found = new Set<string>();
  for (let number = 1; number <= 40 && !found.has("S13"); number++) {
    const { failure } = await runSeed({
      seed: `short grace ${number}`,
      adjust: (swarm) => ({
        ...swarm,
        metas: 0,
        graceMs: 400,
        faults: { ...swarm.faults, partitionMs: 2000, cutMs: 1000 },
      }),
    });
    if (failure !== undefined) found.add(failure.rule);
  }
  assert.ok(found.has("S13"), `found only ${[...found].join(", ")}`);
});

Deno.test("Every mutant's text is in the tree", () => {
  for (const { name, file, edits } of MUTANTS) {
    const text = Deno.readTextFileSync(new URL(file, ROOT));
    for (const [from] of edits) assert.ok(text.includes(from), `${name}: text is not in ${file}`);
  }
});

Deno.test("A planted bug is found, by the command that the manual names", async () => {
  const args = ["run", "--no-prompt", "-A", "tests/sim/mutants_main.ts", "--only", "M3 "];
  const { code, stdout } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
  assert.match(new TextDecoder().decode(stdout), /^M3 .* found by S3 after \d+ seeds\n$/);
  assert.equal(code, 0);
});

Deno.test("Scheduler runs by time, and what a held owner plans when it is released", () => {
  const scheduler = new Scheduler("test");
  const seen: string[] = [];
  const owner = {};
  scheduler.after(5, "b", undefined, () => seen.push("b"));
  scheduler.after(1, "held", owner, () => seen.push("held"));
  scheduler.after(2, "a", undefined, () => seen.push("a"));
  scheduler.hold(owner);
  while (scheduler.next() !== undefined);
  assert.deepEqual(seen, ["a", "b"]);
  scheduler.release(owner, "planned");
  scheduler.next();
  assert.deepEqual([...seen, scheduler.now], ["a", "b", "held", 5]);
  scheduler.after(1, "dead", owner, () => seen.push("dead"));
  scheduler.cancelOwner(owner);
  assert.equal(scheduler.next(), undefined);
});

Deno.test("NodeClock stands still while suspended, its wall does not", () => {
  let virtual = 0;
  const clock = new NodeClock(() => virtual, 100, 1000);
  virtual = 10;
  assert.deepEqual(clock.now(), { mono: 110, wall: 1010 });
  clock.suspend();
  virtual = 60;
  assert.deepEqual(clock.now(), { mono: 110, wall: 1060 });
  clock.wake();
  virtual = 70;
  assert.deepEqual(clock.now(), { mono: 120, wall: 1070 });
  clock.step(-500);
  assert.deepEqual(clock.now(), { mono: 120, wall: 570 });
});

Deno.test("ModelEngine may lose older batches and keep newer ones", () => {
  const put = (text: string) => [{ key: new TextEncoder().encode(text), value: new Uint8Array(1) }];
  let holes = 0;
  for (let i = 0; i < 50; i++) {
    const engine = new ModelEngine();
    engine.write(put("flushed"), 1);
    engine.flush();
    engine.write(put("old"), 2);
    engine.switchSegment();
    engine.write(put("new"), 3);
    engine.powerLoss(new Prng(i));
    assert.ok(engine.get(put("flushed")[0]!.key) !== undefined);
    const hasOld = engine.get(put("old")[0]!.key) !== undefined;
    if (engine.applied === 3 && !hasOld) holes++;
  }
  assert.ok(holes > 0);
});
