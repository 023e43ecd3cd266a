// One replica of one partition: the state machine of docs/protocol.md, as a plain object. `step` takes one event and
// pushes effects; it never waits, reads a clock or throws because of what a peer did. The work is in the files
// next to this one, by concern; this one owns the state and says who hears what.

import { Err } from "../base/errors.ts";
import type { Now } from "../base/clock.ts";
import type { Ballot, Decree, NodeId, PartitionId } from "../base/ids.ts";
import type { PeerMessage } from "../schema/replica_rpc.ts";
import type { ReplicaReport, ReplicaStatus } from "../schema/types.ts";
import {
  condemn,
  failQueue,
  followCommit,
  maybeCheckpoint,
  onApplied,
  onCheckpointed,
} from "./execution.ts";
import type {
  Core,
  RecoveredState,
  ReplicaEffect,
  ReplicaEvent,
  ReplicaSettings,
  ReplicaView,
  WriteTranslator,
} from "./io.ts";
import { onDisk } from "./disk_room.ts";
import { freshAt, NEVER_FRESH } from "./freshness.ts";
import {
  onFetchFailed,
  onImageInstalled,
  onLearnReply,
  onLogFetched,
  tickLearner,
} from "./learner.ts";
import {
  continueHandOver,
  onConfig,
  onConfigReply,
  onDamaged,
  onMetaContact,
  onProposal,
  onRemoveReplica,
  tickMembership,
} from "./membership.ts";
import { encodedOf, PrepareList } from "./prepare_list.ts";
import {
  formMutations,
  onPrepareAck,
  onWrite,
  receiverFailed,
  resend,
  tickPrepares,
  tryCommit,
} from "./primary.ts";
import { onRejoin, onRejoinReply } from "./rejoin.ts";
import { advanceAck, flushAck, onGroupCheck, onPrepare } from "./secondary.ts";
import { SessionWindow } from "./session_window.ts";
import { NO_RECONCILE_END, type ReplicaState } from "./state.ts";
import { onTailQuery, onTailReport, tickTailCheck } from "./tail_check.ts";
import { isQuiet, onGroupCheckReply, onLearn, onLearnCompletion, tickTeacher } from "./teacher.ts";

/** What a replica is made from. */
export interface ReplicaOptions {
  readonly partition: PartitionId;
  readonly self: NodeId;
  /** Start of this process; larger than any earlier one of the same node. */
  readonly incarnation: number;
  readonly settings: ReplicaSettings;
  readonly translator: WriteTranslator;
  readonly recovered: RecoveredState;
  readonly maxReplicaCount: number;
  /** Decree from which on the private log certainly holds everything. @default Infinity */
  readonly logFirstDecree?: () => Decree;
}

/** Intervals below this are kept more exactly than to a second, ms. */
const SHORT_INTERVAL_MS = 2000;

/** See the file comment. */
export class ReplicaCore implements Core<ReplicaEvent, ReplicaEffect>, ReplicaView {
  readonly #s: ReplicaState;

  constructor(options: ReplicaOptions, now: Now) {
    this.#s = initialState(options, now);
    const { recovered } = options;
    this.#s.sessions.load(recovered.sessions, recovered.applied);
    for (const mutation of recovered.tail) {
      // Recovered from the own log: durable, under the ballot it was logged with.
      this.#s.list.put(mutation, encodedOf(mutation), 0, now.mono).logged = true;
      this.#s.timestampUs = Math.max(this.#s.timestampUs, mutation.timestampUs);
    }
    this.#s.commitTarget = recovered.committed;
  }

