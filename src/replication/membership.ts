// What a replica is: adopting ballots and configurations, asking meta for the next one, proposals, losing and
// regaining contact, coming back after a restart. Rules: docs/protocol.md, "Status machine" (§3), "Ballots" (§4),
// "Reconfiguration" (§9), "Restart" (§12).

import { Err } from "../base/errors.ts";
import { type Ballot, type Decree, NOBODY, type NodeId } from "../base/ids.ts";
import type { RemoveReplicaMessage } from "../schema/replica_rpc.ts";
import { sameMembers } from "../schema/partition_config.ts";
import type { ConfigChange, PartitionConfig } from "../schema/types.ts";
import { withoutMember, withPrimary, withSecondary } from "./config_steps.ts";
import { answerCheck } from "./disk_room.ts";
import { condemn, failQueue, failUnknown, failWaiting, followCommit } from "./execution.ts";
import type { ReplicaEvent } from "./io.ts";
import { becomePrimary, prepareBarrier } from "./primary.ts";
import { askToRejoin } from "./rejoin.ts";
import {
  append,
  head,
  isFollower,
  NO_RECONCILE_END,
  note,
  type ReplicaState,
  send,
} from "./state.ts";
import { leadWhole } from "./tail_check.ts";
import { addLearner } from "./teacher.ts";

/** Promises never to act on a smaller ballot again (I6). The promise is in the log before any ack that follows it. */
export function adoptBallot(s: ReplicaState, ballot: Ballot): void {
  if (ballot <= s.ballot) return;
  note(s, "ballot", { from: s.ballot, to: ballot });
  s.ballot = ballot;
  s.reconcileEnd = NO_RECONCILE_END;
  s.adoptedCommitted = s.list.committed;
  s.primaryNode = NOBODY;
  s.ackEnd = s.list.committed;
  s.ackDue = false;
  s.gapAsked = 0;
  s.rejoinAt = 0;
  s.tailCheck = undefined;
  append(s, { kind: "ballot", ballot, reconcileEnd: NO_RECONCILE_END });
}

/**
 * Learns E(ballot) from the primary and drops the ghost tail above it (§10).
 *
 * @returns False if this replica has committed more than the primary ever held, which condemns it.
 */
export function adoptReconcileEnd(s: ReplicaState, end: Decree): boolean {
  if (s.reconcileEnd !== NO_RECONCILE_END) return true;
  // What was committed before this ballot must have been known to its primary (I8).
  if (s.status !== "learner" && s.adoptedCommitted > end) {
    condemn(
      s,
      `Committed ${s.adoptedCommitted}, but the primary of ballot ${s.ballot} held only ${end}`,
    );
    return false;
  }
  s.reconcileEnd = end;
  const dropped = s.list.truncate(end, s.ballot);
  append(s, { kind: "ballot", ballot: s.ballot, reconcileEnd: end });
  for (const entry of dropped) for (const reply of entry.replies) failUnknown(s, reply);
  if (dropped.length > 0) note(s, "truncate", { end, dropped: dropped.length });
  return true;
}

/** Between two configurations: no prepares, no reads, no commits, until meta's word (It). */
export function becomeTransient(s: ReplicaState): void {
  s.status = "inactive";
  s.transient = true;
  s.primary = undefined;
  leaveLearning(s);
}

function leaveLearning(s: ReplicaState): void {
  if (s.learner !== undefined) s.abandonedSignature = s.learner.signature;
  s.learner = undefined;
}

/** No member and no learner (In). The data stays: meta may want it again. */
export function becomeInactive(s: ReplicaState, reason: string): void {
  if (s.status !== "inactive" || s.transient) note(s, "status", { to: "inactive", reason });
  failWaiting(s);
  s.status = "inactive";
  s.transient = false;
  s.reigning = false;
  s.primary = undefined;
  leaveLearning(s);
  s.reconfiguration = undefined;
  s.tailCheck = undefined;
  s.learners.clear();
  s.out.push({ kind: "cancelFetch" });
}

