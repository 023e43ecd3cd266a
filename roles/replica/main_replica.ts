// Assembles and starts a replica server: the control part, and its shards in this thread (one) or each in its own
// (several). The order matters: the directory is locked and the incarnation is durable before anything is read;
// all shards have recovered before the first one serves; beacons come last. Stopping goes the other way round.
// Pages: docs/storage_layout.md, docs/ARCHITECTURE.md, "Shards".

import { type Clock, systemClock } from "../../src/base/clock.ts";
import type { Files } from "../../src/base/files.ts";
import { callbackOf, type Logger } from "../../src/observe/logger.ts";
import type { MetricRegistry } from "../../src/observe/metric.ts";
import type { METRICS } from "../../src/observe/metrics.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import type { ServerSettings } from "../../src/replication/server_io.ts";
import { everyBeat } from "../../src/rpc/beat.ts";
import type { RpcSettings } from "../../src/rpc/contract.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { OPEN, type SecurityOptions, serverDialSecurity } from "../../src/rpc/security.ts";
import type { ReplicaReport } from "../../src/schema/types.ts";
import { type DataDir, DataDirs } from "../../storage/data_dir.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import type { LevelOptions } from "../../storage/level_engine.ts";
import { removeForeignSharedLogs } from "../../storage/recover_shard.ts";
import type { AuditSink } from "../audit.ts";
import { nodeName } from "../node_name.ts";
import type { RemoteCommands } from "../remote_commands.ts";
import { LeaseGate, type ShardReport } from "./control_link.ts";
import { describeDisks } from "./disk_report.ts";
import { DiskWatch } from "./disk_watch.ts";
import { serverCommands } from "./remote_commands.ts";
import { collectControl, type ShardView } from "./replica_metrics.ts";
import { NO_SCRUB, type ScrubSettings } from "./scrubber.ts";
import { ServerDriver } from "./server_driver.ts";
import { Shard, TICK_MS } from "./shard.ts";
import type { ShardHost } from "./shard_host.ts";
import type { LogSettings, RunRemote, ShardLink, ShardPlan } from "./shard_link.ts";
import { ShardThread } from "./shard_thread.ts";
import { makeMemory, Watch } from "./shared_memory.ts";

/** What a replica server is started with. */
export interface ReplicaOptions {
  /** "host:port" to listen on; port 0 takes a free one. */
  readonly listen: string;
  /** See {@link nodeName}. @default `listen` */
  readonly advertise?: string;
  /** Where this server is: zone, rack, host. @default nothing */
  readonly labels?: ReadonlyMap<string, string>;
  /** Threads that serve partitions. @default 1: this thread does */
  readonly shards?: number;
  /** Port of the second shard, the next ones follow; the first one has that of `listen`. @default 0: free ones */
  readonly shardPort?: number;
  readonly cluster: string;
  /** "host:port" of every meta server; at least one. */
  readonly metas: readonly string[];
  /** At least one. */
  readonly dataDirs: readonly DataDir[];
  /** See `isLow` of disk_space.ts. @default 0 */
  readonly dataDirReserveBytes?: number;
  /** Writes are refused while a disk has less free space, or a twentieth of it. @default 0: until it is full */
  readonly writeStopFreeBytes?: number;
  /** Shared logs; "" or absent = below the first usable data directory. */
  readonly logDir?: string;
  readonly replication: ReplicaSettings;
  readonly server: ServerSettings;
  readonly logs: LogSettings;
  readonly engine?: LevelOptions;
  /** Rows per second that are checked for expiry. @default 0: none */
  readonly sweepRowsPerSecond?: number;
  /** For the whole server. @default never */
  readonly scrub?: ScrubSettings;
  readonly rpc?: Partial<RpcSettings>;
  /** @default nobody is asked, nothing is encrypted */
  readonly security?: SecurityOptions;
  /** Where changes and refused callers are kept. @default nowhere */
  readonly audit?: AuditSink;
  /** Address of a server -> address to dial instead. @default none */
  readonly dialMap?: ReadonlyMap<string, string>;
  readonly httpPort?: number;
  readonly version?: string;
  /** Maintenance commands of the process. @default none */
  readonly commands?: RemoteCommands;
  readonly logger: Logger;
  /** For one shard only. @default The disk of this machine. */
  readonly files?: Files;
  /** For one shard only. */
  readonly clock?: Clock;
  /** Where metrics go. @default Nowhere */
  readonly registry?: MetricRegistry<typeof METRICS>;
  /** A shard failed in a way nobody foresaw. @default It counts as an uncaught exception: the process ends */
  readonly onFault?: (error: Error) => void;
}

