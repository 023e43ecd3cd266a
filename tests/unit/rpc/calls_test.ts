// The two tables of calls against plain models, with ids that wrap and calls that stay.

import assert from "node:assert/strict";
import { Prng } from "../../../src/base/prng.ts";
import { type Call, CallTable } from "../../../src/rpc/calls.ts";
import { type Listed, RunningCalls } from "../../../src/rpc/running_calls.ts";
import { Echo } from "./fixture.ts";

function callOf(deadline: number): Call {
  return { rpc: Echo, deadline, done: () => {} };
}

Deno.test("CallTable gives every call an id of its own and its answer to nobody else", () => {
  const prng = new Prng("calls");
  for (let round = 0; round < 20; round++) {
    const table = new CallTable();
    const model = new Map<number, Call>();
    const outstandingMax = 1 + prng.below(1000);
    const done: number[] = [];
    for (let step = 0; step < 3000; step++) {
      if (model.size < outstandingMax && prng.chance(0.6)) {
        const call = callOf(step);
        const id = table.add(call);
        assert.equal(model.has(id), false);
        model.set(id, call);
      } else if (prng.chance(0.1) && done.length > 0) {
        assert.equal(table.take(done[prng.below(done.length)]!), undefined, "A second answer");
      } else if (model.size > 0) {
        // Mostly the oldest, so that a few stay for long.
        const ids = [...model.keys()];
        const id = ids[prng.chance(0.9) ? 0 : ids.length - 1]!;
        assert.equal(table.take(id), model.get(id));
        model.delete(id);
        done.push(id);
      }
      assert.equal(table.size, model.size);
    }
    const late: Call[] = [];
    table.expire(2000, (call) => late.push(call));
    const left = [...model.values()].filter(({ deadline }) => deadline > 2000);
    assert.deepEqual(new Set(late), new Set([...model.values()].filter((c) => c.deadline <= 2000)));
    assert.deepEqual(new Set(table.clear()), new Set(left));
    assert.equal(table.size, 0);
  }
});

class Item implements Listed<Item> {
  previous: Item | undefined = undefined;
  next: Item | undefined = undefined;
  isListed = false;
}

Deno.test("RunningCalls holds what was added and not taken out, and leaves no links behind", () => {
  const prng = new Prng("running");
  const list = new RunningCalls<Item>();
  const model = new Set<Item>();
  for (let step = 0; step < 5000; step++) {
    if (model.size < 50 && prng.chance(0.5)) {
      const item = new Item();
      list.add(item);
      model.add(item);
    } else if (model.size > 0) {
      const item = [...model][prng.below(model.size)]!;
      model.delete(item);
      assert.equal(list.delete(item), true);
      assert.equal(list.delete(item), false);
      assert.deepEqual([item.previous, item.next], [undefined, undefined]);
    }
    assert.equal(list.size, model.size);
  }
  const seen = new Set<Item>();
  list.forEach((item) => {
    seen.add(item);
    if (prng.chance(0.5) && list.delete(item)) model.delete(item);
  });
  assert.ok(seen.size >= model.size);
  list.forEach((item) => assert.ok(model.has(item)));
  list.clear();
  assert.equal(list.size, 0);
  for (const item of seen) assert.deepEqual([item.isListed, item.next], [false, undefined]);
});
