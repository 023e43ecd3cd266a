// The primary's normal work: queued writes become mutations, mutations are prepared on every member, and the commit
// point follows the slowest of them. Rules: docs/protocol.md, "Write path" (§5) and "Takeover" (§10).

import { assert } from "../base/assert.ts";
import { ByteSlab } from "../base/byte_slab.ts";
import { Err } from "../base/errors.ts";
import type { Decree, NodeId } from "../base/ids.ts";
import { type Mutation, MUTATION_HEAD_BYTES, sealMutation } from "../schema/mutation.ts";
import { encodeBody, type SessionRecord } from "../schema/mutation_body.ts";
import type { PrepareAckMessage } from "../schema/replica_rpc.ts";
import { isShortOfSpace } from "./disk_room.ts";
import { failQueue, startApply } from "./execution.ts";
import type { PhysicalOp, WriteRequest } from "./io.ts";
import { withoutMember } from "./config_steps.ts";
import { continueHandOver, outdated, reconfigure } from "./membership.ts";
import { encodedOf, type Entry, type PendingReply, reballoted } from "./prepare_list.ts";
import { PendingWrites } from "./pending_writes.ts";
import {
  append,
  head,
  type Learner,
  minMembers,
  NO_RECONCILE_END,
  note,
  type Receiver,
  type ReplicaState,
  send,
  vouched,
} from "./state.ts";
import { groupCheck } from "./teacher.ts";
import { answeredFromWindow, refusal, remember, translated } from "./write_evaluation.ts";

/** Mutations on their way to the engine: soon after they are applied, nobody holds them any more. */
const slab = new ByteSlab();

/**
 * Starts to lead at the current ballot: everything above the commit point is prepared again under it (§10.2).
 *
 * @param newReign True unless this replica was the primary just before. A new reign adds a barrier: an empty
 * write that every member must log, so that no ghost of an earlier reign survives it (S8).
 */
export function becomePrimary(s: ReplicaState, newReign: boolean): void {
  s.status = "primary";
  s.transient = false;
  s.restarted = false;
  vouched(s);
  s.reigning = true;
  s.primaryNode = s.self;
  s.learner = undefined;
  if (newReign) s.learners.clear();
  if (s.reconcileEnd === NO_RECONCILE_END) {
    s.reconcileEnd = s.list.maxPrepared;
    append(s, { kind: "ballot", ballot: s.ballot, reconcileEnd: s.reconcileEnd });
  }
  const committed = s.list.committed;
  const secondaries = new Map<NodeId, Receiver>();
  for (const node of s.config.secondaries) {
    secondaries.set(node, newReceiver(s, node, committed));
    s.learners.delete(node);
  }
  for (const learner of s.learners.values()) {
    learner.acked = Math.max(committed, learner.prepareStart - 1);
    learner.sent = learner.acked;
  }
  const end = s.list.maxPrepared;
  s.primary = {
    secondaries,
    readableFrom: newReign ? end + 1 : end,
    groupCheckAt: s.now,
    committedTold: committed,
    toldAt: s.now,
    handOverSince: undefined,
    fullMembers: new Set(),
  };
  for (let decree = committed + 1; decree <= end; decree++) prepareAgain(s, decree);
  if (newReign) addBarrier(s);
  note(s, "reconcile", { ballot: s.ballot, committed, end, newReign });
  // Everybody hears of the new ballot at once, also when there is nothing to prepare.
  groupCheck(s);
  sendAll(s);
  tryCommit(s);
  takeQueued(s);
}

/** What came between the configurations was let in by the one before: this one may have too few members (§5.1). */
function takeQueued(s: ReplicaState): void {
  if (s.config.secondaries.length + 1 < minMembers(s)) failQueue(s, Err.NOT_ENOUGH_MEMBER);
  // With nothing in flight nothing else would come that forms them.
  else formMutations(s);
}

function addBarrier(s: ReplicaState): void {
  assign(s, encodeBody([], [], MUTATION_HEAD_BYTES), []);
}

/** An empty mutation: once it is committed, every member was there and holds everything before it. */
export function prepareBarrier(s: ReplicaState): void {
  addBarrier(s);
  sendAll(s);
  tryCommit(s);
}

/** A receiver that has acknowledged nothing above `from`. */
export function newReceiver(s: ReplicaState, node: NodeId, from: Decree): Receiver {
  return { node, acked: from, sent: from, sentAt: s.now, since: s.now };
}

/** Same payload, current ballot; an empty slot becomes an empty write: a hole proves that nothing after it committed. */
function prepareAgain(s: ReplicaState, decree: Decree): void {
  const held = s.list.get(decree);
  if (held !== undefined && held.mutation.ballot === s.ballot) return;
  const mutation: Mutation = held === undefined
    ? {
      ballot: s.ballot,
      decree,
      lastCommitted: s.list.committed,
      timestampUs: nextTimestamp(s),
      body: new Uint8Array(0),
    }
    : reballoted(held.mutation, s.ballot, s.list.committed);
  logAndHold(s, mutation, encodedOf(mutation));
}

