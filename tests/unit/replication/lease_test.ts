// The lease counts from the send time and ends when either clock says so.

import assert from "node:assert/strict";
import fc from "fast-check";
import { sleptMs } from "../../../src/base/clock.ts";
import { Lease } from "../../../src/replication/lease.ts";

function at(mono: number, wall = 1_000_000 + mono) {
  return { mono, wall };
}

Deno.test("Lease does not hold before the first acknowledged beacon", () => {
  assert.equal(new Lease(5000, 250).holds(at(0), 0), false);
});

Deno.test("Lease counts from the send time and leaves the safety margin out", () => {
  const lease = new Lease(5000, 250);
  assert.equal(lease.acknowledge(at(1000)), true);
  assert.equal(lease.deadlineMono, 5750);
  assert.equal(lease.holds(at(5749), 0), true);
  assert.equal(lease.holds(at(5750), 0), false);
  assert.equal(lease.holds(at(5749), 1), false);
});

Deno.test("Lease ignores an answer to an older beacon", () => {
  const lease = new Lease(5000, 0);
  lease.acknowledge(at(2000));
  assert.equal(lease.acknowledge(at(1000)), false);
  assert.equal(lease.deadlineMono, 7000);
});

Deno.test("Lease ends when only the wall clock has moved on (a suspended machine)", () => {
  const lease = new Lease(5000, 0);
  lease.acknowledge({ mono: 1000, wall: 50_000 });
  assert.equal(lease.holds({ mono: 1001, wall: 54_999 }, 0), true);
  assert.equal(lease.holds({ mono: 1001, wall: 55_000 }, 0), false);
});

Deno.test("Lease ends on the monotonic clock although the wall clock stepped back", () => {
  const lease = new Lease(5000, 0);
  lease.acknowledge({ mono: 1000, wall: 50_000 });
  assert.equal(lease.holds({ mono: 5999, wall: 10 }, 0), true);
  assert.equal(lease.holds({ mono: 6000, wall: 10 }, 0), false);
});

Deno.test("Lease never holds later than lease minus safety after the newest acknowledged send", () => {
  const times = fc.array(fc.nat(20_000), { minLength: 1, maxLength: 20 });
  fc.assert(fc.property(times, fc.nat(40_000), (sent, asked) => {
    const lease = new Lease(5000, 250);
    for (const mono of sent) lease.acknowledge(at(mono));
    const end = Math.max(...sent) + 4750;
    return lease.holds(at(asked), 0) === asked < end;
  }));
});

Deno.test("sleptMs() tells sleep from clocks that disagree a little", () => {
  const since = { mono: 1000, wall: 50_000 };
  assert.equal(sleptMs({ mono: 1500, wall: 50_520 }, since), 0);
  assert.equal(sleptMs({ mono: 1500, wall: 58_500 }, since), 8000);
  // A wall clock that was set back hides a sleep, and must not make time run backwards.
  assert.equal(sleptMs({ mono: 1500, wall: 40_000 }, since), 0);
});