/** A started server. */
export interface RunningReplica {
  /** "host:port" that others reach it at, its name in the cluster. */
  readonly address: string;
  /** The replicas, if there is one shard. @throws {Error} If they live in other threads. */
  readonly host: ShardHost;
  readonly control: ServerDriver;
  /** Ports that others reach the shards at, in the order of the shards. */
  readonly shardPorts: readonly number[];
  /** What all shards store. */
  view(): Promise<Pick<ShardView, "replicas" | "tableNames">>;
  /** Runs a maintenance command on all shards. @throws {StoreError} INVALID_ARGUMENT */
  readonly remote: RunRemote;
  /** Paths of the data directories in use. */
  dataDirs(): string[];
  /** Takes new values of settings that may change. */
  configure(replication: ReplicaSettings): void;
  /** Why this server does not serve now; "" if it does. */
  readiness(): string;
  /** Refuses new work, answers what runs, closes everything. Idempotent. */
  close(): Promise<void>;
}

/**
 * Starts a replica server; resolves when it listens. It serves as soon as meta has answered its first beacon.
 *
 * @throws {FilesError} If the data directory is in use or the disk fails.
 * @throws {LayoutError} `newer`: a newer program wrote the data.
 */
export async function startReplica(options: ReplicaOptions): Promise<RunningReplica> {
  const { files = diskFiles, clock = systemClock } = options;
  const { dataDirs, logDir = "" } = options;
  const nowSeconds = Math.floor(clock.now().wall / 1000);
  const dirs = await DataDirs.open(files, dataDirs, { logDir, nowSeconds });
  const server = new ReplicaServer({ ...options, files, clock }, dirs);
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.abandon();
    throw error;
  }
}

type Complete = ReplicaOptions & { readonly files: Files; readonly clock: Clock };

class ReplicaServer implements RunningReplica {
  readonly #options: Complete;
  readonly #dirs: DataDirs;
  readonly #disks: DiskWatch;
  readonly #shards: ShardLink[] = [];
  readonly #memory: SharedArrayBuffer;
  readonly #lease: LeaseGate;
  readonly #replication: ReplicaSettings;
  #remote: RunRemote = () => Promise.reject(new Error("The server is starting"));
  #control: ServerDriver | undefined;
  #client: TcpRpcClient | undefined;
  #stopTicking: () => void = () => {};
  #closing: Promise<void> | undefined;
  #trouble = "";
  address = "";
  shardPorts: number[] = [];

  constructor(options: Complete, dirs: DataDirs) {
    this.#options = options;
    this.#dirs = dirs;
    const { files, logger } = options;
    this.#disks = new DiskWatch({ files, dirs, logger, onLost: (dir) => this.#onDiskLost(dir) });
    this.#memory = makeMemory(this.#shardCount);
    this.#lease = new LeaseGate(options.clock, this.#memory);
    this.#replication = { ...options.replication };
  }

