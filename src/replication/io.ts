// What goes into a replica's state machine and what comes out of it. The core (replica.ts) takes one event
// at a time and pushes effects; it never waits, reads a clock or touches a disk. A driver performs the effects
// in order and feeds results back as events: roles/replica/replica_driver.ts on real machines,
// tests/sim/ under the simulator. The rules are in docs/protocol.md; §n names its paragraphs.

import type { ErrorCode } from "../base/errors.ts";
import type { Ballot, Decree, NodeId, PartitionId } from "../base/ids.ts";
import type { Now } from "../base/clock.ts";
import type {
  ConfigChange,
  PartitionConfig,
  ReplicaReport,
  ReplicaStatus,
} from "../schema/types.ts";
import type { Mutation } from "../schema/mutation.ts";
import type { PeerMessage } from "../schema/replica_rpc.ts";
import type { WriteOp } from "./write_op.ts";

/** What identifies a request to the driver; the core only hands it back. */
export type Token = unknown;

/** One client write, decoded and checked by the driver. */
export interface WriteRequest {
  readonly token: Token;
  readonly op: WriteOp;
  /** 0: no exactly-once. */
  readonly session: number;
  readonly sequence: number;
  readonly answeredBelow: number;
  /** Approximate bytes, for bounding queues and mutations. */
  readonly bytes: number;
}

export type ReplicaEvent =
  /** A client write. Queued; `flush` turns the queue into mutations. */
  | { readonly kind: "write"; readonly request: WriteRequest }
  /** End of a batch of input: form mutations from queued writes, send merged acks. */
  | { readonly kind: "flush" }
  | { readonly kind: "message"; readonly message: PeerMessage }
  /** Every append effect with a token <= this one is durable. */
  | { readonly kind: "appended"; readonly token: number }
  /** The log is poisoned: this replica is lost (§13). */
  | { readonly kind: "appendFailed"; readonly reason: string }
  /** Every mutation up to `decree` is in the engine. */
  | { readonly kind: "applied"; readonly decree: Decree }
  | { readonly kind: "applyFailed"; readonly reason: string }
  /** Answer to the checkpoint effect: the state up to `decree` survives power loss; 0 = nothing came of it. */
  | { readonly kind: "checkpointed"; readonly attempt: number; readonly decree: Decree }
  | { readonly kind: "checkpointFailed"; readonly reason: string }
  /** Something that is stored here is not what was written. Repeated as long as the replica goes on. */
  | { readonly kind: "damaged"; readonly reason: string }
  /** The image asked for by fetchImage is installed, durable, and has replaced engine and log generation. */
  | {
    readonly kind: "imageInstalled";
    readonly signature: number;
    readonly decree: Decree;
    readonly sessions: Uint8Array;
  }
  /** A chunk of the log asked for by fetchLog. `done` with the last one. */
  | {
    readonly kind: "logFetched";
    readonly signature: number;
    readonly mutations: readonly Mutation[];
    readonly done: boolean;
  }
  /** fetchImage or fetchLog failed. `local`: by this server's own disk or engine. */
  | {
    readonly kind: "fetchFailed";
    readonly signature: number;
    readonly local: boolean;
    readonly reason: string;
  }
  /** What meta says now (config sync). The newest persisted configuration; self may be no member. */
  | { readonly kind: "config"; readonly config: PartitionConfig }
  /** Answer to the updateConfig effect of the same attempt. */
  | {
    readonly kind: "configReply";
    readonly attempt: number;
    readonly error: number;
    readonly config: PartitionConfig | undefined;
  }
  | {
    readonly kind: "proposal";
    readonly change: ConfigChange;
    readonly node: NodeId;
    readonly config: PartitionConfig;
  }
  /** Contact with meta (the lease) is lost or regained. */
  | { readonly kind: "metaContact"; readonly connected: boolean }
  /** Connecting to a peer was refused or failed for good: its process is gone. */
  | { readonly kind: "peerDown"; readonly node: NodeId }
  /** The connection to a peer broke and is back: messages in flight may be lost. */
  | { readonly kind: "peerReconnected"; readonly node: NodeId }
  /** The disk has no room for writes any more, or has it again. */
  | { readonly kind: "disk"; readonly full: boolean }
  /** An operator wants what is applied now to survive power loss soon: the next checkpoint is due. */
  | { readonly kind: "checkpointDue" }
  /** Time passes. Every 20-100 ms. */
  | { readonly kind: "tick" }
  /** The server is stopping, and has given away what it led as far as it could: refuse new writes. */
  | { readonly kind: "close" };

