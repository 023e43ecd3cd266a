// One shard of a replica server: its replicas, its shared log, its listener. It routes what comes in (client
// requests, messages of other replicas, commands of the control part, durability of the log, time) to the
// replica it concerns, and decides nothing about replication. Invariants: a partition has at most one open
// replica; it is created empty only where meta or a primary says that nothing can be lost by it (§12.7); reads
// pass the lease for every request. Rules: docs/protocol.md, "Reads" (§8), "Learning" (§11).

import type { Clock } from "../../src/base/clock.ts";
import { formatPartition, type NodeId, type PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { ReplicaEffect, ReplicaEvent } from "../../src/replication/io.ts";
import { ReplicaCore } from "../../src/replication/replica.ts";
import type { RpcServer } from "../../src/rpc/contract.ts";
import { ConfigProposal, type ConfigProposalMessage } from "../../src/schema/meta_rpc.ts";
import { LearnFetch, type PeerMessage } from "../../src/schema/replica_rpc.ts";
import type { PartitionConfig, TableInfo } from "../../src/schema/types.ts";
import type { LogRecord } from "../../storage/log.ts";
import { StorageTranslator } from "../../storage/translate.ts";
import { Admission } from "./admission.ts";
import type { ShardCommand } from "./control_link.ts";
import { RoomTeller } from "./disk_room.ts";
import { DurableQueue } from "./durable_queue.ts";
import { NodeBook } from "./node_book.ts";
import { registerPeers, sendPeer } from "./peer_messages.ts";
import { refusable, registerReads } from "./read_handlers.ts";
import type { ReadWatch } from "./read_watch.ts";
import type { Fate, Pull, ReplicaDriverHost } from "./driver_host.ts";
import { ReplicaDriver } from "./replica_driver.ts";
import type { ReplicaMetrics, ShardView } from "./replica_metrics.ts";
import { ReplicaShelf } from "./replica_shelf.ts";
import { ReplicaTicks } from "./replica_ticks.ts";
import type { OpenedReplica } from "./replica_store.ts";
import { PLAIN_HOOKS, type ShardHooks } from "./shard_hooks.ts";
import type { ShardHostOptions } from "./shard_host_options.ts";
import { ShardTables } from "./shard_tables.ts";
import { Sweeper } from "./sweeper.ts";
import { FetchTurns } from "./fetch_turns.ts";
import { pullImage, pullLog, type PullOptions } from "./transfer_pull.ts";
import { TouchedReplicas } from "./touched_replicas.ts";
import { TransferSource } from "./transfer_source.ts";
import { registerWrites } from "./write_handlers.ts";

/** See the file comment. */
export class ShardHost implements ReplicaDriverHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: ReplicaMetrics | undefined;
  readonly #options: ShardHostOptions;
  readonly #hooks: ShardHooks;
  readonly #book = new NodeBook();
  /** What meta told about tables. */
  readonly tables = new ShardTables();
  /** Everything stored. */
  readonly shelf: ReplicaShelf;
  readonly #drivers: ReadonlyMap<PartitionId, ReplicaDriver>;
  readonly #waiting = new DurableQueue<ReplicaDriver>();
  readonly #touched: TouchedReplicas;
  readonly #source: TransferSource;
  readonly #fetchTurns = new FetchTurns();
  readonly #admission: Admission;
  readonly #reads: ReadWatch;
  readonly #room: RoomTeller;
  /** Deletes expired rows. */
  readonly sweeper: Sweeper;
  #connected = false;
  #stopping = false;
  readonly #ticks: ReplicaTicks;

  constructor(options: ShardHostOptions) {
    this.#options = options;
    this.#hooks = options.hooks ?? PLAIN_HOOKS;
    this.clock = options.clock;
    this.logger = options.logger;
    this.metrics = options.metrics;
    this.#touched = new TouchedReplicas(options.endOfTurn);
    this.#source = new TransferSource(options.clock, options.logger);
    this.shelf = new ReplicaShelf({
      stores: options.stores,
      logger: options.logger,
      build: (opened) => this.#build(opened),
      opened: (driver) => {
        this.#room.opened(driver);
        if (this.#connected) driver.deliver({ kind: "metaContact", connected: true });
      },
      onChange: () => this.requestConfigSync(),
      onTrouble: (tag) => options.report({ kind: "diskSuspect", tag }),
      pause: this.#hooks.pause,
    });
    this.#drivers = this.shelf.drivers;
    this.#ticks = new ReplicaTicks(this.#drivers);
    this.#room = new RoomTeller(options.room, {
      ...{ drivers: this.#drivers, logger: options.logger },
      locate: (partition) => options.stores.locate(partition),
    });
    this.#admission = new Admission({
      clock: this.clock,
      lease: options.lease,
      drivers: this.#drivers,
      isStopping: () => this.#stopping,
      touch: (driver) => this.#touched.touch(driver),
      flush: () => this.#touched.flush(),
      throttled: (kind, verdict) => this.metrics?.throttled(kind, verdict),
    });
    this.sweeper = new Sweeper({
      rowsPerSecond: options.sweepRowsPerSecond ?? 0,
      clock: this.clock,
      logger: this.logger,
      drivers: this.#drivers,
      mayWrite: () => options.lease.held && !this.#stopping,
      submit: (driver, request) => this.#admission.propose(driver, request),
    });
    options.sharedLog.onDurable = (position) => this.#waiting.settle(position);
    options.sharedLog.onFull = () => this.#room.refused();
    options.sharedLog.onFailed = (error) => this.#onLogFailed(error);
    options.client.onPeer = (address, event) => this.#onPeer(address, event);
    this.#reads = this.#register(options.server);
  }

  /** Open replicas by partition. */
  get drivers(): ReadonlyMap<PartitionId, ReplicaDriver> {
    return this.#drivers;
  }

  /** What metrics and status pages look at. */
  view(): ShardView {
    const { bytes, poisoned } = this.#options.sharedLog;
    return {
      replicas: this.shelf.reports(),
      tableNames: this.tables.names(),
      waitingRecords: this.#waiting.size,
      waitingThrottled: this.#admission.waiting,
      abnormalReads: this.#reads.abnormal,
      sweep: { ...this.sweeper.counters },
      sharedLog: { bytes, poisoned },
      disksFull: this.#room.fullCount,
    };
  }

  /** Takes over a replica that was recovered when the process started. */
  adopt(opened: OpenedReplica): void {
    this.shelf.add(opened);
  }

  #build(opened: OpenedReplica): ReplicaDriver {
    const { store, recovered, maxReplicaCount, partitionCount } = opened;
    const { node, incarnation, settings } = this.#options;
    // The engine is replaced when an image is installed: always ask the store for the current one.
    const translator = new StorageTranslator({ get: (key) => store.engine.get(key) });
    const core = new ReplicaCore({
      partition: store.partition,
      self: node,
      incarnation,
      settings,
      translator: this.#hooks.translator(translator, opened),
      recovered,
      maxReplicaCount,
      logFirstDecree: () => store.firstDecree,
    }, this.clock.now());
    const driver = new ReplicaDriver({
      core: this.#hooks.machine(core, opened),
      store,
      host: this,
      translator,
      ...(partitionCount === undefined ? {} : { partitionCount }),
    });
    this.tables.describe(driver);
    driver.measure();
    return driver;
  }

  /** Takes a command of the control part. */
  command(command: Exclude<ShardCommand, { kind: "access" }>): void {
    switch (command.kind) {
      case "contact":
        this.#connected = command.connected;
        for (const driver of this.#drivers.values()) {
          driver.deliver({ kind: "metaContact", connected: command.connected });
        }
        return;
      case "nodes":
        return this.#book.update(command.nodes);
      case "tables":
        return this.#onTables(command.tables);
      case "config":
      case "missing":
        if (command.kind === "config") {
          this.#drivers.get(command.config.partition)?.deliver(command);
        }
        return this.#onUnserved(command.config);
      case "proposal":
        return this.#onProposal(command.proposal);
      case "closeReplica":
        return this.#drivers.get(command.partition)?.finish("Meta does not list it", "stays");
      case "garbage":
        return this.shelf.discard(command.partition);
      case "diskLost":
        return this.shelf.loseDisk(command.tag);
      case "configReply":
        return this.#drivers.get(command.partition)?.deliver(command);
      case "collect":
        return this.#options.report({
          ...command,
          kind: "reports",
          replicas: this.shelf.reports(),
          tables: this.shelf.tables(),
          usable: !this.#options.sharedLog.poisoned,
        });
    }
  }

  /** Time passes; every 20 to 100 ms. */
  tick(): void {
    this.#room.tick();
    this.#ticks.tick(this.#touched.takeNews());
    this.#source.expire();
    this.#admission.tick();
    this.sweeper.tick();
  }

  /** Syncs the private logs, then gives back what the shared log need not hold any more. */
  async syncLogs(): Promise<void> {
    for (const driver of this.#drivers.values()) await driver.syncLog();
    if (this.#options.sharedLog.poisoned) return;
    await this.#options.sharedLog.collect((partition, generation) =>
      this.shelf.covered(partition, generation)
    );
  }

  /** Refuses new work, saves and closes every replica and then the shared log. */
  async close(): Promise<void> {
    this.#stopping = true;
    this.#admission.close();
    await this.sweeper.close();
    for (const driver of this.#drivers.values()) driver.deliver({ kind: "close" });
    await Promise.all([...this.#drivers.values()].map((driver) => driver.saveAll()));
    try {
      await this.shelf.closeAll();
    } finally {
      await this.#options.sharedLog.close();
    }
  }

  // ---- ReplicaDriverHost ----------------------------------------------------------------------------

  chance(): number {
    return this.#hooks.random();
  }

  append(driver: ReplicaDriver, token: number, record: LogRecord): void {
    this.#waiting.push(this.#options.sharedLog.append(record), driver, token);
  }

  send(to: NodeId, message: PeerMessage): void {
    sendPeer(this.#options.client, this.#book.address(to, message.body.partition), message);
  }

  pullImage: ReplicaDriverHost["pullImage"] = (pull, engine) => {
    return pullImage(this.#pullOptions(pull), engine);
  };

  pullLog: ReplicaDriverHost["pullLog"] = (pull, onChunk) => {
    return pullLog(this.#pullOptions(pull), pull, onChunk);
  };

  #pullOptions(pull: Pull): PullOptions {
    const { client, node } = this.#options;
    const address = this.#book.address(pull.from, pull.partition);
    const received = (bytes: number) => this.metrics?.learned(bytes);
    const turns = this.#fetchTurns;
    return { client, address, node, pull, turns, received, pause: this.#hooks.pause };
  }

  updateConfig(
    driver: ReplicaDriver,
    effect: Extract<ReplicaEffect, { kind: "updateConfig" }>,
  ): void {
    this.#options.report({ ...effect, partition: driver.partition });
  }

  release(driver: ReplicaDriver): Promise<void> {
    return this.#source.forget(driver.partition);
  }

  requestConfigSync(): void {
    this.#options.report({ kind: "requestConfigSync" });
  }

  onFinished(driver: ReplicaDriver, reason: string, fate: Fate): void {
    this.shelf.close(driver, reason, fate);
  }

  noSpace({ partition }: ReplicaDriver): void {
    this.#room.refused(partition);
  }

  isFull({ partition }: ReplicaDriver): boolean {
    return this.#room.isFull(partition);
  }

  // ---- incoming -------------------------------------------------------------------------------------

  #register(server: RpcServer): ReadWatch {
    registerPeers(server, (message) => this.#onMessage(message));
    server.handle(
      ConfigProposal,
      (proposal) => this.#options.report({ kind: "proposal", proposal }),
    );
    server.handle(LearnFetch, (request, call) => {
      const driver = this.#admission.find(request.partition, refusable(call));
      if (driver !== undefined) this.#source.fetch(driver, request, call);
    });
    const { clock, logger } = this;
    const admission = this.#admission;
    registerWrites(server, (partition, request, call) => admission.write(partition, request, call));
    server.onBatchEnd = () => this.#touched.batchEnd();
    return registerReads(server, {
      clock,
      logger,
      find: (partition, call) => admission.find(partition, call),
      reader: (head, call, now, again) => admission.reader(head, call, now, again),
      endOfTurn: this.#options.endOfTurn,
    });
  }

  #onMessage(message: PeerMessage): void {
    const { partition } = message.body;
    const driver = this.#drivers.get(partition);
    if (driver !== undefined && !this.shelf.intercepts(driver, message)) {
      this.#touched.touch(driver);
      return driver.deliver({ kind: "message", message });
    }
    // Only a group check to a learner may create a replica: its primary has all there is (§11.2).
    if (message.kind !== "groupCheck" || message.body.role !== "learner") return;
    if (this.#connected) this.#open(partition, { kind: "message", message });
  }

  #onPeer(address: string, event: "down" | "reconnected"): void {
    const node = this.#book.nodeOf(address);
    const kind = event === "down" ? "peerDown" : "peerReconnected";
    for (const driver of this.#drivers.values()) driver.deliver({ kind, node });
  }

  #onLogFailed(error: Error): void {
    const details = { shard: this.#options.shard, error: error.message };
    this.logger.error("Shared log failed: every replica of this shard is lost", details);
    for (const driver of [...this.#drivers.values()]) {
      driver.deliver({ kind: "appendFailed", reason: error.message });
    }
  }

  #onTables(tables: readonly TableInfo[]): void {
    this.tables.update(tables);
    for (const driver of this.#drivers.values()) this.tables.describe(driver);
  }

  #onProposal({ change, node, config, empty }: ConfigProposalMessage): void {
    const { partition } = config;
    const event: ReplicaEvent = { kind: "proposal", change, node, config };
    const driver = this.#drivers.get(partition);
    if (driver !== undefined) return driver.deliver(event);
    if (change !== "ASSIGN_PRIMARY" || node !== this.#options.node) return;
    // With a history, an empty replica as primary would lose it (Pegasus #895); a word of ballot 0 may be late.
    const isNew = config.ballot === 0 && !this.shelf.hadHistory(partition);
    if (empty || isNew || this.shelf.isClosed(partition)) {
      return this.#open(partition, event);
    }
    const details = { partition: formatPartition(partition), ballot: config.ballot };
    this.logger.error("Asked to lead a partition whose replica is not here", details);
  }

  /** Counted on and not served here, closed or missing: it leaves, and comes back as a learner. */
  #onUnserved(config: PartitionConfig): void {
    const leaving = this.shelf.leaving(config, this.#options.node);
    if (leaving !== undefined) this.#options.report({ kind: "updateConfig", ...leaving });
  }

  /** Opens a stored replica or creates an empty one; the caller knows that this is allowed. */
  #open(partition: PartitionId, event: ReplicaEvent): void {
    const { shard, shardCount, sharedLog } = this.#options;
    if (this.#stopping || sharedLog.poisoned || partition % shardCount !== shard) return;
    this.shelf.open(partition, this.tables.of(partition), event);
  }
}
