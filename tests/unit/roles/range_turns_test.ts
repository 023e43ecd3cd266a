// So many range reads run, so many wait, and whoever waited too long is passed over.

import assert from "node:assert/strict";
import { RANGES_RUNNING_MAX as MAX, RangeTurns } from "../../../roles/replica/range_turns.ts";

Deno.test("RangeTurns runs so many, lets the others wait in order, and passes over who is too late", () => {
  let now = 0;
  const turns = new RangeTurns(() => now);
  const went: number[] = [];
  const ask = (name: number, deadline: number): string => {
    const turn = turns.take(deadline, () => ask(name, deadline));
    if (turn === "run") went.push(name);
    return turn;
  };
  for (let i = 0; i < MAX; i++) assert.equal(ask(i, 1000), "run");
  for (let i = 0; i < 16; i++) assert.equal(ask(MAX + i, i === 1 ? 10 : 1000), "wait");
  assert.equal(turns.waiting, 16);
  turns.done();
  assert.equal(went.at(-1), MAX);
  now = 20;
  turns.done();
  assert.equal(went.at(-1), MAX + 2, "The second one had no time left");
  while (turns.waiting > 0) turns.done();
  assert.deepEqual(went.slice(MAX), [MAX, ...Array.from({ length: 14 }, (_, i) => MAX + 2 + i)]);
  while (turns.running > 0) turns.done();
  assert.equal(ask(100, 1000), "run");
});

Deno.test("RangeTurns refuses when too many wait", () => {
  const turns = new RangeTurns(() => 0);
  const ask = () => turns.take(1000, () => {});
  for (let i = 0; i < MAX; i++) ask();
  for (let i = 0; i < 10_000; i++) assert.equal(ask(), "wait");
  assert.equal(ask(), "full");
});

/** Everybody who runs. */
function busy(): RangeTurns {
  const turns = new RangeTurns(() => 0);
  for (let i = 0; i < MAX; i++) turns.take(1000, () => {});
  return turns;
}

Deno.test("RangeTurns calls the next one when who was called is refused and takes no turn", () => {
  const turns = busy();
  const went: string[] = [];
  for (let i = 0; i < 5; i++) turns.take(1000, () => went.push("refused"));
  turns.take(1000, () => went.push(turns.take(1000, () => {})));
  turns.done();
  assert.deepEqual(went, [...Array(5).fill("refused"), "run"]);
  assert.deepEqual([turns.running, turns.waiting], [MAX, 0]);
});

Deno.test("RangeTurns serves any number of waiting reads that answer at once", () => {
  const turns = busy();
  let answered = 0;
  const serve = () => {
    if (turns.take(1000, serve) === "run") turns.hold(() => void answered++);
  };
  for (let i = 0; i < 10_000; i++) serve();
  assert.equal(turns.waiting, 10_000);
  turns.done();
  assert.equal(answered, 10_000);
  assert.deepEqual([turns.running, turns.waiting], [MAX - 1, 0]);
});

/** Turns of an event loop that end when the test says so. */
function turnsByHand() {
  let works: (() => void)[] = [];
  return {
    endOfTurn: (work: () => void) => void works.push(work),
    end: () => {
      const now = works;
      works = [];
      for (const work of now) work();
    },
  };
}

/** Asks until its turn comes, and runs then. */
function reader(turns: RangeTurns, went: string[]): (name: string) => void {
  const ask = (name: string) => {
    if (turns.take(1000, () => ask(name)) === "run") went.push(name);
  };
  return ask;
}

Deno.test("RangeTurns begins waiting reads when the turn is over, and nobody overtakes them", () => {
  const loop = turnsByHand();
  const turns = new RangeTurns(() => 0, loop.endOfTurn);
  const went: string[] = [];
  const ask = reader(turns, went);
  for (const name of ["a", "b", "c", "d", "waits"]) ask(name);
  turns.done();
  ask("late");
  assert.deepEqual(went, ["a", "b", "c", "d"], "What is read next would come back in this turn");
  loop.end();
  assert.deepEqual([went.at(-1), turns.running, turns.waiting], ["waits", MAX, 1]);
});

Deno.test("RangeTurns runs two while several come back in one turn, and more again one by one", () => {
  const loop = turnsByHand();
  const turns = new RangeTurns(() => 0, loop.endOfTurn);
  const ask = reader(turns, []);
  for (let i = 0; i < 40; i++) ask(`${i}`);
  const running = (answers: number): number => {
    for (let i = 0; i < answers; i++) turns.done();
    loop.end();
    return turns.running;
  };
  assert.equal(turns.running, MAX);
  assert.equal(running(1), MAX, "One alone waited for the disk");
  assert.equal(running(3), 2);
  assert.equal(running(2), 2);
  assert.deepEqual([running(1), running(1), running(1)], [3, MAX, MAX]);
});
