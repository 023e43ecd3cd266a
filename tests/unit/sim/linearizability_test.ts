// The judge is judged first: hand-made histories with known verdicts, then random small histories against
// a brute force over all orders.

import assert from "node:assert/strict";
import { Prng } from "../../../src/base/prng.ts";
import {
  applyModel,
  checkLinearizable,
  EMPTY_STATE,
  type ModelOp,
  type ModelState,
  type Operation,
} from "../../sim/linearizability.ts";

function operation(invoke: number, end: number, op: ModelOp, result: string | undefined) {
  return { client: 0, op, invoke, return: end, result };
}
const put = (value: string): ModelOp => ({ kind: "put", rows: [["k", value]] });
const get: ModelOp = { kind: "get", key: "k" };
const incr: ModelOp = { kind: "incr", key: "k", by: 1 };
const cas = (expected: string | undefined, value: string): ModelOp => ({
  kind: "cas",
  key: "k",
  expected,
  value,
});

const STORIES: [string, boolean, Operation[]][] = [
  ["nothing", true, []],
  ["a read of what was written", true, [
    operation(0, 1, put("a"), "ok"),
    operation(2, 3, get, "=a"),
  ]],
  ["a stale read", false, [
    operation(0, 1, put("a"), "ok"),
    operation(2, 3, put("b"), "ok"),
    operation(4, 5, get, "=a"),
  ]],
  ["an old value beside a running write", true, [
    operation(0, 1, put("a"), "ok"),
    operation(2, 9, put("b"), "ok"),
    operation(4, 5, get, "=a"),
  ]],
  ["two reads that see a write come and go", false, [
    operation(0, 1, put("a"), "ok"),
    operation(2, 9, put("b"), "ok"),
    operation(3, 4, get, "=b"),
    operation(5, 6, get, "=a"),
  ]],
  ["a lost update", false, [
    operation(0, 5, incr, "1"),
    operation(0, 5, incr, "1"),
  ]],
  ["a doubled increment", false, [
    operation(0, 1, incr, "1"),
    operation(2, 3, incr, "3"),
  ]],
  ["an unknown increment that happened", true, [
    operation(0, 1, incr, "1"),
    operation(1, 2, incr, undefined),
    operation(3, 4, incr, "3"),
  ]],
  ["an unknown increment that happened twice", false, [
    operation(0, 1, incr, undefined),
    operation(2, 3, incr, "3"),
  ]],
  ["an unknown write that never happened", true, [
    operation(0, 1, put("a"), undefined),
    operation(2, 3, get, "-"),
  ]],
  ["an unknown write that happens late", true, [
    operation(0, 1, put("a"), undefined),
    operation(2, 3, get, "-"),
    operation(4, 5, put("b"), "ok"),
    operation(6, 7, get, "=a"),
  ]],
  ["an unknown write seen before it was asked for", false, [
    operation(0, 1, get, "=a"),
    operation(2, 3, put("a"), undefined),
  ]],
  ["the ghost of an answered write", false, [
    operation(0, 3, put("a"), "ok"),
    operation(4, 5, put("b"), "ok"),
    operation(6, 7, get, "=b"),
    operation(8, 9, get, "=a"),
  ]],
  ["a conditional write that lost and says why", true, [
    operation(0, 1, put("a"), "ok"),
    operation(2, 5, cas("a", "b"), "passed"),
    operation(2, 5, cas("a", "c"), "failed =b"),
  ]],
  ["two conditional writes that both won", false, [
    operation(0, 1, put("a"), "ok"),
    operation(2, 5, cas("a", "b"), "passed"),
    operation(2, 5, cas("a", "c"), "passed"),
  ]],
  ["half of a multi put", false, [
    operation(0, 1, { kind: "put", rows: [["x", "1"], ["y", "1"]] }, "ok"),
    operation(2, 9, { kind: "put", rows: [["x", "2"], ["y", "2"]] }, undefined),
    operation(3, 4, { kind: "get", key: "x" }, "=2"),
    operation(5, 6, { kind: "get", key: "y" }, "=1"),
  ]],
];

for (const [name, legal, history] of STORIES) {
  Deno.test(`checkLinearizable() ${legal ? "accepts" : "refuses"} ${name}`, () => {
    assert.equal(checkLinearizable(history), legal ? "linearizable" : "violation");
  });
}

Deno.test("checkLinearizable() agrees with brute force on random histories", () => {
  const chance = new Prng("histories");
  const seen = { linearizable: 0, violation: 0, undecided: 0 };
  for (let round = 0; round < 1500; round++) {
    const history = randomHistory(chance, 5);
    const verdict = checkLinearizable(history);
    seen[verdict]++;
    assert.equal(
      verdict,
      bruteForce(history, EMPTY_STATE) ? "linearizable" : "violation",
      JSON.stringify(history),
    );
  }
  assert.ok(seen.linearizable > 100 && seen.violation > 100, JSON.stringify(seen));
});

Deno.test("checkLinearizable() says undecided when its memo is full", () => {
  const history = Array.from({ length: 12 }, (_, i) => operation(0, 10, put(`v${i}`), "ok"));
  history.push(operation(11, 12, get, "=none"));
  assert.equal(checkLinearizable(history, 1000), "undecided");
  assert.equal(checkLinearizable(history), "violation");
});

function randomHistory(chance: Prng, count: number): Operation[] {
  const remove: ModelOp = { kind: "remove", key: "k" };
  const ops: ModelOp[] = [
    get,
    remove,
    put("a"),
    put("b"),
    incr,
    cas("a", "b"),
    cas(undefined, "a"),
  ];
  // Results come from a sequential run in random order, sometimes spoiled: a mix of both verdicts.
  let state = EMPTY_STATE;
  return Array.from({ length: count }, (_, i) => {
    const op = ops[chance.below(ops.length)]!;
    const next = applyModel(state, op);
    if (chance.chance(0.8)) state = next.state;
    const invoke = i * 4 - chance.below(10);
    const result = chance.chance(0.25) ? undefined : next.result;
    return operation(invoke, invoke + 1 + chance.below(12), op, result);
  });
}

function bruteForce(rest: readonly Operation[], state: ModelState): boolean {
  if (rest.every((o) => o.result === undefined)) return true;
  return rest.some((candidate) => {
    // Nothing that ended before the candidate began may be left behind.
    if (rest.some((o) => o.result !== undefined && o.return < candidate.invoke)) return false;
    const next = applyModel(state, candidate.op);
    if (candidate.result !== undefined && candidate.result !== next.result) return false;
    return bruteForce(rest.filter((o) => o !== candidate), next.state);
  });
}
