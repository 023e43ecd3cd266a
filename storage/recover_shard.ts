// Opens everything a shard owns after a start: its replicas' private logs, then all shared logs
// that can hold records of them. Invariant: when it returns, the private logs hold on stable
// storage whatever any shared log of an earlier start held for this shard, so that nothing depends
// on those any more, and records of this start follow without a gap. On a full disk the end of a private
// log may still wait in memory; then the shard's own log has it. docs/log_format.md, "Replay".

import { type Files, FilesError, isNoSpace } from "../src/base/files.ts";
import { formatPartition, type PartitionId } from "../src/base/ids.ts";
import type { StoragePlan } from "./data_dir.ts";
import { SegmentKind, type TableEntry } from "./log_format.ts";
import type { LogVisitor } from "./log_reader.ts";
import { listSegments, readLog, readSegmentHead, segmentPath } from "./log_segments.ts";
import type { LogDamage, LogRecord, PrivateLog, SharedLog } from "./log.ts";
import { openPrivateLog } from "./private_log.ts";
import { type RecoveryResult, ReplicaRecovery } from "./recovery.ts";
import { LayoutError, listReplicas, ReplicaDir, replicasDir, sharedLogDir } from "./replica_dir.ts";
import { type GroupObserver, openSharedLog } from "./shared_log.ts";

export interface RecoverShardOptions {
  readonly files: Files;
  /** Every good data directory, and where shared logs are and were. */
  readonly storage: Omit<StoragePlan, "incarnation">;
  readonly shard: number;
  readonly shardCount: number;
  readonly incarnation: number;
  readonly fsync: "group" | "none";
  readonly sharedSegmentBytes?: number;
  readonly privateSegmentBytes?: number;
  /** See {@link SharedLogOptions.inlineSyncMsMax}. @default 0 */
  readonly inlineSyncMsMax?: number;
  /** See {@link SharedLogOptions.pause}. */
  readonly pause?: (ms: number) => Promise<void>;
  /** Sees the groups of the shared log. */
  readonly groups?: GroupObserver;
}

/** A replica that is ready to be opened. */
export interface RecoveredReplica {
  readonly dir: ReplicaDir;
  /** Synced, unless its disk is full: then `sync` tries again. */
  readonly privateLog: PrivateLog;
  readonly recovery: RecoveryResult;
}

/** A replica that must be moved aside and learned again. Nothing of it is open. */
export interface CondemnedReplica {
  readonly partition: PartitionId;
  /** The data directory it is in. */
  readonly dataDir: string;
  readonly reason: string;
}

export interface RecoveredShard {
  readonly sharedLog: SharedLog;
  readonly replicas: RecoveredReplica[];
  readonly condemned: CondemnedReplica[];
  /** For the server's log and metrics. */
  readonly damage: LogDamage[];
}

interface Opening {
  readonly dir: ReplicaDir;
  readonly log: PrivateLog;
  readonly recovery: ReplicaRecovery;
}

/** The shard of a partition. */
export function shardOf(partition: PartitionId, shardCount: number): number {
  return partition % shardCount;
}

/**
 * Recovers one shard. Until every shard of the process has done so, no shared log may be collected:
 * with another number of shards than before, one shard's old segments hold records of another one.
 *
 * @throws {FilesError} If the shared log cannot be opened; `noSpace` if records that only another shared log holds
 * find no room.
 * @throws {LayoutError} `newer`, and {LogFormatError}: a newer program wrote here.
 */
export async function recoverShard(options: RecoverShardOptions): Promise<RecoveredShard> {
  const condemned: CondemnedReplica[] = [];
  const openings = new Map<PartitionId, Opening>();
  removeUnborn(options);
  for (const dir of await findReplicas(options, condemned)) {
    const opening = await openReplica(options, dir, condemned);
    if (opening !== undefined) openings.set(dir.manifest.partition, opening);
  }
  const damage: LogDamage[] = [];
  const { sharedLog, isAlone } = await readSharedLogs(options, openings, damage);
  const replicas: RecoveredReplica[] = [];
  for (const [partition, opening] of openings) {
    const recovered = await finish(opening, isAlone);
    const { dataDir } = opening.dir;
    if (typeof recovered === "string") condemned.push({ partition, dataDir, reason: recovered });
    else replicas.push(recovered);
  }
  return { sharedLog, replicas, condemned, damage };
}