/** Record to append to both logs; `ballot` records carry the adopted ballot and the reconcile end. */
export type AppendRecord =
  | { readonly kind: "mutation"; readonly decree: Decree; readonly payload: Uint8Array }
  | { readonly kind: "ballot"; readonly ballot: Ballot; readonly reconcileEnd: Decree };

export type ReplicaEffect =
  /** Append to the shared and private log, in order; report `appended` with the token when durable. */
  | { readonly kind: "append"; readonly token: number; readonly record: AppendRecord }
  | { readonly kind: "send"; readonly to: NodeId; readonly message: PeerMessage }
  /** Apply these consecutive mutations to the engine, one batch; report `applied`. At most one is outstanding. */
  | { readonly kind: "apply"; readonly mutations: readonly Mutation[] }
  /** Answer a client. `error` 0 carries the decree and, for operations that return something, `result`. */
  | {
    readonly kind: "reply";
    readonly token: Token;
    readonly error: ErrorCode;
    readonly decree: Decree;
    readonly result: Uint8Array | undefined;
  }
  /** Make the state at `decree` durable: write `sessions` under its key, flush the engine, write the manifest. */
  | {
    readonly kind: "checkpoint";
    readonly attempt: number;
    readonly decree: Decree;
    readonly ballot: Ballot;
    /** Nothing that was acknowledged is missing (§12.5). */
    readonly whole: boolean;
    readonly sessions: Uint8Array;
  }
  /** Replace engine content by an image of the primary's; then imageInstalled or fetchFailed. */
  | {
    readonly kind: "fetchImage";
    readonly from: NodeId;
    readonly signature: number;
    readonly ballot: Ballot;
  }
  /** Fetch logged mutations from..to of the primary; then logFetched (several) or fetchFailed. */
  | {
    readonly kind: "fetchLog";
    readonly from: NodeId;
    readonly signature: number;
    readonly first: Decree;
    readonly last: Decree;
  }
  /** Ignore further results of fetches with another signature, and stop them. */
  | { readonly kind: "cancelFetch" }
  /** Ask meta for the next configuration. Resent by the core, with the same attempt, until answered. */
  | {
    readonly kind: "updateConfig";
    readonly attempt: number;
    readonly change: ConfigChange;
    readonly node: NodeId;
    readonly config: PartitionConfig;
  }
  /** Meta should hear from this server soon (its view and ours differ). */
  | { readonly kind: "requestConfigSync" }
  /** The replica is finished: close it. `damaged`: move it aside; otherwise its files stay, they may be needed again. */
  | { readonly kind: "close"; readonly reason: string; readonly damaged: boolean }
  /** For logs and the simulator's coverage counters. */
  | {
    readonly kind: "note";
    readonly event: NoteName;
    readonly details: Readonly<Record<string, unknown>>;
  };

/** Things worth knowing that happened inside the core. */
export type NoteName =
  | "status"
  | "ballot"
  | "truncate"
  | "reconcile"
  | "learn"
  | "learned"
  | "learnerForgotten"
  | "reconfigure"
  | "rejoin"
  | "tail"
  | "gap"
  | "duplicate"
  /** A write was refused because a row that it depends on cannot be read. */
  | "unreadable"
  /** The own disk, or that of a member, is full or has room again. */
  | "disk"
  | "condemned";

/** State a replica starts from: nothing for a new one, otherwise what its manifest, engine and logs hold. */
export interface RecoveredState {
  readonly ballot: Ballot;
  /** Everything up to here is in the engine. */
  readonly applied: Decree;
  readonly durable: Decree;
  /** Highest committed decree the log headers prove; >= applied. */
  readonly committed: Decree;
  /** Largest ballot of a logged mutation, also of those that were applied. @default 0: unknown */
  readonly mutationBallot?: Ballot;
  /** Logged mutations above `applied`, one per decree, ascending; holes are allowed. */
  readonly tail: readonly Mutation[];
  /** Image of the exactly-once window as of `applied`. */
  readonly sessions: Uint8Array;
  /** True for a replica that existed before this process started. */
  readonly existed: boolean;
  /** Its log may lack what it has acknowledged: written without fsync, and power may have been lost (§12.5). */
  readonly mayLack?: boolean;
  /** The log ended in bytes that are no records: torn, or damaged after they were confirmed (§12.6). */
  readonly tornTail?: boolean;
}

