// What a shard tells of its load: sums of requests by partition, latencies by table, and the search for hot keys.
// Asked by the meta leader (roles/meta/collector.ts) and by the shell. List: docs/monitoring.md, "Watching a cluster".

import nodeProcess from "node:process";
import type { Clock } from "../../src/base/clock.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { type PartitionId, tableOf } from "../../src/base/ids.ts";
import { SECONDS } from "../../src/observe/metric.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import { DetectHotkey, type PartitionLoad, ReplicaLoad } from "../../src/schema/load_rpc.ts";
import type { ResponseOf } from "../../src/schema/rpc.ts";
import type { ReplicaReport } from "../../src/schema/types.ts";
import {
  OPERATIONS,
  PartitionCounts,
  type RequestMetrics,
  type TableName,
} from "../request_metrics.ts";
import { HotKeys } from "./hot_keys.ts";

/** What is told is taken from here. */
export interface LoadSource {
  readonly clock: Clock;
  readonly incarnation: number;
  readonly shard: number;
  readonly requests: RequestMetrics;
  /** Whether the partition's replica is open here. */
  readonly holds: (partition: PartitionId) => boolean;
  readonly reports: () => readonly ReplicaReport[];
  readonly tableName: TableName;
  /** The shared log. */
  readonly log: { readonly bytes: number; readonly poisoned: boolean };
  /** Whether a disk has no room for writes. */
  readonly isFull: () => boolean;
}

const TICK_MS = 1000;

/** Registers the handlers. @returns A function that ends the searches. */
export function registerLoad(server: RpcServer, source: LoadSource): () => void {
  const { clock, requests, holds } = source;
  const hotKeys = new HotKeys(() => clock.now().mono);
  requests.holds = holds;
  requests.watch = hotKeys;
  server.handle(ReplicaLoad, (_request, call) => call.reply(loadOf(source)));
  server.handle(DetectHotkey, (request, call) => {
    if (!holds(request.partition)) {
      return call.fail(Err.OBJECT_NOT_FOUND, "The partition has no replica here");
    }
    try {
      call.reply(hotKeys.ask(request));
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      call.fail(error.code, error.detail);
    }
  });
  const timer = setInterval(() => hotKeys.tick(), TICK_MS);
  return () => clearInterval(timer);
}

function loadOf(
  { clock, incarnation, shard, requests, reports, tableName, log, isFull }: LoadSource,
): ResponseOf<typeof ReplicaLoad> {
  requests.tablesChanged();
  const stored = reports();
  requests.keepOnly(new Set(stored.map(({ partition }) => partition)));
  const { rss, heapUsed } = Deno.memoryUsage();
  const { user, system } = nodeProcess.cpuUsage();
  return {
    at: Math.floor(clock.now().mono),
    incarnation,
    shard,
    operations: [...OPERATIONS],
    partitions: stored.map((report) => loadOfReplica(report, requests)),
    bounds: [...SECONDS],
    latencies: latenciesOf(
      requests,
      new Set(stored.map(({ partition }) => tableOf(partition))),
      tableName,
    ),
    residentBytes: rss,
    heapBytes: heapUsed,
    cpuMs: Math.round((user + system) / 1000),
    logBytes: log.bytes,
    logFailed: log.poisoned,
    diskFull: isFull(),
  };
}

const NOTHING = new PartitionCounts();

function loadOfReplica(report: ReplicaReport, requests: RequestMetrics): PartitionLoad {
  const counts = requests.countsOf(report.partition) ?? NOTHING;
  const { partition, status, ballot, committed, applied, durable, lastPrepared, bytes } = report;
  const { writeBytes, readBytes, writeUnits, readUnits, errors } = counts;
  return {
    ...{ partition, status, ballot, committed, applied, durable, lastPrepared, bytes },
    ...{ writeBytes, readBytes, writeUnits, readUnits, errors },
    requests: [...counts.requests],
  };
}

/** By table id: names can change between two answers. */
function latenciesOf(
  requests: RequestMetrics,
  tableIds: ReadonlySet<number>,
  tableName: TableName,
): ResponseOf<typeof ReplicaLoad>["latencies"] {
  const idOf = new Map([...tableIds].map((tableId) => [tableName(tableId), tableId]));
  const latencies = [];
  for (const { operation, table, counts } of requests.latencies()) {
    const tableId = idOf.get(table);
    if (tableId !== undefined) latencies.push({ tableId, operation, counts: [...counts] });
  }
  return latencies;
}
