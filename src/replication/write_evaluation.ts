// One client write on its way into a mutation, before it has a decree: answered from the exactly-once window, joined
// with its first attempt, translated, or refused as not done. Rules: docs/protocol.md, "Write path" (§5), "Exactly
// once" (§16).

import { Err, type ErrorCode } from "../base/errors.ts";
import type { PhysicalOp, Translation, WriteRequest } from "./io.ts";
import type { PendingWrites } from "./pending_writes.ts";
import type { PendingReply } from "./prepare_list.ts";
import { note, type ReplicaState } from "./state.ts";

/** Says that a write was certainly not done. */
export function refusal(request: WriteRequest, error: ErrorCode) {
  return { kind: "reply" as const, token: request.token, error, decree: 0, result: undefined };
}

/**
 * What a write does to the rows. A row that cannot be read fails this write alone, as it fails a read: what follows
 * from damage is decided where all of it is known, and the last copy goes on (§13).
 *
 * @returns Undefined if the write has been refused.
 */
export function translated(
  s: ReplicaState,
  request: WriteRequest,
  timestampUs: number,
  pending: PendingWrites,
  ops: PhysicalOp[],
): Translation | undefined {
  const before = ops.length;
  try {
    return s.translator.translate(request.op, timestampUs, pending, ops);
  } catch (cause) {
    ops.length = before;
    note(s, "unreadable", { op: request.op.kind, error: String(cause) });
    s.out.push(refusal(request, Err.INVALID_STATE));
    return undefined;
  }
}

/** Answers a repeated write, or lets it wait with its first attempt. */
export function answeredFromWindow(s: ReplicaState, request: WriteRequest): boolean {
  if (request.session === 0) return false;
  const first = s.pendingSessions.get(request.session)?.get(request.sequence);
  if (first !== undefined) {
    first.tokens.push(request.token);
    note(s, "duplicate", { in: "flight" });
    return true;
  }
  const known = s.sessions.find(request.session, request.sequence);
  if (known.kind === "new") return false;
  if (known.kind === "expired") {
    s.out.push(refusal(request, Err.SESSION_EXPIRED));
    return true;
  }
  const { error, decree, result } = known.outcome;
  note(s, "duplicate", { in: "window" });
  s.out.push({
    kind: "reply",
    token: request.token,
    error: error as typeof Err.OK,
    decree,
    result,
  });
  return true;
}

/** Lets repetitions of an exactly-once write in flight find it. */
export function remember(s: ReplicaState, reply: PendingReply): void {
  let bySequence = s.pendingSessions.get(reply.session);
  if (bySequence === undefined) {
    s.pendingSessions.set(reply.session, bySequence = new Map());
  }
  bySequence.set(reply.sequence, reply);
}
