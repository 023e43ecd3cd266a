// Creates, finds and opens the replicas of a shard on disk. Invariant: what a core starts from is what the
// engine certainly holds: replay begins at the durable decree, whatever the applied row says (§15.2), and a
// replica whose engine knows of mutations that the logs do not hold is not used at all.

import { NEW_REPLICA } from "../../src/replication/io.ts";
import { FilesError, isNoSpace } from "../../src/base/files.ts";
import { type Decree, formatPartition, type PartitionId } from "../../src/base/ids.ts";
import type { Mutation } from "../../src/schema/mutation.ts";
import type { TableInfo } from "../../src/schema/types.ts";
import {
  applyOps,
  ensureFormat,
  readApplied,
  readAppliedTimestamp,
  readSessions,
} from "../../storage/apply.ts";
import { type Engine, EngineError, isEngineFull } from "../../storage/engine.ts";
import type { PrivateLog } from "../../storage/log.ts";
import { openPrivateLog } from "../../storage/private_log.ts";
import type { RecoveredReplica } from "../../storage/recover_shard.ts";
import { type RecoveryResult, ReplicaRecovery } from "../../storage/recovery.ts";
import { copyReplica, UnsettledCopyError } from "../../storage/replica_copy.ts";
import { LayoutError, moveReplicaAside, ReplicaDir } from "../../storage/replica_dir.ts";
import { DiskStore, type DiskStoreOptions, DOUBTED } from "./disk_store.ts";
import { describeTable, imageBallotOf, maxReplicaCountOf } from "./stored_info.ts";
import type { OpenedReplica, ReplicaStores } from "./replica_store.ts";

/** Replicas a table has if nothing else is known. */
const REPLICA_COUNT_UNKNOWN = 3;
/** Mutations of one engine batch during replay. */
const REPLAY_BATCH = 256;

/** The stored replica must not be used: it is to be moved aside and learned again. */
export class CondemnedError extends Error {
  override readonly name = "CondemnedError";
}

/** Whether what is stored of a replica is why it does not open: then it is moved aside and learned again. */
export function isUnusable(error: unknown): error is Error {
  return error instanceof CondemnedError ||
    (error instanceof EngineError && error.kind === "corruption") ||
    (error instanceof LayoutError && error.kind === "unreadable");
}

/** See the file comment. */
export class DiskStores implements ReplicaStores {
  readonly #options: DiskStoreOptions;
  /** Found at the start and not open yet, for want of space. Without a log: that is whole on disk, and closed. */
  readonly #late = new Map<
    PartitionId,
    { recovery: RecoveryResult; log: PrivateLog | undefined }
  >();
  /** Unix ms. */
  readonly #wall: () => number;

  constructor(options: DiskStoreOptions, wall: () => number) {
    this.#options = options;
    this.#wall = wall;
  }

