// The state machine of one operation: every event, every kind, and two properties over random histories.

import assert from "node:assert/strict";
import fc from "fast-check";
import { adviceOf, Err, errorTable } from "../../../src/base/errors.ts";
import {
  type Action,
  ATTEMPT_MIN_MS,
  attemptMs,
  BACKOFF_MAX_MS,
  BACKOFF_MIN_MS,
  Operation,
  type OperationEvent,
  type OperationKind,
  step,
} from "../../../src/client/operation.ts";

const P = 65536;

/** Feeds [event, value] pairs at growing times and returns the actions. */
function play(
  op: Operation,
  events: readonly (readonly [OperationEvent, number, number?])[],
): Action[] {
  let now = op.startedAt;
  return events.map(([event, value, at]) => {
    now = at ?? now + 1;
    const action = step(op, event, value, now);
    if (action === "session") op.hasSession = true;
    return action;
  });
}

Deno.test("Operation reads: route, send, done", () => {
  const op = new Operation("read", 100, 5000);
  assert.deepEqual(play(op, [["start", 0], ["route", P], ["answer", Err.OK]]), [
    "route",
    "send",
    "finish",
  ]);
  assert.equal(op.error, Err.OK);
  assert.equal(op.attempts, 1);
});

Deno.test("Operation opens a session before the first write only", () => {
  const op = new Operation("once", 0, 5000);
  assert.deepEqual(
    play(op, [["start", 0], ["route", P], ["session", 0], ["answer", Err.TIMEOUT], ["route", P]]),
    ["route", "session", "send", "refresh", "send"],
  );
  const bare = new Operation("bare", 0, 5000);
  assert.deepEqual(play(bare, [["start", 0], ["route", P]]), ["route", "send"]);
});

Deno.test("Operation repeats an uncertain write only if it has a session", () => {
  for (const code of [Err.TIMEOUT, Err.CONNECTION_LOST, Err.OUTCOME_UNKNOWN, Err.INTERNAL, 999]) {
    const bare = new Operation("bare", 0, 5000);
    assert.deepEqual(play(bare, [["start", 0], ["route", P], ["answer", code]]).at(-1), "finish");
    assert.equal(bare.error, code);
    const once = new Operation("once", 0, 5000);
    const actions = play(once, [["start", 0], ["route", P], ["session", 0], ["answer", code]]);
    assert.equal(actions.at(-1), "refresh");
    assert.equal(once.maybeDone, true);
    const read = new Operation("read", 0, 5000);
    assert.deepEqual(play(read, [["start", 0], ["route", P], ["answer", code]]).at(-1), "refresh");
    assert.equal(read.maybeDone, false);
  }
});

Deno.test("Operation leaves an attempt that hangs when somebody else serves the partition", () => {
  const sent = [["start", 0], ["route", P]] as const;
  const once = new Operation("once", 0, 5000);
  const actions = play(once, [...sent, ["session", 0], ["moved", 0], ["route", P], ["answer", 0]]);
  assert.deepEqual(actions.slice(-3), ["route", "send", "finish"]);
  assert.deepEqual([once.error, once.maybeDone, once.attempts], [Err.OK, true, 2]);
  const read = new Operation("read", 0, 5000);
  assert.equal(play(read, [...sent, ["moved", 0]]).at(-1), "route");
  assert.equal(read.maybeDone, false);
  // Nobody will ever tell whether the old server did it.
  const bare = new Operation("bare", 0, 5000);
  assert.equal(play(bare, [...sent, ["moved", 0]]).at(-1), "finish");
  assert.equal(bare.error, Err.OUTCOME_UNKNOWN);
  const late = new Operation("once", 0, 5000);
  play(late, [...sent, ["session", 0], ["moved", 0, 5000]]);
  assert.equal(late.error, Err.TIMEOUT);
});

