// The primary's side of learning, and its group checks: who learns from it, from which source, from which decree
// on a learner gets prepares, and when it is promoted. Rules: docs/protocol.md, "Learning" (§11), "Commit
// propagation" (§7).

import { Err } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type {
  GroupCheckReplyMessage,
  LearnCompletionMessage,
  LearnMessage,
  LearnReplyMessage,
} from "../schema/replica_rpc.ts";
import { withSecondary } from "./config_steps.ts";
import { onMemberDisk } from "./disk_room.ts";
import { reconfigure } from "./membership.ts";
import { newReceiver, receiverFailed, resend, tryCommit } from "./primary.ts";
import { head, type Learner, note, type ReplicaState, send } from "./state.ts";

/** Learners of one ballot get signatures above ballot * this; bounds: fewer learners than this per reign. */
const SIGNATURES_PER_BALLOT = 1 << 20;
/** A learner silent for so many group checks is forgotten. */
const SILENT_GROUP_CHECKS = 4;
/** Most bytes of cached mutations in one learn reply; more go through the log. */
const CACHE_REPLY_BYTES_MAX = 4 * 1024 * 1024;

/** Meta wants `node` to become a secondary (§11.1). A known learner keeps its signature. */
export function addLearner(s: ReplicaState, node: NodeId, forBalance: boolean): void {
  if (s.status !== "primary" || node === s.self || s.primary!.secondaries.has(node)) return;
  const known = s.learners.get(node);
  if (known === undefined) {
    const others = s.primary!.secondaries.size + s.learners.size;
    const room = s.config.maxReplicaCount - 1 + (forBalance ? 1 : 0);
    if (others >= room) return;
    s.signatureCounter = Math.max(s.signatureCounter, s.ballot * SIGNATURES_PER_BALLOT) + 1;
    const learner: Learner = {
      ...newReceiver(s, node, s.list.committed),
      signature: s.signatureCounter,
      prepareStart: 0,
      heardAt: s.now,
      completed: false,
    };
    s.learners.set(node, learner);
    note(s, "learn", { learner: node, signature: learner.signature });
  }
  groupCheck(s, node);
}

/** Tells one member or learner, or all of them, what it is and what is committed (§7). */
export function groupCheck(s: ReplicaState, only?: NodeId): void {
  const check = (to: NodeId, role: "secondary" | "learner", signature: number) =>
    send(s, to, {
      kind: "groupCheck",
      body: {
        ...head(s),
        role,
        signature,
        reconcileEnd: s.reconcileEnd,
        committed: s.list.committed,
      },
    });
  for (const node of s.primary!.secondaries.keys()) {
    if (only === undefined || only === node) check(node, "secondary", 0);
  }
  for (const learner of s.learners.values()) {
    if (only === undefined || only === learner.node) {
      check(learner.node, "learner", learner.signature);
    }
  }
  if (only === undefined) {
    s.primary!.groupCheckAt = s.now;
    s.primary!.committedTold = s.list.committed;
    s.primary!.toldAt = s.now;
  }
}

/** Answer to a group check. */
export function onGroupCheckReply(s: ReplicaState, reply: GroupCheckReplyMessage): void {
  if (s.status !== "primary" || reply.ballot !== s.ballot) return;
  const learner = s.learners.get(reply.from);
  if (learner !== undefined && learner.signature === reply.signature) {
    learner.heardAt = s.now;
    // Whoever gave up a signature does not take it again: meta proposes it anew.
    const hasGivenUp = reply.status === "error" || reply.status === "inactive";
    if (hasGivenUp) receiverFailed(s, learner, `says it is ${reply.status}`);
    return;
  }
  const member = s.primary!.secondaries.get(reply.from);
  onMemberDisk(s, reply.from, reply.diskFull);
  // A member that says it is no member cannot acknowledge anything: remove it, meta finds another.
  if (member !== undefined && (reply.status === "error" || reply.status === "learner")) {
    receiverFailed(s, member, `says it is ${reply.status}`);
  }
}

