// One client operation as a pure state machine: after every event it says what to do next, and at the end
// whether the operation was done, was not done, or may have been done. Invariants: a write is sent again
// only if no attempt can be executed twice (a session remembers it, or every earlier attempt was refused),
// and "not done" is reported only if no attempt can have been executed. The retry decision reads the
// advice column of the error table and never a text. See docs/client.md, "Retries and outcomes".

import { adviceOf, Err } from "../base/errors.ts";
import type { PartitionId } from "../base/ids.ts";

/**
 * What repeating is safe.
 *
 * - `read`: always.
 * - `once`: a write named by (session, sequence); the partition applies it at most once.
 * - `bare`: a write without a session; only after proof that nothing happened.
 */
export type OperationKind = "read" | "once" | "bare";

/**
 * What happened. `value` of {@link step} carries the rest:
 *
 * - `start`: the operation begins.
 * - `route`: the partition's serving address is known; value = the partition.
 * - `noRoute`: it is not; value = why, an error code.
 * - `session`: opening a session ended; value = error code.
 * - `answer`: an attempt ended; value = error code.
 * - `moved`: the attempt has no answer yet, and somebody else serves the partition now, or may: nobody waits for
 *   it any more. Its answer, if one comes, must not be reported.
 * - `woke`: a wait is over, or the deadline passed during a longer one.
 * - `closed`: the client is closing.
 */
export type OperationEvent =
  | "start"
  | "route"
  | "noRoute"
  | "session"
  | "answer"
  | "moved"
  | "woke"
  | "closed";

/**
 * What to do next.
 *
 * - `route`: look the route up, ask meta only if none is known.
 * - `refresh`: get a route newer than the one used last.
 * - `session`: get a session and a sequence in the partition.
 * - `send`: send one attempt of at most {@link attemptMs}.
 * - `wait`: come back with `woke` after `waitMs`.
 * - `finish`: report `error` (0 = done).
 */
export type Action = "route" | "refresh" | "session" | "send" | "wait" | "finish";

/** An attempt waits at least this long, so that a slow server is not mistaken for a dead one. */
export const ATTEMPT_MIN_MS = 1000;
/** First pause; doubles up to the maximum. The first failure costs none if a new route may help. */
export const BACKOFF_MIN_MS = 8;
export const BACKOFF_MAX_MS = 250;

/** State of one operation. Changed only by {@link step}. */
export class Operation {
  readonly kind: OperationKind;
  /** Monotonic ms. */
  readonly startedAt: number;
  readonly deadline: number;
  /** The partition the last attempt went to; 0 before the first route. */
  partition: PartitionId = 0;
  /** Whether a sequence in the partition's session is held. Set by the driver before `session`. */
  hasSession = false;
  attempts = 0;
  /** Set once an attempt may have been executed without our knowing; never cleared. */
  maybeDone = false;
  /** Length of a `wait`, ms. */
  waitMs = 0;
  /** The last failure; at the end the result, 0 = done. */
  error = 0;
  /** Failures in a row; governs the pause. */
  failures = 0;
  /** What follows a wait. */
  afterWait: "route" | "refresh" = "route";

  constructor(kind: OperationKind, startedAt: number, timeoutMs: number) {
    this.kind = kind;
    this.startedAt = startedAt;
    this.deadline = startedAt + timeoutMs;
  }
}

/**
 * Time one attempt may take, ms: a third of the whole, so that a dead server leaves time for another. A write that
 * cannot be repeated has nothing to gain from giving up early.
 */
export function attemptMs(op: Operation, now: number): number {
  if (op.kind === "bare") return Math.max(1, op.deadline - now);
  const share = Math.max(ATTEMPT_MIN_MS, (op.deadline - op.startedAt) / 3);
  return Math.max(1, Math.min(op.deadline - now, share));
}

/**
 * Takes one event and returns the next action.
 *
 * @param value Meaning depends on the event, see {@link OperationEvent}.
 * @param now Monotonic ms.
 */