function becomeSecondary(s: ReplicaState): void {
  failWaiting(s);
  note(s, "status", { to: "secondary", ballot: s.ballot });
  s.status = "secondary";
  s.transient = false;
  s.restarted = false;
  s.hasLearned = false;
  s.reigning = false;
  s.primary = undefined;
  s.learner = undefined;
  s.learners.clear();
  s.primaryNode = s.config.ballot === s.ballot ? s.config.primary : s.primaryNode;
  s.ackEnd = Math.max(s.ackEnd, s.list.committed);
}

/** A follower of `primary` at the current ballot, known from the primary itself instead of from meta. */
export function followAsSecondary(s: ReplicaState, primary: NodeId): void {
  s.primaryNode = primary;
  becomeSecondary(s);
}

/** Somebody holds a larger ballot than this primary: its configuration is history. */
export function outdated(s: ReplicaState, ballot: Ballot): void {
  if (s.status === "primary") {
    note(s, "status", { to: "transient", reason: "outdated", ballot });
    becomeTransient(s);
  }
  s.out.push({ kind: "requestConfigSync" });
}

/** Asks meta for the next configuration; everything stops until the answer (§9.1). */
export function reconfigure(
  s: ReplicaState,
  change: ConfigChange,
  node: NodeId,
  config: PartitionConfig,
): void {
  if (s.reconfiguration !== undefined || !s.connected) return;
  const attempt = ++s.attemptCounter;
  const hinted = { ...config, committedHint: s.list.committed };
  s.reconfiguration = { attempt, change, node, config: hinted, sentAt: s.now };
  note(s, "reconfigure", { change, node, ballot: config.ballot });
  becomeTransient(s);
  s.out.push({ kind: "updateConfig", attempt, change, node, config: hinted });
}

/** Meta's answer to a reconfiguration. */
export function onConfigReply(
  s: ReplicaState,
  reply: Extract<ReplicaEvent, { kind: "configReply" }>,
): void {
  const asked = s.reconfiguration;
  if (asked === undefined || asked.attempt !== reply.attempt || s.status !== "inactive") return;
  if (reply.error !== Err.OK && reply.error !== Err.INVALID_VERSION) return; // Resent by the tick.
  const config = reply.config;
  if (config === undefined || config.ballot < s.ballot) return;
  if (config.ballot === s.ballot) {
    // Not accepted, and nothing else happened: back to where we were, unless this is a new life.
    if (reply.error === Err.INVALID_VERSION) {
      s.reconfiguration = undefined;
      s.out.push({ kind: "requestConfigSync" });
    }
    return;
  }
  const removed = asked.change === "REMOVE" && reply.error === Err.OK ? asked.node : undefined;
  onConfig(s, config);
  if (removed !== undefined && removed !== s.self) {
    send(s, removed, { kind: "removeReplica", body: head(s) });
  }
}

/** A configuration that meta has persisted (§3). */
export function onConfig(s: ReplicaState, config: PartitionConfig): void {
  if (s.status === "error" || config.ballot < s.ballot) return;
  // The next configuration, led by us again: nobody else led in between.
  const sameReign = s.reigning && config.ballot <= s.ballot + 1;
  const own = s.reconfiguration;
  if (config.ballot === s.ballot) {
    s.config = config;
    // While a request is out, only its answer ends the pause (§9.4).
    if (s.status !== "inactive" || own !== undefined || !s.connected) return;
  } else {
    // Our own request came true, or somebody else's did and ours never will. Only what it asked for itself makes a
    // restarted replica what it was: with anything else it begins anew (§12).
    const restarted = s.restarted && !(own !== undefined && sameMembers(own.config, config));
    adoptBallot(s, config.ballot);
    s.config = config;
    s.reconfiguration = undefined;
    s.restarted = restarted;
  }
  if (config.primary === s.self) return enterPrimary(s, sameReign);
  if (config.secondaries.includes(s.self)) return enterSecondary(s);
  if (s.status === "learner") return; // Learners are told by their primary, not by meta.
  leave(s, "not a member", config.primary !== NOBODY || config.secondaries.length > 0);
}

/** No member any more. A damaged copy goes for good where others have the rows (§13). */
function leave(s: ReplicaState, reason: string, hasOthers: boolean): void {
  if (s.damage !== undefined && hasOthers) return condemn(s, `Damaged: ${s.damage}`);
  becomeInactive(s, reason);
}

