// The exactly-once window: what it remembers, what it forgets, and that every replica agrees on both.

import assert from "node:assert/strict";
import fc from "fast-check";
import { toHex } from "../../../src/base/bytes.ts";
import { SessionWindow } from "../../../src/replication/session_window.ts";
import { encodeBody, type SessionRecord } from "../../../src/schema/mutation_body.ts";

function opened(session: number): SessionRecord {
  return { session, sequence: 0, answeredBelow: 0, error: 0, result: undefined };
}

function outcome(session: number, sequence: number, answeredBelow = 0): SessionRecord {
  const result = new Uint8Array([session, sequence]);
  return { session, sequence, answeredBelow, error: 0, result };
}

function apply(window: SessionWindow, decree: number, ...records: SessionRecord[]): void {
  window.apply(decree, encodeBody(records, []));
}

Deno.test("SessionWindow answers what it has seen", () => {
  const window = new SessionWindow(10, 100);
  apply(window, 1, opened(1));
  apply(window, 2, outcome(1, 1));
  assert.equal(window.find(1, 2).kind, "new");
  const known = window.find(1, 1);
  assert(known.kind === "done");
  assert.equal(known.outcome.decree, 2);
  assert.deepEqual(known.outcome.result, new Uint8Array([1, 1]));
});

Deno.test("SessionWindow does not know a session nobody opened", () => {
  const window = new SessionWindow(10, 100);
  apply(window, 1, outcome(7, 1));
  assert.equal(window.find(7, 1).kind, "expired");
});

Deno.test("SessionWindow forgets what the client says is answered", () => {
  const window = new SessionWindow(10, 100);
  apply(window, 1, opened(1));
  apply(window, 2, outcome(1, 1), outcome(1, 2));
  apply(window, 3, outcome(1, 3, 3));
  assert.equal(window.find(1, 1).kind, "expired");
  assert.equal(window.find(1, 2).kind, "expired");
  assert.equal(window.find(1, 3).kind, "done");
});

Deno.test("SessionWindow evicts the least recently used session", () => {
  const window = new SessionWindow(2, 100);
  apply(window, 1, opened(1));
  apply(window, 2, opened(2));
  apply(window, 3, outcome(1, 1));
  apply(window, 4, opened(4));
  assert.equal(window.find(2, 1).kind, "expired");
  assert.equal(window.find(1, 1).kind, "done");
  assert.equal(window.find(4, 1).kind, "new");
});

Deno.test("SessionWindow never runs a forgotten write again", () => {
  const window = new SessionWindow(10, 3);
  apply(window, 1, opened(1));
  for (let i = 1; i <= 10; i++) apply(window, 1 + i, outcome(1, i));
  for (let i = 1; i <= 7; i++) assert.equal(window.find(1, i).kind, "expired", `${i}`);
  for (let i = 8; i <= 10; i++) assert.equal(window.find(1, i).kind, "done", `${i}`);
});

Deno.test("SessionWindow skips mutations its image already contains", () => {
  const source = new SessionWindow(10, 100);
  apply(source, 1, opened(1));
  apply(source, 2, outcome(1, 1));
  apply(source, 3, outcome(1, 2));
  const copy = new SessionWindow(10, 100);
  copy.load(source.image(), 1);
  assert.equal(copy.decree, 3);
  apply(copy, 2, outcome(1, 1, 9));
  assert.deepEqual(copy.image(), source.image());
});

Deno.test("SessionWindow is the same on every replica, whatever route the mutations took", () => {
  const action = fc.record({
    session: fc.integer({ min: 1, max: 6 }),
    sequence: fc.integer({ min: 0, max: 12 }),
    answeredBelow: fc.integer({ min: 0, max: 6 }),
  });
  fc.assert(fc.property(fc.array(action, { maxLength: 60 }), fc.nat(60), (actions, cut) => {
    const bodies = actions.map(({ session, sequence, answeredBelow }) =>
      encodeBody([sequence === 0 ? opened(session) : outcome(session, sequence, answeredBelow)], [])
    );
    const straight = new SessionWindow(3, 7);
    bodies.forEach((body, i) => straight.apply(i + 1, body));
    const first = new SessionWindow(3, 7);
    bodies.slice(0, cut).forEach((body, i) => first.apply(i + 1, body));
    const learner = new SessionWindow(3, 7);
    learner.load(first.image(), first.decree);
    bodies.forEach((body, i) => learner.apply(i + 1, body));
    assert.equal(toHex(learner.image()), toHex(straight.image()));
  }));
});