/**
 * Removes shared logs of shards that no longer exist, and those in places where none is written any more. Only
 * after all shards have recovered.
 */
export async function removeForeignSharedLogs(
  files: Files,
  { logDir, formerLogDirs }: Pick<StoragePlan, "logDir" | "formerLogDirs">,
  shardCount: number,
): Promise<number> {
  let removed = 0;
  for (const dir of [logDir, ...formerLogDirs]) {
    const end = dir === logDir ? shardCount : 0;
    const foreign = listSharedLogs(files, dir).filter((shard) => shard >= end);
    for (const shard of foreign) files.remove(sharedLogDir(dir, shard));
    if (foreign.length > 0) await files.syncDir(dir);
    removed += foreign.length;
  }
  return removed;
}

/** Directories that a crash left while they were created or removed. */
function removeUnborn({ files, storage, shard, shardCount }: RecoverShardOptions): void {
  for (const { path } of storage.dataDirs) {
    for (const name of files.list(replicasDir(path))) {
      const match = /^(\d+)\.(\d+)\.new$/.exec(name);
      if (match === null) continue;
      const partition = Number(match[1]) * 65536 + Number(match[2]);
      if (shardOf(partition, shardCount) === shard) files.remove(`${replicasDir(path)}/${name}`);
    }
  }
}

/** The replicas of the shard. Of one that is in two directories the newer life, or the later copy, counts. */
async function findReplicas(
  options: RecoverShardOptions,
  condemned: CondemnedReplica[],
): Promise<Iterable<ReplicaDir>> {
  const { files, storage, shard, shardCount, incarnation } = options;
  const found = new Map<PartitionId, ReplicaDir>();
  for (const { path: dataDir } of storage.dataDirs) {
    // A process may have ended between a rename and its sync: what is found here must not go with the power.
    if (files.exists(replicasDir(dataDir))) await files.syncDir(replicasDir(dataDir));
    for (const partition of listReplicas(files, dataDir)) {
      if (shardOf(partition, shardCount) !== shard) continue;
      const dir = openDir(files, dataDir, partition, condemned);
      if (dir === undefined) continue;
      const other = found.get(partition);
      const isNewer = other === undefined || compareLives(dir, other) > 0;
      if (isNewer) found.set(partition, dir);
      await (isNewer ? other : dir)?.moveAside("gar", incarnation);
    }
  }
  return found.values();
}

function compareLives({ manifest: a }: ReplicaDir, { manifest: b }: ReplicaDir): number {
  return a.generation - b.generation || a.copies - b.copies;
}

function openDir(
  files: Files,
  dataDir: string,
  partition: PartitionId,
  condemned: CondemnedReplica[],
): ReplicaDir | undefined {
  try {
    return ReplicaDir.open(files, dataDir, partition);
  } catch (error) {
    if (!isLost(error)) throw error;
    condemned.push({ partition, dataDir, reason: error.message });
    return undefined;
  }
}

async function openReplica(
  options: RecoverShardOptions,
  dir: ReplicaDir,
  condemned: CondemnedReplica[],
): Promise<Opening | undefined> {
  const { files, privateSegmentBytes, storage } = options;
  const { dataDir, manifest: { partition, generation } } = dir;
  if (storage.lostLog !== "") {
    condemned.push({ partition, dataDir, reason: storage.lostLog });
    return undefined;
  }
  try {
    const recovery = new ReplicaRecovery(dir.manifest);
    const opened = await openPrivateLog({
      files,
      dir: dir.logPath,
      generation,
      ...(privateSegmentBytes === undefined ? {} : { segmentBytes: privateSegmentBytes }),
    }, (record) => recovery.privateRecord(record));
    recovery.privateEnd(opened);
    return { dir, log: opened.log, recovery };
  } catch (error) {
    if (!isLost(error)) throw error;
    condemned.push({ partition, dataDir, reason: error.message });
    return undefined;
  }
}

/** Whether an error costs one replica, and not the start of the server. */
function isLost(error: unknown): error is Error {
  return (error instanceof LayoutError && error.kind === "unreadable") ||
    error instanceof FilesError;
}

