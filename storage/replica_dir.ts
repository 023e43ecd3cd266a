// Directories of a replica server: what is where, and how it changes without a moment in which a
// crash leaves something half done. Invariant: a replica directory under its plain name has a whole
// manifest, and the generation named there has its engine and log. docs/storage_layout.md,
// "Directories".

import { crc32 } from "../src/base/crc.ts";
import { assert } from "../src/base/assert.ts";
import { fromUtf8, utf8 } from "../src/base/bytes.ts";
import { type Files, FilesError } from "../src/base/files.ts";
import {
  type Ballot,
  type Decree,
  formatPartition,
  parsePartition,
  type PartitionId,
} from "../src/base/ids.ts";
import { makeDirDurable } from "./durable_dir.ts";

/** Version of the layout of a data directory and of the files in this file's care. */
const LAYOUT_VERSION = 1;

/** Generations one process may start; see {@link GenerationSource}. */
const GENERATIONS_PER_INCARNATION = 2 ** 20;

/** What is known of a replica before its engine and log are opened. */
export interface Manifest {
  readonly partition: PartitionId;
  readonly generation: number;
  /** The stored ballot: never smaller after a restart (I6). */
  readonly ballot: Ballot;
  /** Highest decree that certainly survives in the engine. Never over-claimed. */
  readonly durable: Decree;
  /**
   * Last sequence the private log had synced when this was written: less on disk later is a loss.
   */
  readonly syncedSequence: number;
  readonly tableName: string;
  readonly partitionCount: number;
  /** Whatever else the server keeps with the replica; JSON. */
  readonly info: unknown;
  /** How often it was copied to another data directory; of two equal lives the later copy counts. */
  readonly copies: number;
  /** Start of the operating system in which it was whole; absent = not known (protocol.md, §12.5). */
  readonly boot?: string;
}

/** A directory or file of this layout cannot be used. */
export class LayoutError extends Error {
  override readonly name = "LayoutError";
  /**
   * "newer": a newer program wrote it, the server must not start; "unreadable": missing or damaged.
   */
  readonly kind: "newer" | "unreadable";