function enterPrimary(s: ReplicaState, sameReign: boolean): void {
  if (s.restarted) {
    // It may have sent prepares it never logged: never the same ballot again (§4.4, rDSN #522).
    becomeTransient(s);
    if (s.mayLack && s.config.secondaries.length > 0) return stepAside(s);
    return leadWhole(s);
  }
  // A primary that has missed configurations in which others left leads anew.
  const wasMember = s.transient || s.status === "secondary" || s.status === "primary";
  if (!sameReign && !wasMember) {
    // Meta names a replica that never asked to lead: do not serve, do not destroy, let meta look again.
    note(s, "status", { to: s.status, reason: "made primary without having been a member" });
    s.out.push({ kind: "requestConfigSync" });
    return;
  }
  if (!s.connected) {
    // A late answer of meta. The next beacon brings a new lease, and under it this replica would serve although
    // meta may be replacing it already: only the config sync that restores contact makes it primary (S13).
    s.reigning = sameReign;
    return becomeTransient(s);
  }
  note(s, "status", { to: "primary", ballot: s.ballot });
  becomePrimary(s, !sameReign);
}

/** A new ballot for the same members, to lead again after a restart (§4.4). */
export function forceBallot(s: ReplicaState): void {
  const next = { ...s.config, ballot: s.config.ballot + 1 };
  reconfigure(s, "PRIMARY_FORCE_UPDATE_BALLOT", s.self, next);
}

/** A member that meta chose asks for itself as primary (§10.1). */
export function takeOver(s: ReplicaState): void {
  reconfigure(s, "UPGRADE_TO_PRIMARY", s.self, withPrimary(s.config, s.self));
}

/** What it lacks the others hold: one of them leads, and this one learns from it (§12.5, §12.6). */
export function stepAside(s: ReplicaState): void {
  reconfigure(s, "DOWNGRADE_TO_INACTIVE", s.self, withoutMember(s.config, s.self));
}

function enterSecondary(s: ReplicaState): void {
  if (s.status === "secondary") {
    s.primaryNode = s.config.primary;
    return;
  }
  if (s.status === "learner" && !isFollower(s)) becomeInactive(s, "promoted before it had learned");
  if (s.status === "inactive" && !s.transient && !s.hasLearned) {
    // Cannot serve: its primary will notice and remove it. Without one it must say so itself.
    if (s.config.primary === NOBODY) stepAside(s);
    // Not between two configurations, whatever meta answers: it must not become a member by a repeated word.
    s.transient = false;
    return;
  }
  if (s.restarted) {
    becomeTransient(s);
    s.primaryNode = s.config.primary;
    return askToRejoin(s);
  }
  becomeSecondary(s);
  followCommit(s);
}

/** An operator's or meta's wish; the ballot decides whether it is still meant. */
export function onProposal(
  s: ReplicaState,
  { change, node, config }: Extract<ReplicaEvent, { kind: "proposal" }>,
): void {
  if (s.status === "error" || s.closing || config.ballot < s.ballot) return;
  if (config.ballot > s.ballot) onConfig(s, config);
  if (config.ballot !== s.ballot || s.reconfiguration !== undefined) return;
  s.config = config;
  const self = node === s.self;
  switch (change) {
    case "ASSIGN_PRIMARY":
      // Also a former member that meta chose after everybody was lost.
      if (!self || config.primary !== NOBODY || s.status !== "inactive") return;
      return reconfigure(
        s,
        config.secondaries.includes(node) ? "UPGRADE_TO_PRIMARY" : change,
        node,
        withPrimary(config, node),
      );
    case "UPGRADE_TO_PRIMARY":
      if (!self || config.primary !== NOBODY || !config.secondaries.includes(node)) return;
      if (s.status !== "secondary" && !(s.status === "inactive" && s.transient)) return;
      // Another member, or the former primary, holds what this one lost; without them an operator assigns (§12.5).
      if (s.mayLack) {
        return note(s, "status", { to: "inactive", reason: "may lack acknowledged mutations" });
      }
      return leadWhole(s);
    case "ADD_SECONDARY":
    case "ADD_SECONDARY_FOR_LB":
      return addLearner(s, node, change === "ADD_SECONDARY_FOR_LB");
    case "PRIMARY_FORCE_UPDATE_BALLOT":
      // Meta wants a new configuration for its own reasons, such as another replica count.
      if (s.status !== "primary" || !self) return;
      return reconfigure(s, change, node, { ...config, ballot: config.ballot + 1 });
    case "DOWNGRADE_TO_SECONDARY":
      if (s.status !== "primary" || !self) return;
      s.primary!.handOverSince ??= s.now;
      return continueHandOver(s);
    case "DOWNGRADE_TO_INACTIVE":
    case "REMOVE":
      if (s.status !== "primary" || !(self || s.primary!.secondaries.has(node))) return;
      return reconfigure(s, change, node, withoutMember(config, node));
    default:
      return;
  }
}