/** What a new replica starts from. */
export const NEW_REPLICA: RecoveredState = {
  ballot: 0,
  applied: 0,
  durable: 0,
  committed: 0,
  tail: [],
  sessions: new Uint8Array(0),
  existed: false,
};

/** Limits and intervals of the core; src/config/settings.ts declares their defaults and bounds. */
export interface ReplicaSettings {
  /** Mutations between assignment and commit. */
  readonly inflightMutationsMax: number;
  /** Bytes of one mutation's body that close a batch. */
  readonly mutationBytesMax: number;
  /** Queued client writes per partition; more answer BUSY. */
  readonly queuedWritesMax: number;
  /** Committed mutations kept in memory for learners: count and bytes. */
  readonly cacheMutationsMax: number;
  readonly cacheBytesMax: number;
  /** A member that has not acknowledged for so long is removed. */
  readonly prepareTimeoutMs: number;
  readonly learnerPrepareTimeoutMs: number;
  /** A prepare unanswered for so long is sent again. */
  readonly prepareResendMs: number;
  readonly groupCheckIntervalMs: number;
  /** Uncommitted knowledge on secondaries is pushed after so long without traffic. */
  readonly idleCommitMs: number;
  readonly reconfigureResendMs: number;
  readonly learnRetryMs: number;
  /** A checkpoint is taken after so long, or so many decrees, if anything was applied. */
  readonly checkpointIntervalMs: number;
  readonly checkpointDecrees: number;
  /** Fewest live members to accept a write; 0 = from max_replica_count (§5.1). */
  readonly minReplicaCount: number;
  /** Bounds of the exactly-once window (docs/protocol.md, "Exactly once"). */
  readonly sessionsMax: number;
  readonly sessionResultsMax: number;
}

/** Looks up rows while an operation is translated: the newest value including everything in flight. */
export interface PendingView {
  /** Stored value bytes, `null` if deleted by a write in flight, `undefined` if none in flight touches the key. */
  lookup(key: Uint8Array): Uint8Array | null | undefined;
}

/** What translating one write gives. */
export interface Translation {
  readonly error: ErrorCode;
  /** Encoded `result` of the response, if the operation returns something. */
  readonly result: Uint8Array | undefined;
}

/**
 * Turns a client's operation into physical puts and deletes, once, on the primary (§5 determinism). The engine
 * side lives in storage/translate.ts. Must not be given time or chance but the arguments.
 */
export interface WriteTranslator {
  /**
   * Appends the operation's physical effects to `ops` (src/schema/mutation_body.ts). With an error other than OK
   * nothing may be appended. `op` kinds that return results encode them with their schema.
   *
   * @throws If a row that the operation depends on cannot be read: the write is refused, as not done.
   */
  translate(op: WriteOp, timestampUs: number, pending: PendingView, ops: PhysicalOp[]): Translation;
}

/** One physical operation: what replicas log and apply. `value` undefined = delete. */
export interface PhysicalOp {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** A replica as the driver and other parts of the server see it. */
export interface ReplicaView {
  readonly partition: PartitionId;
  readonly status: ReplicaStatus;
  readonly ballot: Ballot;
  readonly committed: Decree;
  readonly applied: Decree;
  readonly durable: Decree;
  /** Whether this replica may answer linearizable reads as far as replication goes; the lease is checked apart. */
  readonly readable: boolean;
  /**
   * As a follower: monotonic ms at which it last held everything its primary had acknowledged, as far as its
   * primary said; the time that word travelled apart. -Infinity if never.
   */
  readonly freshAt: number;
  report(): Omit<ReplicaReport, "bytes" | "disk">;
}

/** One step of a pure core. */
export interface Core<Event, Effect> {
  /** Takes one event at `now` and pushes what the driver must do, in order. */
  step(event: Event, now: Now, out: Effect[]): void;
}