  constructor(kind: "newer" | "unreadable", message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/**
 * Numbers for new generations, never the same twice for a partition: a log of an earlier life that
 * is still in a shared segment must not be taken for this one. One source per shard; a partition
 * belongs to one shard.
 */
export class GenerationSource {
  #next: number;
  readonly #end: number;

  /** @param incarnation Of this process; bounds: 1 .. 2^33-1. */
  constructor(incarnation: number) {
    this.#next = incarnation * GENERATIONS_PER_INCARNATION;
    this.#end = this.#next + GENERATIONS_PER_INCARNATION;
  }

  next(): number {
    assert(this.#next < this.#end, "Too many generations in one incarnation");
    return this.#next++;
  }
}

/** Directory of all replicas. */
export function replicasDir(dataDir: string): string {
  return `${dataDir}/replicas`;
}

/** Directory of a shard's shared log. */
export function sharedLogDir(logDir: string, shard: number): string {
  return `${logDir}/shared.${shard}`;
}

/** Partitions that have a directory, ascending. Directories that were moved aside do not count. */
export function listReplicas(files: Files, dataDir: string): PartitionId[] {
  const found = files.list(replicasDir(dataDir)).map(parsePartition);
  return found.filter((partition) => partition !== undefined).sort((a, b) => a - b);
}

/** A directory that was moved aside. */
export interface AsideDir {
  readonly path: string;
  readonly partition: PartitionId;
  /** "err" (damaged), "gar" (garbage), or another reason. */
  readonly reason: string;
  /** When, Unix seconds. */
  readonly timestamp: number;
}

/** Directories that were moved aside. */
export function listAside(files: Files, dataDir: string): AsideDir[] {
  const found: AsideDir[] = [];
  for (const name of files.list(replicasDir(dataDir))) {
    const match = /^(\d+\.\d+)\.([a-z]+)\.(\d+)$/.exec(name);
    const partition = match === null ? undefined : parsePartition(match[1]!);
    if (match === null || partition === undefined) continue;
    const path = `${replicasDir(dataDir)}/${name}`;
    found.push({ path, partition, reason: match[2]!, timestamp: Number(match[3]) });
  }
  return found;
}

/** The directory of one replica. */
export class ReplicaDir {
  readonly #files: Files;
  /** The data directory it is in. */
  readonly dataDir: string;
  readonly path: string;
  #manifest: Manifest;
  #writing: Promise<void> = Promise.resolve();

  private constructor(files: Files, dataDir: string, manifest: Manifest) {
    this.#files = files;
    this.dataDir = dataDir;
    this.path = pathOf(dataDir, manifest.partition);
    this.#manifest = manifest;
  }

  /**
   * Makes the directory of a new replica. It appears as a whole, or not at all.
   *
   * @throws {FilesError} `exists` if there is one.
   */
  static async create(files: Files, dataDir: string, manifest: Manifest): Promise<ReplicaDir> {
    const path = pathOf(dataDir, manifest.partition);
    if (files.exists(path)) {
      throw new FilesError("exists", `Cannot create "${path}": there is a replica already`);
    }
    const unborn = `${path}.new`;
    files.remove(unborn);
    await makeDirDurable(files, enginePath(unborn, manifest.generation));
    await makeDirDurable(files, logPath(unborn, manifest.generation));
    await files.writeFileAtomic(`${unborn}/manifest`, encodeManifest(manifest));
    files.rename(unborn, path);
    await files.syncDir(replicasDir(dataDir));
    return new ReplicaDir(files, dataDir, manifest);
  }

  /**
   * Reads the manifest of an existing replica.
   *
   * @throws {LayoutError}
   */
  static open(files: Files, dataDir: string, partition: PartitionId): ReplicaDir {
    const path = `${pathOf(dataDir, partition)}/manifest`;
    const manifest = readManifest(files, path);
    if (manifest.partition !== partition) {
      const other = formatPartition(manifest.partition);
      throw new LayoutError(
        "unreadable",
        `Cannot use "${path}": it belongs to partition ${other}, expected ${
          formatPartition(partition)
        }`,
      );
    }
    return new ReplicaDir(files, dataDir, manifest);
  }

  get manifest(): Manifest {
    return this.#manifest;
  }

  /** Directory of the engine of the current generation. */
  get enginePath(): string {
    return enginePath(this.path, this.#manifest.generation);
  }

  /** Directory of the private log of the current generation. */
  get logPath(): string {
    return logPath(this.path, this.#manifest.generation);
  }

  /**
   * Replaces some values. When it returns they survive power loss; if it throws, the old or the new
   * ones do. Calls may overlap; they take effect in order.
   */
  update(change: Partial<Omit<Manifest, "partition" | "generation">>): Promise<void> {
    return this.#write(change);
  }

  #write(change: Partial<Manifest>): Promise<void> {
    const write = async () => {
      const next = { ...this.#manifest, ...change };
      const from = this.#manifest;
      assert(next.ballot >= from.ballot, "Stored ballot goes back", { from, next });
      // Logs may have been collected up to it (protocol.md, §15.6); other rows have their own.
      const isBack = next.durable < from.durable && next.generation === from.generation;
      assert(!isBack, "Stored durable goes back", { from, next });
      await this.#files.writeFileAtomic(`${this.path}/manifest`, encodeManifest(next));
      this.#manifest = next;
    };
    // One after the other: they share a temporary file.
    const done = this.#writing.then(write);
    this.#writing = done.catch(() => {});
    return done;
  }

  /**
   * Makes fresh, empty directories for a coming generation and returns them; the current one goes
   * on.
   */
  async prepareGeneration(
    generation: number,
  ): Promise<{ enginePath: string; logPath: string }> {
    assert(generation > this.#manifest.generation, "Generation goes back", { generation });
    const paths = {
      enginePath: enginePath(this.path, generation),
      logPath: logPath(this.path, generation),
    };
    for (const path of [paths.enginePath, paths.logPath]) {
      this.#files.remove(path);
      await makeDirDurable(this.#files, path);
    }
    return paths;
  }

  /**
   * Switches to a prepared generation, whose engine is durable at `change.durable`. One atomic
   * step.
   */
  async commitGeneration(
    generation: number,
    change: Pick<Manifest, "ballot" | "durable"> & Partial<Pick<Manifest, "info" | "boot">>,
  ): Promise<void> {
    assert(generation > this.#manifest.generation, "Generation goes back", { generation });
    await this.#write({ ...change, generation, syncedSequence: 0 });
  }

  /** Removes earlier generations; `others`: also one that was never committed. Nobody may use them. */
  async dropOldGenerations(which: "earlier" | "others" = "others"): Promise<void> {
    const { generation } = this.#manifest;
    let changed = false;
    for (const name of this.#files.list(this.path)) {
      const own = Number(/^(?:data|log)\.(\d+)$/.exec(name)?.[1] ?? generation);
      if (own === generation || (which === "earlier" && own > generation)) continue;
      await this.#files.discard(`${this.path}/${name}`);
      changed = true;
    }
    if (changed) await this.#files.syncDir(this.path);
  }

  /**
   * Moves the directory out of the way and returns where it is now. Engine and log must be closed.
   */
  moveAside(reason: "err" | "gar", timestamp: number): Promise<string> {
    return moveReplicaAside(this.#files, this.dataDir, this.#manifest.partition, {
      reason,
      timestamp,
    });
  }

  /** Writes the manifest of a copy of this replica, which counts more than the original. */
  async writeCopy(path: string): Promise<void> {
    const copy = { ...this.#manifest, copies: this.#manifest.copies + 1 };
    await this.#files.writeFileAtomic(`${path}/manifest`, encodeManifest(copy));
  }

  /** Removes the directory for good. Engine and log must be closed. */
  async remove(): Promise<void> {
    // Renamed first: half a directory must never be found under the plain name.
    const doomed = `${this.path}.new`;
    this.#files.remove(doomed);
    this.#files.rename(this.path, doomed);
    await this.#files.syncDir(replicasDir(this.dataDir));
    await this.#files.discard(doomed);
  }
}

/** The same for a directory that cannot be opened. @param options.timestamp Unix seconds */
export async function moveReplicaAside(
  files: Files,
  dataDir: string,
  partition: PartitionId,
  options: { readonly reason: "err" | "gar"; readonly timestamp: number },
): Promise<string> {
  const from = pathOf(dataDir, partition);
  let timestamp = options.timestamp;
  while (files.exists(`${from}.${options.reason}.${timestamp}`)) timestamp++;
  const to = `${from}.${options.reason}.${timestamp}`;
  files.rename(from, to);
  await files.syncDir(replicasDir(dataDir));
  return to;
}

function pathOf(dataDir: string, partition: PartitionId): string {
  return `${replicasDir(dataDir)}/${formatPartition(partition)}`;
}

function enginePath(path: string, generation: number): string {
  return `${path}/data.${generation}`;
}

function logPath(path: string, generation: number): string {
  return `${path}/log.${generation}`;
}

function encodeManifest(manifest: Manifest): Uint8Array {
  return encodeChecked({ ...manifest, partition: formatPartition(manifest.partition) });
}

function readManifest(files: Files, path: string): Manifest {
  const record = readChecked(files, path);
  const partition = parsePartition(String(record.partition));
  const whole = (value: unknown): value is number =>
    Number.isSafeInteger(value) && Number(value) >= 0;
  const { generation, ballot, durable, syncedSequence, tableName, partitionCount, info } = record;
  const { copies = 0 } = record;
  if (
    partition === undefined || !whole(generation) || !whole(ballot) || !whole(durable) ||
    !whole(syncedSequence) || typeof tableName !== "string" || !whole(partitionCount) ||
    !whole(copies)
  ) {
    throw new LayoutError("unreadable", `Cannot use "${path}": a value is missing or wrong`);
  }
  return {
    partition,
    generation,
    ballot,
    durable,
    syncedSequence,
    tableName,
    partitionCount,
    info,
    copies,
    ...(typeof record.boot === "string" ? { boot: record.boot } : {}),
  };
}

/**
 * A small file of this layout: one line of JSON with the layout version, one line with its
 * checksum.
 */
export function encodeChecked(record: Readonly<Record<string, unknown>>): Uint8Array {
  const line = utf8(JSON.stringify({ layout: LAYOUT_VERSION, ...record }) + "\n");
  return utf8(`${fromUtf8(line)}crc32 ${crc32(line).toString(16).padStart(8, "0")}\n`);
}

/**
 * Reads a file made by {@link encodeChecked}.
 *
 * @throws {LayoutError}
 */
export function readChecked(files: Files, path: string): Record<string, unknown> {
  let bytes: Uint8Array;
  try {
    bytes = files.readFile(path);
  } catch (cause) {
    throw new LayoutError("unreadable", `Cannot read "${path}": ${String(cause)}`, { cause });
  }
  const text = fromUtf8(bytes);
  const end = text.indexOf("\n") + 1;
  const sum = crc32(utf8(text.slice(0, end))).toString(16).padStart(8, "0");
  if (end === 0 || text.slice(end) !== `crc32 ${sum}\n`) {
    throw new LayoutError("unreadable", `Cannot use "${path}": its checksum is wrong`);
  }
  const record = parseRecord(text.slice(0, end));
  if (record === undefined) {
    throw new LayoutError("unreadable", `Cannot use "${path}": it is not a JSON object`);
  }
  const layout = record.layout;
  if (typeof layout !== "number" || layout > LAYOUT_VERSION) {
    throw new LayoutError(
      "newer",
      `Cannot use "${path}": layout version is ${layout}, this program knows up to ` +
        `${LAYOUT_VERSION}, start a newer program`,
    );
  }
  return record;
}

/** `undefined` if the line is not a JSON object. */
function parseRecord(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null
      ? value as Record<string, unknown>
      : undefined;
  } catch {
    return undefined;
  }
}
