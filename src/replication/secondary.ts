// Taking prepares and group checks from a primary, as a secondary or as a learner that has caught up.
// Rules: docs/protocol.md, "Prepare" (§6); the table there is the order of the checks here.

import { Err } from "../base/errors.ts";
import { decodeMutation, type Mutation } from "../schema/mutation.ts";
import type { GroupCheckMessage, PrepareMessage } from "../schema/replica_rpc.ts";
import { answerCheck } from "./disk_room.ts";
import { condemn, followCommit } from "./execution.ts";
import { hearCommit } from "./freshness.ts";
import { onLearnerCheck } from "./learner.ts";
import {
  adoptBallot,
  adoptReconcileEnd,
  becomeInactive,
  becomeTransient,
  followAsSecondary,
} from "./membership.ts";
import { askToRejoin } from "./rejoin.ts";
import { append, head, isFollower, note, type ReplicaState, send, vouched } from "./state.ts";

/** Mutations held above the commit point before a primary is refused: far above any primary's own window. */
const UNCOMMITTED_MAX = 4096;

/** A prepare (§6). */
export function onPrepare(s: ReplicaState, message: PrepareMessage): void {
  const error = admit(s, message);
  if (error !== Err.OK) return refuse(s, message, error);
  const mutation = decodeMutation(message.mutation);
  if (mutation === undefined || mutation.ballot !== message.ballot) {
    return refuse(s, message, Err.INVALID_DATA);
  }
  if (!adoptReconcileEnd(s, message.reconcileEnd)) return;
  s.timestampUs = Math.max(s.timestampUs, mutation.timestampUs);
  s.commitTarget = Math.max(s.commitTarget, mutation.lastCommitted);
  hearCommit(s, message.committed, message.reconcileEnd);
  accept(s, message, mutation);
  if (!followCommit(s)) condemn(s, `Committed mutation ${s.list.committed + 1} is missing`);
}

/** Ballot, role and signature; adopts what the message proves. */
function admit(s: ReplicaState, message: PrepareMessage | GroupCheckMessage): number {
  if (s.status === "error") return Err.INVALID_STATE;
  if (message.ballot < s.ballot) return Err.VERSION_OUTDATED;
  const larger = message.ballot > s.ballot;
  if (!larger && s.status === "primary") return Err.INVALID_STATE;
  if (message.role === "learner") return admitLearner(s, message, larger);
  if (s.status === "inactive" && !s.transient && !s.hasLearned) return refuseMember(s, message);
  if (!larger && s.status === "learner") return Err.INVALID_STATE;
  if (!s.connected) return Err.INACTIVE_STATE;
  if (larger) {
    if (s.status === "learner" && !isFollower(s)) {
      becomeInactive(s, "promoted before it had learned");
      return refuseMember(s, message);
    }
    const restarted = s.restarted;
    s.reconfiguration = undefined;
    adoptBallot(s, message.ballot);
    s.primaryNode = message.from;
    if (restarted) {
      becomeTransient(s);
      askToRejoin(s);
      return Err.INACTIVE_STATE;
    }
    followAsSecondary(s, message.from);
  } else if (s.status === "inactive") {
    // Same ballot, between configurations: only meta or a rejoin ends that.
    return Err.INACTIVE_STATE;
  }
  s.primaryNode = message.from;
  return Err.OK;
}

/** Under the primary's own ballot: a refusal under a smaller one is void, and the primary would count on it. */
function refuseMember(s: ReplicaState, message: PrepareMessage | GroupCheckMessage): number {
  adoptBallot(s, message.ballot);
  return Err.INVALID_STATE;
}

function admitLearner(
  s: ReplicaState,
  message: PrepareMessage | GroupCheckMessage,
  larger: boolean,
): number {
  if (s.status !== "learner" || s.learner === undefined) return Err.INVALID_STATE;
  if (s.learner.signature !== message.signature) {
    if (message.signature > s.learner.signature) becomeInactive(s, "another signature");
    return Err.INVALID_STATE;
  }
  if (larger) {
    adoptBallot(s, message.ballot);
    s.ackEnd = Math.max(s.list.committed, s.learner.prepareStart - 1);
  }
  s.primaryNode = message.from;
  return isFollower(s) ? Err.OK : Err.TRY_AGAIN;
}