Deno.test("Operation follows the advice of every refusal in the error table", () => {
  for (const { code, advice } of errorTable()) {
    if (advice === "none" || advice === "unknownOutcome") continue;
    for (const kind of ["read", "bare"] as const) {
      const op = new Operation(kind, 0, 5000);
      const action = play(op, [["start", 0], ["route", P], ["answer", code]]).at(-1);
      const expected: Action = advice === "never"
        ? "finish"
        : advice === "backoff"
        ? "wait"
        : "refresh";
      if (code === Err.CANCELLED) continue;
      assert.equal(action, expected, `code ${code}`);
      assert.equal(op.maybeDone, false);
      if (action === "finish") assert.equal(op.error, code);
      if (action === "wait") assert.equal(step(op, "woke", 0, 50), "route");
    }
  }
});

Deno.test("Operation pauses longer with every failure, up to a bound", () => {
  const op = new Operation("read", 0, 1e9);
  step(op, "start", 0, 0);
  step(op, "route", P, 0);
  assert.equal(step(op, "answer", Err.INVALID_STATE, 0), "refresh");
  const waits: number[] = [];
  for (let i = 0; i < 8; i++) {
    step(op, "route", P, 0);
    assert.equal(step(op, "answer", Err.INVALID_STATE, 0), "wait");
    waits.push(op.waitMs);
    assert.equal(step(op, "woke", 0, 0), "refresh");
  }
  assert.deepEqual(waits.slice(0, 3), [BACKOFF_MIN_MS * 2, BACKOFF_MIN_MS * 4, BACKOFF_MIN_MS * 8]);
  assert.equal(waits.at(-1), BACKOFF_MAX_MS);
});

Deno.test("Operation gets a new session if nothing can have happened, else gives up", () => {
  const fresh = new Operation("once", 0, 5000);
  const start = [["start", 0], ["route", P], ["session", 0]] as const;
  assert.deepEqual(
    play(fresh, [...start, ["answer", Err.SESSION_EXPIRED], ["route", P], ["session", 0]]),
    ["route", "session", "send", "route", "session", "send"],
  );
  const used = new Operation("once", 0, 5000);
  play(used, [...start, ["answer", Err.TIMEOUT], ["route", P]]);
  assert.equal(step(used, "answer", Err.SESSION_EXPIRED, 10), "finish");
  assert.equal(used.error, Err.SESSION_EXPIRED);
});

Deno.test("Operation reports a late refusal as unknown if an earlier attempt may have run", () => {
  const lost = [["start", 0], ["route", P], ["session", 0], ["answer", Err.TIMEOUT], [
    "route",
    P,
  ]] as const;
  const denied = new Operation("once", 0, 5000);
  play(denied, [...lost, ["answer", Err.ACL_DENY]]);
  assert.equal(denied.error, Err.OUTCOME_UNKNOWN);
  const dropped = new Operation("once", 0, 5000);
  play(dropped, [...lost, ["answer", Err.CONNECTION_LOST], ["noRoute", Err.APP_NOT_EXIST]]);
  assert.equal(dropped.error, Err.OUTCOME_UNKNOWN);
  const invalid = new Operation("once", 0, 5000);
  play(invalid, [...lost, ["answer", Err.INVALID_ARGUMENT]]);
  assert.equal(invalid.error, Err.INVALID_ARGUMENT);
});

Deno.test("Operation drops its session when the partition is another one", () => {
  const clean = new Operation("once", 0, 5000);
  const actions = play(clean, [["start", 0], ["route", P], ["session", 0], [
    "answer",
    Err.OBJECT_NOT_FOUND,
  ], ["route", 2 * P]]);
  assert.deepEqual(actions.slice(-2), ["refresh", "session"]);
  const dirty = new Operation("once", 0, 5000);
  play(dirty, [["start", 0], ["route", P], ["session", 0], ["answer", Err.TIMEOUT], [
    "route",
    2 * P,
  ]]);
  assert.equal(dirty.error, Err.OUTCOME_UNKNOWN);
});

