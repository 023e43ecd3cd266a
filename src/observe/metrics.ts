// Every metric of the product, once. The handle is the only way to record, so a typo does not compile, and
// docs/metrics.md is generated from here. Names say the subject first and the base unit last; labels have
// few values: operations, tables, errors, kinds of events - never keys, clients or partitions.

import {
  counter,
  type Declarations,
  gauge,
  histogram,
  type Live,
  MetricRegistry,
} from "./metric.ts";

/** Sizes of groups: 1 to 4096. */
const COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096];
/** Bytes of groups: 256 B to 16 MiB. */
const BYTES = [256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/** Requests of clients, operators and servers. */
const REQUESTS = {
  operationSeconds: histogram({
    name: "pegasus_operation_seconds",
    labels: ["operation", "table"],
    doc: "Time from reading a data operation off the socket to its answer",
  }),
  operationRequestBytes: counter({
    name: "pegasus_operation_request_bytes_total",
    labels: ["operation", "table"],
    doc: "Bytes of the requests of data operations",
  }),
  operationResponseBytes: counter({
    name: "pegasus_operation_response_bytes_total",
    labels: ["operation", "table"],
    doc: "Bytes of the answers to data operations",
  }),
  capacityUnits: counter({
    name: "pegasus_capacity_units_total",
    labels: ["kind", "table"],
    doc:
      "Units of 4 KiB that answered reads returned and answered writes carried, at least one each",
  }),
  rpcSeconds: histogram({
    name: "pegasus_rpc_seconds",
    labels: ["rpc"],
    doc: "Time from reading any other request off the socket to its answer",
  }),
  errors: counter({
    name: "pegasus_request_errors_total",
    labels: ["rpc", "error"],
    doc: "Requests answered with an error, by the error's name; TIMEOUT: not answered in time",
  }),
  throttled: counter({
    name: "pegasus_throttled_requests_total",
    labels: ["kind", "verdict"],
    doc: "Reads and writes above a limit of their table: made to wait (delay) or refused (reject)",
  }),
  throttledWaiting: gauge({
    name: "pegasus_throttled_waiting_requests",
    doc: "Requests that wait now because of a limit of their table",
  }),
  abnormalReads: counter({
    name: "pegasus_abnormal_reads_total",
    doc: "Reads that took longer or returned more than their table's marks; the log has samples",
  }),
  connections: gauge({
    name: "pegasus_connections",
    doc: "Connections accepted that stand now",
  }),
};

/** Replicas of this server. */
const REPLICATION = {
  replicas: gauge({
    name: "pegasus_replicas",
    labels: ["status"],
    doc: "Replicas stored here by status",
  }),
  uncommittedDecrees: gauge({
    name: "pegasus_replica_uncommitted_decrees",
    labels: ["table"],
    doc: "Prepared and not known committed: the sum over the replicas of a table",
  }),
  unappliedDecrees: gauge({
    name: "pegasus_replica_unapplied_decrees",
    labels: ["table"],
    doc: "Committed and not yet in the engine: the sum over the replicas of a table",
  }),
  undurableDecrees: gauge({
    name: "pegasus_replica_undurable_decrees",
    labels: ["table"],
    doc: "In the engine and only durable through the logs: the sum over the replicas of a table",
  }),
  events: counter({
    name: "pegasus_replica_events_total",
    labels: ["event"],
    doc:
      "What happened inside replicas, by name; among others ballot, reconcile, learn (it began), " +
      "learned, gap, reconfigure (a member was removed), condemned (the replica is damaged)",
  }),
  learnBytes: counter({
    name: "pegasus_replica_learn_bytes_total",
    doc: "Bytes of images and logs received from primaries",
  }),
  applySeconds: histogram({
    name: "pegasus_replica_apply_seconds",
    doc: "Time to write one batch of committed rows into the database",
  }),
  applyRows: histogram({
    name: "pegasus_replica_apply_rows",
    bounds: COUNTS,
    doc: "Rows in one such batch",
  }),
};

/** Logs. */
const LOG = {
  syncSeconds: histogram({
    name: "pegasus_log_sync_seconds",
    doc: "Time to write and sync one group of records of the shared log",
  }),
  groupRecords: histogram({
    name: "pegasus_log_group_records",
    bounds: COUNTS,
    doc: "Records in one group: how many prepares share a sync",
  }),
  groupBytes: histogram({
    name: "pegasus_log_group_bytes",
    bounds: BYTES,
    doc: "Bytes of one group",
  }),
  sharedBytes: gauge({
    name: "pegasus_log_shared_bytes",
    doc: "Bytes of all segments of the shared log",
  }),
  failed: gauge({
    name: "pegasus_log_failed",
    doc: "1 after a write or sync of the shared log failed: the shard is lost until a restart",
  }),
  disksFull: gauge({
    name: "pegasus_disks_full",
    together: "max",
    doc: "Directories of data and logs on disks without room for writes, which are refused until " +
      "there is some",
  }),
  waiting: gauge({
    name: "pegasus_log_waiting_records",
    doc: "Records appended and not yet durable",
  }),
};

/** Engines. */
const ENGINE = {
  bytes: gauge({
    name: "pegasus_engine_bytes",
    labels: ["table"],
    doc: "Approximate bytes of the engines, as of their last checkpoints",
  }),
  scrubbedBytes: counter({
    name: "pegasus_scrub_bytes_total",
    doc: "Bytes of tables read in the search for damage",
  }),
  scrubPasses: counter({
    name: "pegasus_scrub_passes_total",
    doc: "Passes over all tables in the search for damage",
  }),
  damaged: gauge({
    name: "pegasus_engine_damaged",
    doc: "Replicas known to be damaged that serve on, because they are the last copy",
  }),
  sweepExamined: counter({
    name: "pegasus_sweep_examined_rows_total",
    doc: "Rows looked at in the search for expired ones",
  }),
  sweepDeleted: counter({
    name: "pegasus_sweep_deleted_rows_total",
    doc: "Expired rows deleted on the primaries here",
  }),
};

/** Data directories. */
const DISK = {
  totalBytes: gauge({
    name: "pegasus_disk_total_bytes",
    labels: ["disk"],
    doc: "Size of the disk of a data directory, by the directory's tag",
  }),
  freeBytes: gauge({
    name: "pegasus_disk_free_bytes",
    labels: ["disk"],
    doc: "What is free of it",
  }),
  state: gauge({
    name: "pegasus_disk_state",
    labels: ["disk", "state"],
    doc: "1 for the state that holds: good, low (no room for new replicas), bad (not used)",
  }),
};

/** Contact with meta. */
const LEASE = {
  remainingSeconds: gauge({
    name: "pegasus_lease_remaining_seconds",
    doc: "How long this server may go on serving without another beacon; 0 = it must not serve",
  }),
  contact: gauge({
    name: "pegasus_meta_contact",
    labels: ["state"],
    doc: "1 for the state that holds: disconnected, connecting, connected",
  }),
};

/** Meta servers. */
const META = {
  role: gauge({
    name: "pegasus_meta_role",
    labels: ["role"],
    doc: "1 for the role of this meta server: standby, loading, leading",
  }),
  nodes: gauge({
    name: "pegasus_meta_nodes",
    labels: ["state"],
    doc: "Replica servers the leader knows, alive and dead",
  }),
  partitions: gauge({
    name: "pegasus_meta_partitions",
    labels: ["table", "health"],
    doc: "Partitions by health: healthy, degraded (writable, a member is missing), unwritable " +
      "(not more than half of the members, with more than two wanted), unreadable (no primary)",
  }),
  availability: gauge({
    name: "pegasus_availability_ratio",
    labels: ["window"],
    doc:
      "Share of the probes that wrote and read their row, in the last minute, hour and day; absent " +
      "without the probe table (docs/monitoring.md)",
  }),
  probes: counter({
    name: "pegasus_probes_total",
    labels: ["result"],
    doc: "Probes of a partition of the probe table: ok, failed",
  }),
  hotPartitions: gauge({
    name: "pegasus_hot_partitions",
    labels: ["table", "kind"],
    doc: "Partitions that are asked for much more than the others of their table",
  }),
  pendingActions: gauge({
    name: "pegasus_meta_pending_actions",
    doc: "Partitions that are on their way to another configuration",
  }),
  events: counter({
    name: "pegasus_meta_events_total",
    labels: ["event"],
    doc: "What happened in meta, by name; among others nodeDead, config (one was stored), " +
      "cureGivenUp, noCandidate (nobody can lead a partition), foreignServer (it holds data of " +
      "another store)",
  }),
};

/** The process. */
const PROCESS = {
  info: gauge({
    name: "pegasus_build_info",
    labels: ["version", "role", "cluster", "deno"],
    doc: "Always 1; the labels say what runs",
  }),
  startTime: gauge({
    name: "process_start_time_seconds",
    doc: "Unix time of the start of the process",
  }),
  cpuSeconds: counter({
    name: "process_cpu_seconds_total",
    doc: "Processor time used by the process",
  }),
  residentBytes: gauge({
    name: "process_resident_memory_bytes",
    doc: "Resident memory",
  }),
  openFds: gauge({
    name: "process_open_fds",
    doc: "Open file descriptors",
  }),
  heapUsedBytes: gauge({
    name: "pegasus_heap_used_bytes",
    doc: "Used bytes of the JavaScript heap",
  }),
  heapTotalBytes: gauge({
    name: "pegasus_heap_allocated_bytes",
    doc: "Allocated bytes of the JavaScript heap",
  }),
  externalBytes: gauge({
    name: "pegasus_external_memory_bytes",
    doc: "Buffers outside the JavaScript heap",
  }),
  loopDelaySeconds: histogram({
    name: "pegasus_event_loop_delay_seconds",
    doc: "How late a timer fires: for so long nothing else was done",
  }),
};

/** All metrics in the order of the documentation. */
export const METRICS = {
  requests: REQUESTS,
  replication: REPLICATION,
  log: LOG,
  engine: ENGINE,
  disk: DISK,
  lease: LEASE,
  meta: META,
  process: PROCESS,
} as const satisfies Declarations;

/** The live metrics of a process. */
export type Metrics = Live<typeof METRICS>;

/** Makes the metrics of one process. */
export function openMetrics(): MetricRegistry<typeof METRICS> {
  return new MetricRegistry(METRICS);
}
