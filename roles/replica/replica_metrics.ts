// What a shard and its control part tell to /metrics. What happens rarely is counted when it happens; what can
// be looked at is measured when somebody asks, so that nothing is followed for nobody.
// List: docs/metrics.md.

import type { Clock } from "../../src/base/clock.ts";
import { formatPartition, type PartitionId, type TableId, tableOf } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { HistogramSeries } from "../../src/observe/metric.ts";
import type { Metrics } from "../../src/observe/metrics.ts";
import type { NoteName, ReplicaEffect } from "../../src/replication/io.ts";
import type { ContactState } from "../../src/replication/server_io.ts";
import type { DiskInfo, ReplicaReport, ReplicaStatus } from "../../src/schema/types.ts";
import type { GroupObserver } from "../../storage/shared_log.ts";
import type { LeaseGate } from "./control_link.ts";
import type { ScrubCounters } from "./scrubber.ts";
import type { SweepCounters } from "./sweeper.ts";

const STATUSES: readonly ReplicaStatus[] = ["inactive", "error", "primary", "secondary", "learner"];
const DISK_STATES: readonly DiskInfo["state"][] = ["good", "low", "bad"];
const CONTACTS: readonly ContactState[] = ["disconnected", "connecting", "connected"];

/** What of a shard is looked at when somebody asks; plain data, because a shard may be another thread. */
export interface ShardView {
  readonly replicas: readonly ReplicaReport[];
  /** Names of the tables by number, as far as they are known. */
  readonly tableNames: ReadonlyMap<TableId, string>;
  readonly waitingRecords: number;
  readonly waitingThrottled: number;
  readonly abnormalReads: number;
  readonly sweep: Readonly<SweepCounters>;
  readonly sharedLog: { readonly bytes: number; readonly poisoned: boolean };
  readonly disksFull: number;
}

/** What of the control part is looked at. */
export interface ControlView {
  readonly contact: ContactState;
  readonly lease: LeaseGate;
  readonly disks: readonly DiskInfo[];
}

/** Measures what can be looked at in the control part. */
export function collectControl(
  metrics: Metrics,
  { contact, lease: gate, disks }: ControlView,
): void {
  const { lease, disk } = metrics;
  for (const family of [disk.totalBytes, disk.freeBytes, disk.state]) family.clear();
  for (const { tag, state, totalBytes, freeBytes } of disks) {
    disk.totalBytes.child(tag).set(totalBytes);
    disk.freeBytes.child(tag).set(freeBytes);
    for (const name of DISK_STATES) disk.state.child(tag, name).set(name === state ? 1 : 0);
  }
  lease.remainingSeconds.child().set(gate.remainingMs / 1000);
  for (const state of CONTACTS) lease.contact.child(state).set(state === contact ? 1 : 0);
}

/** See the file comment. */
export class ReplicaMetrics implements GroupObserver {
  readonly #metrics: Metrics;
  readonly #clock: Clock;
  readonly #syncSeconds: HistogramSeries;
  readonly #groupRecords: HistogramSeries;
  readonly #groupBytes: HistogramSeries;
  readonly #applySeconds: HistogramSeries;
  readonly #applyRows: HistogramSeries;

  constructor(metrics: Metrics, clock: Clock) {
    this.#metrics = metrics;
    this.#clock = clock;
    this.#syncSeconds = metrics.log.syncSeconds.child();
    this.#groupRecords = metrics.log.groupRecords.child();
    this.#groupBytes = metrics.log.groupBytes.child();
    this.#applySeconds = metrics.replication.applySeconds.child();
    this.#applyRows = metrics.replication.applyRows.child();
    for (const event of COUNTED) metrics.replication.events.child(event);
  }

  now(): number {
    return this.#clock.now().mono;
  }

  synced(records: number, bytes: number, ms: number): void {
    this.#syncSeconds.record(ms / 1000);
    this.#groupRecords.record(records);
    this.#groupBytes.record(bytes);
  }

  /** A batch of rows is in the database. */
  applied(rows: number, ms: number): void {
    this.#applySeconds.record(ms / 1000);
    this.#applyRows.record(rows);
  }

  /** Something happened inside a replica. */
  noted(event: NoteName): void {
    this.#metrics.replication.events.child(event).add();
  }

  /** A chunk of an image or a log arrived. */
  learned(bytes: number): void {
    this.#metrics.replication.learnBytes.child().add(bytes);
  }

  /** A request met a limit of its table. */
  throttled(kind: "read" | "write", verdict: "delay" | "reject"): void {
    this.#metrics.requests.throttled.child(kind, verdict).add();
  }

  /** Measures what can be looked at. `connections`: of the shard's listener. */
  collect(shard: ShardView, connections: number, scrub: Readonly<ScrubCounters>): void {
    const { log, requests, engine } = this.#metrics;
    this.#collectReplicas(shard);
    log.sharedBytes.child().set(shard.sharedLog.bytes);
    log.failed.child().set(shard.sharedLog.poisoned ? 1 : 0);
    log.disksFull.child().set(shard.disksFull);
    log.waiting.child().set(shard.waitingRecords);
    requests.throttledWaiting.child().set(shard.waitingThrottled);
    requests.abnormalReads.child().value = shard.abnormalReads;
    engine.scrubbedBytes.child().value = scrub.bytes;
    engine.scrubPasses.child().value = scrub.passes;
    engine.damaged.child().set(scrub.damaged);
    engine.sweepExamined.child().value = shard.sweep.examined;
    engine.sweepDeleted.child().value = shard.sweep.deleted;
    requests.connections.child().set(connections);
  }

  #collectReplicas({ replicas: reports, tableNames }: ShardView): void {
    const { replication, engine } = this.#metrics;
    const { replicas, uncommittedDecrees, unappliedDecrees, undurableDecrees } = replication;
    // A table that left this server leaves the metrics too.
    for (const family of [uncommittedDecrees, unappliedDecrees, undurableDecrees, engine.bytes]) {
      family.clear();
    }
    for (const status of STATUSES) replicas.child(status).set(0);
    for (const report of reports) {
      replicas.child(report.status).value++;
      const table = tableNames.get(tableOf(report.partition)) ?? "unknown";
      const { lastPrepared, committed, applied, durable } = report;
      uncommittedDecrees.child(table).value += Math.max(0, lastPrepared - committed);
      unappliedDecrees.child(table).value += Math.max(0, committed - applied);
      undurableDecrees.child(table).value += Math.max(0, applied - durable);
      engine.bytes.child(table).value += report.bytes;
    }
  }
}

/** Alerts are built on these: they are there with 0 before the first one. */
const COUNTED: readonly NoteName[] = ["condemned", "learn", "learned", "reconfigure", "gap"];

/** Writes what happened inside a replica to the log. */
export function logNote(
  logger: Logger,
  partition: PartitionId,
  note: Extract<ReplicaEffect, { kind: "note" }>,
): void {
  const details = { partition: formatPartition(partition), ...note.details };
  if (note.event === "condemned") logger.error("Replica condemned", details);
  else if (note.event === "unreadable") logger.warn("Write failed", details);
  else if (note.event === "gap" || note.event === "duplicate") {
    logger.debug(`Replica ${note.event}`, details);
  } else logger.info(`Replica ${note.event}`, details);
}
