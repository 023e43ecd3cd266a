// What a shard shows becomes gauges of now, and a table that left leaves them.

import assert from "node:assert/strict";
import { LeaseGate } from "../../../roles/replica/control_link.ts";
import {
  collectControl,
  ReplicaMetrics,
  type ShardView,
} from "../../../roles/replica/replica_metrics.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { openMetrics } from "../../../src/observe/metrics.ts";
import type { ReplicaReport } from "../../../src/schema/types.ts";

const NAMES: ReadonlyMap<number, string> = new Map([[1, "users"], [2, "temp"]]);

function report(table: number, index: number, part: Partial<ReplicaReport>): ReplicaReport {
  return {
    partition: partitionId(table, index),
    ballot: 1,
    status: "secondary",
    committed: 10,
    lastPrepared: 10,
    maxPrepared: 10,
    durable: 10,
    applied: 10,
    bytes: 0,
    disk: "",
    mutationBallot: 1,
    ...part,
  };
}

function viewOf(replicas: readonly ReplicaReport[]): ShardView {
  return {
    replicas,
    tableNames: NAMES,
    waitingRecords: 3,
    waitingThrottled: 2,
    abnormalReads: 5,
    sweep: { examined: 100, deleted: 7, passes: 0, compactions: 0 },
    sharedLog: { bytes: 4096, poisoned: true },
    disksFull: 1,
  };
}

function open() {
  const clock = { now: () => ({ mono: 1000, wall: 50_000 }) };
  const registry = openMetrics();
  const metrics = new ReplicaMetrics(registry.live, clock);
  const lease = new LeaseGate(clock);
  lease.set(3500, 52_000);
  const collect = async (view: ShardView) => {
    metrics.collect(view, 4, { bytes: 5000, passes: 3, damaged: 1 });
    const disks = [{
      ...{ tag: "ssd1", path: "/a", state: "low" as const, totalBytes: 100, freeBytes: 7 },
      ...{ replicas: 1, primaries: 1, reason: "" },
    }];
    collectControl(registry.live, { contact: "connecting", lease, disks });
    return (await registry.text()).split("\n");
  };
  return { metrics, collect };
}

Deno.test("ReplicaMetrics sums lag and bytes by table and counts replicas by status", async () => {
  const { collect } = open();
  const lines = await collect(viewOf([
    report(1, 0, { status: "primary", lastPrepared: 15, applied: 8, durable: 2, bytes: 1000 }),
    report(1, 1, { lastPrepared: 11, bytes: 24 }),
    report(2, 0, { status: "learner", lastPrepared: 4, committed: 9, applied: 9 }),
  ]));
  for (
    const line of [
      'pegasus_disk_free_bytes{disk="ssd1"} 7',
      'pegasus_disk_state{disk="ssd1",state="low"} 1',
      'pegasus_disk_state{disk="ssd1",state="good"} 0',
      'pegasus_replicas{status="primary"} 1',
      'pegasus_replicas{status="learner"} 1',
      'pegasus_replicas{status="error"} 0',
      'pegasus_replica_uncommitted_decrees{table="users"} 6',
      'pegasus_replica_uncommitted_decrees{table="temp"} 0',
      'pegasus_replica_unapplied_decrees{table="users"} 2',
      'pegasus_replica_undurable_decrees{table="users"} 6',
      'pegasus_engine_bytes{table="users"} 1024',
      "pegasus_log_shared_bytes 4096",
      "pegasus_log_failed 1",
      "pegasus_disks_full 1",
      "pegasus_log_waiting_records 3",
      "pegasus_throttled_waiting_requests 2",
      "pegasus_abnormal_reads_total 5",
      "pegasus_sweep_deleted_rows_total 7",
      "pegasus_scrub_bytes_total 5000",
      "pegasus_engine_damaged 1",
      "pegasus_connections 4",
      "pegasus_lease_remaining_seconds 2",
      'pegasus_meta_contact{state="connecting"} 1',
      'pegasus_meta_contact{state="connected"} 0',
      'pegasus_replica_events_total{event="condemned"} 0',
    ]
  ) assert.ok(lines.includes(line), line);
});

Deno.test("ReplicaMetrics forgets a table that left", async () => {
  const { collect } = open();
  await collect(viewOf([report(1, 0, {}), report(2, 0, {})]));
  const lines = await collect(viewOf([report(2, 0, {})]));
  assert.ok(!lines.some((line) => line.includes('table="users"')));
  assert.ok(lines.includes('pegasus_replicas{status="secondary"} 1'));
});

Deno.test("ReplicaMetrics counts what happens", async () => {
  const { metrics, collect } = open();
  metrics.noted("condemned");
  metrics.learned(500);
  metrics.learned(12);
  metrics.throttled("write", "reject");
  metrics.applied(32, 2);
  metrics.synced(64, 9000, 0.7);
  const lines = await collect(viewOf([]));
  for (
    const line of [
      'pegasus_replica_events_total{event="condemned"} 1',
      "pegasus_replica_learn_bytes_total 512",
      'pegasus_throttled_requests_total{kind="write",verdict="reject"} 1',
      'pegasus_replica_apply_seconds_bucket{le="0.0025"} 1',
      'pegasus_replica_apply_rows_bucket{le="16"} 0',
      'pegasus_replica_apply_rows_bucket{le="32"} 1',
      'pegasus_log_group_records_bucket{le="64"} 1',
      "pegasus_log_group_bytes_sum 9000",
      'pegasus_log_sync_seconds_bucket{le="0.0005"} 0',
      'pegasus_log_sync_seconds_bucket{le="0.001"} 1',
    ]
  ) assert.ok(lines.includes(line), line);
});
