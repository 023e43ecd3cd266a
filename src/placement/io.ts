// What goes into meta's state machine and what comes out of it. The core (meta.ts) takes one event
// at a time and pushes effects; it never waits, reads a clock or talks to anybody.
// roles/meta/meta_driver.ts performs the effects on real machines, tests/sim/ under the simulator.
// Invariant: whatever an effect shows to anybody - an answer, a proposal - was confirmed by the
// store before. The rules are in docs/meta.md.

import type { NodeId } from "../base/ids.ts";
import {
  Balance,
  Beacon,
  ClusterInfo,
  type ConfigProposalMessage,
  ConfigSync,
  ControlMeta,
  CreateTable,
  Drain,
  DropTable,
  ForgetNode,
  type FunctionLevel,
  ListNodes,
  ListTables,
  MoveReplica,
  Propose,
  QueryConfig,
  RecallTable,
  RenameTable,
  SetMaxReplicaCount,
  UpdateConfig,
  UpdateTableEnvs,
} from "../schema/meta_rpc.ts";
import { DropUser, Grant, ListUsers, PutUser, SyncUsers } from "../schema/access_rpc.ts";
import { BlackList, DddDiagnose, Recover, ReportStored } from "../schema/operator_rpc.ts";
import type { RequestOf, ResponseOf } from "../schema/rpc.ts";

/** What identifies a request to the driver; the core only hands it back. */
export type Token = unknown;

/** The requests that the core answers, by name. The driver registers a handler for each. */
export const META_REQUESTS = {
  queryConfig: QueryConfig,
  beacon: Beacon,
  configSync: ConfigSync,
  updateConfig: UpdateConfig,
  createTable: CreateTable,
  dropTable: DropTable,
  recallTable: RecallTable,
  renameTable: RenameTable,
  listTables: ListTables,
  updateTableEnvs: UpdateTableEnvs,
  setMaxReplicaCount: SetMaxReplicaCount,
  listNodes: ListNodes,
  clusterInfo: ClusterInfo,
  controlMeta: ControlMeta,
  propose: Propose,
  balance: Balance,
  moveReplica: MoveReplica,
  drain: Drain,
  forgetNode: ForgetNode,
  putUser: PutUser,
  dropUser: DropUser,
  listUsers: ListUsers,
  grant: Grant,
  syncUsers: SyncUsers,
  recover: Recover,
  reportStored: ReportStored,
  blackList: BlackList,
  dddDiagnose: DddDiagnose,
} as const;

/** Name of a request. */
export type MetaRequestName = keyof typeof META_REQUESTS;

/** Body of a request by its name. */
export type MetaBody<Name extends MetaRequestName> = RequestOf<(typeof META_REQUESTS)[Name]>;

/** Response to a request by its name. */
export type MetaAnswer<Name extends MetaRequestName> = ResponseOf<(typeof META_REQUESTS)[Name]>;

/** One request, decoded. */
export type MetaRequest = {
  [Name in MetaRequestName]: { readonly name: Name; readonly body: MetaBody<Name> };
}[MetaRequestName];

/** One node of the store as read; the same shape as in src/coordination/coordinator.ts. */
export interface StoredValue {
  readonly path: string;
  readonly value: Uint8Array;
  readonly version: number;
}

/** What a replica server says it holds. */
export type Stock = RequestOf<typeof ReportStored>;

/** One change of an atomic group; the same shape as in src/coordination/coordinator.ts. */
export type StoreChange =
  | { readonly op: "delete"; readonly path: string; readonly version: number }
  | { readonly op: "create"; readonly path: string; readonly value: Uint8Array }
  | {
    readonly op: "set";
    readonly path: string;
    readonly value: Uint8Array;
    readonly version: number;
  };

/**
 * How a store effect ended. `refused`: a condition did not hold or the reign is over; nothing
 * changed. `unknown`: it may have happened.
 */
export type StoreResult =
  | { readonly kind: "done"; readonly versions: readonly number[] }
  | { readonly kind: "refused"; readonly reason: string }
  | { readonly kind: "unknown"; readonly reason: string };

export type MetaEvent =
  /** Time passes. Every 100 ms. */
  | { readonly kind: "tick" }
  /**
   * Until when, on the monotonic clock, this process may act as leader without hearing from the
   * store again. Told before anything else whenever it changed.
   */
  | { readonly kind: "leaderUntil"; readonly mono: number }
  | { readonly kind: "elected"; readonly epoch: number }
  | { readonly kind: "following"; readonly leader: NodeId }
  | { readonly kind: "lost"; readonly reason: string }
  /** Answer to the load effect of the same reign: every node below "/", in any order. */
  | {
    readonly kind: "loaded";
    readonly epoch: number;
    readonly nodes: readonly StoredValue[];
    /** Identity for a store that has none: never the same twice, also not by one process. */
    readonly newStoreId: string;
  }
  /** Answer to the store effect of the same number. */
  | { readonly kind: "stored"; readonly write: number; readonly result: StoreResult }
  /**
   * Answer to the readBack effect: the nodes in the order of its paths; `nodes` undefined = reading
   * failed.
   */
  | {
    readonly kind: "readBack";
    readonly write: number;
    readonly nodes: readonly (StoredValue | undefined)[] | undefined;
  }
  | { readonly kind: "request"; readonly token: Token; readonly request: MetaRequest }
  /** Everybody who would lead if this process did not, and itself. */
  | { readonly kind: "candidates"; readonly names: readonly string[] }
  /** A connection with a server broke: it may have crashed. */
  | { readonly kind: "connectionLost"; readonly node: NodeId }
  /**
   * Answer to the probe effect: the server's own address refused a connection that was dialed at
   * `probedAt`, monotonic ms.
   */
  | { readonly kind: "refused"; readonly node: NodeId; readonly probedAt: number };

