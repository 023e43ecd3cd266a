// What operators and the meta leader ask replica servers about their load. Codes 150-159. Every shard answers
// for its own partitions, at its own port. Pages: docs/monitoring.md, "Watching a cluster".

import {
  bool,
  bytes,
  choice,
  f64,
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
import { defineRpc } from "./rpc.ts";
import { replicaStatus } from "./types.ts";

/** Sums for one replica stored here, since it came or the process started, and what it is now. */
export const partitionLoad = struct({
  partition: u53,
  status: replicaStatus,
  ballot: u53,
  committed: u53,
  applied: u53,
  durable: u53,
  lastPrepared: u53,
  /** Approximate bytes of the engine. */
  bytes: u53,
  /** Requests by operation, in the order of `operations`. */
  requests: list(u53, 64),
  /** Bytes of requests of writes, and of answers to reads. */
  writeBytes: u53,
  readBytes: u53,
  /** Units of 4 KiB, each request at least one. */
  writeUnits: u53,
  readUnits: u53,
  /** Requests answered with an error. */
  errors: u53,
});
export type PartitionLoad = Of<typeof partitionLoad>;

/** How long requests of one operation on one table took: how many up to each bound. */
export const tableLatency = struct({
  tableId: u32,
  operation: str,
  counts: list(u53, 64),
});

export const ReplicaLoad = defineRpc({
  code: 150,
  name: "replica_load",
  access: "admin",
  audited: false, // Meta asks every second.
  request: {},
  response: {
    /** Sender's monotonic clock, ms: rates are differences of two answers of one incarnation. */
    at: u53,
    incarnation: u53,
    shard: u16,
    /** Names of the operations counted. */
    operations: list(str, 64),
    partitions: list(partitionLoad, 65_536),
    /** Upper bounds in seconds; counts have one more, above all of them. */
    bounds: list(f64, 64),
    latencies: list(tableLatency, 100_000),
    /** Of the process, and of the heap of this shard. */
    residentBytes: u53,
    heapBytes: u53,
    /** Processor time of the process, ms. */
    cpuMs: u53,
    /** Of the shared log; a failed one is lost until a restart. */
    logBytes: withDefault(u53, 0),
    logFailed: withDefault(bool, false),
    /** A disk of this shard has no room: writes are refused. */
    diskFull: withDefault(bool, false),
  },
});

/** Finds the hash key that a partition is asked for most, in two steps (docs/monitoring.md, "Hot keys"). */
export const DetectHotkey = defineRpc({
  code: 151,
  name: "detect_hotkey",
  request: {
    partition: u53,
    kind: choice("read", "write"),
    action: choice("start", "stop", "query"),
  },
  response: {
    /** `failed`: there was none, or too few requests, until the time was over. */
    state: choice("stopped", "coarse", "fine", "finished", "failed"),
    /** Rows counted in the present step. */
    captured: u53,
    /** The key, once it is found. */
    hashKey: optional(bytes),
    /** Its share of the partition's rows while it was watched, 0 to 1. */
    share: f64,
  },
});
