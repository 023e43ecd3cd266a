// Assembles and starts a replica server. The order matters: the directory is locked and the incarnation is
// durable before anything is read; logs are recovered before engines open; every stored replica has its core
// before the first request can arrive; beacons come last. Stopping goes the other way round, and every
// engine is closed before the process may end. Page: docs/storage_layout.md, docs/protocol.md, "Restart".

import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Files } from "../../src/base/files.ts";
import { formatPartition, type NodeId } from "../../src/base/ids.ts";
import { callbackOf, type Logger } from "../../src/observe/logger.ts";
import type { MetricRegistry } from "../../src/observe/metric.ts";
import type { METRICS } from "../../src/observe/metrics.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import type { ServerSettings } from "../../src/replication/server.ts";
import type { RpcSettings } from "../../src/rpc/contract.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../src/rpc/rpc_server.ts";
import { ServerInfo } from "../../src/schema/client_rpc.ts";
import { type DataDir, openDataDir } from "../../storage/data_dir.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import { EngineError } from "../../storage/engine.ts";
import { type LevelOptions, openLevelEngine } from "../../storage/level_engine.ts";
import type { SharedLog } from "../../storage/log.ts";
import {
  type RecoveredReplica,
  recoverShard,
  removeForeignSharedLogs,
} from "../../storage/recover_shard.ts";
import { GenerationSource } from "../../storage/replica_dir.ts";
import { RequestMetrics } from "../request_metrics.ts";
import { nodeName } from "../node_name.ts";
import { LeaseGate } from "./control_link.ts";
import { diskSpaceOf } from "./disk_space.ts";
import { CondemnedError, DiskStores } from "./disk_stores.ts";
import { registerCommands } from "./remote_commands.ts";
import { ReplicaMetrics } from "./replica_metrics.ts";
import type { OpenedReplica } from "./replica_store.ts";
import { ServerDriver } from "./server_driver.ts";
import { ShardHost } from "./shard_host.ts";

/** Settings of both logs; names and bounds in src/config/replica_settings.ts. */
export interface LogSettings {
  readonly fsync: "group" | "none";
  readonly sharedLogSegmentBytes: number;
  readonly privateLogSegmentBytes: number;
  readonly privateLogSyncIntervalMs: number;
  readonly privateLogReserveBytes: number;
}

/** What a replica server is started with. */
export interface ReplicaOptions {
  /** "host:port" to listen on; port 0 takes a free one. */
  readonly listen: string;
  /** See {@link nodeName}. @default `listen` */
  readonly advertise?: string;
  /** Where this server is: zone, rack, host. @default nothing */
  readonly labels?: ReadonlyMap<string, string>;
  readonly cluster: string;
  /** "host:port" of every meta server; at least one. */
  readonly metas: readonly string[];
  readonly dataDir: string;
  /** Shared logs; "" or absent = below the data directory. */
  readonly logDir?: string;
  readonly replication: ReplicaSettings;
  readonly server: ServerSettings;
  readonly logs: LogSettings;
  readonly engine?: LevelOptions;
  /** Rows per second that are checked for expiry. @default 0: none */
  readonly sweepRowsPerSecond?: number;
  readonly rpc?: Partial<RpcSettings>;
  /** Address of a server -> address to dial instead. @default none */
  readonly dialMap?: ReadonlyMap<string, string>;
  readonly httpPort?: number;
  readonly version?: string;
  readonly logger: Logger;
  /** @default The disk of this machine. */
  readonly files?: Files;
  readonly clock?: Clock;
  /** Where metrics go. @default Nowhere */
  readonly registry?: MetricRegistry<typeof METRICS>;
}

/** A started server. */
export interface RunningReplica {
  /** "host:port" that others reach it at, its name in the cluster. */
  readonly address: string;
  readonly host: ShardHost;
  readonly control: ServerDriver;
  /** Why this server does not serve now; "" if it does. */
  readiness(): string;
  /** Refuses new work, answers what runs, closes everything. Idempotent. */
  close(): Promise<void>;
}

/** Every replica, the lease and config sync live by this beat. */
const TICK_MS = 50;
/** Engines opened at the same time. */
const OPENING_MAX = 4;
/**
 * A disk that syncs within this on average is synced on the event loop (storage/group_sync.ts). With both cores busy
 * 5.0-5.7 k set/s against 4.1-4.8 k in the background, and P50 0.9-1.1 against 1.1-1.3 ms at 1 outstanding.
 */
