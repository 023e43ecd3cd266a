// A replica of a whole simulated server as its production driver runs it, with the judge behind it: every step of
// the core is recorded and checked, and whatever breaks in it ends the run. Also the stores and the shared log
// of such a server with the judge listening.

import type { Now } from "../../src/base/clock.ts";
import type { NodeId, PartitionId } from "../../src/base/ids.ts";
import type { RecoveredState, ReplicaEffect, ReplicaEvent } from "../../src/replication/io.ts";
import type { ReplicaCore } from "../../src/replication/replica.ts";
import type { TableInfo } from "../../src/schema/types.ts";
import type { LogRecord, SharedLog } from "../../storage/log.ts";
import type { DiskStores } from "../../roles/replica/disk_stores.ts";
import type { ReplicaMachine } from "../../roles/replica/driver_host.ts";
import type {
  OpenedReplica,
  ReplicaStore,
  ReplicaStores,
} from "../../roles/replica/replica_store.ts";
import { countReplicaStep } from "./census.ts";
import type { Env } from "./env.ts";
import type { WatchedReplica, WatchedServer } from "./watched.ts";
import type { WholeDisk } from "./whole_disk.ts";
import type { HashedEngine } from "./hashed_engine.ts";

/** What a replica needs of its server. */
export interface WholeHome extends WatchedServer {
  readonly disk: WholeDisk;
  readonly isDead: boolean;
  deliver(partition: PartitionId, event: ReplicaEvent): void;
}

/** See the file comment. */
export class WholeReplica implements ReplicaMachine, WatchedReplica {
  readonly server: WholeHome;
  readonly core: ReplicaCore;
  readonly #env: Env;
  readonly #store: ReplicaStore;
  engineAhead: number;
  statusSeen = "new";
  commitsChecked: number;

  constructor(env: Env, server: WholeHome, core: ReplicaCore, opened: OpenedReplica) {
    this.#env = env;
    this.server = server;
    this.core = core;
    this.#store = opened.store;
    this.commitsChecked = opened.recovered.applied;
    // The engine may hold everything that the log proves to be committed.
    this.engineAhead = opened.recovered.committed;
  }

  get partition() {
    return this.core.partition;
  }
  get status() {
    return this.core.status;
  }
  get ballot() {
    return this.core.ballot;
  }
  get committed() {
    return this.core.committed;
  }
  get applied() {
    return this.core.applied;
  }
  get durable() {
    return this.core.durable;
  }
  get readable() {
    return this.core.readable;
  }
  get freshAt() {
    return this.core.freshAt;
  }
  get sessionsImage() {
    return this.core.sessionsImage;
  }
  get contentHash(): number {
    return (this.#store.engine as HashedEngine).contentHash;
  }

  learnerSignature(node: NodeId): number {
    return this.core.learnerSignature(node);
  }

  report() {
    return this.core.report();
  }

  hear(event: ReplicaEvent): void {
    this.server.deliver(this.partition, event);
  }

  step(event: ReplicaEvent, now: Now, out: ReplicaEffect[]): void {
    if (this.server.isDead) return;
    const { watch, coverage } = this.#env;
    try {
      if (event.kind === "imageInstalled") {
        watch.installed(this, event.decree, this.server.disk.manifest(this.partition));
        coverage.hit("learn.image");
      }
      if (event.kind === "logFetched" && event.done) coverage.hit("learn.log");
      this.core.step(event, now, out);
      const isIdle = out.length === 0 && (event.kind === "tick" || event.kind === "flush");
      if (!isIdle) this.#record(event, out);
      countReplicaStep((name) => coverage.hit(name), event, out);
      for (const effect of out) {
        if (effect.kind === "note") coverage.hit(`note.${effect.event}`);
      }
      watch.stepped(this, event, out);
      if (event.kind === "checkpointed") watch.checkpointed(this, event.decree);
    } catch (error) {
      // The driver would close this replica and go on.
      this.#env.fatal ??= error;
      throw error;
    }
  }

  #record(event: ReplicaEvent, out: readonly ReplicaEffect[]): void {
    const { scheduler, trace } = this.#env;
    const { status, ballot, committed } = this.core;
    const details = { status, event: briefly(event), out: [...out] };
    trace.add(
      scheduler.now,
      this.server.id,
      event.kind,
      details,
      ballot,
      committed,
      out.length,
    );
  }
}

