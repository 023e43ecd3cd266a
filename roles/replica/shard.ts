// One shard at work: its logs, engines, listener, peers and timers, in one thread. The order matters: logs are
// recovered before engines open; every stored replica has its core before the first request can arrive.
// Stopping goes the other way round, and every engine is closed before its thread may end.
// Pages: docs/storage_layout.md, docs/protocol.md, "Restart".

import type { Clock } from "../../src/base/clock.ts";
import { type Files, isNoSpace } from "../../src/base/files.ts";
import { formatPartition, type NodeId, tableOf } from "../../src/base/ids.ts";
import { callbackOf, type Logger } from "../../src/observe/logger.ts";
import type { FamilyDump, MetricRegistry } from "../../src/observe/metric.ts";
import type { METRICS } from "../../src/observe/metrics.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import { AccessBook } from "../../src/rpc/access_book.ts";
import { BEAT_MS, everyBeat } from "../../src/rpc/beat.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { TcpRpcServer } from "../../src/rpc/rpc_server.ts";
import { acceptSecurity, serverDialSecurity } from "../../src/rpc/security.ts";
import { ServerInfo } from "../../src/schema/client_rpc.ts";
import { EngineError, isEngineFull } from "../../storage/engine.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";
import type { SharedLog } from "../../storage/log.ts";
import { type RecoveredReplica, recoverShard } from "../../storage/recover_shard.ts";
import { batchMsOf, WriteBehindEngine } from "../../storage/write_behind.ts";
import { GenerationSource } from "../../storage/replica_dir.ts";
import { atEndOfTurn, turnsAreFast } from "../../storage/turns.ts";
import { type AuditSink, callAudit } from "../audit.ts";
import { nodeName } from "../node_name.ts";
import { RequestMetrics } from "../request_metrics.ts";
import type { LeaseGate, ShardCommand, ShardReport } from "./control_link.ts";
import { Compactor } from "./compaction.ts";
import { CompactionTimer, wallTime } from "./compaction_timer.ts";
import { DiskMoves } from "./disk_moves.ts";
import { DiskRoom } from "./disk_room.ts";
import { DiskSet } from "./disk_set.ts";
import { DiskStores, isUnusable } from "./disk_stores.ts";
import { registerLoad } from "./load_handlers.ts";
import { registerCommands, shardCommands } from "./remote_commands.ts";
import { ReplicaMetrics, type ShardView } from "./replica_metrics.ts";
import type { OpenedReplica } from "./replica_store.ts";
import { Scrubber } from "./scrubber.ts";
import { ShardHost } from "./shard_host.ts";
import { reportOf, tableOfManifest } from "./stored_info.ts";
import type { RunRemote, ShardLink, ShardPlan } from "./shard_link.ts";

/** What a shard finds in its thread. */
export interface ShardSurroundings {
  readonly files: Files;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lease: LeaseGate;
  /** Where metrics go; absent = nowhere. */
  readonly registry: MetricRegistry<typeof METRICS> | undefined;
  /** Messages to the control part. */
  readonly report: (report: ShardReport) => void;
  /** Where changes and refused callers are kept. */
  readonly audit: AuditSink;
  /** Maintenance commands that come in here, for the whole server. */
  readonly remote: RunRemote;
  /** Called at every tick: the event loop turns. */
  readonly beat: () => void;
}

/** Every replica lives by this beat. */
export const TICK_MS = BEAT_MS;
/** Engines opened at the same time. */
const OPENING_MAX = 4;
/**
 * A disk that syncs within this on average is synced on the event loop (storage/group_sync.ts). With both cores busy
 * 5.0-5.7 k set/s against 4.1-4.8 k in the background, and P50 0.9-1.1 against 1.1-1.3 ms at 1 outstanding.
 */
const INLINE_SYNC_MS_MAX = 2;
/** Running requests get so long to end when the server stops. */
const CLOSE_GRACE_MS = 1000;

