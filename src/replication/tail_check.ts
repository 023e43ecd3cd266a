// A log that ended in bytes that are no records may have lost what it confirmed: after a power loss a torn tail and
// a confirmed block whose bits have flipped look alike. A replica with such a log does not lead before it has
// compared itself: every member logged what was committed, so any one of them knows. Rules: docs/protocol.md,
// "Restart" (§12.6).

import { NOBODY, type NodeId } from "../base/ids.ts";
import type { TailQueryMessage, TailReportMessage } from "../schema/replica_rpc.ts";
import { forceBallot, stepAside, takeOver } from "./membership.ts";
import { head, isFollower, note, type ReplicaState, send } from "./state.ts";

/**
 * Nobody has answered for so many prepare timeouts: time enough for a member to restart and to read its logs, and
 * longer than meta waits for one.
 */
const SILENT_TIMEOUTS = 5;

/** A question to the other members that runs. */
export interface TailCheck {
  readonly members: readonly NodeId[];
  /** Monotonic ms. */
  readonly since: number;
  sentAt: number;
}

/**
 * What a restarted primary, or a member that meta chose, does to lead: at once if its log is whole or nobody else
 * is a member, else with the first answer of another member, or when none has come for a while.
 */
export function leadWhole(s: ReplicaState): void {
  if (s.tailCheck !== undefined) return;
  const members = s.config.secondaries.filter((node) => node !== s.self);
  if (!s.tailTorn || members.length === 0) return lead(s);
  note(s, "tail", { ask: members });
  s.tailCheck = { members, since: s.now, sentAt: s.now };
  ask(s);
}

function lead(s: ReplicaState): void {
  if (s.config.primary === NOBODY) takeOver(s);
  else forceBallot(s);
}

function ask(s: ReplicaState): void {
  for (const node of s.tailCheck!.members) {
    send(s, node, { kind: "tailQuery", body: head(s) });
  }
}

/** A member may have lost the end of its log. Learners and spectators know nothing of what was committed. */
export function onTailQuery(s: ReplicaState, message: TailQueryMessage): void {
  const isMember = s.status === "primary" || isFollower(s) ||
    (s.status === "inactive" && (s.transient || s.hasLearned));
  if (!isMember) return;
  send(s, message.from, {
    kind: "tailReport",
    body: { ...head(s), maxPrepared: s.list.maxPrepared, mutationBallot: s.list.newestBallot },
  });
}

/** What a member holds. */
export function onTailReport(s: ReplicaState, message: TailReportMessage): void {
  if (s.tailCheck === undefined || !s.tailCheck.members.includes(message.from)) return;
  const { maxPrepared, mutationBallot } = message;
  const lacks = maxPrepared > s.list.maxPrepared || mutationBallot > s.list.newestBallot;
  note(s, "tail", { node: message.from, lacks });
  s.tailCheck = undefined;
  s.tailTorn = lacks;
  if (!lacks) return lead(s);
  // What it lacks the others hold. Without a primary meta asks another one.
  if (s.config.primary === s.self) stepAside(s);
}

/** Asks again; goes on when nobody answers. */
export function tickTailCheck(s: ReplicaState): void {
  const check = s.tailCheck;
  if (check === undefined) return;
  if (s.now - check.since > SILENT_TIMEOUTS * s.settings.prepareTimeoutMs) {
    note(s, "tail", { silent: check.members });
    s.tailCheck = undefined;
    return lead(s);
  }
  if (s.now - check.sentAt < s.settings.prepareResendMs) return;
  check.sentAt = s.now;
  ask(s);
}
