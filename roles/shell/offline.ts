// Files of a server read without the server: replica directories, engines, logs. Loaded only by the commands that
// need it, so that other commands do not wait for the storage engine. Invariant: nothing is changed that a start of
// the server would not change as well; an engine that a server has open is refused. docs/storage_layout.md.

import { formatPartition, type PartitionId } from "../../src/base/ids.ts";
import { USER_KEYS_END, USER_KEYS_START } from "../../src/schema/key_format.ts";
import { decodeMutation } from "../../src/schema/mutation.ts";
import { readBody } from "../../src/schema/mutation_body.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import { type Engine, EngineError } from "../../storage/engine.ts";
import { describeLevel, openLevelEngine } from "../../storage/level_engine.ts";
import { RecordKind } from "../../storage/log.ts";
import { decodeBallot, RECONCILE_END_NONE } from "../../storage/log_format.ts";
import { readSegment } from "../../storage/log_reader.ts";
import { listSegments, segmentPath } from "../../storage/log_segments.ts";
import { listAside, listReplicas, readChecked, replicasDir } from "../../storage/replica_dir.ts";

/** What lies in a data directory for one replica. */
export interface ReplicaFiles {
  readonly name: string;
  readonly path: string;
  /** "" = in use; otherwise why it was moved aside. */
  readonly aside: string;
  /** Of its manifest; `undefined` with a problem. */
  readonly manifest: Readonly<Record<string, unknown>> | undefined;
  readonly problem: string;
  readonly engineBytes: number;
  readonly logBytes: number;
}

function isDir(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}