/** A token of a write is a call with the whole world behind it. */
function briefly(event: ReplicaEvent): unknown {
  return event.kind === "write" ? { kind: event.kind, op: event.request.op } : event;
}

/** Stores that tell the judge what they open and give up. */
export class WatchedStores implements ReplicaStores {
  readonly #env: Env;
  readonly #home: WholeHome;
  readonly #inner: DiskStores;

  constructor(env: Env, home: WholeHome, inner: DiskStores) {
    this.#env = env;
    this.#home = home;
    this.#inner = inner;
  }

  async create(partition: PartitionId, table: TableInfo | undefined): Promise<OpenedReplica> {
    this.#env.coverage.hit("server.create");
    const opened = await this.#inner.create(partition, table);
    this.found(partition, opened.recovered, undefined);
    return opened;
  }

  async reopen(partition: PartitionId): Promise<OpenedReplica | undefined> {
    const opened = await this.#inner.reopen(partition);
    if (opened !== undefined) this.found(partition, opened.recovered, undefined);
    return opened;
  }

  async moveAside(
    partition: PartitionId,
    reason: "err" | "gar",
    dataDir?: string,
  ): Promise<void> {
    const { leaving } = this.#home.disk;
    leaving.set(partition, reason === "err");
    await this.#inner.moveAside(partition, reason, dataDir);
    if (this.#home.isDead) return;
    leaving.delete(partition);
    this.#env.coverage.hit(`server.aside.${reason}`);
    this.#env.watch.forgotten(this.#home.id, partition, reason === "err");
  }

  locate(partition: PartitionId): string {
    return this.#inner.locate(partition);
  }

  drop(tag: string): PartitionId[] {
    return this.#inner.drop(tag);
  }

  refusal(partition: PartitionId, tag: string): string | undefined {
    return this.#inner.refusal(partition, tag);
  }

  move(partition: PartitionId, tag: string): Promise<{ bytes: number; leftover?: string }> {
    return this.#inner.move(partition, tag);
  }

  /** A stored replica was opened, or cannot be used. */
  found(
    partition: PartitionId,
    state: RecoveredState,
    condemned: string | undefined,
  ): void {
    if (this.#home.isDead) return;
    try {
      // What is condemned may have no readable manifest.
      const generation = condemned === undefined
        ? this.#home.disk.manifest(partition).generation
        : 0;
      this.#env.watch.opened(this.#home, partition, state, condemned, generation);
    } catch (error) {
      this.#env.fatal ??= error;
      throw error;
    }
  }
}

/** A shared log that tells the judge what is durable. */
export class WatchedLog implements SharedLog {
  readonly #env: Env;
  readonly #home: WholeHome;
  readonly #inner: SharedLog;
  /** Records from position #settled + 1 on. */
  #pending: LogRecord[] = [];
  #settled = 0;
  onDurable: (position: number) => void = () => {};
  onFailed: (error: Error) => void = () => {};
  onFull: (error: Error) => void = () => {};

  constructor(env: Env, home: WholeHome, inner: SharedLog) {
    this.#env = env;
    this.#home = home;
    this.#inner = inner;
    inner.onDurable = (position) => this.#durable(position);
    inner.onFull = (error) => {
      if (!home.isDead) this.onFull(error);
    };
    inner.onFailed = (error) => {
      if (!home.isDead) this.onFailed(error);
    };
  }

  append(record: LogRecord): number {
    this.#pending.push(record);
    return this.#inner.append(record);
  }

  #durable(position: number): void {
    if (this.#home.isDead) return;
    const records = this.#pending.splice(0, position - this.#settled);
    this.#settled = position;
    this.#env.watch.logDurable(this.#home.id, records);
    this.onDurable(position);
  }

  get poisoned(): boolean {
    return this.#inner.poisoned;
  }

  collect(covered: (partition: PartitionId, generation: number) => number): Promise<number> {
    return this.#inner.collect(covered).then((count) => {
      if (count > 0) this.#env.coverage.hit("log.sharedCollected");
      return count;
    });
  }

  get bytes(): number {
    return this.#inner.bytes;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}
