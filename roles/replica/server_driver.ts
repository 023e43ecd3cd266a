// The control part of a replica server: runs ServerCore, talks to meta in its name and tells the shards what
// meta said. Invariant: the lease in shared memory moves only when the core says so, before anything that
// depends on it. Rules: docs/meta.md, "Failure detector" and "Config sync".

import type { Clock } from "../../src/base/clock.ts";
import { Err, errorName } from "../../src/base/errors.ts";
import type { NodeId, PartitionId, TableId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import { ServerCore } from "../../src/replication/server.ts";
import type { ServerEffect, ServerEvent, ServerSettings } from "../../src/replication/server_io.ts";
import type { RpcClient } from "../../src/rpc/contract.ts";
import { Beacon, ConfigSync, UpdateConfig } from "../../src/schema/meta_rpc.ts";
import { ReportStored } from "../../src/schema/operator_rpc.ts";
import { SyncUsers } from "../../src/schema/access_rpc.ts";
import type { DiskInfo, ReplicaReport, TableInfo } from "../../src/schema/types.ts";
import type { LeaseGate, ShardCommand, ShardReport } from "./control_link.ts";
import { totalSpace } from "./disk_report.ts";

/** Identity of the store of meta that this server's data belongs to. */
export interface StoreIdentity {
  /** "" = of none yet. */
  readonly store: string;
  /** Keeps another one; durable when it returns, or when it resolves. */
  adoptStore(store: string): Promise<void> | void;
}

class MemoryIdentity implements StoreIdentity {
  store = "";

  adoptStore(store: string): void {
    this.store = store;
  }
}

/** What the control part is made from. */
export interface ServerDriverOptions {
  readonly node: NodeId;
  readonly incarnation: number;
  readonly metas: readonly string[];
  readonly settings: ServerSettings;
  readonly client: RpcClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lease: LeaseGate;
  /** Ports of the shards' listeners, in the order of the shards. */
  readonly shardPorts: readonly number[];
  readonly httpPort: number;
  readonly labels: ReadonlyMap<string, string>;
  /** Whose tables are stored here. @default nobody's, kept in memory */
  readonly identity?: StoreIdentity;
  /** Looks at the data directories, given what is stored. @default nothing is known */
  readonly disks?: (reports: readonly ReplicaReport[]) => DiskInfo[];
  /** Whether the shards ask who their callers are. @default false */
  readonly asksForUsers?: boolean;
  /** Sends a command to a shard. */
  readonly command: (shard: number, command: ShardCommand) => void;
}

/** A config change is asked again by its replica after a second; a late answer is matched by its attempt. */
const UPDATE_CONFIG_TIMEOUT_MS = 3000;

/** A large server takes a while to send all it has. */
const REPORT_TIMEOUT_MS = 10_000;

/** What waits for the reports of the shards. */
interface Collection {
  missing: number;
  readonly replicas: ReplicaReport[];
  readonly tables: Map<TableId, TableInfo>;
  /** False if a shard cannot hold replicas any more. */
  usable: boolean;
  readonly done: (collection: Collection) => void;
}

/** See the file comment. */
export class ServerDriver {
  readonly #options: ServerDriverOptions;
  readonly #core: ServerCore;
  readonly #identity: StoreIdentity;
  readonly #queue: ServerEvent[] = [];
  readonly #effects: ServerEffect[] = [];
  #stepping = false;
  #stopped = false;
  /** By the number of the request; a newer one for the same end replaces an older one. */
  readonly #collections = new Map<number, Collection>();
  #sync = 0;
  #stock = 0;
  #requests = 0;
  #usersVersion = 0;
  #onLeft: (handedOver: boolean) => void = () => {};

  constructor(options: ServerDriverOptions) {
    this.#options = options;
    this.#identity = options.identity ?? new MemoryIdentity();
    const { node, metas, settings } = options;
    this.#core = new ServerCore({ self: node, incarnation: options.incarnation, metas, settings });
  }

  /** Contact with meta, for health pages and logs. */
  get state(): ServerCore["state"] {
    return this.#core.state;
  }

  /** Where meta's leader is believed to be. */
  get leader(): string {
    return this.#core.leader;
  }

  /** Time passes; at least every `lookaheadMs`. */
  tick(): void {
    this.#deliver({ kind: "tick" });
  }

  /**
   * Others take over what this server leads; resolves when meta has nothing left to give away or is away, or after `ms`.
   *
   * @returns Whether it was done in time.
   */
  leave(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), ms);
      this.startLeaving((handedOver) => {
        clearTimeout(timer);
        resolve(handedOver);
      });
    });
  }

  /** The same without a limit of time. @param onLeft Meta has nothing left to give away, or (false) is away. */
  startLeaving(onLeft: (handedOver: boolean) => void): void {
    this.#onLeft = onLeft;
    if (this.#stopped) return onLeft(false);
    this.#deliver({ kind: "leave" });
  }

  /** Whether this server is about to end. */
  get leaving(): boolean {
    return this.#core.leaving;
  }

  /** No beacon is sent any more; the lease runs out by itself. */
  stop(): void {
    this.#stopped = true;
  }

  /** Takes a message of a shard. */
  onReport(report: ShardReport): void {
    switch (report.kind) {
      case "updateConfig":
        return this.#updateConfig(report);
      case "requestConfigSync":
        return this.#deliver({ kind: "requestConfigSync" });
      case "proposal":
        return this.#deliver({ kind: "proposal", proposal: report.proposal });
      case "reports":
        return this.#onReports(report);
      case "diskSuspect":
        // For whoever watches the disks; meta hears of them with the next config sync.
        return;
    }
  }

  #deliver(event: ServerEvent): void {
    if (this.#stopped) return;
    this.#queue.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    try {
      for (let i = 0; i < this.#queue.length; i++) {
        this.#effects.length = 0;
        this.#core.step(this.#queue[i]!, this.#options.clock.now(), this.#effects);
        for (const effect of this.#effects) this.#perform(effect);
      }
    } finally {
      this.#queue.length = 0;
      this.#stepping = false;
    }
  }

  #perform(effect: ServerEffect): void {
    switch (effect.kind) {
      case "beacon":
        return this.#beacon(effect);
      case "configSync":
        return this.#configSync(effect.to, effect.attempt);
      case "reportStored":
        return this.#reportStored(effect.to);
      case "lease":
        return this.#options.lease.set(effect.deadlineMono, effect.deadlineWall);
      case "contact":
      case "nodes":
      case "tables":
        return this.#toAll(effect);
      case "config":
      case "missing":
        return this.#toShard(effect.config.partition, effect);
      case "proposal":
        return this.#toShard(effect.proposal.config.partition, effect);
      case "closeReplica":
      case "garbage":
        return this.#toShard(effect.partition, effect);
      case "left":
        return this.#onLeft(effect.handedOver);
      case "note":
        return this.#note(effect);
    }
  }

  #toShard(partition: PartitionId, command: ShardCommand): void {
    this.#options.command(partition % this.#options.shardPorts.length, command);
  }

  #toAll(command: ShardCommand): void {
    for (let i = 0; i < this.#options.shardPorts.length; i++) this.#options.command(i, command);
  }

  #beacon({ to, attempt, sentAt }: Extract<ServerEffect, { kind: "beacon" }>): void {
    const { client, node, incarnation, shardPorts, httpPort, labels } = this.#options;
    const { settings } = this.#options;
    const identity = this.#identity;
    const request = {
      node,
      incarnation,
      sentAt,
      shardPorts: [...shardPorts],
      httpPort,
      labels: new Map(labels),
      store: identity.store,
      leaseMs: Math.ceil(settings.leaseMs),
    };
    client.start(to, Beacon, request, settings.beaconTimeoutMs, (error, reply) => {
      const deliver = () => this.#deliver({ kind: "beaconReply", attempt, error, reply });
      const isNew = reply?.isLeader === true && reply.allowed && reply.store !== "" &&
        reply.store !== identity.store;
      if (!isNew) return deliver();
      // Before anything of that store's tables comes here: a store that is lost must find its data unmistakably.
      const adopted = identity.adoptStore(reply.store);
      if (adopted === undefined) return deliver();
      adopted.then(deliver, (cause) => {
        this.#options.logger.error("Cannot keep the identity of meta's store", {
          error: String(cause),
        });
      });
    });
  }

  #collect(done: Collection["done"]): number {
    const request = ++this.#requests;
    const missing = this.#options.shardPorts.length;
    this.#collections.set(request, {
      missing,
      replicas: [],
      tables: new Map(),
      usable: true,
      done,
    });
    this.#toAll({ kind: "collect", request });
    return request;
  }

  #onReports(report: Extract<ShardReport, { kind: "reports" }>): void {
    const { request, replicas, tables, usable } = report;
    const collection = this.#collections.get(request);
    if (collection === undefined) return;
    if (!usable) collection.usable = false;
    for (const report of replicas) collection.replicas.push(report);
    for (const table of tables) {
      const known = collection.tables.get(table.tableId);
      if (known === undefined || known.revision < table.revision) {
        collection.tables.set(table.tableId, table);
      }
    }
    if (--collection.missing > 0) return;
    this.#collections.delete(request);
    collection.done(collection);
  }

  #configSync(to: string, attempt: number): void {
    this.#collections.delete(this.#sync);
    this.#sync = this.#collect(({ replicas, usable }) => {
      const { client, node, incarnation, settings } = this.#options;
      const reported = [...replicas];
      const disks = this.#options.disks?.(reported) ?? [];
      const { totalBytes: diskTotalBytes, freeBytes: diskFreeBytes } = totalSpace(disks);
      const primaries = reported.filter((report) => report.status === "primary").length;
      const stats = {
        replicas: reported.length,
        primaries,
        diskTotalBytes,
        diskFreeBytes,
        // With a failed log nothing new can be stored here until a restart.
        draining: this.#core.leaving || !usable,
        disks,
      };
      const body = { node, incarnation, replicas: reported, stats };
      client.start(to, ConfigSync, body, settings.configSyncTimeoutMs, (error, answer) => {
        this.#deliver({ kind: "syncReply", attempt, error, reported, answer });
        if (error === Err.OK && this.#options.asksForUsers === true) this.#syncUsers(to);
      });
    });
  }

  #reportStored(to: string): void {
    this.#collections.delete(this.#stock);
    this.#stock = this.#collect(({ replicas, tables }) => {
      const { client, node, incarnation, lease, logger } = this.#options;
      const body = {
        ...{ node, incarnation, store: this.#identity.store, isServing: lease.held },
        tables: [...tables.values()],
        replicas: [...replicas],
      };
      client.start(to, ReportStored, body, REPORT_TIMEOUT_MS, (error) => {
        logger.info("Told meta what is stored here", {
          replicas: replicas.length,
          tables: tables.size,
          outcome: errorName(error),
        });
      });
    });
  }

  #syncUsers(to: string): void {
    const { client, logger, settings } = this.#options;
    const request = { version: this.#usersVersion };
    client.start(to, SyncUsers, request, settings.configSyncTimeoutMs, (error, answer, detail) => {
      // The next config sync asks again.
      if (error !== Err.OK) return logger.warn("Users are not known", { reason: detail });
      const access = answer?.access;
      if (access === undefined || this.#stopped) return;
      this.#usersVersion = access.version;
      this.#toAll({ kind: "access", access });
    });
  }

  #updateConfig(report: Extract<ShardReport, { kind: "updateConfig" }>): void {
    if (this.#stopped) return;
    const { client, node: from, incarnation } = this.#options;
    const { partition, attempt, change, node, config } = report;
    const request = { change, node, from, incarnation, config };
    client.start(
      this.#core.leader,
      UpdateConfig,
      request,
      UPDATE_CONFIG_TIMEOUT_MS,
      (error, answer) => {
        const result = error === Err.OK && answer !== undefined ? answer.error : error;
        this.#toShard(partition, {
          kind: "configReply",
          partition,
          attempt,
          error: result,
          config: answer?.config,
        });
      },
    );
  }

  #note({ event, details }: Extract<ServerEffect, { kind: "note" }>): void {
    const { logger } = this.#options;
    switch (event) {
      case "contact":
        return logger.info("Contact with meta changed", details);
      case "leader":
        return logger.info("Meta leader found", details);
      case "notAllowed":
        return logger.warn("Meta does not admit this server; the leader's log says why", details);
      case "syncFailed":
        return logger.warn("Config sync failed", {
          error: errorName(Number(details["error"])),
        });
    }
  }
}