function accept(s: ReplicaState, message: PrepareMessage, mutation: Mutation): void {
  const { list } = s;
  const { decree } = mutation;
  if (decree <= list.committed) {
    s.ackDue = true;
    return;
  }
  const held = list.get(decree);
  if (held?.mutation.ballot === mutation.ballot) {
    // Known: acknowledged again if it is logged, with its append otherwise.
    if (held.logged) s.ackDue = true;
    return;
  }
  if (held === undefined && decree > list.contiguousEnd + 1) {
    // Never acknowledge across a gap: ask for what is missing. Each answer brings all of it again, so one is enough.
    const missing = list.contiguousEnd + 1;
    if (s.gapAsked === missing) return;
    s.gapAsked = missing;
    return answer(s, message, Err.GAP, missing);
  }
  if (decree > list.committed + UNCOMMITTED_MAX) {
    return answer(s, message, Err.CAPACITY_EXCEEDED, decree);
  }
  // Also when it replaces one of a smaller ballot: log order never contradicts ballot order.
  const token = append(s, { kind: "mutation", decree, payload: message.mutation });
  list.put(mutation, message.mutation, token, s.now);
}

function refuse(s: ReplicaState, message: PrepareMessage, error: number): void {
  answer(s, message, error, decodeMutation(message.mutation)?.decree ?? 0);
}

function answer(s: ReplicaState, to: PrepareMessage, error: number, decree: number): void {
  if (error === Err.GAP) note(s, "gap", { expected: decree });
  send(s, to.from, {
    kind: "prepareAck",
    body: {
      ...head(s),
      signature: to.signature,
      decree,
      error,
      lastPrepared: s.list.lastPrepared,
      committed: s.list.committed,
    },
  });
}

/** Appends became durable: everything contiguous under the current ballot can be acknowledged. */
export function advanceAck(s: ReplicaState): void {
  if (!isFollower(s)) return;
  let end = Math.max(s.ackEnd, s.list.committed);
  for (;;) {
    const next = s.list.get(end + 1);
    if (next === undefined || !next.logged || next.mutation.ballot !== s.ballot) break;
    end++;
  }
  if (end > s.ackEnd) {
    s.ackEnd = end;
    s.ackDue = true;
  }
  if (s.mayLack || s.tailTorn) vouchForEnd(s);
}

/**
 * A member that may lack what it acknowledged is whole again when it has logged all that its primary held when it began:
 * what was committed, and what perhaps was (§12.5).
 */
function vouchForEnd(s: ReplicaState): void {
  if (s.status === "secondary" && s.ackEnd >= s.reconcileEnd) vouched(s);
}

/** Sends the one ack that covers everything of this batch. */
export function flushAck(s: ReplicaState): void {
  if (!s.ackDue) return;
  s.ackDue = false;
  if (!isFollower(s) || s.primaryNode === "") return;
  advanceAck(s);
  s.ackDue = false;
  send(s, s.primaryNode, {
    kind: "prepareAck",
    body: {
      ...head(s),
      signature: s.learner?.signature ?? 0,
      decree: s.ackEnd,
      error: Err.OK,
      lastPrepared: s.list.lastPrepared,
      committed: s.list.committed,
    },
  });
}

/** Who am I and what is committed, from the primary (§7). */
export function onGroupCheck(s: ReplicaState, message: GroupCheckMessage): void {
  if (message.role === "learner" && onLearnerCheck(s, message)) {
    return answerCheck(s, message.from, message.signature);
  }
  const error = admit(s, message);
  // A member that cannot serve says so, or an idle group would never replace it.
  if (error !== Err.OK && message.role === "secondary") return refuseCheck(s, message, error);
  if (error === Err.OK) {
    if (!adoptReconcileEnd(s, message.reconcileEnd)) return;
    s.commitTarget = Math.max(s.commitTarget, message.committed);
    hearCommit(s, message.committed, message.reconcileEnd);
    if (!followCommit(s)) {
      return condemn(s, `Committed mutation ${s.list.committed + 1} is missing`);
    }
  }
  answerCheck(s, message.from, message.signature);
}

function refuseCheck(s: ReplicaState, to: GroupCheckMessage, error: number): void {
  send(s, to.from, {
    kind: "prepareAck",
    body: {
      ...head(s),
      signature: to.signature,
      decree: 0,
      error,
      lastPrepared: s.list.lastPrepared,
      committed: s.list.committed,
    },
  });
}
