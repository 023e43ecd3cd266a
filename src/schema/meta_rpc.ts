// What clients, operators and replica servers ask meta, and what meta tells replica servers. Codes 300-399.
// Standby metas answer FORWARD_TO_OTHERS; the frame's error detail then names the leader ("" = unknown).

import {
  bool,
  choice,
  dict,
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
import { defineMessage, defineRpc } from "./rpc.ts";
import {
  configChange,
  nodeAddress,
  nodeStats,
  partitionConfig,
  replicaReport,
  tableInfo,
  tableStatus,
} from "./types.ts";

// ---- routes -----------------------------------------------------------------------------------------

/** Routes of a table's partitions. An empty index list asks for all. */
export const QueryConfig = defineRpc({
  code: 300,
  name: "query_config",
  access: "user",
  request: { table: str, indices: list(u32, 65536) },
  response: {
    tableId: u32,
    partitionCount: u32,
    partitions: list(partitionConfig, 65536),
    nodes: list(nodeAddress, 10_000),
  },
});

// ---- servers ----------------------------------------------------------------------------------------

/** Replica server to meta, every beacon interval: I am alive; prolong my lease. */
export const Beacon = defineRpc({
  code: 310,
  name: "beacon",
  access: "server",
  request: {
    node: str,
    /** Identifies this start of the process; larger = newer. */
    incarnation: u53,
    /** Sender's monotonic clock, in ms; comes back unchanged. */
    sentAt: u53,
    shardPorts: list(u16, 1024),
    httpPort: u16,
    labels: dict(str, 64),
    /** Identity of the store whose tables this server holds; "" = of none yet. */
    store: withDefault(str, ""),
    /** How long an ack lets the sender serve, ms; below the leader's grace. 0 = not told (from an older server). */
    leaseMs: withDefault(u53, 0),
  },
  response: {
    sentAt: u53,
    /** Only an ack with `isLeader` and `allowed` prolongs the lease. */
    isLeader: bool,
    /** host:port of the leader, "" if unknown. */
    leader: str,
    allowed: bool,
    /** Changes whenever meta wants a config sync soon. */
    syncHint: u53,
    /** Identity of the leader's store, to be kept by a server that is allowed; "" = not told. */
    store: withDefault(str, ""),
    /** The leader waits for ReportStored. */
    wantsStored: withDefault(bool, false),
  },
});

/** What a server stores, against what meta wants it to store. BUSY while an answer could be premature. */
export const ConfigSync = defineRpc({
  code: 311,
  name: "config_sync",
  access: "server",
  request: {
    node: str,
    incarnation: u53,
    replicas: list(replicaReport, 1_000_000),
    stats: nodeStats,
  },
  response: {
    /** Every partition the asker serves. */
    configs: list(partitionConfig, 1_000_000),
    /** Tables of those partitions. */
    tables: list(tableInfo, 100_000),
    /** Stored replicas the asker may remove. */
    garbage: list(u53, 1_000_000),
    nodes: list(nodeAddress, 10_000),
    /** Asked by a server that is about to end: partitions that others will lead, if it waits. */
    handOver: withDefault(u32, 0),
  },
});

/** A primary (or designated primary) asks for the next configuration: ballot + 1, one change. */
export const UpdateConfig = defineRpc({
  code: 312,
  name: "update_config",
  access: "server",
  request: {
    change: configChange,
    node: str,
    from: str,
    incarnation: u53,
    config: partitionConfig,
  },
  response: {
    /** OK, INVALID_VERSION, STATE_FREEZED, ... */
    error: u16,
    /** What is stored now; absent if meta does not know the partition. */
    config: optional(partitionConfig),
  },
});

/** Meta to a replica server: please start this change. May be lost, late or repeated. */
export const ConfigProposal = defineMessage({
  code: 313,
  name: "config_proposal",
  body: {
    change: configChange,
    /** The node the change is about. */
    node: str,
    config: partitionConfig,
    table: tableInfo,
    nodes: list(nodeAddress, 10_000),
    /** An operator gave the partition's rows up: whoever becomes primary may begin with nothing. */
    empty: withDefault(bool, false),
    /** The incarnation of the receiver that it is meant for; 0 = whichever is there (from an older meta server). */
    incarnation: withDefault(u53, 0),
  },
});
export type ConfigProposalMessage = Of<typeof ConfigProposal.request>;

// ---- tables -----------------------------------------------------------------------------------------

export const CreateTable = defineRpc({
  code: 320,
  name: "create_table",
  request: {
    name: str,
    partitionCount: u32,
    maxReplicaCount: u16,
    envs: dict(str),
    /** OK instead of APP_EXIST if a table with the same options exists. */
    successIfExists: bool,
  },
  response: { tableId: u32 },
});

export const DropTable = defineRpc({
  code: 321,
  name: "drop_table",
  access: "user",
  audited: true,
  request: {
    name: str,
    /** 0 = the cluster's default. */ reserveSeconds: u53,
    successIfNotExists: bool,
  },
  response: { expiresAt: u53 },
});

export const RecallTable = defineRpc({
  code: 322,
  name: "recall_table",
  request: { tableId: u32, /** "" = the old name. */ newName: str },
  response: { table: tableInfo },
});

export const RenameTable = defineRpc({
  code: 323,
  name: "rename_table",
  access: "user",
  audited: true,
  request: { oldName: str, newName: str },
  response: {},
});

/** How many partitions of a table are in which health (docs/client.md, "Administration"). */
export const tableHealth = struct({
  tableId: u32,
  healthy: u32,
  unhealthy: u32,
  writeUnhealthy: u32,
  readUnhealthy: u32,
});

export const ListTables = defineRpc({
  code: 324,
  name: "list_tables",
  access: "user",
  request: { status: optional(tableStatus) },
  response: { tables: list(tableInfo, 100_000), health: list(tableHealth, 100_000) },
});

export const UpdateTableEnvs = defineRpc({
  code: 325,
  name: "update_table_envs",
  access: "user",
  audited: true,
  request: {
    table: str,
    action: choice("set", "delete", "clear"),
    set: dict(str),
    /** delete: keys. clear: prefixes; none = everything. */
    keys: list(str, 10_000),
  },
  response: { envs: dict(str) },
});

export const SetMaxReplicaCount = defineRpc({
  code: 326,
  name: "set_max_replica_count",
  access: "user",
  audited: true,
  request: { table: str, maxReplicaCount: u16 },
  response: { previous: u16 },
});

// ---- cluster ----------------------------------------------------------------------------------------

export const nodeInfo = struct({
  node: str,
  alive: bool,
  incarnation: u53,
  shardPorts: list(u16, 1024),
  httpPort: u16,
  replicas: u32,
  primaries: u32,
  /** Milliseconds since the last beacon. */
  beaconAgeMs: u53,
  stats: optional(nodeStats),
  /** Where it is: zone, rack, host. */
  labels: withDefault(dict(str, 64), new Map<string, string>()),
});
export type NodeInfo = Of<typeof nodeInfo>;

export const ListNodes = defineRpc({
  code: 330,
  name: "list_nodes",
  access: "user",
  request: {},
  response: { nodes: list(nodeInfo, 10_000) },
});

export const functionLevel = choice("stopped", "blind", "freezed", "steady", "lively");
export type FunctionLevel = Of<typeof functionLevel>;

export const ClusterInfo = defineRpc({
  code: 331,
  name: "cluster_info",
  access: "user",
  request: {},
  response: {
    cluster: str,
    metaServers: list(str, 64),
    primaryMeta: str,
    coordinator: str,
    level: functionLevel,
    /** Rows for the shell: name and value, e.g. balance figures. */
    details: dict(str),
  },
});

/** Reads the level, or sets it when `level` is present. */
export const ControlMeta = defineRpc({
  code: 332,
  name: "control_meta",
  request: { level: optional(functionLevel) },
  response: { level: functionLevel, previous: functionLevel },
});

/** An operator's proposal for one partition. */
export const Propose = defineRpc({
  code: 333,
  name: "propose",
  request: {
    partition: u53,
    change: configChange,
    target: str,
    node: str,
    force: bool,
    /** Only with ASSIGN_PRIMARY: the server holds no replica and begins with nothing. */
    empty: withDefault(bool, false),
  },
  response: {},
});

/** One step towards equal shares. */
export const balanceMove = struct({
  partition: u53,
  /** The copying kinds have one member more for a while. */
  kind: choice("movePrimary", "copyPrimary", "copySecondary"),
  from: str,
  to: str,
});
export type BalanceMove = Of<typeof balanceMove>;

/**
 * Reads what the balancer does and would do next, starts a run until nothing is left, stops it. `plan`: as
 * `status`, with all moves up to equal shares in `next`.
 */
export const Balance = defineRpc({
  code: 334,
  name: "balance",
  request: { action: choice("status", "start", "stop", "plan") },
  response: {
    running: bool,
    /** Why no round can begin now; "" = it can. */
    waitsFor: str,
    /** Partitions that are moving. */
    moving: u32,
    /** Moves begun since the run started. */
    started: u53,
    /** The next round; empty while it waits, or if shares are equal. */
    next: list(balanceMove, 2000),
    /** Moves up to equal shares, those that are under way not counted. */
    remaining: withDefault(u32, 0),
    /** There are more than that: the plan does not look further ahead. */
    isMore: withDefault(bool, false),
  },
});

/** Moves one replica, or one leadership, as an operator wants it; later rounds of the balancer may move it again. */
export const MoveReplica = defineRpc({
  code: 337,
  name: "move_replica",
  request: { move: balanceMove },
  response: {},
});

/** Marks a replica server as drained: it gives everything away and gets nothing; or unmarks it. */
export const Drain = defineRpc({
  code: 335,
  name: "drain",
  request: { node: str, drained: bool },
  response: { /** All drained servers afterwards. */ drained: list(str, 10_000) },
});

/** Forgets a dead replica server that no configuration counts on. */
export const ForgetNode = defineRpc({
  code: 336,
  name: "forget_node",
  request: { node: str },
  response: {},
});

/** A named maintenance command run on one server; answered by every role. */
export const RemoteCommand = defineRpc({
  code: 340,
  name: "remote_command",
  request: { command: str, args: list(str, 1000) },
  response: { output: str },
});
