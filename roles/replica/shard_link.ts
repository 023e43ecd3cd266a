// What the control part of a replica server knows of a shard, whether it runs in this thread (shard.ts) or in one
// of its own (shard_thread.ts), and what is said between two threads. Everything that crosses is plain data.
// Invariant: the steps of a start are taken in order, one shard after the other where they touch what shards
// share: `recover` reads logs that another shard's `recover` repairs. Page: docs/ARCHITECTURE.md, "Shards".

import type { NodeId } from "../../src/base/ids.ts";
import type { LogDetails, LogLevel } from "../../src/observe/logger.ts";
import type { FamilyDump } from "../../src/observe/metric.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import type { RpcSettings } from "../../src/rpc/contract.ts";
import type { StoragePlan } from "../../storage/data_dir.ts";
import type { SecurityOptions } from "../../src/rpc/security.ts";
import type { LevelOptions } from "../../storage/level_engine.ts";
import type { AuditEntry } from "../audit.ts";
import type { ShardCommand, ShardReport } from "./control_link.ts";
import type { ShardView } from "./replica_metrics.ts";
import type { ScrubSettings } from "./scrubber.ts";

/** Settings of both logs; names and bounds in src/config/replica_settings.ts. */
export interface LogSettings {
  readonly fsync: "group" | "none";
  readonly sharedLogSegmentBytes: number;
  readonly privateLogSegmentBytes: number;
  readonly privateLogSyncIntervalMs: number;
  readonly privateLogReserveBytes: number;
}

/** What a shard is started with. */
export interface ShardPlan {
  /** This shard's number and how many there are: it holds the partitions p with p mod count = shard. */
  readonly shard: number;
  readonly shardCount: number;
  /** Data directories and logs. */
  readonly storage: StoragePlan;
  /** See `isLow` of disk_space.ts. */
  readonly reserveBytes: number;
  /** See `stopBytes` of disk_room.ts. */
  readonly stopBytes: number;
  readonly cluster: string;
  /** "host:port" to listen on; port 0 takes a free one. */
  readonly listen: string;
  /** See nodeName(): the first shard finds the server's name. */
  readonly advertise: string;
  readonly replication: ReplicaSettings;
  readonly logs: LogSettings;
  readonly engine: LevelOptions;
  readonly sweepRowsPerSecond: number;
  readonly scrub: ScrubSettings;
  readonly rpc: Partial<RpcSettings>;
  readonly security: SecurityOptions;
  readonly dialMap: ReadonlyMap<string, string>;
  readonly httpPort: number;
  readonly version: string;
  /** Unix ms. */
  readonly startedAt: number;
}

/** Performs a maintenance command on the whole server. @throws {StoreError} INVALID_ARGUMENT */
export type RunRemote = (command: string, args: readonly string[]) => Promise<string>;

/** One shard, as the control part sees it. The first three steps come once and in this order. */
export interface ShardLink {
  /** Reads the logs, one shard at a time. @throws {FilesError | LayoutError} */
  recover(): Promise<void>;
  /** Opens the engines of what is stored. @returns How many replicas it has. */
  open(): Promise<number>;
  /**
   * Serves from now on. Not before every shard has recovered: from then on logs are given back.
   *
   * @param node Name of the server; "" = it follows from the address that is bound now.
   * @returns Bound "host:port".
   */
  listen(node: NodeId): Promise<string>;
  command(command: ShardCommand): void;
  view(): Promise<ShardView>;
  metrics(): Promise<readonly FamilyDump[]>;
  /** Its part of a maintenance command. @throws {StoreError} INVALID_ARGUMENT */
  remote: RunRemote;
  /** New settings of a running server. */
  configure(replication: ReplicaSettings): void;
  /** Refuses new work, answers what runs; the listener is closed when it resolves. */
  stopServing(): Promise<void>;
  /** Closes everything; resolves when the last engine is closed. Legal after any step. */
  close(): Promise<void>;
}

/** A question to a shard in another thread, by the method of its link. */
export type ShardQuestion =
  | { readonly ask: "recover" | "open" | "view" | "metrics" | "stopServing" | "close" }
  | { readonly ask: "listen"; readonly node: NodeId }
  | { readonly ask: "remote"; readonly command: string; readonly args: readonly string[] };

/** How a question ended. `code`: of a StoreError. */
export type Outcome =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly message: string; readonly code?: number };

/** To the thread of a shard. */
export type ToShard =
  /** First message. `memory`: see shared_memory.ts. */
  | { readonly kind: "start"; readonly plan: ShardPlan; readonly memory: SharedArrayBuffer }
  /** Answer to `clock`: the control part's monotonic ms. */
  | { readonly kind: "clock"; readonly mono: number }
  | { readonly kind: "question"; readonly id: number; readonly question: ShardQuestion }
  | { readonly kind: "command"; readonly command: ShardCommand }
  | { readonly kind: "configure"; readonly replication: ReplicaSettings }
  | { readonly kind: "remoteDone"; readonly id: number; readonly outcome: Outcome };

/** From the thread of a shard. */
export type FromShard =
  /** The module is loaded. */
  | { readonly kind: "loaded" }
  | { readonly kind: "clock" }
  | { readonly kind: "answer"; readonly id: number; readonly outcome: Outcome }
  | { readonly kind: "report"; readonly report: ShardReport }
  | { readonly kind: "audit"; readonly entry: AuditEntry }
  /** A maintenance command came in on this shard's port. */
  | {
    readonly kind: "remote";
    readonly id: number;
    readonly command: string;
    readonly args: readonly string[];
  }
  | {
    readonly kind: "log";
    readonly level: LogLevel;
    readonly message: string;
    readonly details: LogDetails | undefined;
  }
  /** An exception nobody caught: the state of this shard is unknown. */
  | { readonly kind: "fault"; readonly reason: string };