export type MetaEffect =
  /**
   * Read the whole tree; report `loaded`. Repeat by itself while reading fails and the reign lasts.
   */
  | { readonly kind: "load"; readonly epoch: number }
  /** Write all changes or none, in the name of the reign; report `stored`. */
  | {
    readonly kind: "store";
    readonly epoch: number;
    readonly write: number;
    readonly changes: readonly StoreChange[];
  }
  /** Read these nodes; report `readBack`. */
  | { readonly kind: "readBack"; readonly write: number; readonly paths: readonly string[] }
  /** Dial the server's address, a few times, and report `refused` if nobody listens there. */
  | { readonly kind: "probe"; readonly node: NodeId }
  /** One-way, may be lost. */
  | { readonly kind: "send"; readonly to: NodeId; readonly message: ConfigProposalMessage }
  | { readonly kind: "reply"; readonly token: Token; readonly response: unknown }
  | {
    readonly kind: "fail";
    readonly token: Token;
    readonly error: number;
    readonly detail: string;
  }
  /**
   * Somebody else wrote what only the leader writes, or the store's content is unusable: stop this
   * process.
   */
  | { readonly kind: "abdicate"; readonly reason: string }
  /** For logs and the simulator's coverage counters. */
  | {
    readonly kind: "note";
    readonly event: MetaNote;
    readonly details: Readonly<Record<string, unknown>>;
  };

/** Things worth knowing that happened inside the core. */
export type MetaNote =
  | "leading"
  | "stopped"
  | "nodeAlive"
  | "nodeDead"
  | "nodeRestarted"
  | "detectorPaused"
  | "staleBeacon"
  | "config"
  | "refusedChange"
  | "unknownReplica"
  | "noCandidate"
  | "cureGivenUp"
  | "storeUnknown"
  | "table"
  | "level"
  | "balance"
  | "drain"
  | "users"
  | "foreignServer"
  | "notListed"
  | "leaseTooLong"
  | "nodeUnstable"
  | "blackList"
  | "recovery";

/** Intervals, limits and policies. All times in ms. */
export interface MetaSettings {
  /**
   * How long a server may serve after an acknowledged beacon was sent; known here to check
   * `graceMs`.
   */
  readonly leaseMs: number;
  /** A server without a beacon for so long is dead. Longer than `leaseMs`. */
  readonly graceMs: number;
  readonly failureCheckMs: number;
  /**
   * A refused connection to a server's own address proves that its process is gone: no need to wait for
   * the end of the grace period. Wrong where a firewall refuses in a server's name.
   */
  readonly fastFailover: boolean;
  readonly cureIntervalMs: number;
  /** A lost member is expected back for so long before another server gets its place. */
  readonly replicaAssignDelayMs: number;
  /** A proposal that brought nothing for so long makes another candidate preferred. */
  readonly proposalGiveUpMs: number;
  /** Members being added at the same time, per receiving server. */
  readonly addSecondaryMax: number;
  /** A server that was restarted so often, each time within `unstableWindowMs` of the last, is unstable; 0 = never. */
  readonly unstableRestarts: number;
  readonly unstableWindowMs: number;
  /** An idle replica beside a partition that was whole for so long is garbage. */
  readonly garbageDelayMs: number;
  /** Servers that may join, "host:port,host:port"; "" = every server. */
  readonly allowList: string;
  readonly functionLevel: FunctionLevel;
  /** Percent of the known servers that must be alive; fewer freeze the cluster. */
  readonly alivePercentMin: number;
  readonly partitionCountMax: number;
  /** Default life of a dropped table's data, seconds. */
  readonly dropReserveSeconds: number;
  /** Partition nodes written in one group while a table is made. */
  readonly storeBatch: number;
}

/** Defaults of {@link MetaSettings}. */
export const META_DEFAULTS: MetaSettings = {
  leaseMs: 5000,
  graceMs: 6000,
  failureCheckMs: 500,
  fastFailover: true,
  cureIntervalMs: 1000,
  replicaAssignDelayMs: 30_000,
  proposalGiveUpMs: 10_000,
  addSecondaryMax: 20,
  unstableRestarts: 5,
  unstableWindowMs: 600_000,
  garbageDelayMs: 600_000,
  allowList: "",
  functionLevel: "steady",
  alivePercentMin: 50,
  partitionCountMax: 1024,
  dropReserveSeconds: 604_800,
  storeBatch: 100,
};
