// So many range reads run, so many wait, and whoever waited too long is passed over.

import assert from "node:assert/strict";
import { RangeTurns } from "../../../roles/replica/range_turns.ts";

Deno.test("RangeTurns runs so many, lets the others wait in order, and passes over who is too late", () => {
  let now = 0;
  const turns = new RangeTurns(() => now, 64);
  const went: number[] = [];
  const ask = (name: number, deadline: number): string => {
    const turn = turns.take(deadline, () => ask(name, deadline));
    if (turn === "run") went.push(name);
    return turn;
  };
  for (let i = 0; i < 64; i++) assert.equal(ask(i, 1000), "run");
  for (let i = 64; i < 80; i++) assert.equal(ask(i, i === 65 ? 10 : 1000), "wait");
  assert.equal(turns.waiting, 16);
  turns.done();
  assert.equal(went.at(-1), 64);
  now = 20;
  turns.done();
  assert.equal(went.at(-1), 66, "65 had no time left");
  while (turns.waiting > 0) turns.done();
  assert.deepEqual(went.slice(64), [64, ...Array.from({ length: 14 }, (_, i) => 66 + i)]);
  while (turns.running > 0) turns.done();
  assert.equal(ask(100, 1000), "run");
});

Deno.test("RangeTurns refuses when too many wait", () => {
  const turns = new RangeTurns(() => 0, 64);
  const ask = () => turns.take(1000, () => {});
  for (let i = 0; i < 64; i++) ask();
  for (let i = 0; i < 10_000; i++) assert.equal(ask(), "wait");
  assert.equal(ask(), "full");
});
