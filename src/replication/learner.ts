// A replica that is catching up: it asks its primary where to get what it lacks, copies an image or log, takes the
// cached mutations and then prepares, and says when it holds everything. Rules: docs/protocol.md, "Learning" (§11).

import { Err } from "../base/errors.ts";
import type { Decree } from "../base/ids.ts";
import { decodeMutation, type Mutation } from "../schema/mutation.ts";
import type { GroupCheckMessage, LearnReplyMessage } from "../schema/replica_rpc.ts";
import { condemn, failWaiting, followCommit } from "./execution.ts";
import type { ReplicaEvent } from "./io.ts";
import { adoptBallot, becomeInactive } from "./membership.ts";
import { encodedOf, PrepareList } from "./prepare_list.ts";
import { append, head, type LearnerState, note, type ReplicaState, send } from "./state.ts";

/** A primary not heard of for so many group check intervals does not teach any more. */
const SILENT_GROUP_CHECKS = 8;

/**
 * A group check (or ADD_LEARNER, which is the same message) for a learner.
 *
 * @returns True if it concerns the start of learning; false if the learner is already following prepares.
 */
export function onLearnerCheck(s: ReplicaState, message: GroupCheckMessage): boolean {
  if (s.status === "error" || message.ballot < s.ballot || !s.connected) return true;
  const current = s.learner;
  if (s.status === "learner" && current !== undefined) {
    if (message.signature < current.signature) return true;
    if (message.signature === current.signature) {
      current.heardAt = s.now;
      return current.phase === "starting";
    }
  } else if (message.ballot === s.ballot && s.status !== "inactive") return true;
  else if (message.ballot === s.ballot && s.reconfiguration !== undefined) return true;
  // Acknowledgements of the round that was given up may still be on their way: they name this signature.
  if (message.signature <= s.abandonedSignature) return true;
  startLearning(s, message);
  return true;
}

function startLearning(s: ReplicaState, message: GroupCheckMessage): void {
  // Never from primary to learner in one step (§3): it learns at the next group check.
  if (s.status === "primary") {
    adoptBallot(s, message.ballot);
    return becomeInactive(s, "another primary leads");
  }
  // What it would keep is damaged: a new replica learns instead of it (§13).
  if (s.damage !== undefined) return condemn(s, `Damaged: ${s.damage}`);
  failWaiting(s);
  s.out.push({ kind: "cancelFetch" });
  adoptBallot(s, message.ballot);
  s.reconfiguration = undefined;
  s.primary = undefined;
  s.learners.clear();
  s.status = "learner";
  s.transient = false;
  s.restarted = false;
  s.reigning = false;
  s.hasLearned = false;
  // What is due was promised as a member, of entries that are dropped now.
  s.ackDue = false;
  // The tail is dropped below, so there is nothing left to truncate at this ballot.
  s.reconcileEnd = message.reconcileEnd;
  s.primaryNode = message.from;
  s.learner = {
    primary: message.from,
    signature: message.signature,
    phase: "starting",
    prepareStart: 0,
    avoidsLog: false,
    retryAt: s.now,
    rounds: 0,
    heardAt: s.now,
  };
  note(s, "status", { to: "learner", ballot: s.ballot, signature: message.signature });
  tickLearner(s);
}

/** Moves a learner on when something it waits for has happened. */
export function tickLearner(s: ReplicaState): void {
  const learner = s.learner;
  if (learner === undefined || s.status !== "learner") return;
  if (s.now - learner.heardAt > s.settings.groupCheckIntervalMs * SILENT_GROUP_CHECKS) {
    // It was forgotten, or its primary is gone. Whoever wants it says so with a new signature.
    return becomeInactive(s, "its primary is silent");
  }
  if (learner.phase === "starting") {
    // The tail is of unknown history: only what is applied counts, and the log says so for replays.
    if (s.applying !== 0) return;
    s.list.rewind(s.applied);
    s.commitTarget = s.applied;
    append(s, { kind: "ballot", ballot: s.ballot, reconcileEnd: s.applied });
    learner.phase = "asking";
    learner.retryAt = s.now;
  }
  if (learner.phase === "catching") finishCatching(s, learner);
  if (s.now < learner.retryAt) return;
  if (learner.phase === "asking") ask(s, learner);
  else if (learner.phase === "learned") complete(s, learner);
}

function ask(s: ReplicaState, learner: LearnerState): void {
  // The answer is compared with `applied`: wait until committed mutations are in the engine and in the log.
  if (s.applying !== 0 || s.applied < s.list.maxPrepared) return;
  learner.retryAt = s.now + s.settings.learnRetryMs;
  send(s, learner.primary, {
    kind: "learn",
    body: {
      ...head(s),
      signature: learner.signature,
      applied: s.applied,
      committed: s.list.committed,
    },
  });
}