export function step(op: Operation, event: OperationEvent, value: number, now: number): Action {
  switch (event) {
    case "start":
      return "route";
    case "route":
      return onRoute(op, value, now);
    case "noRoute":
      // Meta is the first to know of a user: waiting does not help.
      if (value === Err.UNAUTHENTICATED) return onForbidden(op, value);
      // A route query that failed without an answer proves that the operation itself was not sent.
      return onRefused(op, provesNothing(value) ? Err.CONNECT_FAILED : value, now);
    case "session":
      if (value === Err.OK) return now >= op.deadline ? onLate(op) : send(op);
      return onRefused(op, provesNothing(value) ? Err.CONNECT_FAILED : value, now);
    case "answer":
      return onAnswer(op, value, now);
    case "moved":
      return onMoved(op, now);
    case "woke":
      return now >= op.deadline ? onLate(op) : op.afterWait;
    case "closed":
      return finish(op, op.maybeDone ? Err.OUTCOME_UNKNOWN : Err.CLOSED);
  }
}

function onRoute(op: Operation, partition: PartitionId, now: number): Action {
  if (op.partition !== partition) {
    // The table was re-created or split. A session belongs to one partition, so nobody will ever tell
    // whether an earlier attempt was executed in the old one.
    if (op.maybeDone) return finish(op, Err.OUTCOME_UNKNOWN);
    op.partition = partition;
    op.hasSession = false;
  }
  if (now >= op.deadline) return onLate(op);
  return op.kind === "once" && !op.hasSession ? "session" : send(op);
}

function onAnswer(op: Operation, code: number, now: number): Action {
  if (code === Err.OK) return finish(op, Err.OK);
  if (code === Err.SESSION_EXPIRED && op.kind === "once") return onSessionExpired(op, now);
  if (!provesNothing(code)) return onRefused(op, code, now);
  op.error = code;
  if (op.kind !== "read") op.maybeDone = true;
  if (op.kind === "bare") return finish(op, code);
  return pause(op, "refresh", now);
}

/** The attempt may have been executed, like one whose deadline passed; the route is fresh already. */
function onMoved(op: Operation, now: number): Action {
  if (op.kind !== "read") op.maybeDone = true;
  if (op.kind === "bare") return finish(op, Err.OUTCOME_UNKNOWN);
  op.error = Err.TIMEOUT;
  return now >= op.deadline ? onLate(op) : "route";
}

/** The attempt was not executed; earlier ones may have been, and then nobody remembers their result. */
function onSessionExpired(op: Operation, now: number): Action {
  if (op.maybeDone) return finish(op, Err.SESSION_EXPIRED);
  op.error = Err.CANCELLED;
  op.hasSession = false;
  return pause(op, "route", now);
}

/** No attempt will ever be let in. */
function onForbidden(op: Operation, code: number): Action {
  return finish(op, op.maybeDone ? Err.OUTCOME_UNKNOWN : code);
}

/** Nothing happened this time. */
function onRefused(op: Operation, code: number, now: number): Action {
  const advice = adviceOf(code);
  if (advice === "never") {
    // A broken rule is broken for every attempt alike; other refusals may have changed since the first.
    const sameForAll = code === Err.INVALID_ARGUMENT || code === Err.INVALID_DATA;
    return finish(op, op.maybeDone && !sameForAll ? Err.OUTCOME_UNKNOWN : code);
  }
  op.error = code;
  return pause(op, advice === "refreshRoute" ? "refresh" : "route", now);
}

/** The next try, at once after the first failure if a new route may help, else after a growing pause. */
function pause(op: Operation, next: "route" | "refresh", now: number): Action {
  if (now >= op.deadline) return onLate(op);
  op.failures++;
  if (op.failures === 1 && (next === "refresh" || op.error === Err.CANCELLED)) return next;
  const doubled = BACKOFF_MIN_MS * 2 ** Math.min(op.failures - 1, 10);
  op.waitMs = Math.min(doubled, BACKOFF_MAX_MS, op.deadline - now);
  op.afterWait = next;
  return "wait";
}

function onLate(op: Operation): Action {
  if (op.kind === "read") return finish(op, op.error === 0 ? Err.TIMEOUT : op.error);
  if (op.maybeDone) return finish(op, Err.TIMEOUT);
  return finish(op, op.error === 0 ? Err.CANCELLED : op.error);
}

function send(op: Operation): Action {
  op.attempts++;
  return "send";
}

function finish(op: Operation, code: number): Action {
  op.error = code;
  return "finish";
}

function provesNothing(code: number): boolean {
  return adviceOf(code) === "unknownOutcome";
}