  async create(partition: PartitionId, table: TableInfo | undefined): Promise<OpenedReplica> {
    const { files, disks, generations } = this.#options;
    const { path: dataDir } = disks.choose(partition);
    const maxReplicaCount = table?.maxReplicaCount ?? REPLICA_COUNT_UNKNOWN;
    // At once: others are placed meanwhile.
    disks.put(partition, dataDir);
    const dir = await ReplicaDir.create(files, dataDir, {
      partition,
      generation: generations.next(),
      ballot: 0,
      durable: 0,
      syncedSequence: 0,
      ...(table === undefined
        ? { tableName: "", partitionCount: 0, info: { maxReplicaCount } }
        : describeTable(table, 0)),
      copies: 0,
      ...(this.#options.boot ? { boot: this.#options.boot } : {}),
    }).catch((error) => {
      disks.forget(partition);
      throw error;
    });
    const store = await this.#openNew(dir).catch(async (error) => {
      disks.forget(partition);
      await dir.remove();
      throw error;
    });
    return { store, recovered: NEW_REPLICA, maxReplicaCount };
  }

  async reopen(partition: PartitionId): Promise<OpenedReplica | undefined> {
    const { files, disks } = this.#options;
    const place = disks.locate(partition);
    if (place === undefined) return undefined;
    try {
      const dir = ReplicaDir.open(files, place.path, partition);
      if (this.#late.has(partition)) return await this.#openLate(dir);
      const recovery = new ReplicaRecovery(dir.manifest);
      const opened = await this.#openLog(dir, recovery);
      recovery.privateEnd(opened);
      // Its log was synced when it was closed: the shared log has nothing to add.
      return await this.open(dir, opened.log, recovery.result());
    } catch (error) {
      if (!isUnusable(error)) throw error;
      const details = { partition: formatPartition(partition), reason: error.message };
      this.#options.logger?.error("Replica moved aside", details);
      await this.moveAside(partition, "err");
      return undefined;
    }
  }

  /**
   * Opens a replica that was found at the start.
   *
   * @throws {CondemnedError} If it cannot be used.
   * @throws {EngineError | FilesError} `noSpace`: {@link reopen} opens it when there is room.
   */
  async openFound({ dir, privateLog: log, recovery }: RecoveredReplica): Promise<OpenedReplica> {
    const { partition } = dir.manifest;
    this.#options.disks.put(partition, dir.dataDir);
    this.#late.set(partition, { recovery, log });
    try {
      return await this.#openLate(dir);
    } catch (error) {
      if (!isNoSpace(error) && !isEngineFull(error)) await this.#forgetLate(partition);
      throw error;
    }
  }

  async #openLate(dir: ReplicaDir): Promise<OpenedReplica> {
    const { partition } = dir.manifest;
    const late = this.#late.get(partition)!;
    await late.log?.sync().catch((error) => {
      throw isNoSpace(error) ? error : new CondemnedError(`Its private log: ${error.message}`);
    });
    const log = late.log ?? (await this.#openLog(dir)).log;
    late.log = undefined;
    const opened = await this.open(dir, log, late.recovery);
    this.#late.delete(partition);
    return opened;
  }

  async #forgetLate(partition: PartitionId): Promise<void> {
    const late = this.#late.get(partition);
    this.#late.delete(partition);
    await late?.log?.close().catch(() => {
      // The replica is not used any more.
    });
  }

  /**
   * Opens a replica whose logs have been read. On failure everything is closed.
   *
   * @throws {CondemnedError} If it cannot be used.
   * @throws {EngineError} If the engine does not open.
   */
  async open(
    dir: ReplicaDir,
    log: PrivateLog,
    recovery: RecoveryResult,
  ): Promise<OpenedReplica> {
    let engine: Engine | undefined;
    try {
      if (recovery.condemned !== undefined) throw new CondemnedError(recovery.condemned);
      await dir.dropOldGenerations();
      this.#options.disks.put(dir.manifest.partition, dir.dataDir);
      engine = await this.#options.openEngine(dir.enginePath);
      await ensureFormat(engine);
      const { info, partitionCount, durable } = dir.manifest;
      const mutationBallot = Math.max(recovery.mutationBallot, imageBallotOf(info));
      const replayed = await replay(engine, durable, recovery);
      const { tornTail } = recovery;
      const mayLack = this.#mayLack(dir);
      if (mayLack) await writeDoubt(dir);
      const recovered = { ...replayed, mutationBallot, tornTail, mayLack };
      const store = new DiskStore(this.#options, dir, engine, log);
      return { store, recovered, maxReplicaCount: maxReplicaCountOf(info), partitionCount };
    } catch (error) {
      // What these meet is less of a reason.
      await engine?.close().catch(() => {});
      await log.close().catch(() => {});
      throw error;
    }
  }

  /** §12.5. */
  #mayLack({ manifest }: ReplicaDir): boolean {
    const { boot = "", wasUnsynced = false } = this.#options;
    if (manifest.boot === DOUBTED) return true;
    return wasUnsynced && (boot === "" || manifest.boot !== boot);
  }

  async moveAside(
    partition: PartitionId,
    reason: "err" | "gar",
    dataDir = this.#options.disks.locate(partition)?.path,
  ): Promise<void> {
    const { files, disks } = this.#options;
    // Its directory was given up: there is nothing that could be moved.
    if (dataDir === undefined) return;
    await this.#forgetLate(partition);
    const timestamp = Math.floor(this.#wall() / 1000);
    await moveReplicaAside(files, dataDir, partition, { reason, timestamp });
    if (disks.locate(partition)?.path === dataDir) disks.forget(partition);
  }

  locate(partition: PartitionId): string {
    return this.#options.disks.locate(partition)?.tag ?? "";
  }

  refusal(partition: PartitionId, tag: string): string | undefined {
    const { disks } = this.#options;
    const dir = disks.byTag(tag);
    if (dir === undefined) {
      return `No disk "${tag}" in use: expected one of ${disks.tags.join(", ")}`;
    }
    if (this.#late.has(partition)) return "The replica has no room on its own disk to be opened";
    const refusal = disks.refusal(partition, dir);
    return refusal === undefined ? undefined : `Disk ${tag} cannot take it: ${refusal}`;
  }

  async move(
    partition: PartitionId,
    tag: string,
  ): Promise<{ bytes: number; leftover?: string }> {
    const { files, disks } = this.#options;
    const [from, to] = [disks.locate(partition), disks.byTag(tag)];
    const refusal = this.refusal(partition, tag);
    if (from === undefined || to === undefined || refusal !== undefined) {
      throw new FilesError("noSpace", refusal ?? "The replica is not stored");
    }
    let bytes = 0;
    const dirs = { from: from.path, to: to.path };
    let leftover: unknown;
    try {
      leftover = await copyReplica(files, partition, dirs, (more) => bytes += more);
    } catch (error) {
      if (error instanceof UnsettledCopyError) {
        await this.moveAside(partition, "err", to.path).catch(() => {});
        await this.moveAside(partition, "err", from.path).catch(() => disks.forget(partition));
      }
      throw error;
    }
    disks.forget(partition);
    disks.put(partition, to.path);
    return { bytes, ...(leftover === undefined ? {} : { leftover: String(leftover) }) };
  }

  drop(tag: string): PartitionId[] {
    const dropped = this.#options.disks.drop(tag);
    for (const partition of dropped) void this.#forgetLate(partition);
    return dropped;
  }

  async #openNew(dir: ReplicaDir): Promise<DiskStore> {
    const engine = await this.#options.openEngine(dir.enginePath);
    try {
      await ensureFormat(engine);
      const { log } = await this.#openLog(dir);
      return new DiskStore(this.#options, dir, engine, log);
    } catch (error) {
      await engine.close();
      throw error;
    }
  }

  #openLog(dir: ReplicaDir, recovery?: ReplicaRecovery) {
    const { files, privateSegmentBytes: segmentBytes } = this.#options;
    const { generation } = dir.manifest;
    return openPrivateLog(
      { files, dir: dir.logPath, generation, segmentBytes },
      (record) => recovery?.privateRecord(record),
    );
  }
}

