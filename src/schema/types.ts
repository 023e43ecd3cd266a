// Records that appear in several messages.

import {
  bool,
  bytes,
  choice,
  dict,
  i53,
  list,
  type Of,
  optional,
  str,
  struct,
  u16,
  u32,
  u53,
  withDefault,
} from "./field.ts";

/**
 * The configuration of one partition, owned by meta. `ballot` versions it: +1 for every persisted change.
 * Members are primary and secondaries; learners are not members (docs/protocol.md, "Terms").
 */
export const partitionConfig = struct({
  partition: u53,
  ballot: u53,
  /** The primary, or "" while there is none. */
  primary: str,
  secondaries: list(str, 64),
  /** Members that were lost, newest last, at most 3. */
  lastDrops: list(str, 16),
  maxReplicaCount: u16,
  /** Hint: a decree known committed when this configuration was proposed. */
  committedHint: u53,
});
export type PartitionConfig = Of<typeof partitionConfig>;

/** Life-cycle state of a table. */
export const tableStatus = choice("creating", "available", "dropping", "dropped", "recalling");
export type TableStatus = Of<typeof tableStatus>;

/** A table as meta knows it. */
export const tableInfo = struct({
  tableId: u32,
  name: str,
  status: tableStatus,
  partitionCount: u32,
  maxReplicaCount: u16,
  /** Table environment variables (docs/data_api.md, "Table variables"). */
  envs: dict(str),
  /** Unix seconds; 0 = never. */
  createdAt: u53,
  droppedAt: u53,
  /** When the data of a dropped table may be removed, Unix seconds. */
  expiresAt: u53,
  /** Grows with every change of the table: of two descriptions the larger one is newer. */
  revision: withDefault(u53, 0),
});
export type TableInfo = Of<typeof tableInfo>;

/** Where the shards of one server listen: partition p is served by `ports[p mod ports.length]`. */
export const nodeAddress = struct({ node: str, shardPorts: list(u16, 1024) });
export type NodeAddress = Of<typeof nodeAddress>;

/** A replica's status (docs/protocol.md, "Status machine"). */
export const replicaStatus = choice("inactive", "error", "primary", "secondary", "learner");
export type ReplicaStatus = Of<typeof replicaStatus>;

/** What a server reports about one replica it stores. */
export const replicaReport = struct({
  partition: u53,
  ballot: u53,
  status: replicaStatus,
  committed: u53,
  lastPrepared: u53,
  maxPrepared: u53,
  durable: u53,
  applied: u53,
  /** Approximate bytes of the engine. */
  bytes: u53,
  /** Tag of its data directory; "" = not known. */
  disk: withDefault(str, ""),
  /** Largest ballot of a mutation it ever logged; unlike `ballot` it is not known from hearsay. */
  mutationBallot: withDefault(u53, 0),
});
export type ReplicaReport = Of<typeof replicaReport>;

/** How a configuration changes; names follow the original's CT_*. */
export const configChange = choice(
  "ASSIGN_PRIMARY",
  "UPGRADE_TO_PRIMARY",
  "PRIMARY_FORCE_UPDATE_BALLOT",
  "ADD_SECONDARY",
  "ADD_SECONDARY_FOR_LB",
  "UPGRADE_TO_SECONDARY",
  "DOWNGRADE_TO_SECONDARY",
  "DOWNGRADE_TO_INACTIVE",
  "REMOVE",
  "DROP_PARTITION",
);
export type ConfigChange = Of<typeof configChange>;

/** One row of a range read. `value` is absent when only keys were asked for. */
export const row = struct({ key: bytes, value: optional(bytes), expireTs: optional(u32) });
export type Row = Of<typeof row>;

/** Filter on a hash key or sort key. An empty pattern matches everything. */
export const filter = struct({
  type: choice("none", "anywhere", "prefix", "postfix", "exact"),
  pattern: bytes,
});
export type Filter = Of<typeof filter>;

/** A server process, told apart from its earlier incarnations by its start. */
export const incarnation = u53;

/** A data directory of a server. */
const diskInfo = struct({
  tag: str,
  path: str,
  /** "low": too little room for new replicas. "bad": not used. */
  state: choice("good", "low", "bad"),
  /** Of the disk it is on; 0 = not known. */
  totalBytes: u53,
  freeBytes: u53,
  replicas: u32,
  primaries: u32,
  /** Why it is not used; "" if it is. */
  reason: str,
});
export type DiskInfo = Of<typeof diskInfo>;

export const nodeStats = struct({
  replicas: u32,
  primaries: u32,
  diskTotalBytes: i53,
  diskFreeBytes: i53,
  draining: bool,
  disks: withDefault(list(diskInfo, 1000), []),
});
export type NodeStats = Of<typeof nodeStats>;
