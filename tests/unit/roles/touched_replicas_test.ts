// Replicas are flushed once for everything that a turn brings, in the order in which they heard first.

import assert from "node:assert/strict";
import { TouchedReplicas } from "../../../roles/replica/touched_replicas.ts";

function replica(name: string, order: string[]) {
  return {
    touched: false,
    busy: false,
    deliver: (event: { kind: string }) => void order.push(`${name} ${event.kind}`),
  };
}

Deno.test("TouchedReplicas flushes once at the end of the turn", () => {
  const work: (() => void)[] = [];
  const order: string[] = [];
  const touched = new TouchedReplicas((run) => work.push(run));
  const [a, b] = [replica("a", order), replica("b", order)];
  touched.touch(a);
  touched.batchEnd();
  touched.touch(b);
  touched.touch(a);
  touched.batchEnd();
  assert.deepEqual(order, [], "The turn is not over");
  assert.equal(work.length, 1);
  work.shift()!();
  assert.deepEqual(order, ["a flush", "b flush"]);
  assert.ok(a.busy && !a.touched);
  touched.touch(b);
  assert.equal(work.length, 1, "The next turn is asked for again");
  work.shift()!();
  assert.deepEqual(order, ["a flush", "b flush", "b flush"]);
});

Deno.test("TouchedReplicas flushes at the end of a batch where turns are slow, and at once when asked", () => {
  const order: string[] = [];
  const touched = new TouchedReplicas();
  touched.touch(replica("a", order));
  assert.deepEqual(order, []);
  touched.batchEnd();
  touched.touch(replica("b", order));
  touched.flush();
  touched.batchEnd();
  assert.deepEqual(order, ["a flush", "b flush"]);
});