/** @returns The shard's own log, and whether no other one was read. */
async function readSharedLogs(
  options: RecoverShardOptions,
  openings: ReadonlyMap<PartitionId, Opening>,
  damage: LogDamage[],
): Promise<{ sharedLog: SharedLog; isAlone: boolean }> {
  const { files, shard, sharedSegmentBytes } = options;
  const { logDir, formerLogDirs } = options.storage;
  const onRecord = (record: LogRecord) => {
    const opening = openings.get(record.partition);
    if (opening?.recovery.sharedRecord(record)) opening.log.append(record);
  };
  const observer: Pick<LogVisitor, "segment" | "damage" | "torn"> = {
    segment(head) {
      for (const { dir, recovery } of openings.values()) {
        recovery.sharedTable(sequenceIn(head.table, dir));
      }
    },
    damage(found) {
      damage.push(found);
      for (const { recovery } of openings.values()) recovery.sharedDamage(found);
    },
    torn() {
      for (const { recovery } of openings.values()) recovery.sharedTorn();
    },
  };
  const end = () => {
    for (const { recovery } of openings.values()) recovery.sharedEnd();
  };
  let isAlone = true;
  const readForeign = async (dir: string) => {
    isAlone = false;
    await readLog({ files, dir, kind: SegmentKind.SHARED, repair: false }, {
      ...observer,
      block: (records) => records.forEach(onRecord),
    });
    end();
  };
  for (const former of formerLogDirs) {
    for (const any of listSharedLogs(files, former)) await readForeign(sharedLogDir(former, any));
  }
  for (const other of listSharedLogs(files, logDir)) {
    const dir = sharedLogDir(logDir, other);
    if (other !== shard && concernsOthers(options, dir)) await readForeign(dir);
  }
  const { log } = await openSharedLog({
    files,
    dir: sharedLogDir(logDir, shard),
    incarnation: options.incarnation,
    fsync: options.fsync,
    shardCount: options.shardCount,
    observer,
    ...(sharedSegmentBytes === undefined ? {} : { segmentBytes: sharedSegmentBytes }),
    inlineSyncMsMax: options.inlineSyncMsMax ?? 0,
    ...(options.groups === undefined ? {} : { groups: options.groups }),
    ...(options.pause === undefined ? {} : { pause: options.pause }),
  }, onRecord);
  end();
  return { sharedLog: log, isAlone };
}

/**
 * Whether a log of another shard can hold records of this one: only if it was written with another
 * number of shards. Segments of this very start are the other shard's own business.
 */
function concernsOthers(options: RecoverShardOptions, dir: string): boolean {
  const { files, shardCount, incarnation } = options;
  for (const index of listSegments(files, dir)) {
    const head = readSegmentHead(files, segmentPath(dir, index));
    if (head?.owner === incarnation) continue;
    if (head?.shardCount !== shardCount) return true;
  }
  return false;
}

/** Shards that have a shared log in a directory. */
export function listSharedLogs(files: Files, logDir: string): number[] {
  const shards: number[] = [];
  for (const name of files.list(logDir)) {
    const match = /^shared\.(\d{1,4})$/.exec(name);
    if (match !== null) shards.push(Number(match[1]));
  }
  return shards;
}

function sequenceIn(table: readonly TableEntry[], { manifest }: ReplicaDir): number {
  for (const { partition, generation, sequence } of table) {
    if (partition === manifest.partition && generation === manifest.generation) return sequence;
  }
  return 0;
}

/** @param isAlone Whether whatever the shared logs added is in the shard's own one, which is kept. */
async function finish(opening: Opening, isAlone: boolean): Promise<RecoveredReplica | string> {
  const { dir, log, recovery } = opening;
  const result = recovery.result();
  const found = { dir, privateLog: log, recovery: result };
  let reason = result.condemned;
  try {
    // Records of the shared log that were appended here, and whatever only the page cache held.
    if (reason === undefined) {
      await log.sync();
      return found;
    }
  } catch (error) {
    if (isNoSpace(error) && isAlone) return found;
    if (!(error instanceof FilesError) || isNoSpace(error)) throw error;
    reason = `The private log of ${formatPartition(dir.manifest.partition)}: ${error.message}`;
  }
  await log.close().catch(() => {
    // It is moved aside, whatever became of it.
  });
  return reason;
}
