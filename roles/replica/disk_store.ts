// One replica on disk: its directory, engine and private log, as replica_store.ts describes them. Invariants:
// manifests are written one after the other, and never claim a durable decree or a synced sequence that the
// disk has not confirmed (§15); an old generation is removed only after nobody uses it.

import { type Files, isNoSpace } from "../../src/base/files.ts";
import type { Ballot, Decree, PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { AppendRecord } from "../../src/replication/io.ts";
import type { TableInfo } from "../../src/schema/types.ts";
import { sessionsOp } from "../../storage/apply.ts";
import { type Engine, META_KEY_PREFIX } from "../../storage/engine.ts";
import { encodeBallot } from "../../storage/log_format.ts";
import { type LogRecord, type PrivateLog, RecordKind } from "../../storage/log.ts";
import { openPrivateLog } from "../../storage/private_log.ts";
import type { GenerationSource, ReplicaDir } from "../../storage/replica_dir.ts";
import type { DiskSet } from "./disk_set.ts";
import { describeTable, imageBallotOf, tableOfManifest } from "./stored_info.ts";
import type { ReplicaStore, StagedGeneration } from "./replica_store.ts";

/** What all stores of a shard share. */
export interface DiskStoreOptions {
  readonly files: Files;
  readonly disks: DiskSet;
  readonly generations: GenerationSource;
  readonly openEngine: (dir: string) => Promise<Engine>;
  readonly privateSegmentBytes: number;
  /** This start of the operating system; "" or absent = not known. */
  readonly boot?: string;
  /**
   * The server wrote without fsync and did not end in order: replicas of another start of the operating system may
   * lack what they have acknowledged (§12.5). @default false
   */
  readonly wasUnsynced?: boolean;
  /** Private log kept for learners beyond what recovery needs, bytes. */
  readonly privateReserveBytes: number;
  /** Hears why a replica was moved aside. @default Nobody does */
  readonly logger?: Logger;
}

/** Stands in a manifest for the start of the operating system in which the replica was whole: it may lack something. */
export const DOUBTED = "doubted";

/** What a checkpoint makes durable. */
interface CheckpointOf {
  readonly decree: Decree;
  readonly ballot: Ballot;
  readonly sessions: Uint8Array;
  readonly whole?: boolean;
}

/** See the file comment. */
export class DiskStore implements ReplicaStore {
  readonly partition: PartitionId;
  readonly #options: DiskStoreOptions;
  readonly #dir: ReplicaDir;
  #engine: Engine;
  #log: PrivateLog;
  #generation: number;
  /** Largest ballot this process has appended; 0 = none yet. */
  #ballot: Ballot = 0;
  #table: TableInfo;
  #imageBallot: Ballot;
  /** The manifest is changed by one caller at a time. */
  #manifest: Promise<unknown> = Promise.resolve();
  /** Removal of old generations. */
  #cleanup: Promise<void> = Promise.resolve();

  constructor(options: DiskStoreOptions, dir: ReplicaDir, engine: Engine, log: PrivateLog) {
    this.#options = options;
    this.#dir = dir;
    this.#engine = engine;
    this.#log = log;
    this.partition = dir.manifest.partition;
    this.#generation = dir.manifest.generation;
    this.#table = tableOfManifest(dir.manifest);
    this.#imageBallot = imageBallotOf(dir.manifest.info);
  }

  get table(): TableInfo {
    return this.#table;
  }

  get engine(): Engine {
    return this.#engine;
  }

  get firstDecree(): Decree {
    return this.#log.firstDecree;
  }

  append(record: AppendRecord): LogRecord {
    const isMutation = record.kind === "mutation";
    if (!isMutation) this.#ballot = Math.max(this.#ballot, record.ballot);
    const numbered: LogRecord = {
      partition: this.partition,
      generation: this.#generation,
      sequence: this.#log.lastSequence + 1,
      kind: isMutation ? RecordKind.MUTATION : RecordKind.BALLOT,
      decree: isMutation ? record.decree : 0,
      payload: isMutation ? record.payload : encodeBallot(record.ballot, record.reconcileEnd),
    };
    this.#log.append(numbered);
    return numbered;
  }

  writeLog(): void {
    this.#log.write();
  }

  async syncLog(): Promise<void> {
    if (this.#log.lastSequence > this.#log.syncedSequence) await this.#log.sync();
  }

  covered(generation: number): number {
    if (generation === this.#generation) return this.#log.syncedSequence;
    return generation < this.#generation ? Infinity : 0;
  }

  readMutations(
    first: Decree,
    last: Decree,
    bytesMax: number,
  ): Promise<Uint8Array[] | undefined> {
    return this.#log.readMutations(first, last, bytesMax);
  }

  async checkpoint(at: CheckpointOf): Promise<boolean> {
    const generation = this.#generation;
    try {
      return await this.#checkpoint(at, generation);
    } catch (error) {
      // An image was installed meanwhile, and what the checkpoint is of is closed and removed.
      if (this.#generation !== generation) return false;
      throw error;
    }
  }

  async #checkpoint(at: CheckpointOf, generation: number): Promise<boolean> {
    const engine = this.#engine;
    const log = this.#log;
    await engine.write([sessionsOp(at.decree, at.sessions)]);
    await engine.flush();
    await log.sync();
    // A ballot adopted since the core asked may be in a segment that goes below: the manifest must have it.
    const ballot = Math.max(at.ballot, this.#ballot, this.#dir.manifest.ballot);
    const written = await this.#serially(async () => {
      if (this.#generation !== generation) return false;
      await this.#dir.update({
        ballot,
        durable: at.decree,
        syncedSequence: log.syncedSequence,
        ...(at.whole === true ? this.#whole() : {}),
        ...describeTable(this.#table, this.#imageBallot),
      });
      return true;
    });
    if (written && this.#ballot <= ballot) {
      await log.collect(at.decree, this.#options.privateReserveBytes);
    }
    return written;
  }

  describe(table: TableInfo): void {
    const isKnown = table.revision === this.#table.revision && table.createdAt > 0 &&
      table.createdAt === this.#table.createdAt && table.status === this.#table.status;
    this.#table = table;
    if (isKnown) return;
    // What cannot be written now is written with the next checkpoint.
    this.#serially(() => this.#dir.update(describeTable(this.#table, this.#imageBallot)))
      .catch(() => {});
  }

  async stage(): Promise<StagedGeneration> {
    const { generations, openEngine, privateSegmentBytes, files } = this.#options;
    const generation = generations.next();
    const { enginePath, logPath } = await this.#dir.prepareGeneration(generation);
    const engine = await openEngine(enginePath);
    const { log } = await openPrivateLog(
      { files, dir: logPath, generation, segmentBytes: privateSegmentBytes },
      () => {},
    ).catch(async (error) => {
      await engine.close();
      throw error;
    });
    return {
      engine,
      commit: (ballot, durable) =>
        this.#serially(() => {
          const stored = Math.max(ballot, this.#dir.manifest.ballot);
          this.#imageBallot = ballot;
          const { info } = describeTable(this.#table, ballot);
          const change = { ballot: stored, durable, info, ...this.#whole() };
          return this.#dir.commitGeneration(generation, change);
        }),
      activate: (released) => {
        const old = { engine: this.#engine, log: this.#log };
        this.#engine = engine;
        this.#log = log;
        this.#generation = generation;
        this.#cleanup = this.#remove(old, released);
      },
      discard: async () => {
        await engine.close();
        await log.close();
        files.remove(enginePath);
        files.remove(logPath);
      },
    };
  }

  measure(): Promise<number> {
    return this.#engine.approximateSize(new Uint8Array(0), META_KEY_PREFIX);
  }

  async close(): Promise<void> {
    await this.#cleanup;
    await this.#manifest;
    try {
      if (!this.#log.poisoned) await this.syncLog();
      await this.#log.close();
    } catch (error) {
      // For want of space it stays open: what waits in memory is written when this is called again.
      if (!isNoSpace(error)) await this.#log.close().catch(() => {});
      throw error;
    } finally {
      await this.#engine.close();
    }
  }

  async #remove(
    old: { engine: Engine; log: PrivateLog },
    released: Promise<void>,
  ): Promise<void> {
    const before = this.#cleanup;
    try {
      await before;
      await released;
      await old.engine.close();
      // Its end is not missed by anybody.
      await old.log.close().catch(() => {});
      // Not a later one: the next image may be on its way into it.
      await this.#serially(() => this.#dir.dropOldGenerations("earlier"));
    } catch {
      // What is left is removed with the next generation, or at the next start.
    }
  }

  #whole(): { boot?: string } {
    const { boot = "" } = this.#options;
    return boot === "" && this.#dir.manifest.boot !== DOUBTED ? {} : { boot };
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#manifest.then(work);
    this.#manifest = done.catch(() => {
      // Whoever asked for it knows.
    });
    return done;
  }
}