/** The primary's answer (§11.3). */
export function onLearnReply(s: ReplicaState, message: LearnReplyMessage): void {
  const learner = s.learner;
  if (s.status !== "learner" || learner === undefined) return;
  if (message.signature !== learner.signature || message.ballot < s.ballot) return;
  if (learner.phase !== "asking" || s.applying !== 0 || s.applied < s.list.maxPrepared) return;
  if (message.error === Err.INACTIVE_STATE || message.error === Err.INCONSISTENT_STATE) return;
  if (message.error !== Err.OK) return becomeInactive(s, `learning refused: ${message.error}`);
  adoptBallot(s, message.ballot);
  s.reconcileEnd = message.reconcileEnd;
  learner.rounds++;
  const mustCopyAll = message.fromScratch || learner.avoidsLog;
  const source = message.source === "log" && mustCopyAll ? "image" : message.source;
  note(s, "learn", { source, from: s.applied, round: learner.rounds });
  if (source === "cache") return takeCache(s, learner, message);
  learner.phase = "fetching";
  const { primary: from, signature } = learner;
  if (source === "log") {
    const first = s.applied + 1;
    if (first > message.committed) return retryNow(s, learner);
    s.out.push({ kind: "fetchLog", from, signature, first, last: message.committed });
  } else s.out.push({ kind: "fetchImage", from, signature, ballot: s.ballot });
}

function retryNow(s: ReplicaState, learner: LearnerState): void {
  learner.phase = "asking";
  learner.retryAt = s.now;
}

function takeCache(s: ReplicaState, learner: LearnerState, message: LearnReplyMessage): void {
  const mutations: Mutation[] = [];
  for (const encoded of message.mutations) {
    const mutation = decodeMutation(encoded);
    if (mutation === undefined) return becomeInactive(s, "undecodable mutation in a learn reply");
    mutations.push(mutation);
  }
  // An old answer that does not continue what we hold: ask again.
  const first = mutations[0]?.decree ?? message.prepareStart;
  if (first !== s.applied + 1) return retryNow(s, learner);
  if (!take(s, mutations)) return becomeInactive(s, "gap in a learn reply");
  if (s.list.maxPrepared !== message.prepareStart - 1) return retryNow(s, learner);
  learner.phase = "catching";
  learner.prepareStart = message.prepareStart;
  s.ackEnd = message.prepareStart - 1;
  tickLearner(s);
}

/** Logs and holds committed mutations that continue the list. @returns False at a gap. */
function take(s: ReplicaState, mutations: readonly Mutation[]): boolean {
  for (const mutation of mutations) {
    const { decree } = mutation;
    if (decree <= s.list.maxPrepared) continue;
    if (decree !== s.list.maxPrepared + 1) return false;
    const encoded = encodedOf(mutation);
    const token = append(s, { kind: "mutation", decree, payload: encoded });
    s.list.put(mutation, encoded, token, s.now);
    s.timestampUs = Math.max(s.timestampUs, mutation.timestampUs);
  }
  s.commitTarget = Math.max(s.commitTarget, s.list.maxPrepared);
  followCommit(s);
  return true;
}

function finishCatching(s: ReplicaState, learner: LearnerState): void {
  if (s.applied + 1 < learner.prepareStart) return;
  learner.phase = "learned";
  learner.retryAt = s.now;
  s.hasLearned = true;
  note(s, "learned", { prepareStart: learner.prepareStart, rounds: learner.rounds });
}

/** Repeated until the configuration that contains us arrives; twice is harmless (§11.6). */
function complete(s: ReplicaState, learner: LearnerState): void {
  learner.retryAt = s.now + s.settings.learnRetryMs;
  send(s, learner.primary, {
    kind: "learnCompletion",
    body: {
      ...head(s),
      signature: learner.signature,
      lastPrepared: s.list.lastPrepared,
      committed: s.list.committed,
    },
  });
}

/** The engine now holds the primary's image, and the log begins anew. */
export function onImageInstalled(s: ReplicaState, decree: Decree, sessions: Uint8Array): void {
  s.damage = undefined;
  s.list = new PrepareList(decree, s.ballot);
  s.applied = decree;
  s.applying = 0;
  s.durable = decree;
  s.checkpointing = 0;
  s.checkpointAt = s.now;
  s.commitTarget = decree;
  s.ackEnd = decree;
  s.sessions.load(sessions, decree);
  s.appends.length = 0;
  append(s, { kind: "ballot", ballot: s.ballot, reconcileEnd: decree });
  const learner = s.learner;
  if (learner !== undefined && s.status === "learner") {
    retryNow(s, learner);
    tickLearner(s);
  }
}

/** A piece of the primary's log. */
export function onLogFetched(
  s: ReplicaState,
  { signature, mutations, done }: Extract<ReplicaEvent, { kind: "logFetched" }>,
): void {
  const learner = s.learner;
  if (learner?.signature !== signature || learner.phase !== "fetching") return;
  if (!take(s, mutations)) {
    s.out.push({ kind: "cancelFetch" });
    return retryNow(s, learner);
  }
  if (done) retryNow(s, learner);
}

/**
 * A copy failed: by the primary's fault start again, by our own this replica is lost (§13). The next one is of the other
 * kind, because a log that cannot be read any more would be offered for ever (§11.3).
 */
export function onFetchFailed(
  s: ReplicaState,
  { signature }: Extract<ReplicaEvent, { kind: "fetchFailed" }>,
): void {
  const learner = s.learner;
  if (learner?.signature !== signature || learner.phase !== "fetching") return;
  learner.phase = "asking";
  learner.avoidsLog = !learner.avoidsLog;
  learner.retryAt = s.now + s.settings.learnRetryMs;
}