function nextTimestamp(s: ReplicaState): number {
  s.timestampUs = Math.max(s.timestampUs + 1, Math.floor(s.wall * 1000));
  return s.timestampUs;
}

/** Gives a body, with room for the head in front, the next decree (§5.3). The caller sends. */
function assign(s: ReplicaState, encoded: Uint8Array, replies: PendingReply[]): void {
  const mutation = sealMutation(encoded, {
    ballot: s.ballot,
    decree: s.list.maxPrepared + 1,
    lastCommitted: s.list.committed,
    timestampUs: s.timestampUs = Math.max(s.timestampUs, Math.floor(s.wall * 1000)),
  });
  logAndHold(s, mutation, encoded).replies = replies;
}

function logAndHold(s: ReplicaState, mutation: Mutation, encoded: Uint8Array): Entry {
  const token = append(s, { kind: "mutation", decree: mutation.decree, payload: encoded });
  return s.list.put(mutation, encoded, token, s.now);
}

/** Queues a client write; `flush` forms mutations from the queue. */
export function onWrite(s: ReplicaState, request: WriteRequest): void {
  const betweenConfigurations = s.transient && s.reconfiguration !== undefined;
  if (s.closing || (s.status !== "primary" && !betweenConfigurations)) {
    s.out.push(refusal(request, Err.INVALID_STATE));
  } else if (s.config.secondaries.length + 1 < minMembers(s)) {
    s.out.push(refusal(request, Err.NOT_ENOUGH_MEMBER));
  } else if (isShortOfSpace(s)) s.out.push(refusal(request, Err.DISK_INSUFFICIENT));
  else if (s.queue.length - s.queueHead >= s.settings.queuedWritesMax) {
    s.out.push(refusal(request, Err.BUSY));
  } else s.queue.push(request);
}

/** Turns queued writes into mutations while the window has room. */
export function formMutations(s: ReplicaState): void {
  if (s.status !== "primary") return;
  if (s.primary!.handOverSince !== undefined) return continueHandOver(s);
  if (s.queueHead === s.queue.length) return;
  // New writes wait for the end of reconciliation: until then the exactly-once window may lack outcomes.
  if (s.applied < s.primary!.readableFrom) return;
  const before = s.list.maxPrepared;
  while (s.queueHead < s.queue.length && s.list.inflight < s.settings.inflightMutationsMax) {
    formOne(s);
  }
  if (s.queueHead === s.queue.length) {
    s.queue = [];
    s.queueHead = 0;
  }
  if (s.list.maxPrepared > before) {
    sendAll(s);
    tryCommit(s);
  }
}

function formOne(s: ReplicaState): void {
  const decree = s.list.maxPrepared + 1;
  const timestampUs = nextTimestamp(s);
  const pending = new PendingWrites(s);
  const ops: PhysicalOp[] = [];
  const sessions: SessionRecord[] = [];
  const replies: PendingReply[] = [];
  let bytes = 0;
  let opened = false;
  while (s.queueHead < s.queue.length) {
    const request = s.queue[s.queueHead]!;
    const opens = request.op.kind === "openSession";
    // The decree names the session, so a mutation opens at most one.
    if (opens && opened) break;
    if (bytes > 0 && bytes + request.bytes > s.settings.mutationBytesMax) break;
    s.queueHead++;
    if (answeredFromWindow(s, request)) continue;
    const translation = translated(s, request, timestampUs, pending, ops);
    if (translation === undefined) continue;
    bytes += request.bytes;
    opened ||= opens;
    const { error, result } = translation;
    const { session, sequence } = request;
    const reply: PendingReply = { tokens: [request.token], session, sequence, error, result };
    replies.push(reply);
    if (opens) {
      sessions.push({ session: decree, sequence: 0, answeredBelow: 0, error, result });
    } else if (session !== 0) {
      sessions.push({ session, sequence, answeredBelow: request.answeredBelow, error, result });
      remember(s, reply);
    }
  }
  if (replies.length > 0) assign(s, encodeBody(sessions, ops, MUTATION_HEAD_BYTES, slab), replies);
}

/** Sends every receiver what it has not been sent. */
function sendAll(s: ReplicaState): void {
  for (const receiver of s.primary!.secondaries.values()) sendPrepares(s, receiver, "secondary", 0);
  for (const learner of s.learners.values()) {
    if (learner.prepareStart > 0) sendPrepares(s, learner, "learner", learner.signature);
  }
  s.primary!.committedTold = s.list.committed;
  s.primary!.toldAt = s.now;
}

function sendPrepares(
  s: ReplicaState,
  receiver: Receiver,
  role: "secondary" | "learner",
  signature: number,
): void {
  if (receiver.sent >= s.list.maxPrepared) return;
  receiver.sentAt = s.now;
  const { reconcileEnd, list: { committed } } = s;
  while (receiver.sent < s.list.maxPrepared) {
    const mutation = s.list.encoded(++receiver.sent);
    if (mutation === undefined) continue; // Committed and forgotten: only for a learner that is ahead.
    send(s, receiver.node, {
      kind: "prepare",
      body: { ...head(s), role, signature, reconcileEnd, committed, mutation },
    });
  }
}

