// A member whose process has started again: it counts when the primary has heard what it still holds. Rules:
// docs/protocol.md, "Restart" (§12.3, §12.2).

import { NOBODY } from "../base/ids.ts";
import type { RejoinMessage, RejoinReplyMessage } from "../schema/replica_rpc.ts";
import { condemn, followCommit } from "./execution.ts";
import { adoptBallot, adoptReconcileEnd, followAsSecondary, outdated } from "./membership.ts";
import { newReceiver, receiverFailed, resend } from "./primary.ts";
import { head, note, type ReplicaState, send } from "./state.ts";

/** Restarted member: ask the primary whether we still count (§12.2). */
export function askToRejoin(s: ReplicaState): void {
  if (s.primaryNode === NOBODY || s.primaryNode === s.self) return;
  s.rejoinAt = s.now;
  send(s, s.primaryNode, {
    kind: "rejoin",
    body: {
      ...head(s),
      lastPrepared: s.list.lastPrepared,
      committed: s.list.committed,
      mayLack: s.mayLack || s.tailTorn,
      mutationBallot: s.list.newestBallot,
    },
  });
}

/**
 * Whether a restarted member still holds everything committed. One whose log lost its end may have lost the record
 * that drops a ghost with it, and hold the ghost in the place of what was committed: it must also hold a mutation
 * of the ballot under which that was (§12.3).
 */
function holdsCommitted(s: ReplicaState, message: RejoinMessage): boolean {
  const { committed, committedBallot } = s.list;
  if (message.committed >= committed) return true;
  if (message.lastPrepared < committed) return false;
  return !message.mayLack || message.mutationBallot >= committedBallot;
}

/** Primary: a member is back in a new incarnation. What it acknowledged before does not count any more. */
export function onRejoin(s: ReplicaState, message: RejoinMessage): void {
  if (message.ballot > s.ballot) return outdated(s, message.ballot);
  if (s.status !== "primary") return;
  const member = s.primary!.secondaries.get(message.from);
  const accepted = member !== undefined && message.ballot === s.ballot &&
    holdsCommitted(s, message);
  note(s, "rejoin", { node: message.from, accepted });
  const { reconcileEnd, list: { committed } } = s;
  send(s, message.from, {
    kind: "rejoinReply",
    body: { ...head(s), accepted, reconcileEnd, committed },
  });
  if (member === undefined || message.ballot !== s.ballot) return;
  if (!accepted) return receiverFailed(s, member, "lost acknowledged mutations");
  const again = newReceiver(s, message.from, committed);
  s.primary!.secondaries.set(message.from, again);
  resend(s, again);
}

/** Restarted member: the primary's verdict. */
export function onRejoinReply(s: ReplicaState, message: RejoinReplyMessage): void {
  if (!s.restarted || s.status !== "inactive" || !s.transient) return;
  if (message.ballot > s.ballot) {
    adoptBallot(s, message.ballot);
    s.primaryNode = message.from;
    return askToRejoin(s);
  }
  if (message.ballot < s.ballot || !message.accepted) return;
  if (!adoptReconcileEnd(s, message.reconcileEnd)) return;
  followAsSecondary(s, message.from);
  s.commitTarget = Math.max(s.commitTarget, message.committed);
  if (!followCommit(s)) condemn(s, "A committed mutation is missing after a restart");
}