Deno.test("Operation at the deadline says what is certain", () => {
  const late = 5000;
  const read = new Operation("read", 0, late);
  play(read, [["start", 0], ["route", P], ["answer", Err.TIMEOUT, late]]);
  assert.equal(read.error, Err.TIMEOUT);
  const noRoute = new Operation("bare", 0, late);
  play(noRoute, [["start", 0], ["noRoute", Err.TIMEOUT], ["noRoute", Err.TIMEOUT], [
    "woke",
    0,
    late,
  ]]);
  assert.equal(noRoute.error, Err.CONNECT_FAILED);
  const silent = new Operation("once", 0, late);
  play(silent, [["start", 0], ["woke", 0, late]]);
  assert.equal(silent.error, Err.CANCELLED);
  const refused = new Operation("once", 0, late);
  play(refused, [["start", 0], ["route", P], ["session", 0], [
    "answer",
    Err.NOT_ENOUGH_MEMBER,
  ], ["woke", 0, late]]);
  assert.equal(refused.error, Err.NOT_ENOUGH_MEMBER);
  const unknown = new Operation("once", 0, late);
  play(unknown, [["start", 0], ["route", P], ["session", 0], ["answer", Err.TIMEOUT], [
    "route",
    P,
  ], ["answer", Err.NOT_ENOUGH_MEMBER, late]]);
  assert.equal(unknown.error, Err.TIMEOUT);
});

Deno.test("Operation closing knows whether something was sent", () => {
  const op = new Operation("once", 0, 5000);
  play(op, [["start", 0], ["closed", 0]]);
  assert.equal(op.error, Err.CLOSED);
  const sent = new Operation("once", 0, 5000);
  play(sent, [["start", 0], ["route", P], ["session", 0], ["answer", Err.TIMEOUT], ["closed", 0]]);
  assert.equal(sent.error, Err.OUTCOME_UNKNOWN);
});

Deno.test("attemptMs leaves time for a second server and never passes the deadline", () => {
  const op = new Operation("read", 0, 9000);
  assert.equal(attemptMs(op, 0), 3000);
  assert.equal(attemptMs(op, 8500), 500);
  assert.equal(attemptMs(new Operation("read", 0, 1500), 0), ATTEMPT_MIN_MS);
});

Deno.test("Operation never claims not done after an attempt that may have run", () => {
  const codes = [...errorTable().map((row) => row.code), 777];
  const kinds: OperationKind[] = ["once", "bare"];
  fc.assert(fc.property(
    fc.constantFrom(...kinds),
    fc.array(fc.record({ code: fc.constantFrom(...codes), ms: fc.nat(900) }), { maxLength: 30 }),
    (kind, script) => {
      const op = new Operation(kind, 0, 5000);
      let now = 0;
      let uncertain = false;
      let sends = 0;
      let action = step(op, "start", 0, now);
      const feed = [...script];
      while (action !== "finish") {
        const next = feed.shift() ?? { code: Err.BUSY, ms: 400 };
        now += next.ms;
        if (action === "send") {
          // A second attempt of a bare write is allowed only after proof.
          assert.ok(!(kind === "bare" && uncertain));
          sends++;
          const executed = next.code === Err.SESSION_EXPIRED && kind === "once"
            ? false
            : adviceOf(next.code) === "unknownOutcome";
          uncertain ||= executed;
          action = step(op, "answer", next.code, now);
        } else if (action === "session") {
          op.hasSession = true;
          action = step(op, "session", Err.OK, now);
        } else if (action === "wait") {
          now += op.waitMs;
          action = step(op, "woke", 0, now);
        } else action = step(op, "route", P, now);
        assert.ok(now < 60_000, "It does not end");
      }
      if (op.error === Err.OK) return;
      const unknown = adviceOf(op.error) === "unknownOutcome";
      const sameForAll = op.error === Err.INVALID_ARGUMENT || op.error === Err.INVALID_DATA;
      if (uncertain) assert.ok(unknown || sameForAll, `error ${op.error} after ${sends} sends`);
      else assert.ok(!unknown, `error ${op.error} although nothing can have happened`);
    },
  ));
});
