// Splits the replicas of a table in the data directory of a stopped server into those of a new table with more
// partitions. The old ones stay as they are. Invariant: a new replica appears under its name when its engine is whole
// and durable; whatever goes wrong before leaves nothing that a server would read. docs/operations.md, "More
// partitions".

import { EMPTY } from "../../src/base/bytes.ts";
import {
  type Ballot,
  type Decree,
  formatPartition,
  indexOf,
  partitionId,
  type TableId,
  tableOf,
} from "../../src/base/ids.ts";
import {
  partitionIndexOfKey,
  USER_KEYS_END,
  USER_KEYS_START,
} from "../../src/schema/key_format.ts";
import { appliedOp, formatOp, readApplied, sessionsOp } from "../../storage/apply.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import type { BatchOp, Engine } from "../../storage/engine.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";
import { listSegments, segmentPath } from "../../storage/log_segments.ts";
import {
  listReplicas,
  type Manifest,
  readChecked,
  ReplicaDir,
  replicasDir,
} from "../../storage/replica_dir.ts";
import { describeTable, imageBallotOf, tableOfManifest } from "../replica/stored_info.ts";
import { openOffline, recordsOf } from "./offline.ts";

/** What to make of which table. */
export interface SplitRequest {
  readonly tableId: TableId;
  readonly newTableId: TableId;
  readonly newName: string;
  /** A multiple of what the table has. */
  readonly newCount: number;
}

/** Rows of one batch, and bytes. */
const BATCH_ROWS = 1000;
const BATCH_BYTES = 1024 * 1024;

/**
 * Splits all replicas of a table in a data directory.
 *
 * @param onRows Hears how many rows were copied so far.
 * @returns How many replicas were made, and how many rows they have.
 * @throws {Error} If the request or the directory does not allow it; nothing was made then.
 */
export async function splitReplicas(
  dataDir: string,
  request: SplitRequest,
  onRows: (rows: number) => void,
): Promise<{ readonly replicas: number; readonly rows: number }> {
  const sources: Source[] = [];
  for (const dir of sourcesIn(dataDir, request)) sources.push(await wholeSource(dir));
  const scratch = `${dataDir}/split.tmp`;
  diskFiles.remove(scratch);
  diskFiles.makeDir(replicasDir(scratch));
  let rows = 0;
  for (const source of sources) {
    rows += await splitOne(scratch, source, request, (more) => onRows(rows + more));
  }
  // All of them, or none: a run that fails before can be repeated.
  const made = listReplicas(diskFiles, scratch).map(formatPartition);
  for (const name of made) {
    diskFiles.rename(`${replicasDir(scratch)}/${name}`, `${replicasDir(dataDir)}/${name}`);
  }
  await diskFiles.syncDir(replicasDir(dataDir));
  diskFiles.remove(scratch);
  return { replicas: made.length, rows };
}

function sourcesIn(dataDir: string, request: SplitRequest): ReplicaDir[] {
  const { tableId, newTableId, newCount, newName } = request;
  if (!diskFiles.exists(replicasDir(dataDir))) {
    throw new Error(`"${dataDir}" is no data directory: it has no "replicas"`);
  }
  if (readChecked(diskFiles, `${dataDir}/node`)["clean"] !== true) {
    throw new Error(
      `The server of "${dataDir}" runs, or did not stop in order: start it and stop it properly first`,
    );
  }
  const all = listReplicas(diskFiles, dataDir);
  if (all.some((partition) => tableOf(partition) === newTableId)) {
    throw new Error(
      `There are replicas of table ${newTableId} in "${dataDir}" already: take a number that no table ever had`,
    );
  }
  const sources = all.filter((partition) => tableOf(partition) === tableId)
    .map((partition) => ReplicaDir.open(diskFiles, dataDir, partition));
  if (sources.length === 0) {
    throw new Error(`There are no replicas of table ${tableId} in "${dataDir}"`);
  }
  for (const { manifest: { partitionCount, tableName } } of sources) {
    if (newCount <= partitionCount || newCount % partitionCount !== 0) {
      throw new Error(
        `Table "${tableName}" has ${partitionCount} partitions: expected a multiple of that, not ${newCount}`,
      );
    }
    if (tableName === newName) {
      throw new Error(`The new table needs another name than "${newName}"`);
    }
  }
  return sources;
}

/** What a replica is at its end. */
interface Source {
  readonly dir: ReplicaDir;
  /** As its log has it: the manifest may be older. */
  readonly ballot: Ballot;
  /** Of the newest mutation in the engine: of several replicas recover takes the one with the largest. */
  readonly mutationBallot: Ballot;
}