/**
 * A primary that gives the partition away first brings to an end what it has begun, so that its clients get their
 * answers; new writes wait, and are refused when it is a secondary.
 */
export function continueHandOver(s: ReplicaState): void {
  const since = s.primary?.handOverSince;
  if (since === undefined) return;
  const isDone = s.applied === s.list.maxPrepared;
  if (!isDone && (s.damage !== undefined || s.now - since < s.settings.prepareResendMs)) return;
  if (s.damage !== undefined && s.config.secondaries.length > 0) return stepAside(s);
  reconfigure(s, "DOWNGRADE_TO_SECONDARY", s.self, withSecondary(s.config, s.self));
}

/**
 * Something is wrong with the rows here; repeated for as long as it is. A damaged copy gives way to the others, one
 * at a time, because each leaves by a configuration: a primary asks meta, when they all have just acknowledged
 * everything, a secondary its primary. The last one goes on: each of its rows is checked when it is read (§13).
 */
export function onDamaged(s: ReplicaState, reason: string): void {
  s.damage ??= reason;
  if (s.status === "secondary") {
    if (s.primaryNode !== NOBODY) answerCheck(s, s.primaryNode, 0);
    // Nobody else tells it that it was removed.
    s.out.push({ kind: "requestConfigSync" });
  }
  if (s.status !== "primary" || s.config.secondaries.length === 0) return;
  if (s.primary!.handOverSince === undefined) {
    s.primary!.handOverSince = s.now;
    prepareBarrier(s);
  }
  continueHandOver(s);
}

/** The primary removed this replica. Ignored by one that learns again at the same ballot (§9.5). */
export function onRemoveReplica(s: ReplicaState, message: RemoveReplicaMessage): void {
  if (message.ballot < s.ballot || s.status === "error") return;
  if (message.ballot === s.ballot && (s.status === "learner" || s.status === "primary")) return;
  adoptBallot(s, message.ballot);
  leave(s, "removed", true);
}

/** The lease is lost or regained (§3). A pending request stays pending: it may have been persisted. */
export function onMetaContact(s: ReplicaState, connected: boolean): void {
  if (s.connected === connected) return;
  s.connected = connected;
  if (connected) {
    if (s.reconfiguration !== undefined) s.reconfiguration.sentAt = -Infinity;
    return;
  }
  if (s.status === "primary" || s.status === "secondary") {
    failWaiting(s);
    note(s, "status", { to: "transient", reason: "lost contact with meta" });
    becomeTransient(s);
  } else if (s.status === "learner") becomeInactive(s, "lost contact with meta");
  else failQueue(s, Err.INVALID_STATE);
}

/** Resends what meta or the primary has not answered. */
export function tickMembership(s: ReplicaState): void {
  const asked = s.reconfiguration;
  if (asked !== undefined && s.connected) {
    if (s.now - asked.sentAt < s.settings.reconfigureResendMs) return;
    asked.sentAt = s.now;
    const { attempt, change, node, config } = asked;
    s.out.push({ kind: "updateConfig", attempt, change, node, config });
  } else if (s.restarted && s.transient && s.connected && s.primaryNode !== NOBODY) {
    if (s.now - s.rejoinAt >= s.settings.prepareResendMs) askToRejoin(s);
  }
}
