// What an operator does about what meta cannot decide or has lost: recovery of its store, lost partitions, servers
// that get nothing new, export. Codes 380-389. See docs/meta.md, "Recovery", "Cure", "Export and import".

import { bool, choice, list, type Of, optional, str, struct, u32, u53 } from "./field.ts";
import { defineRpc } from "./rpc.ts";
import { partitionConfig, replicaReport, tableInfo } from "./types.ts";

/** Replica server to a meta leader that asked for it, to rebuild what its store has lost: what I hold. */
export const ReportStored = defineRpc({
  code: 380,
  name: "report_stored",
  access: "server",
  request: {
    node: str,
    incarnation: u53,
    /** Identity of the store the data belongs to. */
    store: str,
    /** It still has a lease: what it holds may change. */
    isServing: bool,
    /** Tables of its replicas as last heard of. */
    tables: list(tableInfo, 100_000),
    replicas: list(replicaReport, 1_000_000),
  },
  response: {},
});

/** Rebuilds an empty store from what replica servers hold. */
export const Recover = defineRpc({
  code: 381,
  name: "recover",
  request: {
    action: choice("status", "start"),
    /** Servers to ask; empty = all that have shown themselves. */
    nodes: list(str, 10_000),
    /** Go on without servers that do not answer. */
    skipBadNodes: bool,
    /** Partitions that nobody holds become empty. */
    skipLostPartitions: bool,
  },
  response: {
    state: choice("idle", "waiting", "asking", "writing", "done", "failed"),
    /** What it waits for, or how it ended. */
    detail: str,
    /** Findings, one per line. */
    lines: list(str, 100_000),
  },
});

/** Servers that keep what they have and get no new replica. Survives everything. */
export const BlackList = defineRpc({
  code: 383,
  name: "black_list",
  request: { action: choice("show", "add", "remove"), node: str },
  response: { nodes: list(str, 10_000) },
});

/** A server's part in a partition that nobody can lead. */
export const lostMember = struct({
  node: str,
  alive: bool,
  /** It has said what it stores since it came back. */
  collected: bool,
  /** Its replica; absent = it has none, or has not said. */
  report: optional(replicaReport),
});

/** A partition that nobody can lead. */
export const lostPartition = struct({
  table: str,
  config: partitionConfig,
  /** Why meta does not decide by itself. */
  reason: str,
  /** Whom an operator may choose with the least loss; "" = nobody has data and is alive. */
  choice: str,
  /** Decrees that were committed and that the choice lacks. */
  lost: u53,
  nodes: list(lostMember, 1000),
});
export type LostPartition = Of<typeof lostPartition>;

/** Partitions that have no primary and get none by themselves. */
export const DddDiagnose = defineRpc({
  code: 384,
  name: "ddd_diagnose",
  request: { /** 0 = all tables. */ tableId: u32 },
  response: { partitions: list(lostPartition, 100_000) },
});

/** The whole state of meta, as a file that `pegasus meta --import` takes. */
export const ExportState = defineRpc({
  code: 382,
  name: "export_state",
  audited: true,
  request: {},
  response: { text: str },
});