/** What is running once the shard listens. */
interface Running {
  readonly host: ShardHost;
  readonly server: TcpRpcServer;
  readonly client: TcpRpcClient;
  readonly remote: RunRemote;
  readonly stopTimers: () => Promise<void>;
  readonly stopLoad: () => void;
}

/** See the file comment. */
export class Shard implements ShardLink {
  readonly #plan: ShardPlan;
  readonly #around: ShardSurroundings;
  readonly #stores: DiskStores;
  readonly #room: DiskRoom;
  readonly #book: AccessBook;
  readonly #requests: RequestMetrics | undefined;
  readonly #metrics: ReplicaMetrics | undefined;
  #sharedLog: SharedLog | undefined;
  #turnsAreFast = false;
  /** Opened so far. */
  #engines = 0;
  #recovered: RecoveredReplica[] = [];
  #opened: OpenedReplica[] = [];
  /** Found and not opened: their disk is full. */
  #full: RecoveredReplica[] = [];
  #running: Running | undefined;
  #closing: Promise<void> | undefined;

  constructor(plan: ShardPlan, around: ShardSurroundings) {
    this.#plan = plan;
    this.#around = around;
    const { files, clock, registry } = around;
    const { logs } = plan;
    this.#book = new AccessBook(plan.security.clusterSecret);
    this.#room = new DiskRoom({ ...plan.storage, stopBytes: plan.stopBytes, clock });
    this.#stores = new DiskStores({
      ...{ files, logger: around.logger },
      disks: new DiskSet({ files, dirs: plan.storage.dataDirs, reserveBytes: plan.reserveBytes }),
      generations: new GenerationSource(plan.storage.incarnation),
      boot: plan.storage.boot,
      wasUnsynced: logs.fsync === "none" && !plan.storage.wasClean,
      openEngine: async (dir) => {
        const written = (rows: number, ms: number) => this.#metrics?.applied(rows, ms);
        const batchMs = batchMsOf(this.#engines++);
        const engine = await openLevelEngine(dir, plan.engine);
        return new WriteBehindEngine(engine, { written, batchMs, room: this.#room.of(dir) });
      },
      privateSegmentBytes: logs.privateLogSegmentBytes,
      privateReserveBytes: logs.privateLogReserveBytes,
    }, () => clock.now().wall);
    if (registry === undefined) return;
    this.#requests = new RequestMetrics(registry.live.requests);
    this.#metrics = new ReplicaMetrics(registry.live, clock);
  }

  /** The replicas of the shard, once it listens; for tests. */
  get host(): ShardHost {
    return this.#needRunning().host;
  }

  async recover(): Promise<void> {
    const { logs, shard, shardCount, storage } = this.#plan;
    const { files, logger } = this.#around;
    const { sharedLog, replicas, condemned, damage } = await recoverShard({
      ...{ files, storage, shard, shardCount, incarnation: storage.incarnation },
      fsync: logs.fsync,
      sharedSegmentBytes: logs.sharedLogSegmentBytes,
      privateSegmentBytes: logs.privateLogSegmentBytes,
      inlineSyncMsMax: INLINE_SYNC_MS_MAX,
      ...(this.#metrics === undefined ? {} : { groups: this.#metrics }),
    });
    this.#turnsAreFast = await turnsAreFast();
    this.#sharedLog = sharedLog;
    this.#recovered = replicas;
    for (const found of damage) logger.warn("Shared log is damaged", { ...found });
    for (const { partition, dataDir, reason } of condemned) {
      const details = { partition: formatPartition(partition), dataDir, reason };
      logger.error("Replica moved aside", details);
      await this.#stores.moveAside(partition, "err", dataDir);
    }
  }

  async open(): Promise<number> {
    const waiting = this.#recovered;
    this.#recovered = [];
    const work = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const replica = await openStored(this.#stores, next, this.#around.logger);
        if (replica === "full") this.#full.push(next);
        else if (replica !== undefined) this.#opened.push(replica);
      }
    };
    await Promise.all(Array.from({ length: OPENING_MAX }, work));
    return this.#opened.length;
  }

  async listen(name: NodeId): Promise<string> {
    const { cluster, listen, security } = this.#plan;
    const rpc = { settings: this.#plan.rpc, log: callbackOf(this.#around.logger) };
    const identity = { cluster, role: "replica" };
    const server = new TcpRpcServer({
      ...rpc,
      identity: { ...identity, node: name },
      accept: acceptSecurity(security, this.#book),
      audit: callAudit(this.#around.audit),
      ...(this.#requests === undefined ? {} : { observer: this.#requests }),
    });
    const address = await server.listen(listen);
    // From here to the last handler without a pause: no request finds a replica missing that is stored.
    const node = name === "" ? nodeName(this.#plan, address) : name;
    const { dialMap } = this.#plan;
    const dial = serverDialSecurity(security);
    const client = new TcpRpcClient({ ...rpc, identity: { ...identity, node }, dialMap, dial });
    const host = this.#makeHost(node, server, client);
    const moves = new DiskMoves(host.shelf, this.#around.clock);
    const compactor = new Compactor(host.drivers, this.#around.logger);
    const remote = shardCommands(host, { moves, compactor, ...this.#plan });
    registerCommands(server, this.#around.remote);
    for (const replica of this.#opened) host.adopt(replica);
    for (const found of this.#full) {
      host.shelf.addFull(reportOf(found), tableOfManifest(found.dir.manifest));
    }
    this.#opened = [];
    this.#full = [];
    const scrubber = this.#makeScrubber(host);
    const stopLoad = this.#observe(host, server, scrubber);
    const compactions = new CompactionTimer(wallTime(this.#around.clock.now().wall));
    const stopTimers = this.#startTimers(host, scrubber, () => {
      moves.tick();
      this.#compactDue(host, compactor, compactions);
    });
    this.#running = { host, server, client, remote, stopTimers, stopLoad };
    return address;
  }

  command(command: ShardCommand): void {
    if (command.kind === "access") return this.#book.update(command.access);
    this.#running?.host.command(command);
  }

  view(): Promise<ShardView> {
    return Promise.resolve(this.#needRunning().host.view());
  }

  metrics(): Promise<readonly FamilyDump[]> {
    return this.#around.registry?.dump() ?? Promise.resolve([]);
  }

  remote(command: string, args: readonly string[]): Promise<string> {
    return this.#needRunning().remote(command, args);
  }

  configure(replication: ReplicaSettings): void {
    // The cores look at this object whenever they decide something: a new value counts from then on.
    Object.assign(this.#plan.replication, replication);
  }

  async stopServing(): Promise<void> {
    await this.#running?.server.close(CLOSE_GRACE_MS);
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    await this.stopServing();
    this.#running?.stopLoad();
    await this.#running?.stopTimers();
    try {
      await this.#closeStored();
    } finally {
      await this.#running?.client.close();
    }
  }

  /** Closes what is stored, whatever step was reached: recovered, opened, running. */
  async #closeStored(): Promise<void> {
    if (this.#running !== undefined) return await this.#running.host.close();
    const found = [...this.#recovered, ...this.#full];
    const logs = found.map(({ privateLog }) => privateLog.close());
    const closing = [...logs, ...this.#opened.map(({ store }) => store.close())];
    // One that fails must leave none of the others open.
    await Promise.allSettled(closing);
    await this.#sharedLog?.close();
    await Promise.all(closing);
  }

  #needRunning(): Running {
    if (this.#running === undefined) throw new Error("The shard does not listen yet");
    return this.#running;
  }

  #makeHost(node: NodeId, server: TcpRpcServer, client: TcpRpcClient): ShardHost {
    const { shard, shardCount, replication, sweepRowsPerSecond, storage } = this.#plan;
    const { incarnation } = storage;
    const { clock, logger, lease, report } = this.#around;
    const { version, startedAt, httpPort } = this.#plan;
    server.handle(ServerInfo, (_request, call) => {
      call.reply({ role: "replica", version, startedAt, shardCount, httpPort });
    });
    return new ShardHost({
      ...{ node, incarnation, shard, shardCount, server, client, clock, logger, lease, report },
      settings: replication,
      stores: this.#stores,
      sharedLog: this.#sharedLog!,
      room: this.#room,
      sweepRowsPerSecond,
      ...(this.#turnsAreFast ? { endOfTurn: atEndOfTurn } : {}),
      ...(this.#metrics === undefined ? {} : { metrics: this.#metrics }),
    });
  }

  #makeScrubber({ drivers }: ShardHost): Scrubber {
    const { clock, logger } = this.#around;
    const chance = crypto.getRandomValues(new Uint32Array(1))[0]!;
    return new Scrubber({ ...this.#plan.scrub, clock, logger, drivers, chance });
  }

  /** @returns A function that ends what was started. */
  #observe(host: ShardHost, server: TcpRpcServer, scrubber: Scrubber): () => void {
    const { registry, clock } = this.#around;
    const requests = this.#requests;
    if (registry === undefined || requests === undefined) return () => {};
    const { storage: { incarnation }, shard } = this.#plan;
    const tableName = (tableId: number) => host.tables.nameOf(tableId);
    requests.tableName = tableName;
    registry.onScrape(() => {
      requests.tablesChanged();
      this.#metrics!.collect(host.view(), server.connectionCount, scrubber.counters);
    });
    return registerLoad(server, {
      ...{ clock, incarnation, shard, requests, tableName },
      holds: (partition) => host.drivers.has(partition),
      reports: () => host.view().replicas,
      log: this.#sharedLog!,
      isFull: () => this.#room.fullPaths.length > 0,
    });
  }

  /** Compacts the tables whose variables say so. */
  #compactDue({ tables, drivers }: ShardHost, compactor: Compactor, timer: CompactionTimer): void {
    const { wall } = this.#around.clock.now();
    if (!timer.isLookDue(wall)) return;
    const due = new Set(timer.due(tables.compactionRules(), wallTime(wall)));
    if (due.size === 0) return;
    const chosen = [...drivers.keys()].filter((partition) => due.has(tableOf(partition)));
    const queued = compactor.start(chosen);
    this.#around.logger.info("Compaction by table variable", { tables: [...due].join(), queued });
  }

  /** @returns A function that stops them and waits for what they started. */
  #startTimers(host: ShardHost, scrubber: Scrubber, tick: () => void): () => Promise<void> {
    const { logger, beat } = this.#around;
    const stopTicking = everyBeat(TICK_MS, () => {
      beat();
      host.tick();
      tick();
      scrubber.tick();
    });
    let syncing = Promise.resolve();
    let busy = false;
    const stopSyncing = everyBeat(this.#plan.logs.privateLogSyncIntervalMs, () => {
      // One round at a time, however long the disk takes.
      if (busy) return;
      busy = true;
      syncing = host.syncLogs().catch((error) => {
        logger.error("Background sync of the logs failed", { error: String(error) });
      }).finally(() => busy = false);
    });
    return async () => {
      stopTicking();
      stopSyncing();
      await scrubber.close();
      await syncing;
    };
  }
}

/**
 * @returns "full" if its disk has no room, so that it is to be opened later; `undefined` if the replica cannot be
 * used: it was moved aside if its data is the reason.
 */
async function openStored(
  stores: DiskStores,
  found: RecoveredReplica,
  logger: Logger,
): Promise<OpenedReplica | "full" | undefined> {
  const { partition } = found.dir.manifest;
  const details = { partition: formatPartition(partition) };
  try {
    return await stores.openFound(found);
  } catch (error) {
    if (isUnusable(error)) {
      logger.error("Replica moved aside", { ...details, reason: error.message });
      await stores.moveAside(partition, "err");
      return undefined;
    }
    if (isNoSpace(error) || isEngineFull(error)) {
      logger.error("Disk full: a replica is opened when there is room", details);
      return "full";
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