const INLINE_SYNC_MS_MAX = 2;
/** Running requests get so long to end when the server stops. */
const CLOSE_GRACE_MS = 1000;

/**
 * Starts a replica server; resolves when it listens. It serves as soon as meta has answered its first beacon.
 *
 * @throws {FilesError} If the data directory is in use or the disk fails.
 * @throws {LayoutError} `newer`: a newer program wrote the data.
 */
export async function startReplica(options: ReplicaOptions): Promise<RunningReplica> {
  const { files = diskFiles, clock = systemClock } = options;
  const dataDir = await openDataDir(files, options.dataDir, Math.floor(clock.now().wall / 1000));
  try {
    return await start({ ...options, files, clock }, dataDir);
  } catch (error) {
    dataDir.release();
    throw error;
  }
}

type Complete = ReplicaOptions & {
  readonly files: Files;
  readonly clock: Clock;
  readonly observers?: Observers | undefined;
};

/** What counts, if somebody asks for metrics. */
interface Observers {
  readonly registry: MetricRegistry<typeof METRICS>;
  readonly requests: RequestMetrics;
  readonly metrics: ReplicaMetrics;
}

function observersOf(options: Complete): Observers | undefined {
  const { registry, clock } = options;
  if (registry === undefined) return undefined;
  const requests = new RequestMetrics(registry.live.requests);
  return { registry, requests, metrics: new ReplicaMetrics(registry.live, clock) };
}

async function start(given: Complete, dataDir: DataDir): Promise<RunningReplica> {
  const observers = observersOf(given);
  const options = { ...given, observers };
  const { files, clock, logger, logs } = options;
  const { incarnation } = dataDir;
  const logDir = options.logDir ?? "";
  const stores = new DiskStores({
    files,
    dataDir: options.dataDir,
    generations: new GenerationSource(incarnation),
    openEngine: (dir) => openLevelEngine(dir, options.engine),
    privateSegmentBytes: logs.privateLogSegmentBytes,
    privateReserveBytes: logs.privateLogReserveBytes,
  }, () => clock.now().wall);
  const { sharedLog, replicas } = await recover(options, stores, incarnation);
  await removeForeignSharedLogs(files, logDir === "" ? options.dataDir : logDir, 1);
  const identity = { cluster: options.cluster, role: "replica" };
  const rpc = { settings: options.rpc ?? {}, log: callbackOf(logger) };
  const server = new TcpRpcServer({
    ...rpc,
    identity: { ...identity, node: "" },
    ...(observers === undefined ? {} : { observer: observers.requests }),
  });
  const address = await server.listen(options.listen).catch(async (error) => {
    await closeAll(replicas, sharedLog);
    throw error;
  });
  // From here to the last handler without a pause: no request finds a replica missing that is stored.
  const node = nodeName(options, address);
  const { dialMap = new Map() } = options;
  const client = new TcpRpcClient({ ...rpc, identity: { ...identity, node }, dialMap });
  const running = assemble(options, { node, incarnation, stores, sharedLog, server, client });
  for (const replica of replicas) running.host.adopt(replica);
  logger.info("Replica server started", { node, incarnation, replicas: replicas.length });
  const stopTimers = startTimers(running, logs.privateLogSyncIntervalMs, logger);
  const close = async () => {
    running.control.stop();
    await server.close(CLOSE_GRACE_MS);
    await stopTimers();
    await running.host.close();
    await client.close();
    dataDir.release();
  };
  let closing: Promise<void> | undefined;
  return { address: node, ...running, close: () => closing ??= close() };
}

function assemble(options: Complete, parts: {
  readonly node: NodeId;
  readonly incarnation: number;
  readonly stores: DiskStores;
  readonly sharedLog: SharedLog;
  readonly server: TcpRpcServer;
  readonly client: TcpRpcClient;
}): Pick<RunningReplica, "host" | "control" | "readiness"> {
  const { clock, logger, observers } = options;
  const { node, incarnation, server, client } = parts;
  const { httpPort = 0 } = options;
  const lease = new LeaseGate(clock);
  const common = { node, incarnation, client, clock, logger, lease };
  const host: ShardHost = new ShardHost({
    ...common,
    ...parts,
    shard: 0,
    shardCount: 1,
    settings: options.replication,
    sweepRowsPerSecond: options.sweepRowsPerSecond ?? 0,
    report: (report) => control.onReport(report),
    ...(observers === undefined ? {} : { metrics: observers.metrics }),
  });
  const control: ServerDriver = new ServerDriver({
    ...common,
    metas: options.metas,
    settings: options.server,
    shardPorts: [Number(node.slice(node.lastIndexOf(":") + 1))],
    httpPort,
    labels: options.labels ?? new Map(),
    diskSpace: () => diskSpaceOf(options.dataDir),
    command: (_shard, command) => host.command(command),
  });
  const startedAt = Math.floor(clock.now().wall);
  const version = options.version ?? "";
  server.handle(ServerInfo, (_request, call) => {
    call.reply({ role: "replica", version, startedAt, shardCount: 1, httpPort });
  });
  registerCommands(server, host, control);
  if (observers !== undefined) {
    observers.requests.tableName = host.view().tableName;
    observers.registry.onScrape(() => {
      observers.requests.tablesChanged();
      const { connectionCount: connections } = server;
      observers.metrics.collect(host.view(), { contact: control.state, connections, lease });
    });
  }
  const readiness = () => {
    if (control.state !== "connected") return `Contact with meta: ${control.state}`;
    return lease.held ? "" : "The lease has run out";
  };
  return { host, control, readiness };
}

