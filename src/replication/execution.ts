// From the commit point to the engine: committing what is logged, applying what is committed, answering who
// waits, taking checkpoints. The same for every role. Rules: docs/protocol.md, "Commit propagation" and "Durable decree" (§15).

import { Err } from "../base/errors.ts";
import type { Decree } from "../base/ids.ts";
import type { Mutation } from "../schema/mutation.ts";
import type { ReplicaEvent } from "./io.ts";
import type { PendingReply } from "./prepare_list.ts";
import { note, type ReplicaState } from "./state.ts";

/** One engine batch is at most this long, so that an apply never blocks a read for more than a few ms. */
const APPLY_BYTES_MAX = 4 * 1024 * 1024;
const APPLY_MUTATIONS_MAX = 256;

/**
 * A secondary waits for so many committed mutations, or bytes, or the next tick, before it applies: nobody waits for
 * its engine, and one engine batch costs a thread hop whatever its size.
 */
const LAZY_MUTATIONS = 32;
const LAZY_BYTES = 256 * 1024;

/**
 * While nobody learns, the cache keeps this part of its bytes: whoever comes next begins with the log or an image, and
 * finds all that was written since in a cache that grows from then on.
 */
const CACHE_SHARE_AT_REST = 1 / 4;

/**
 * Follows the primary's commit point as far as the own log goes.
 *
 * @param now Apply what is committed even if a larger batch may come.
 * @returns False if a committed decree is missing, which condemns a member (§6).
 */
export function followCommit(s: ReplicaState, now = false): boolean {
  while (s.list.committed < s.commitTarget) {
    const entry = s.list.get(s.list.committed + 1);
    if (entry === undefined && s.status === "secondary") return false;
    // A learner that is not sent prepares any more applies what it has all the same: only then it says so.
    if (entry === undefined || !entry.logged) break;
    s.unappliedBytes += s.list.commitNext().encoded.length;
  }
  const mayWait = s.status === "secondary" && !now && s.unappliedBytes < LAZY_BYTES &&
    s.list.committed - s.applied < LAZY_MUTATIONS;
  if (!mayWait) startApply(s);
  return true;
}

/** Hands the next committed mutations to the engine, unless it is busy. */
export function startApply(s: ReplicaState): void {
  if (s.applying !== 0 || s.applied >= s.list.committed) return;
  const mutations: Mutation[] = [];
  let bytes = 0;
  let decree = s.applied;
  while (decree < s.list.committed && mutations.length < APPLY_MUTATIONS_MAX) {
    const mutation = s.list.get(decree + 1)!.mutation;
    if (mutations.length > 0 && bytes + mutation.body.length > APPLY_BYTES_MAX) break;
    bytes += mutation.body.length;
    mutations.push(mutation);
    decree++;
  }
  s.applying = decree;
  s.unappliedBytes = 0;
  s.out.push({ kind: "apply", mutations });
}

/** The engine has everything up to `decree`: answer the clients, go on. */
export function onApplied(s: ReplicaState, decree: Decree): void {
  if (s.applying !== decree) return; // An apply of before an image was installed.
  s.applying = 0;
  for (let d = s.applied + 1; d <= decree; d++) {
    const entry = s.list.get(d)!;
    s.sessions.apply(d, entry.mutation.body);
    if (entry.replies.length > 0) {
      for (const reply of entry.replies) answer(s, reply, d);
      entry.replies = [];
    }
  }
  s.applied = decree;
  maybeCheckpoint(s);
  followCommit(s);
  const { cacheMutationsMax, cacheBytesMax } = s.settings;
  const share = s.learners.size === 0 ? CACHE_SHARE_AT_REST : 1;
  s.list.trim(s.applied, cacheMutationsMax, share * cacheBytesMax);
}

function answer(s: ReplicaState, reply: PendingReply, decree: Decree): void {
  forgetPending(s, reply);
  for (const token of reply.tokens) {
    s.out.push({
      kind: "reply",
      token,
      error: reply.error as typeof Err.OK,
      decree,
      result: reply.result,
    });
  }
}