  get partition(): PartitionId {
    return this.#s.partition;
  }
  get status(): ReplicaStatus {
    return this.#s.status;
  }
  /** What is wrong with the rows here; undefined = nothing that is known (§13). */
  get damage(): string | undefined {
    return this.#s.damage;
  }
  get ballot(): Ballot {
    return this.#s.ballot;
  }
  get committed(): Decree {
    return this.#s.list.committed;
  }
  get applied(): Decree {
    return this.#s.applied;
  }
  get durable(): Decree {
    return this.#s.durable;
  }
  /** E(ballot) if known. */
  get reconcileEnd(): Decree | undefined {
    return this.#s.reconcileEnd === NO_RECONCILE_END ? undefined : this.#s.reconcileEnd;
  }
  /** Inactive only until meta's next word (It). */
  get transient(): boolean {
    return this.#s.transient;
  }
  /** Whether time brings a member nothing but group checks and checkpoints, until it hears something. */
  get settled(): boolean {
    const { status, applied, list, reconfiguration, vouchDue, settings } = this.#s;
    const interval = Math.min(settings.groupCheckIntervalMs, settings.checkpointIntervalMs);
    // Who is told of time once a second would be late for them.
    if (interval < SHORT_INTERVAL_MS) return false;
    if (applied !== list.maxPrepared || reconfiguration !== undefined || vouchDue) return false;
    return status === "secondary" || (status === "primary" && isQuiet(this.#s));
  }
  /** It may lack what it acknowledged, and does not lead because of that (§12.5). */
  get mayLack(): boolean {
    return this.#s.mayLack;
  }
  /** Its log may have lost its end, and it has not compared itself yet (§12.6). */
  get tailTorn(): boolean {
    return this.#s.tailTorn;
  }
  /** Whether an apply is running: an image may only be opened when none is. */
  get applying(): boolean {
    return this.#s.applying !== 0;
  }

  /** Status primary, reconciliation finished and applied (§8). The lease is checked by the caller, per read. */
  get readable(): boolean {
    const { primary, applied } = this.#s;
    return primary !== undefined && applied >= primary.readableFrom;
  }

  get freshAt(): number {
    return freshAt(this.#s);
  }

  /** The exactly-once window as of `applied`, for images. */
  get sessionsImage(): Uint8Array {
    return this.#s.sessions.image();
  }

  /** Signature of a learner, or 0: serving an image or log to anybody else is refused. */
  learnerSignature(node: NodeId): number {
    return this.#s.status === "primary" ? this.#s.learners.get(node)?.signature ?? 0 : 0;
  }

  report(): Omit<ReplicaReport, "bytes" | "disk"> {
    const s = this.#s;
    return {
      partition: s.partition,
      ballot: s.ballot,
      status: s.status,
      committed: s.list.committed,
      lastPrepared: s.list.lastPrepared,
      maxPrepared: s.list.maxPrepared,
      durable: s.durable,
      applied: s.applied,
      mutationBallot: s.list.newestBallot,
    };
  }

  step(event: ReplicaEvent, now: Now, out: ReplicaEffect[]): void {
    const s = this.#s;
    s.now = now.mono;
    s.wall = now.wall;
    s.out = out;
    if (s.status === "error" && event.kind !== "write") return;
    dispatch(s, event);
  }
}

function dispatch(s: ReplicaState, event: ReplicaEvent): void {
  switch (event.kind) {
    case "write":
      return onWrite(s, event.request);
    case "flush":
      s.gapAsked = 0;
      formMutations(s);
      return flushAck(s);
    case "message":
      return onMessage(s, event.message);
    case "appended":
      return onAppended(s, event.token);
    case "appendFailed":
      return condemn(s, `Log failed: ${event.reason}`);
    case "applied":
      onApplied(s, event.decree);
      tickLearner(s);
      return formMutations(s);
    case "applyFailed":
      return condemn(s, `Engine failed: ${event.reason}`);
    case "checkpointed":
      return onCheckpointed(s, event);
    case "checkpointFailed":
      return condemn(s, `Checkpoint failed: ${event.reason}`);
    case "damaged":
      return onDamaged(s, event.reason);
    case "imageInstalled":
      return onImageInstalled(s, event.decree, event.sessions);
    case "logFetched":
      return onLogFetched(s, event);
    case "fetchFailed":
      if (event.local) return condemn(s, `Learning failed here: ${event.reason}`);
      return onFetchFailed(s, event);
    case "config":
      return onConfig(s, event.config);
    case "configReply":
      return onConfigReply(s, event);
    case "proposal":
      return onProposal(s, event);
    case "metaContact":
      return onMetaContact(s, event.connected);
    case "peerDown":
      return onPeerDown(s, event.node);
    case "peerReconnected":
      return onPeerReconnected(s, event.node);
    case "disk":
      return onDisk(s, event.full);
    case "checkpointDue":
      if (s.applied > s.durable || s.applying !== 0) s.checkpointAt = -Infinity;
      return maybeCheckpoint(s);
    case "tick":
      return onTick(s);
    case "close":
      s.closing = true;
      return failQueue(s, Err.INVALID_STATE);
  }
}

function onMessage(s: ReplicaState, message: PeerMessage): void {
  const { from, incarnation } = message.body;
  const newest = s.incarnations.get(from) ?? 0;
  // What a process said before it died is void once its successor has spoken (§12.2).
  if (incarnation < newest) return;
  if (incarnation > newest) s.incarnations.set(from, incarnation);
  switch (message.kind) {
    case "prepare":
      return onPrepare(s, message.body);
    case "prepareAck":
      return onPrepareAck(s, message.body);
    case "groupCheck":
      return onGroupCheck(s, message.body);
    case "groupCheckReply":
      return onGroupCheckReply(s, message.body);
    case "rejoin":
      return onRejoin(s, message.body);
    case "rejoinReply":
      return onRejoinReply(s, message.body);
    case "learn":
      return onLearn(s, message.body);
    case "learnReply":
      return onLearnReply(s, message.body);
    case "learnCompletion":
      return onLearnCompletion(s, message.body);
    case "removeReplica":
      return onRemoveReplica(s, message.body);
    case "tailQuery":
      return onTailQuery(s, message.body);
    case "tailReport":
      return onTailReport(s, message.body);
  }
}

/** Appends up to `token` are durable: commit (primary) or acknowledge and follow (others). */
function onAppended(s: ReplicaState, token: number): void {
  let done = 0;
  while (done < s.appends.length && s.appends[done]!.token <= token) {
    const { token: own, decree } = s.appends[done++]!;
    const entry = decree === 0 ? undefined : s.list.get(decree);
    // A version that was replaced meanwhile does not make its successor durable.
    if (entry?.token === own) entry.logged = true;
  }
  if (done === 0) return;
  s.appends.splice(0, done);
  if (s.status === "primary") return tryCommit(s);
  advanceAck(s);
  flushAck(s);
  if (!followCommit(s)) return condemn(s, `Committed mutation ${s.list.committed + 1} is missing`);
  tickLearner(s);
}

function onPeerDown(s: ReplicaState, node: NodeId): void {
  if (s.status !== "primary") return;
  const receiver = s.primary!.secondaries.get(node) ?? s.learners.get(node);
  if (receiver !== undefined) receiverFailed(s, receiver, "process gone");
}

function onPeerReconnected(s: ReplicaState, node: NodeId): void {
  if (s.status !== "primary") return;
  const receiver = s.primary!.secondaries.get(node) ?? s.learners.get(node);
  if (receiver !== undefined) resend(s, receiver);
}

function onTick(s: ReplicaState): void {
  if (s.status === "primary") tickPrepares(s);
  if (s.status === "primary") tickTeacher(s);
  continueHandOver(s);
  tickLearner(s);
  tickMembership(s);
  tickTailCheck(s);
  maybeCheckpoint(s);
  followCommit(s, true);
}

function initialState(options: ReplicaOptions, now: Now): ReplicaState {
  const { recovered, settings, partition } = options;
  return {
    partition,
    self: options.self,
    incarnation: options.incarnation,
    settings,
    translator: options.translator,
    logFirstDecree: options.logFirstDecree ?? (() => Infinity),
    status: "inactive",
    transient: recovered.existed,
    restarted: recovered.existed,
    mayLack: recovered.existed && recovered.mayLack === true,
    vouchDue: false,
    tailTorn: recovered.existed && recovered.tornTail === true,
    tailCheck: undefined,
    damage: undefined,
    connected: false,
    closing: false,
    ballot: recovered.ballot,
    config: {
      partition,
      ballot: recovered.ballot,
      primary: "",
      secondaries: [],
      lastDrops: [],
      maxReplicaCount: options.maxReplicaCount,
      committedHint: 0,
    },
    primaryNode: "",
    reconcileEnd: NO_RECONCILE_END,
    adoptedCommitted: 0,
    reigning: false,
    list: new PrepareList(recovered.applied, recovered.mutationBallot ?? 0),
    sessions: new SessionWindow(settings.sessionsMax, settings.sessionResultsMax),
    commitTarget: recovered.applied,
    applied: recovered.applied,
    freshAt: NEVER_FRESH,
    heard: undefined,
    applying: 0,
    unappliedBytes: 0,
    durable: recovered.durable,
    checkpointing: 0,
    checkpointCounter: 0,
    checkpointAt: now.mono,
    diskFull: false,
    timestampUs: 0,
    appends: [],
    appendToken: 0,
    ackEnd: recovered.applied,
    ackDue: false,
    gapAsked: 0,
    primary: undefined,
    learners: new Map(),
    incarnations: new Map(),
    signatureCounter: 0,
    learner: undefined,
    hasLearned: recovered.existed,
    abandonedSignature: 0,
    reconfiguration: undefined,
    attemptCounter: 0,
    rejoinAt: 0,
    queue: [],
    queueHead: 0,
    pendingSessions: new Map(),
    now: now.mono,
    wall: now.wall,
    out: [],
  };
}