/** Sends everything unacknowledged again. */
export function resend(s: ReplicaState, receiver: Receiver): void {
  const learner = s.learners.get(receiver.node);
  const isLearner = learner === receiver;
  if (isLearner && (receiver as Learner).prepareStart === 0) return;
  receiver.sent = Math.max(receiver.acked, s.list.committed);
  sendPrepares(s, receiver, isLearner ? "learner" : "secondary", isLearner ? learner.signature : 0);
  receiver.sentAt = s.now;
}

/** The receiver an ack comes from, or undefined if the ack is void. */
function receiverOf(s: ReplicaState, ack: PrepareAckMessage): Receiver | undefined {
  if (ack.signature === 0) return s.primary!.secondaries.get(ack.from);
  const learner = s.learners.get(ack.from);
  return learner?.signature === ack.signature ? learner : undefined;
}

/** An answer to prepares. Acks are cumulative under one ballot, hence sets, never counters (§5.5). */
export function onPrepareAck(s: ReplicaState, ack: PrepareAckMessage): void {
  if (ack.ballot > s.ballot) return outdated(s, ack.ballot);
  if (s.status !== "primary" || ack.ballot < s.ballot) return;
  const receiver = receiverOf(s, ack);
  if (receiver === undefined) return;
  if (ack.signature !== 0) (receiver as Learner).heardAt = s.now;
  switch (ack.error) {
    case Err.OK:
      if (ack.decree > receiver.acked) {
        receiver.acked = Math.min(ack.decree, s.list.maxPrepared);
        tryCommit(s);
      }
      return;
    case Err.GAP:
      if (!s.list.covers(ack.decree, s.list.maxPrepared)) return receiverFailed(s, receiver, "gap");
      note(s, "gap", { node: receiver.node, decree: ack.decree });
      receiver.sent = ack.decree - 1;
      return sendPrepares(
        s,
        receiver,
        ack.signature === 0 ? "secondary" : "learner",
        ack.signature,
      );
    case Err.TRY_AGAIN:
    case Err.INACTIVE_STATE:
    case Err.CAPACITY_EXCEEDED:
      // Tried again at the next ticks until the prepare timeout.
      receiver.sentAt = s.now - s.settings.prepareResendMs;
      return;
    default:
      return receiverFailed(s, receiver, `answered ${ack.error}`);
  }
}

/**
 * A member is removed through meta, never skipped; a learner is forgotten at the same ballot, and what waited for it
 * alone is committed (§5.8).
 */
export function receiverFailed(s: ReplicaState, receiver: Receiver, reason: string): void {
  if (s.learners.get(receiver.node) === receiver) {
    s.learners.delete(receiver.node);
    note(s, "learnerForgotten", { learner: receiver.node, reason });
    return tryCommit(s);
  }
  note(s, "reconfigure", { remove: receiver.node, reason });
  reconfigure(s, "DOWNGRADE_TO_INACTIVE", receiver.node, withoutMember(s.config, receiver.node));
}

/** Commits what every member, and every learner that counts, has logged (§5.6). */
export function tryCommit(s: ReplicaState): void {
  if (s.status !== "primary") return;
  let ready = s.list.maxPrepared;
  for (const receiver of s.primary!.secondaries.values()) ready = Math.min(ready, receiver.acked);
  for (const learner of s.learners.values()) {
    if (learner.prepareStart > 0) {
      ready = Math.min(ready, Math.max(learner.acked, learner.prepareStart - 1));
    }
  }
  while (s.list.committed < ready) {
    const entry = s.list.get(s.list.committed + 1);
    assert(entry !== undefined, "The primary has a hole", { decree: s.list.committed + 1 });
    assert(entry.mutation.ballot === s.ballot, "Commit under an old ballot", { ballot: s.ballot });
    if (!entry.logged) break;
    s.list.commitNext();
  }
  s.commitTarget = s.list.committed;
  startApply(s);
}

/** Timeouts and resends of prepares. */
export function tickPrepares(s: ReplicaState): void {
  const { prepareTimeoutMs, learnerPrepareTimeoutMs, prepareResendMs } = s.settings;
  for (const receiver of s.primary!.secondaries.values()) {
    if (!waiting(s, receiver)) continue;
    if (waitedMs(s, receiver) > prepareTimeoutMs) {
      return receiverFailed(s, receiver, "prepare timeout");
    }
    if (s.now - receiver.sentAt >= prepareResendMs) resend(s, receiver);
  }
  for (const learner of [...s.learners.values()]) {
    if (learner.prepareStart === 0 || !waiting(s, learner)) continue;
    if (waitedMs(s, learner) > learnerPrepareTimeoutMs) {
      receiverFailed(s, learner, "prepare timeout");
    } else if (s.now - learner.sentAt >= prepareResendMs) resend(s, learner);
  }
}

function waiting(s: ReplicaState, receiver: Receiver): boolean {
  return receiver.acked < s.list.maxPrepared;
}

function waitedMs(s: ReplicaState, receiver: Receiver): number {
  const oldest = s.list.get(Math.max(receiver.acked, s.list.committed) + 1);
  return s.now - Math.max(oldest?.preparedAt ?? s.now, receiver.since);
}
