// The state of one replica, shared by the parts of its state machine (primary.ts, secondary.ts, learner.ts,
// teacher.ts, membership.ts, execution.ts), and the few helpers all of them use. Only replica.ts creates it.
//
// Always: durable <= applied <= committed <= maxPrepared (docs/protocol.md, "Terms").

import type { Ballot, Decree, NodeId, PartitionId } from "../base/ids.ts";
import { minMembers as minMembersOf } from "../schema/partition_config.ts";
import type { PartitionConfig, ReplicaStatus } from "../schema/types.ts";
import type { ConfigChange } from "../schema/types.ts";
import type { PeerMessage } from "../schema/replica_rpc.ts";
import type {
  AppendRecord,
  NoteName,
  ReplicaEffect,
  ReplicaSettings,
  WriteRequest,
  WriteTranslator,
} from "./io.ts";
import type { PendingReply, PrepareList } from "./prepare_list.ts";
import type { SessionWindow } from "./session_window.ts";
import type { TailCheck } from "./tail_check.ts";

/** "No reconcile end known": a ballot record with it truncates nothing. */
export const NO_RECONCILE_END = Number.MAX_SAFE_INTEGER;

/** What the primary knows of one receiver of its prepares. */
export interface Receiver {
  readonly node: NodeId;
  /** Everything up to here is logged by the receiver under the current ballot. */
  acked: Decree;
  /** Everything up to here has been sent under the current ballot. */
  sent: Decree;
  /** When the newest prepare, or resend, left; monotonic ms. */
  sentAt: number;
  /** Start of this relation, monotonic ms: timeouts never count time before it. */
  readonly since: number;
}

/** A learner as its primary sees it (§11). */
export interface Learner extends Receiver {
  readonly signature: number;
  /** From this decree on the learner gets prepares and counts; 0 = not yet. */
  prepareStart: Decree;
  /** Last sign of life, monotonic ms. */
  heardAt: number;
  /** The learner says it holds everything. */
  completed: boolean;
}

/** A configuration change asked of meta and not yet answered. At most one (§9.1). */
export interface Reconfiguration {
  readonly attempt: number;
  readonly change: ConfigChange;
  readonly node: NodeId;
  readonly config: PartitionConfig;
  sentAt: number;
}

/** What only a primary has. */
export interface PrimaryState {
  readonly secondaries: Map<NodeId, Receiver>;
  /** Reads and new writes wait until this decree is applied (§8, §10.3). */
  readonly readableFrom: Decree;
  groupCheckAt: number;
  /** Commit point last told to the members, and when. */
  committedTold: Decree;
  toldAt: number;
  /** Since when it has been giving the partition away: no new mutation is formed. */
  handOverSince: number | undefined;
  /** Members whose disks have no room for writes. */
  readonly fullMembers: Set<NodeId>;
}

/**
 * Where a learner stands: `starting` waits for a running apply; `asking` has sent LEARN or waits to send it again;
 * `fetching` copies an image or log; `catching` has the cache and takes prepares; `learned` waits to be promoted.
 */
export type LearnPhase = "starting" | "asking" | "fetching" | "catching" | "learned";

/** What only a learner has. */
export interface LearnerState {
  readonly primary: NodeId;
  readonly signature: number;
  phase: LearnPhase;
  prepareStart: Decree;
  /** Copies an image where the primary offers its log. Changes with every copy that fails. */
  avoidsLog: boolean;
  /** When to ask again, monotonic ms. */
  retryAt: number;
  rounds: number;
  /** Last group check of the primary with this signature, monotonic ms. */
  heardAt: number;
}

/** See the file comment. */
export interface ReplicaState {
  readonly partition: PartitionId;
  readonly self: NodeId;
  readonly incarnation: number;
  readonly settings: ReplicaSettings;
  readonly translator: WriteTranslator;
  /** Decree from which on the own log certainly holds everything; asked when a learner comes. */
  readonly logFirstDecree: () => Decree;

  status: ReplicaStatus;
  /** Inactive, but only between two configurations (It); a former P or S. */
  transient: boolean;
  /** This process has not yet been confirmed in the role the configuration gives it (§12.2). */
  restarted: boolean;
  /** Restarted with a log that may lack what was acknowledged; nobody has vouched for it since (§12.5). */
  mayLack: boolean;
  /** Somebody has vouched for it, and the next checkpoint says so. */
  vouchDue: boolean;
  /** The log ended in bytes that are no records, and nobody has shown since that it lacks nothing (§12.6). */
  tailTorn: boolean;
  /** The question to other members that runs because of that. */
  tailCheck: TailCheck | undefined;
  /** What is wrong with the rows here: the copy gives way to the others (§13). */
  damage: string | undefined;
  connected: boolean;
  closing: boolean;
  ballot: Ballot;
  /** The newest configuration known in full; its ballot may be below `ballot`. */
  config: PartitionConfig;
  /** Who leads at `ballot`; "" if unknown. */
  primaryNode: NodeId;
  /** E(ballot), or NO_RECONCILE_END while unknown. */
  reconcileEnd: Decree;
  /** Commit point at the moment `ballot` was adopted; 0 if that was before a restart. */
  adoptedCommitted: Decree;
  /** Nobody else can have led since this replica last did: it is, or may become again, the same reign. */
  reigning: boolean;