/** Removes an exactly-once write from the index of writes in flight. */
function forgetPending(s: ReplicaState, reply: PendingReply): void {
  if (reply.session === 0) return;
  const bySequence = s.pendingSessions.get(reply.session);
  if (bySequence === undefined) return;
  bySequence.delete(reply.sequence);
  if (bySequence.size === 0) s.pendingSessions.delete(reply.session);
}

/** Takes a checkpoint when one is due; only at a moment when the engine stands exactly at `applied`. */
export function maybeCheckpoint(s: ReplicaState): void {
  const behind = s.applied - s.durable;
  if (s.checkpointing !== 0 || s.applying !== 0 || s.status === "error") return;
  if (behind === 0 && !s.vouchDue) return;
  const due = s.vouchDue || behind >= s.settings.checkpointDecrees ||
    s.now - s.checkpointAt >= s.settings.checkpointIntervalMs;
  if (!due) return;
  takeCheckpoint(s);
}

/** Asks the driver to make the state at `applied` durable. */
function takeCheckpoint(s: ReplicaState): void {
  s.checkpointing = ++s.checkpointCounter;
  s.checkpointAt = s.now;
  s.vouchDue = false;
  s.out.push({
    kind: "checkpoint",
    attempt: s.checkpointing,
    decree: s.applied,
    ballot: s.ballot,
    whole: !s.mayLack,
    sessions: s.sessions.image(),
  });
}

/** A checkpoint is done. One at a time: two could make the durable decree go back after the log was collected (§15.6). */
export function onCheckpointed(
  s: ReplicaState,
  { attempt, decree }: Extract<ReplicaEvent, { kind: "checkpointed" }>,
): void {
  if (attempt !== s.checkpointing) return;
  s.checkpointing = 0;
  if (decree > s.durable && decree <= s.applied) s.durable = decree;
}

/** This replica can no longer be trusted: terminal, the driver closes it and moves it aside (§13). */
export function condemn(s: ReplicaState, reason: string): void {
  if (s.status === "error") return;
  note(s, "condemned", { reason, was: s.status });
  failWaiting(s);
  s.status = "error";
  s.transient = false;
  s.reigning = false;
  s.primary = undefined;
  s.learner = undefined;
  s.reconfiguration = undefined;
  s.learners.clear();
  s.out.push({ kind: "cancelFetch" }, { kind: "close", reason, damaged: true });
}

/**
 * Answers everybody who waits: queued writes were certainly not done; those in replication may happen still
 * (I9: never "not done" after a decree was assigned).
 */
export function failWaiting(s: ReplicaState): void {
  failQueue(s, Err.INVALID_STATE);
  for (let d = s.applied + 1; d <= s.list.maxPrepared; d++) {
    const entry = s.list.get(d);
    if (entry === undefined || entry.replies.length === 0) continue;
    for (const reply of entry.replies) failUnknown(s, reply);
    entry.replies = [];
  }
  s.pendingSessions.clear();
}

/** Tells the clients of one dropped or abandoned write that its fate is not known. */
export function failUnknown(s: ReplicaState, reply: PendingReply): void {
  forgetPending(s, reply);
  for (const token of reply.tokens) {
    s.out.push({
      kind: "reply",
      token,
      error: Err.OUTCOME_UNKNOWN,
      decree: 0,
      result: undefined,
    });
  }
}

/** Answers every queued write with a "not done" error. */
export function failQueue(
  s: ReplicaState,
  error: typeof Err.INVALID_STATE | typeof Err.NOT_ENOUGH_MEMBER | typeof Err.DISK_INSUFFICIENT,
): void {
  for (let i = s.queueHead; i < s.queue.length; i++) {
    const { token } = s.queue[i]!;
    s.out.push({ kind: "reply", token, error, decree: 0, result: undefined });
  }
  s.queue = [];
  s.queueHead = 0;
}