/** An end in order must not make it whole: what it may lack was lost before (§12.5). */
async function writeDoubt(dir: ReplicaDir): Promise<void> {
  if (dir.manifest.boot === DOUBTED) return;
  try {
    await dir.update({ boot: DOUBTED });
  } catch (error) {
    // A full disk must not keep the server from starting; this life knows.
    if (!isNoSpace(error)) throw error;
  }
}

/**
 * Without fsync the power may take the end of the logs and leave what the engine has applied. In the place of the
 * newest applied mutation the logs then hold a ghost, which must not be applied on top of it: they lack the committed
 * one. Its timestamp names a mutation whatever ballot carries it.
 *
 * @throws {CondemnedError}
 */
function checkApplied(engine: Engine, durable: Decree, mutations: readonly Mutation[]): void {
  const applied = readApplied(engine);
  const logged = mutations[applied - durable - 1];
  const timestampUs = readAppliedTimestamp(engine);
  if (logged === undefined || timestampUs === 0 || logged.timestampUs === timestampUs) return;
  throw new CondemnedError(
    `The engine has applied another mutation ${applied} than the one in the logs`,
  );
}

/**
 * Brings the engine to the decree of its sessions row, from which the core goes on by itself: it applies the
 * rest again, over whatever the engine holds already, and moves the exactly-once window along.
 */
async function replay(
  engine: Engine,
  durable: Decree,
  { ballot, committed, mutations }: RecoveryResult,
): Promise<OpenedReplica["recovered"]> {
  const sessions = readSessions(engine);
  if (sessions.decree < durable) {
    throw new CondemnedError(
      `The engine's exactly-once window is of decree ${sessions.decree}, expected ${durable}`,
    );
  }
  // Applied means committed, also where the logs cannot prove it; then they must hold all of it.
  const proven = Math.max(committed, sessions.decree, readApplied(engine));
  const needed = mutations.slice(0, proven - durable);
  const end = needed.length === 0 ? durable : needed[needed.length - 1]!.decree;
  if (end !== proven || needed.length !== proven - durable) {
    throw new CondemnedError(`The engine holds decree ${proven}, the logs end at ${end}`);
  }
  checkApplied(engine, durable, mutations);
  const first: Mutation[] = needed.slice(0, sessions.decree - durable);
  for (let at = 0; at < first.length; at += REPLAY_BATCH) {
    await engine.write(applyOps(first.slice(at, at + REPLAY_BATCH), durable + at));
  }
  return {
    ballot,
    applied: sessions.decree,
    durable,
    committed: proven,
    tail: mutations.slice(first.length),
    sessions: sessions.image,
    existed: true,
  };
}
