// The disk of one simulated server, at the level a replica's driver sees it: one shared log with a group
// commit, and per replica a private log, a manifest and an engine. What a crash may take away is decided
// here: a process crash takes writes not yet handed to the system, power loss also what was not synced
// (docs/testing.md, "Simulator"; the bytes below are tested on their own in tests/unit/storage).

import type { PartitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { LogRecord } from "../../storage/log.ts";
import { ModelEngine } from "./model_engine.ts";
import type { CrashKind, SimDisk } from "./watched.ts";

/** What is durable of a replica apart from log and engine. Written atomically. */
export interface ModelManifest {
  readonly generation: number;
  readonly ballot: number;
  readonly durable: number;
}

/** Files of one replica. */
export class ReplicaFiles {
  readonly partition: PartitionId;
  manifest: ModelManifest;
  engine = new ModelEngine();
  /** Records of the current generation; the first `privateSynced` survive power loss. */
  privateLog: LogRecord[] = [];
  privateSynced = 0;
  /** It holds what it acknowledged, or was written with fsync: power loss without makes this false. */
  isWhole = true;

  /** @param generation Larger than any earlier one of the partition on this server. */
  constructor(partition: PartitionId, generation: number) {
    this.partition = partition;
    this.manifest = { generation, ballot: 0, durable: 0 };
  }

  /** Highest sequence that the private log holds durably. */
  get coveredSequence(): number {
    return this.privateSynced === 0 ? this.#collected : this.#sequenceAt(this.privateSynced - 1);
  }

  #collected = 0;

  #sequenceAt(index: number): number {
    return this.privateLog[index]!.sequence;
  }

  syncPrivate(): void {
    this.privateSynced = this.privateLog.length;
  }

  /** Drops the first `count` records; they must be synced. */
  collectPrivate(count: number): void {
    if (count === 0) return;
    this.#collected = this.#sequenceAt(count - 1);
    this.privateLog = this.privateLog.slice(count);
    this.privateSynced -= count;
  }

  /** A new generation replaces everything; durable at once. */
  startGeneration(manifest: ModelManifest): void {
    this.manifest = manifest;
    this.isWhole = true;
    this.privateLog = [];
    this.privateSynced = 0;
    this.#collected = 0;
  }

  crash(kind: CrashKind, chance: Prng): void {
    // Appends queue in memory and reach the file some time later: any part above the synced one may lack.
    const unsynced = this.privateLog.length - this.privateSynced;
    this.privateLog.length = this.privateSynced + chance.below(unsynced + 1);
    this.privateSynced = this.privateLog.length;
    // A process crash leaves every completed engine write.
    if (kind === "power") this.engine.powerLoss(chance);
  }
}

/** Files of one server. */
export class ServerDisk implements SimDisk {
  readonly #chance: Prng;
  readonly replicas = new Map<PartitionId, ReplicaFiles>();
  /** The shared log; positions count from 1 over the whole life of the server. */
  shared: LogRecord[] = [];
  #collected = 0;
  readonly #generations = new Map<PartitionId, number>();
  /** Highest position that is synced, that a running write covers, and that exists. */
  durable = 0;
  writing = 0;
  poisoned = false;
  /** The last crash took the end of what was being written: a restart finds bytes that are no records. */
  isTorn = false;
  incarnation = 0;
  /** Identity of meta's store that the data belongs to. */
  store = "";

  adoptStore(store: string): void {
    this.store = store;
  }

  constructor(chance: Prng) {
    this.#chance = chance;
  }

  get partitions(): readonly PartitionId[] {
    return [...this.replicas.keys()];
  }

  holds(partition: PartitionId): boolean {
    return this.replicas.has(partition);
  }

  isWhole(partition: PartitionId): boolean {
    return this.replicas.get(partition)?.isWhole ?? false;
  }

  loseReplica(chance: Prng, only?: PartitionId): PartitionId | undefined {
    if (this.replicas.size === 0) return undefined;
    const partition = only ?? chance.pick(this.partitions);
    this.replicas.delete(partition);
    return partition;
  }

  /** Records have no bytes here. */
  readonly rotten = undefined;
  readonly isRotUnread = false;
  rot(): boolean {
    return false;
  }

  /** Highest position. */
  get end(): number {
    return this.#collected + this.shared.length;
  }

  /** @returns the record's position. */
  append(record: LogRecord): number {
    this.shared.push(record);
    return this.end;
  }

  /** Everything up to `position` is synced now. @returns the records that became durable. */
  markDurable(position: number): LogRecord[] {
    const from = this.durable - this.#collected;
    this.durable = Math.max(this.durable, position);
    return this.shared.slice(from, this.durable - this.#collected);
  }

  /** Whether every record of a partition is durable. */
  isSettled(partition: PartitionId): boolean {
    const from = this.durable - this.#collected;
    return this.shared.slice(from).every((record) => record.partition !== partition);
  }

  /** A generation for new files of a partition: records of lost ones must not come back. */
  nextGeneration(partition: PartitionId): number {
    const next = (this.#generations.get(partition) ?? 0) + 1000;
    this.#generations.set(partition, next);
    return next;
  }

  /** The oldest records that private logs or later generations cover are dropped. */
  collectShared(): void {
    let count = 0;
    while (this.#collected + count < this.durable && this.#isCovered(this.shared[count]!)) count++;
    // Segments, not records, are deleted: keep a random part of what could go.
    count = this.#chance.below(count + 1);
    this.shared = this.shared.slice(count);
    this.#collected += count;
  }

  #isCovered(record: LogRecord): boolean {
    const files = this.replicas.get(record.partition);
    if (files === undefined || files.manifest.generation > record.generation) return true;
    return files.manifest.generation === record.generation &&
      record.sequence <= files.coveredSequence;
  }

  /**
   * Applies a crash. Afterwards everything that is left is durable.
   *
   * @returns Whether the shared log lost a part of what was being written: its torn tail.
   */
  crash(kind: CrashKind, fsync: boolean): boolean {
    // Without fsync "durable" only means written: power loss may take all of it back.
    const certain = kind === "power" && !fsync ? this.#collected : this.durable;
    const written = Math.max(this.writing, this.durable);
    const kept = certain + this.#chance.below(written - certain + 1);
    this.shared.length = kept - this.#collected;
    this.durable = this.writing = kept;
    this.poisoned = false;
    if (kind === "power") { for (const files of this.replicas.values()) files.isWhole = false; }
    for (const files of this.replicas.values()) files.crash(kind, this.#chance);
    this.isTorn = kept < written;
    return this.isTorn;
  }
}