  list: PrepareList;
  sessions: SessionWindow;
  /** Highest decree known to be committed by a primary; the own commit point follows as far as the log goes. */
  commitTarget: Decree;
  applied: Decree;
  /** As a follower: when the rows were complete last, and what is still to be applied for the next time (freshness.ts). */
  freshAt: number;
  heard: { readonly decree: Decree; readonly at: number } | undefined;
  /** Last decree of the apply that is running; 0 = none. */
  applying: Decree;
  /** Bytes committed since the last apply began. */
  unappliedBytes: number;
  durable: Decree;
  /** The checkpoint that runs; 0 = none. An image ends it: what it still answers is of other rows. */
  checkpointing: number;
  checkpointCounter: number;
  checkpointAt: number;
  /** No room for writes on the own disk. */
  diskFull: boolean;
  /** Newest timestamp seen in any mutation, microseconds. */
  timestampUs: number;

  /** Appends that are not durable yet, oldest first: which entry each makes logged (decree 0 = none). */
  readonly appends: { token: number; decree: Decree }[];
  appendToken: number;

  /** As secondary or learner: everything up to here is logged under the current ballot. */
  ackEnd: Decree;
  ackDue: boolean;
  /** The missing decree that was asked for in this batch of input; 0 = none. */
  gapAsked: Decree;

  primary: PrimaryState | undefined;
  readonly learners: Map<NodeId, Learner>;
  /** Newest incarnation heard of each peer; what older ones say is void (§12.2). */
  readonly incarnations: Map<NodeId, number>;
  signatureCounter: number;
  learner: LearnerState | undefined;
  /**
   * This replica has told its primary that it holds everything, perhaps before its process ended, and has dropped
   * nothing since. It may have been made a member meanwhile, whatever it has become: if a configuration says so, it
   * is one.
   */
  hasLearned: boolean;
  /** Newest signature under which this process learned and gave up. */
  abandonedSignature: number;
  reconfiguration: Reconfiguration | undefined;
  attemptCounter: number;
  rejoinAt: number;

  queue: WriteRequest[];
  queueHead: number;
  /** Exactly-once writes in flight: session -> sequence -> who waits. */
  readonly pendingSessions: Map<number, Map<number, PendingReply>>;

  /** Set at the start of every step. */
  now: number;
  wall: number;
  out: ReplicaEffect[];
}

/** Pushes an append effect; the entry of `decree` becomes logged when it is durable. */
export function append(s: ReplicaState, record: AppendRecord): number {
  const token = ++s.appendToken;
  s.appends.push({ token, decree: record.kind === "mutation" ? record.decree : 0 });
  s.out.push({ kind: "append", token, record });
  return token;
}

/** Pushes a send effect. */
export function send(s: ReplicaState, to: NodeId, message: PeerMessage): void {
  s.out.push({ kind: "send", to, message });
}

/** The head every peer message carries. */
export function head(
  s: ReplicaState,
): { partition: PartitionId; from: NodeId; incarnation: number; ballot: Ballot } {
  return { partition: s.partition, from: s.self, incarnation: s.incarnation, ballot: s.ballot };
}

/** Pushes a note. */
export function note(s: ReplicaState, event: NoteName, details: Record<string, unknown>): void {
  s.out.push({ kind: "note", event, details });
}

/** Fewest live members to accept a write (§5.1). */
export function minMembers(s: ReplicaState): number {
  if (s.settings.minReplicaCount > 0) return s.settings.minReplicaCount;
  return minMembersOf(s.config.maxReplicaCount);
}

/** Nothing it ever acknowledged is missing (§12.5): written down with the next checkpoint, which is due now. */
export function vouched(s: ReplicaState): void {
  s.vouchDue ||= s.mayLack;
  s.mayLack = false;
  s.tailTorn = false;
  s.tailCheck = undefined;
}

/** Whether the replica takes prepares from the current primary. */
export function isFollower(s: ReplicaState): boolean {
  return s.status === "secondary" ||
    (s.status === "learner" && (s.learner?.phase === "catching" || s.learner?.phase === "learned"));
}