/** @throws {Error} If its log has changes of rows that the engine lacks, which would be lost */
async function wholeSource(dir: ReplicaDir): Promise<Source> {
  const { path, manifest } = dir;
  const engine = await openOffline(path);
  let applied: number;
  try {
    applied = readApplied(engine);
  } finally {
    await engine.close();
  }
  let [ballot, mutationBallot] = [manifest.ballot, imageBallotOf(manifest.info)];
  const { logPath } = dir;
  const segments = listSegments(diskFiles, logPath).map((index) => segmentPath(logPath, index));
  for (const [i, segment] of segments.entries()) {
    for (const record of recordsOf(segment, i === segments.length - 1)) {
      if (record.problem !== "") {
        const name = formatPartition(manifest.partition);
        throw new Error(
          `The log of ${name} cannot be read (${record.problem}): start the server first`,
        );
      }
      ballot = Math.max(ballot, record.ballot);
      if (record.kind !== "mutation") continue;
      if (record.decree <= applied) mutationBallot = Math.max(mutationBallot, record.ballot);
      // The last thing in a log is often the mutation without effect with which a lead began.
      else if (record.ops.length > 0) {
        throw new Error(
          `${
            formatPartition(manifest.partition)
          } has mutation ${record.decree} in its log, and its engine ends at ` +
            `${applied}: start the servers, let nobody write, and stop them again after a few seconds`,
        );
      }
    }
  }
  return { dir, ballot, mutationBallot };
}

/** One new replica while it is filled. */
interface Part {
  readonly dir: ReplicaDir;
  readonly engine: Engine;
}

async function splitOne(
  scratch: string,
  source: Source,
  request: SplitRequest,
  onRows: (rows: number) => void,
): Promise<number> {
  const engine = await openOffline(source.dir.path);
  const parts = new Map<number, Part>();
  let rows: number;
  try {
    const applied = readApplied(engine);
    for (const manifest of manifestsOf(source, applied, request)) {
      const dir = await ReplicaDir.create(diskFiles, scratch, manifest);
      const part = { dir, engine: await openLevelEngine(dir.enginePath) };
      parts.set(indexOf(manifest.partition), part);
      // Nobody has written to the new table yet: its exactly-once window is empty.
      await part.engine.write([formatOp(), appliedOp(applied), sessionsOp(applied, EMPTY)]);
    }
    rows = await distribute(engine, parts, request.newCount, onRows);
    for (const part of parts.values()) await part.engine.flush();
  } finally {
    for (const one of [engine, ...[...parts.values()].map((part) => part.engine)]) {
      await one.close();
    }
  }
  return rows;
}

/** Of the replicas that one becomes: as after an image of its state was installed. */
function manifestsOf(
  { dir: { manifest: source }, ballot, mutationBallot }: Source,
  applied: Decree,
  { newTableId, newName, newCount }: SplitRequest,
): Manifest[] {
  const { partition, partitionCount, generation, boot } = source;
  const table = {
    ...tableOfManifest(source),
    ...{ tableId: newTableId, name: newName, partitionCount: newCount, revision: 0 },
  };
  const manifests: Manifest[] = [];
  for (let index = indexOf(partition); index < newCount; index += partitionCount) {
    manifests.push({
      ...{ partition: partitionId(newTableId, index), generation, ballot, durable: applied },
      ...{ syncedSequence: 0, copies: 0, ...describeTable(table, mutationBallot) },
      ...(boot === undefined ? {} : { boot }),
    });
  }
  return manifests;
}

/** Writes every row of an engine to the part it belongs to. @returns How many there are */
async function distribute(
  engine: Engine,
  parts: ReadonlyMap<number, Part>,
  newCount: number,
  onRows: (rows: number) => void,
): Promise<number> {
  const iterator = engine.range({ gte: USER_KEYS_START, lt: USER_KEYS_END });
  let rows = 0;
  try {
    for (;;) {
      const entries = await iterator.next(BATCH_ROWS, BATCH_BYTES);
      if (entries.length === 0) return rows;
      const batches = new Map<Part, BatchOp[]>();
      for (const [key, value] of entries) {
        const part = parts.get(partitionIndexOfKey(key, newCount) ?? -1);
        if (part === undefined) throw new Error("A row belongs to none of the new partitions");
        const batch = batches.get(part) ?? [];
        batch.push({ type: "put", key, value });
        batches.set(part, batch);
      }
      for (const [part, batch] of batches) await part.engine.write(batch);
      rows += entries.length;
      onRows(rows);
    }
  } finally {
    await iterator.close();
  }
}