/** Reads the logs and opens the engines of everything stored. */
async function recover(
  options: Complete,
  stores: DiskStores,
  incarnation: number,
): Promise<{ sharedLog: SharedLog; replicas: OpenedReplica[] }> {
  const { files, dataDir, logger, logs } = options;
  const { sharedLog, replicas, condemned, damage } = await recoverShard({
    files,
    dataDir,
    logDir: options.logDir === undefined || options.logDir === "" ? dataDir : options.logDir,
    shard: 0,
    shardCount: 1,
    incarnation,
    fsync: logs.fsync,
    sharedSegmentBytes: logs.sharedLogSegmentBytes,
    privateSegmentBytes: logs.privateLogSegmentBytes,
    inlineSyncMsMax: INLINE_SYNC_MS_MAX,
    ...(options.observers === undefined ? {} : { groups: options.observers.metrics }),
  });
  for (const found of damage) logger.warn("Shared log is damaged", { ...found });
  for (const { partition, reason } of condemned) {
    logger.error("Replica moved aside", { partition: formatPartition(partition), reason });
    await stores.moveAside(partition, "err");
  }
  const opened: OpenedReplica[] = [];
  const waiting = [...replicas];
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const replica = await openStored(stores, next, logger);
      if (replica !== undefined) opened.push(replica);
    }
  };
  try {
    await Promise.all(Array.from({ length: OPENING_MAX }, work));
  } catch (error) {
    await closeAll(opened, sharedLog);
    throw error;
  }
  return { sharedLog, replicas: opened };
}

/** @returns `undefined` if the replica cannot be used; it was moved aside if its data is the reason. */
async function openStored(
  stores: DiskStores,
  { dir, privateLog, recovery }: RecoveredReplica,
  logger: Logger,
): Promise<OpenedReplica | undefined> {
  const { partition } = dir.manifest;
  const details = { partition: formatPartition(partition) };
  try {
    return await stores.open(dir, privateLog, recovery);
  } catch (error) {
    const corrupt = error instanceof EngineError && error.kind === "corruption";
    if (error instanceof CondemnedError || corrupt) {
      logger.error("Replica moved aside", { ...details, reason: error.message });
      await stores.moveAside(partition, "err");
      return undefined;
    }
    // A full table of open files or a missing right is no reason to give data up: it stays where it is.
    if (error instanceof EngineError && error.kind === "io") {
      logger.error("Replica cannot be opened; its data stays", {
        ...details,
        error: error.message,
      });
      return undefined;
    }
    throw error;
  }
}

async function closeAll(replicas: readonly OpenedReplica[], sharedLog: SharedLog): Promise<void> {
  await Promise.all(replicas.map(({ store }) => store.close()));
  await sharedLog.close();
}

/** @returns A function that stops them and waits for what they started. */
function startTimers(
  { host, control }: { host: ShardHost; control: ServerDriver },
  syncIntervalMs: number,
  logger: Logger,
): () => Promise<void> {
  const ticking = setInterval(() => {
    control.tick();
    host.tick();
  }, TICK_MS);
  let syncing = Promise.resolve();
  let busy = false;
  const sync = setInterval(() => {
    // One round at a time, however long the disk takes.
    if (busy) return;
    busy = true;
    syncing = host.syncLogs().catch((error) => {
      logger.error("Background sync of the logs failed", { error: String(error) });
    }).finally(() => busy = false);
  }, syncIntervalMs);
  return async () => {
    clearInterval(ticking);
    clearInterval(sync);
    await syncing;
  };
}