  get #shardCount(): number {
    return this.#options.shards ?? 1;
  }

  get host(): ShardHost {
    const [first] = this.#shards;
    if (first instanceof Shard) return first.host;
    throw new Error("The replicas live in the threads of the shards");
  }

  get control(): ServerDriver {
    return this.#control!;
  }

  async start(): Promise<void> {
    const { files, logger } = this.#options;
    for (const bad of this.#dirs.bad) logger.error("Data directory cannot be used", { ...bad });
    for (let shard = 0; shard < this.#shardCount; shard++) {
      const link = await this.#startShard(shard);
      this.#shards.push(link);
      // Not side by side: the logs of one are read by the other if their number has changed.
      await link.recover();
    }
    await removeForeignSharedLogs(files, this.#dirs.plan, this.#shardCount);
    const counts = await Promise.all(this.#shards.map((shard) => shard.open()));
    await this.#listen();
    this.#startControl();
    const replicas = counts.reduce((sum, count) => sum + count, 0);
    const { incarnation } = this.#dirs.plan;
    const shards = this.#shardCount;
    logger.info("Replica server started", { node: this.address, incarnation, shards, replicas });
  }

  async #startShard(shard: number): Promise<ShardLink> {
    const { files, clock, logger, registry, audit = () => {} } = this.#options;
    const plan = this.#planOf(shard);
    const report = (report: ShardReport) => {
      if (report.kind === "diskSuspect") this.#disks.suspect(report.tag);
      else this.#control?.onReport(report);
    };
    const remote: RunRemote = (command, args) => this.#remote(command, args);
    if (this.#shardCount === 1) {
      const lease = this.#lease;
      const own = { files, clock, logger, lease, registry, report, audit, remote };
      return new Shard(plan, { ...own, beat() {} });
    }
    const onFault = (error: Error) => this.#onFault(error);
    const own = { plan, memory: this.#memory, logger, report, audit, remote };
    return await ShardThread.start({ ...own, onFault });
  }

  #planOf(shard: number): ShardPlan {
    const { listen, advertise = "", shardPort = 0, cluster, logs, clock } = this.#options;
    const { engine = {}, sweepRowsPerSecond = 0, rpc = {}, dialMap = new Map() } = this.#options;
    const { httpPort = 0, version = "", security = OPEN, scrub = NO_SCRUB } = this.#options;
    const port = shardPort === 0 ? 0 : shardPort + shard - 1;
    return {
      shard,
      shardCount: this.#shardCount,
      storage: this.#dirs.plan,
      reserveBytes: this.#options.dataDirReserveBytes ?? 0,
      stopBytes: this.#options.writeStopFreeBytes ?? 0,
      listen: shard === 0 ? listen : `${listen.slice(0, listen.lastIndexOf(":"))}:${port}`,
      advertise,
      replication: this.#replication,
      // What is asked for is a total.
      sweepRowsPerSecond: Math.ceil(sweepRowsPerSecond / this.#shardCount),
      scrub: { ...scrub, bytesPerSecond: Math.ceil(scrub.bytesPerSecond / this.#shardCount) },
      startedAt: Math.floor(clock.now().wall),
      ...{ cluster, logs, engine, rpc, dialMap, httpPort, version, security },
    };
  }

  async #listen(): Promise<void> {
    const [first, ...others] = this.#shards;
    this.address = nodeName(this.#options, await first!.listen(""));
    const addresses = await Promise.all(others.map((shard) => shard.listen(this.address)));
    this.shardPorts = [this.address, ...addresses].map(portOf);
  }

  #startControl(): void {
    const { clock, logger, registry, rpc = {}, cluster, dialMap = new Map() } = this.#options;
    const { metas, server, httpPort = 0, security = OPEN } = this.#options;
    const { dataDirReserveBytes: reserveBytes = 0 } = this.#options;
    const dirs = this.#dirs;
    const describe = (reports: readonly ReplicaReport[]) =>
      describeDisks({ good: dirs.good, bad: dirs.bad, reserveBytes }, reports);
    const client = new TcpRpcClient({
      settings: rpc,
      log: callbackOf(logger),
      identity: { cluster, role: "replica", node: this.address },
      dialMap,
      dial: serverDialSecurity(security),
    });
    const control = new ServerDriver({
      ...{ metas, client, clock, logger, httpPort },
      node: this.address,
      incarnation: this.#dirs.plan.incarnation,
      lease: this.#lease,
      settings: server,
      asksForUsers: security.auth !== "off",
      shardPorts: this.shardPorts,
      labels: this.#options.labels ?? new Map(),
      identity: dirs,
      disks: describe,
      command: (shard, command) => this.#shards[shard]!.command(command),
    });
    this.#client = client;
    this.#control = control;
    const remotes: RunRemote[] = this.#shards.map((shard) => (...words) => shard.remote(...words));
    this.#remote = serverCommands(remotes, control, this.#options.commands);
    const view = () => ({ contact: control.state, lease: this.#lease, disks: describe([]) });
    registry?.onScrape(() => collectControl(registry.live, view()));
    if (this.#shardCount > 1) {
      for (const shard of this.#shards) registry?.addSource(() => shard.metrics());
    }
    this.#startTicking(control);
  }

  #startTicking(control: ServerDriver): void {
    const watch = this.#shardCount === 1 ? undefined : new Watch(this.#memory);
    this.#stopTicking = everyBeat(TICK_MS, () => {
      const health = watch?.look() ?? { kind: "well" };
      if (health.kind === "well") {
        this.#trouble = "";
        return control.tick();
      }
      const trouble = `Shard ${health.shard} stands still`;
      // No beacon while it lasts: the lease of all shards runs out, and meta gives their partitions to others.
      if (this.#trouble === "") {
        this.#options.logger.error("A shard stands still; no beacons", { shard: health.shard });
      }
      this.#trouble = trouble;
      if (health.kind === "lost") this.#onFault(new Error(`${trouble} for a minute`));
    });
  }

  #onDiskLost({ tag, path }: DataDir): void {
    if (`${this.#dirs.plan.logDir}/`.startsWith(`${path}/`)) {
      // No replica can go on without its shared log; the next start does without the directory.
      return this.#onFault(
        new Error(`The data directory of the shared logs failed: ${path}. Start the server again`),
      );
    }
    for (const shard of this.#shards) shard.command({ kind: "diskLost", tag });
  }

  #onFault(error: Error): void {
    this.#trouble = error.message;
    this.#control?.stop();
    this.#stopTicking();
    if (this.#options.onFault !== undefined) return this.#options.onFault(error);
    reportError(error);
  }

  async view(): Promise<Pick<ShardView, "replicas" | "tableNames">> {
    const views = await Promise.all(this.#shards.map((shard) => shard.view()));
    return {
      replicas: views.flatMap(({ replicas }) => replicas),
      tableNames: new Map(views.flatMap(({ tableNames }) => [...tableNames])),
    };
  }

  dataDirs(): string[] {
    return this.#dirs.good.map(({ path }) => path);
  }

  configure(replication: ReplicaSettings): void {
    Object.assign(this.#replication, replication);
    for (const shard of this.#shards) shard.configure(replication);
  }

  remote(command: string, words: readonly string[]): Promise<string> {
    return this.#remote(command, words);
  }

  readiness(): string {
    if (this.#trouble !== "") return this.#trouble;
    if (this.control.leaving) return "The server is about to end";
    if (this.control.state !== "connected") return `Contact with meta: ${this.control.state}`;
    return this.#lease.held ? "" : "The lease has run out";
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    try {
      await this.#stop();
    } catch (error) {
      await this.#dirs.close(false);
      throw error;
    }
    await this.#dirs.close(true);
  }

  async #stop(): Promise<void> {
    await this.#handOver();
    this.#control?.stop();
    const [first, ...others] = this.#shards;
    // The listener of the server's own address goes last: whoever finds it closed knows that nothing serves here.
    await Promise.all(others.map((shard) => shard.stopServing()));
    await first?.stopServing();
    this.#stopTicking();
    await this.#disks.stop();
    const closing = this.#shards.map((shard) => shard.close());
    // One that fails must not let the process end while others close their engines.
    await Promise.allSettled(closing);
    await this.#client?.close();
    await Promise.all(closing);
  }

  /** Others lead first what this server leads, so that its end costs clients a retry and no failure. */
  async #handOver(): Promise<void> {
    const { server: { handOverMs }, logger } = this.#options;
    if (handOverMs === 0 || this.#control === undefined || this.#trouble !== "") return;
    const startedAt = performance.now();
    const isDone = await this.#control.leave(handOverMs);
    const ms = Math.round(performance.now() - startedAt);
    if (isDone) logger.info("Meta has nothing left to hand over", { ms });
    else logger.warn("Ends without having heard that others lead what it led", { ms });
  }

  /** Closes what a failed start has reached. */
  async abandon(): Promise<void> {
    await this.#disks.stop();
    await Promise.allSettled(this.#shards.map((shard) => shard.close()));
    await this.#dirs.close(false);
  }
}

function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}