function bytesIn(dir: string): number {
  let bytes = 0;
  try {
    for (const entry of Deno.readDirSync(dir)) {
      if (entry.isFile) bytes += Deno.statSync(`${dir}/${entry.name}`).size;
    }
  } catch (error) {
    // A running server may remove files while they are counted.
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return bytes;
}

/** A path as the system knows it. @throws {Error} If there is nothing */
function existing(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch {
    throw new Error(`There is no file or directory "${path}"`);
  }
}

/** The replicas of a data directory, or the one whose directory is given. */
export function replicasIn(given: string): ReplicaFiles[] {
  const path = existing(given);
  if (diskFiles.exists(`${path}/manifest`)) return [replicaAt(path, "")];
  if (!isDir(replicasDir(path))) {
    throw new Error(`"${given}" is neither a data directory nor the directory of a replica`);
  }
  const used = listReplicas(diskFiles, path).map((partition) =>
    replicaAt(`${replicasDir(path)}/${formatPartition(partition)}`, "")
  );
  const aside = listAside(diskFiles, path).map((dir) => replicaAt(dir.path, dir.reason));
  return [...used, ...aside];
}

function replicaAt(path: string, aside: string): ReplicaFiles {
  const name = path.slice(path.lastIndexOf("/") + 1);
  let manifest: Record<string, unknown> | undefined;
  let problem = "";
  try {
    manifest = readChecked(diskFiles, `${path}/manifest`);
  } catch (error) {
    problem = error instanceof Error ? error.message : String(error);
  }
  const generation = manifest?.["generation"];
  return {
    ...{ name, path, aside, manifest, problem },
    engineBytes: generation === undefined ? 0 : bytesIn(`${path}/data.${generation}`),
    logBytes: generation === undefined ? 0 : bytesIn(`${path}/log.${generation}`),
  };
}

/** The directory of the engine: the one given, or that of the replica whose directory is given. */
function engineDirOf(given: string): string {
  const path = existing(given);
  if (diskFiles.exists(`${path}/CURRENT`)) return path;
  if (!diskFiles.exists(`${path}/manifest`)) {
    throw new Error(`"${given}" is neither an engine (data.N) nor the directory of a replica`);
  }
  const { generation } = readChecked(diskFiles, `${path}/manifest`);
  return `${path}/data.${generation}`;
}

/** Opens the engine of a stopped server. Close it. @throws {Error} If a server has it open */
export async function openOffline(given: string): Promise<Engine> {
  return await unlocked(given, (dir) => openLevelEngine(dir, { createIfMissing: false }));
}

/** Statistics and tables of an engine. */
export async function describeOffline(
  given: string,
): Promise<{ readonly stats: string; readonly tables: string; readonly bytes: number }> {
  const bytes = bytesIn(engineDirOf(given));
  return { ...await unlocked(given, describeLevel), bytes };
}

async function unlocked<T>(given: string, open: (dir: string) => Promise<T>): Promise<T> {
  const dir = engineDirOf(given);
  try {
    return await open(dir);
  } catch (error) {
    if (!(error instanceof EngineError) || error.kind !== "locked") throw error;
    throw new Error(`A server has "${dir}" open: stop it, or look at a copy of the directory`);
  }
}

/** Raw rows of an engine in key order. */
export async function* rowsIn(
  engine: Engine,
): AsyncGenerator<readonly [key: Uint8Array, stored: Uint8Array], void> {
  const rows = engine.range({ gte: USER_KEYS_START, lt: USER_KEYS_END });
  try {
    for (;;) {
      const batch = await rows.next(500);
      if (batch.length === 0) return;
      yield* batch;
    }
  } finally {
    await rows.close();
  }
}

/** One operation of a logged mutation. */
export interface LoggedOp {
  readonly key: Uint8Array;
  /** Absent: the row is removed. */
  readonly value: Uint8Array | undefined;
}

/** One line of a log. */
export interface LoggedRecord {
  readonly file: string;
  readonly offset: number;
  readonly partition: PartitionId;
  readonly generation: number;
  readonly sequence: number;
  readonly kind: "mutation" | "ballot" | "damage" | "unknown";
  readonly ballot: number;
  readonly decree: number;
  /** The primary's commit point when it sent the mutation; of a ballot the reconcile end, -1 = none. */
  readonly committed: number;
  readonly timestampUs: number;
  readonly ops: readonly LoggedOp[];
  /** Why nothing can be read here; "" for records. */
  readonly problem: string;
}

/** Segments of a log: one file, or all of a directory, or those of a replica's private log. */
export function segmentsAt(given: string): string[] {
  const path = existing(given);
  if (!isDir(path)) return [path];
  let dir = path;
  if (diskFiles.exists(`${path}/manifest`)) {
    const { generation } = readChecked(diskFiles, `${path}/manifest`);
    dir = `${path}/log.${generation}`;
  }
  const segments = listSegments(diskFiles, dir).map((index) => segmentPath(dir, index));
  if (segments.length === 0) throw new Error(`There are no log segments in "${given}"`);
  return segments;
}

/** Records of one segment, and what is damaged. */
export function recordsOf(path: string, isLast: boolean): LoggedRecord[] {
  const found: LoggedRecord[] = [];
  const base = { generation: 0, sequence: 0, ballot: 0, decree: 0, committed: 0, timestampUs: 0 };
  const file = path.slice(path.lastIndexOf("/") + 1);
  const bytes = diskFiles.readFile(path);
  const { head } = readSegment({ bytes, path, last: isLast, headSyncedFirst: true }, {
    block: (records, _path, offset) => {
      for (const { partition, generation, sequence, kind, decree, payload } of records) {
        const common = {
          ...base,
          file,
          offset,
          partition,
          generation,
          sequence,
          decree,
          problem: "",
        };
        if (kind === RecordKind.BALLOT) found.push({ ...common, ...ballotOf(payload) });
        else found.push({ ...common, ...mutationOf(payload) });
      }
    },
    damage: ({ offset, reason }) => {
      const common = { ...base, file, offset, partition: 0, ops: [] };
      found.push({ ...common, kind: "damage", problem: reason });
    },
  });
  if (head === undefined && found.length === 0 && bytes.length > 0) {
    throw new Error(`"${path}" is no log segment, or the head of one that was never finished`);
  }
  return found;
}

type Meaning = Pick<LoggedRecord, "kind" | "ballot" | "committed" | "timestampUs" | "ops">;

function ballotOf(payload: Uint8Array): Meaning {
  const decoded = decodeBallot(payload);
  if (decoded === undefined) return UNKNOWN;
  const { ballot, reconcileEnd } = decoded;
  const committed = reconcileEnd === RECONCILE_END_NONE ? -1 : reconcileEnd;
  return { ...UNKNOWN, kind: "ballot", ballot, committed };
}

const UNKNOWN: Meaning = { kind: "unknown", ballot: 0, committed: 0, timestampUs: 0, ops: [] };

function mutationOf(payload: Uint8Array): Meaning {
  const mutation = decodeMutation(payload);
  if (mutation === undefined) return UNKNOWN;
  const ops: LoggedOp[] = [];
  readBody(mutation.body, {
    put: (key, value) => void ops.push({ key, value }),
    remove: (key) => void ops.push({ key, value: undefined }),
  });
  const { ballot, lastCommitted, timestampUs } = mutation;
  return { kind: "mutation", ballot, committed: lastCommitted, timestampUs, ops };
}
