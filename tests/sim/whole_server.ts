// One life of a whole simulated server: the production shard, drivers, stores, logs and recovery of roles/ and
// storage/, on a disk of bytes, a network and clocks that are models. What it is built from is put together here
// as roles/replica/main_replica.ts does it; what outlives it is in machine.ts.

import type { Now } from "../../src/base/clock.ts";
import { FilesError } from "../../src/base/files.ts";
import type { NodeId, PartitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { loggerOf, type LogLevel } from "../../src/observe/logger.ts";
import { NEW_REPLICA, type RecoveredState, type ReplicaEvent } from "../../src/replication/io.ts";
import { Get, MultiGet } from "../../src/schema/client_rpc.ts";
import { encodeKey } from "../../src/schema/key_format.ts";
import type { AnyRpc, RequestOf, ResponseOf } from "../../src/schema/rpc.ts";
import { DataDirs } from "../../storage/data_dir.ts";
import { recoverShard } from "../../storage/recover_shard.ts";
import { GenerationSource } from "../../storage/replica_dir.ts";
import { WriteBehindEngine } from "../../storage/write_behind.ts";
import { LeaseGate } from "../../roles/replica/control_link.ts";
import { DiskSet } from "../../roles/replica/disk_set.ts";
import { CondemnedError, DiskStores } from "../../roles/replica/disk_stores.ts";
import type { OpenedReplica } from "../../roles/replica/replica_store.ts";
import { ServerDriver } from "../../roles/replica/server_driver.ts";
import { ShardHost } from "../../roles/replica/shard_host.ts";
import { between, heavyTail } from "./chance.ts";
import { type Env, Violation } from "./env.ts";
import { HashedEngine } from "./hashed_engine.ts";
import type { Machine } from "./machine.ts";
import { keyText } from "./model_engine.ts";
import { SimRpc } from "./rpc.ts";
import { rpcClientOf, rpcServerOf } from "./rpc_adapters.ts";
import { configsHeard } from "./watch_config.ts";
import { type DiskFault, HARM, type SimProcess } from "./watched.ts";
import { WatchedTranslator } from "./watched_translator.ts";
import { DATA_DIR, ProcessFiles, type WholeDisk } from "./whole_disk.ts";
import { WholeEngine } from "./whole_engine.ts";
import { WatchedLog, WatchedStores, type WholeHome, WholeReplica } from "./whole_replica.ts";

/** A disk that is never too full to take another replica. */
const ROOM = { totalBytes: 1e12, freeBytes: 1e12 };

/** Lines of the log that say nothing bad. */
const EXPECTED = new Set([
  "Asked to lead a partition whose replica is not here",
]);

/** See the file comment. */
export class WholeProcess implements SimProcess, WholeHome {
  readonly id: NodeId;
  readonly disk: WholeDisk;
  readonly #env: Env;
  readonly #machine: Machine;
  readonly #files: ProcessFiles;
  readonly #chance: Prng;
  readonly #rpc: SimRpc;
  readonly #lease: LeaseGate;
  #host: ShardHost | undefined;
  #control: ServerDriver | undefined;
  #incarnation = 0;
  #dead = false;
  #flushPlanned = false;
  #failsEngine: () => boolean = () => false;
  #isClosing = false;
  #dirs: DataDirs | undefined;

  constructor(env: Env, machine: Machine, disk: WholeDisk) {
    this.#env = env;
    this.#machine = machine;
    this.disk = disk;
    this.id = machine.id;
    this.#files = new ProcessFiles(disk.files);
    this.#chance = env.chance.stream(`disk speed ${machine.id}`);
    this.#rpc = new SimRpc(this, this.id, env.network, env.scheduler);
    this.#lease = new LeaseGate(this);
    disk.files.delay = () => this.#wait("sync", env.swarm.disk.syncTypicalMs, this.#syncMaxMs);
    disk.files.fault = () => {};
    this.#boot().catch((error) => {
      if (this.#dead) return;
      // A start that its disk does not allow ends; the process stays away until somebody starts it again.
      if (this.disk.poisoned && error instanceof FilesError) env.coverage.hit("server.startFailed");
      else env.fatal ??= error;
    });
  }

  get incarnation(): number {
    return this.#incarnation;
  }
  get isDamaged(): boolean {
    return this.disk.poisoned || this.disk.rotten !== undefined;
  }
  get rotten() {
    return this.disk.poisoned ? undefined : this.disk.rotten;
  }
  get isDead(): boolean {
    return this.#dead;
  }
  get holdsLease(): boolean {
    return this.#lease.held;
  }

  now(): Now {
    return this.#machine.clock.now();
  }

  replica(partition: PartitionId): WholeReplica | undefined {
    return this.#host?.drivers.get(partition)?.core as WholeReplica | undefined;
  }

  deliver(partition: PartitionId, event: ReplicaEvent): void {
    this.#host?.drivers.get(partition)?.deliver(event);
  }

  die(): void {
    this.#dead = true;
    this.#files.die();
    this.#rpc.close();
    this.#env.scheduler.cancelOwner(this);
    this.#env.network.detach(this.id);
  }

  stop(handOverMs: number, onEnd: () => void): boolean {
    const [control, host, dirs] = [this.#control, this.#host, this.#dirs];
    if (control === undefined || host === undefined || control.leaving) return false;
    const leads = () => [...host.drivers.values()].some(({ core }) => core.status === "primary");
    const led = leads();
    const close = async () => {
      if (this.#isClosing) return;
      this.#isClosing = true;
      if (led) this.#env.coverage.hit(leads() ? "stop.leading" : "stop.handedOver");
      control.stop();
      await host.close();
      await dirs!.close(true);
      this.#env.coverage.hit("stop.ended");
      onEnd();
    };
    const end = () => {
      close().catch((error) => {
        // A disk that fails meanwhile leaves the rest to whoever ends the process.
        if (!this.#dead && !this.isDamaged) this.#env.fatal ??= error;
      });
    };
    this.#env.scheduler.after(handOverMs, "hand-over is over", this, end);
    control.startLeaving(end);
    return true;
  }

  failDisk(fault: DiskFault, may: () => boolean): void {
    this.disk.poisoned = true;
    this.#env.coverage.hit(`fault.disk.${fault}`);
    const { files } = this.disk;
    if (fault === "noSpace") files.bytesFree = this.#chance.below(2000);
    else if (fault === "engine") this.#failsEngine = may;
    else {
      files.fault = (operation, path) => {
        if (operation !== "sync" || !path.includes("/shared.") || !may()) return;
        files.fault = () => {};
        throw new FilesError("io", `Cannot sync "${path}": injected`);
      };
    }
  }

  freeDisk(): boolean {
    if (this.disk.files.bytesFree === Infinity) return false;
    this.#env.coverage.hit("fault.disk.roomAgain");
    this.disk.files.bytesFree = Infinity;
    return true;
  }

  // ---- disk -------------------------------------------------------------------------------------------

  get #syncMaxMs(): number {
    return this.#env.healed ? 20 : this.#env.swarm.disk.syncMaxMs;
  }

  /** Waits as part of this process: a dead one waits for ever, a stopped one until it goes on. */
  #wait(label: string, typicalMs: number, maxMs: number): Promise<void> {
    const delay = heavyTail(this.#chance, typicalMs, maxMs);
    return this.#pause(label, delay);
  }

  #pause(label: string, ms: number): Promise<void> {
    return new Promise((resolve) => this.#env.scheduler.after(ms, label, this, () => resolve()));
  }

  #openEngine(dir: string): Promise<HashedEngine> {
    const { disk } = this.#env.swarm;
    const files = this.disk.engine(dir);
    const engine = new WholeEngine(files, {
      wait: (what) => {
        const typical = what === "apply" ? disk.applyTypicalMs : disk.checkpointTypicalMs;
        const max = what === "apply" ? 500 : 5000;
        return this.#wait(what, typical, this.#env.healed ? 20 : max);
      },
      switchesSegment: () => this.#chance.chance(disk.segmentSwitch),
      fails: () => {
        const fails = this.#failsEngine();
        if (fails) this.#failsEngine = () => false;
        return fails;
      },
    });
    const behind = new WriteBehindEngine(engine, {
      batchBytes: disk.writeBehindBytes,
      batchMs: disk.writeBehindMs,
      waitingBytesMax: 2 * disk.writeBehindBytes,
      later: (run, ms) => {
        const planned = this.#env.scheduler.after(ms, "write behind", this, run);
        return () => this.#env.scheduler.cancel(planned);
      },
    });
    return Promise.resolve(new HashedEngine(behind, files.content));
  }

  // ---- start ------------------------------------------------------------------------------------------

  async #boot(): Promise<void> {
    const { swarm, watch } = this.#env;
    for (const [partition, damaged] of this.disk.leaving) {
      if (!this.disk.holds(partition)) watch.forgotten(this.id, partition, damaged);
    }
    this.disk.leaving.clear();
    const seconds = Math.floor(this.now().wall / 1000);
    const dirs = [{ tag: "d1", path: DATA_DIR }];
    const opening = { logDir: "", nowSeconds: seconds };
    const dataDirs = await DataDirs.open(this.#files, dirs, opening);
    this.#dirs = dataDirs;
    const storage = dataDirs.plan;
    this.#incarnation = storage.incarnation;
    const { sharedSegmentBytes, privateSegmentBytes } = swarm.disk;
    const stores = new DiskStores({
      files: this.#files,
      disks: new DiskSet({ files: this.#files, dirs, reserveBytes: 0, space: () => ROOM }),
      generations: new GenerationSource(this.#incarnation),
      boot: storage.boot,
      wasUnsynced: !swarm.disk.fsync && !storage.wasClean,
      openEngine: (dir) => this.#openEngine(dir),
      privateSegmentBytes,
      privateReserveBytes: swarm.disk.privateReserveBytes,
    }, () => this.now().wall);
    const watched = new WatchedStores(this.#env, this, stores);
    const shard = await recoverShard({
      files: this.#files,
      storage,
      shard: 0,
      shardCount: 1,
      incarnation: this.#incarnation,
      fsync: swarm.disk.fsync ? "group" : "none",
      sharedSegmentBytes,
      privateSegmentBytes,
      pause: (ms) => this.#pause("full disk", ms),
    });
    if (shard.damage.length > 0) this.#env.coverage.hit("recovery.damage");
    const opened: OpenedReplica[] = [];
    for (const { partition, dataDir, reason } of shard.condemned) {
      await this.#condemned(watched, partition, reason, dataDir);
    }
    for (const { dir, privateLog, recovery } of shard.replicas) {
      const { partition } = dir.manifest;
      try {
        const replica = await stores.open(dir, privateLog, recovery);
        watched.found(partition, replica.recovered, undefined);
        opened.push(replica);
      } catch (error) {
        if (!(error instanceof CondemnedError)) throw error;
        await this.#condemned(watched, partition, error.message);
      }
    }
    if (this.#dead) return;
    this.#assemble(watched, new WatchedLog(this.#env, this, shard.sharedLog), opened);
  }

  async #condemned(
    stores: WatchedStores,
    partition: PartitionId,
    reason: string,
    dataDir?: string,
  ): Promise<void> {
    this.#env.coverage.hit("server.condemned");
    stores.found(partition, NOTHING, reason);
    await stores.moveAside(partition, "err", dataDir);
  }

  #assemble(stores: WatchedStores, sharedLog: WatchedLog, opened: OpenedReplica[]): void {
    const env = this.#env;
    const node = this.id;
    const server = rpcServerOf(this.#rpc, () => this.#planFlush(server), (rpc, request, answer) => {
      this.#answered(rpc, request, answer);
    });
    const client = rpcClientOf(this.#rpc, (rpc, response) => configsHeard(env, rpc, response));
    const logger = loggerOf((level, message, details) => this.#logged(level, message, details));
    const incarnation = this.#incarnation;
    const common = { node, incarnation, client, clock: this, logger, lease: this.#lease };
    const host: ShardHost = new ShardHost({
      ...common,
      shard: 0,
      shardCount: 1,
      settings: env.swarm.replica,
      stores,
      sharedLog,
      server,
      report: (report) => {
        if (report.kind === "proposal") env.watch.configSeen(report.proposal.config);
        control.onReport(report);
      },
      hooks: {
        random: () => this.#chance.uint32(),
        pause: (ms) => this.#pause("pause", ms),
        machine: (core, replica) => new WholeReplica(env, this, core, replica),
        translator: (translator) =>
          new WatchedTranslator(
            translator,
            (op, timestampUs, translation) => env.watch.translated(op, timestampUs, translation),
          ),
      },
    });
    const control: ServerDriver = new ServerDriver({
      ...common,
      metas: env.metas,
      settings: env.swarm.server,
      shardPorts: [Number(node.slice(node.lastIndexOf(":") + 1))],
      httpPort: 0,
      labels: new Map(),
      command: (_shard, command) => {
        if (command.kind !== "access") host.command(command);
      },
    });
    this.#host = host;
    this.#control = control;
    this.disk.wasRead();
    for (const replica of opened) host.adopt(replica);
    env.network.attach(node, this.#rpc);
    this.#tick();
    this.#syncLogs(host);
  }

  // ---- running ----------------------------------------------------------------------------------------

  #tick(): void {
    this.#env.scheduler.after(this.#env.swarm.tickMs, "tick", this, () => {
      if (this.#isClosing) return;
      this.#tick();
      this.#control!.tick();
      this.#host!.tick();
    });
  }

  #syncLogs(host: ShardHost): void {
    this.#env.scheduler.after(this.#env.swarm.disk.privateSyncMs, "private sync", this, () => {
      if (this.#isClosing) return;
      const again = () => this.#syncLogs(host);
      host.syncLogs().then(again, (error) => {
        if (!this.#dead && !this.isDamaged) this.#env.fatal ??= error;
        if (!this.#dead) again();
      });
    });
  }

  /** The end of a batch of input comes some time later. */
  #planFlush(server: { onBatchEnd: () => void }): void {
    if (this.#flushPlanned) return;
    this.#flushPlanned = true;
    const delay = this.#chance.chance(0.5) ? 0 : between(this.#chance, 0, 1);
    this.#env.scheduler.after(delay, "flush", this, () => {
      this.#flushPlanned = false;
      server.onBatchEnd();
    });
  }

  /** What a client is told about rows. */
  #answered(rpc: AnyRpc, request: unknown, response: unknown): void {
    if (rpc.code === Get.code) {
      const { partition, key } = request as RequestOf<typeof Get>;
      return this.#served(partition, key, (response as ResponseOf<typeof Get>).value);
    }
    if (rpc.code !== MultiGet.code) return;
    const { partition, hashKey, sortKeys } = request as RequestOf<typeof MultiGet>;
    const { rows } = response as ResponseOf<typeof MultiGet>;
    const values = new Map(rows.toArray().map(({ key, value }) => [keyText(key), value]));
    for (const key of sortKeys) {
      this.#served(partition, encodeKey(hashKey, key), values.get(keyText(key)));
    }
  }

  #served(partition: PartitionId, key: Uint8Array, value: Uint8Array | undefined): void {
    this.#env.watch.readServed(this.replica(partition)!, keyText(key), value);
  }

  /** Errors that no injected fault explains end the run. */
  #logged(level: LogLevel, message: string, details: unknown): void {
    if (level !== "error" || this.#dead) return;
    this.#env.trace.add(this.#env.scheduler.now, this.id, message, details);
    // That of harmed rows is judged when the replica closes.
    const isExpected = EXPECTED.has(message) || JSON.stringify(details).includes(HARM.reason);
    if (this.isDamaged || isExpected) return;
    this.#env.fatal ??= new Violation("S14", `Without a fault: ${message}`, details);
  }
}

/** What is left of a replica that cannot be used. */
const NOTHING: RecoveredState = { ...NEW_REPLICA, existed: true };