/** LEARN: decide where the learner gets what it lacks (§11.3). */
export function onLearn(s: ReplicaState, message: LearnMessage): void {
  if (message.ballot > s.ballot) return;
  if (s.status !== "primary") {
    const error = s.transient ? Err.INACTIVE_STATE : Err.INVALID_STATE;
    return reply(s, message, { error });
  }
  const learner = s.learners.get(message.from);
  if (learner === undefined) return reply(s, message, { error: Err.OBJECT_NOT_FOUND });
  if (learner.signature !== message.signature) {
    return reply(s, message, { error: Err.WRONG_SIGNATURE });
  }
  learner.heardAt = s.now;
  const { list } = s;
  // State the primary never had belongs to a lost history: start from nothing.
  if (message.applied > list.maxPrepared) {
    stopPreparing(learner);
    return reply(s, message, { source: "image", fromScratch: true });
  }
  // Not yet committed here again after a takeover. Never force it: other members may lack it.
  if (message.applied > list.committed) {
    return reply(s, message, { error: Err.INCONSISTENT_STATE });
  }
  const start = message.applied + 1;
  if (teachFromCache(s, learner, message, start)) return;
  stopPreparing(learner);
  const logged = start > s.durable || start >= s.logFirstDecree();
  tryCommit(s);
  reply(s, message, { source: logged ? "log" : "image" });
}

/**
 * The learner starts another round: it gets no prepares, nobody waits for it, and whatever it said of an
 * earlier round does not make it a member.
 */
function stopPreparing(learner: Learner): void {
  learner.prepareStart = 0;
  learner.completed = false;
}

/** @returns False if the cache does not reach back to `start`. */
function teachFromCache(
  s: ReplicaState,
  learner: Learner,
  message: LearnMessage,
  start: number,
): boolean {
  const { list } = s;
  // Also for a learner that asks again: what it acknowledged before belongs to the round it has given up.
  const prepareStart = list.committed + 1;
  if (!list.covers(start, prepareStart - 1)) return false;
  const mutations: Uint8Array[] = [];
  let bytes = 0;
  for (let decree = start; decree < prepareStart; decree++) {
    const encoded = list.encoded(decree)!;
    bytes += encoded.length;
    if (bytes > CACHE_REPLY_BYTES_MAX) return false;
    mutations.push(encoded);
  }
  learner.prepareStart = prepareStart;
  learner.acked = prepareStart - 1;
  learner.completed = false;
  reply(s, message, { source: "cache", prepareStart, mutations });
  // After the reply, so that on one connection the learner is ready for them; TRY_AGAIN covers the rest.
  resend(s, learner);
  return true;
}

function reply(s: ReplicaState, to: LearnMessage, fields: Partial<LearnReplyMessage>): void {
  send(s, to.from, {
    kind: "learnReply",
    body: {
      ...head(s),
      signature: to.signature,
      error: Err.OK,
      source: "cache",
      fromScratch: false,
      prepareStart: 0,
      committed: s.list.committed,
      reconcileEnd: s.reconcileEnd,
      mutations: [],
      ...fields,
    },
  });
}

/** A learner holds everything: ask meta to make it a member (§11.6). Repeats are harmless. */
export function onLearnCompletion(s: ReplicaState, message: LearnCompletionMessage): void {
  if (s.status !== "primary" || message.ballot !== s.ballot) return;
  const learner = s.learners.get(message.from);
  if (learner === undefined || learner.signature !== message.signature) return;
  if (learner.prepareStart === 0) {
    // A late or repeated LEARN began a round that the learner knows nothing of: both begin anew.
    return receiverFailed(s, learner, "out of step");
  }
  learner.heardAt = s.now;
  learner.completed = true;
  promote(s, learner);
}

function promote(s: ReplicaState, learner: Learner): void {
  if (s.reconfiguration !== undefined || !s.connected || s.closing) return;
  // Before reconciliation has ended, writes acknowledged in an earlier reign may be above the commit point:
  // a member that lacks them could be made primary next (I3, I8).
  if (s.list.committed < s.primary!.readableFrom) return;
  const config = withSecondary(s.config, learner.node);
  reconfigure(s, "UPGRADE_TO_SECONDARY", learner.node, config);
}

/** Whether a primary has nobody to teach, nothing new to tell and nothing to give away. */
export function isQuiet({ primary, learners, list }: ReplicaState): boolean {
  const { committedTold, handOverSince } = primary!;
  return learners.size === 0 && committedTold === list.committed && handOverSince === undefined;
}

/** Group checks, silent learners, promotions that had to wait. */
export function tickTeacher(s: ReplicaState): void {
  const primary = s.primary!;
  const { groupCheckIntervalMs, idleCommitMs } = s.settings;
  for (const learner of [...s.learners.values()]) {
    if (s.now - learner.heardAt > groupCheckIntervalMs * SILENT_GROUP_CHECKS) {
      receiverFailed(s, learner, "silent");
    }
  }
  const idle = s.list.committed > primary.committedTold && s.now - primary.toldAt >= idleCommitMs;
  if (idle || s.now - primary.groupCheckAt >= groupCheckIntervalMs) groupCheck(s);
  for (const learner of s.learners.values()) {
    if (learner.completed && s.status === "primary") return promote(s, learner);
  }
}
