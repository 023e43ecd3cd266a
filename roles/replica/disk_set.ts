// The data directories as one shard uses them: which replica is where, and where the next one goes. Invariants:
// a replica is never created in a directory that is bad, nearly full, or already holds something of its
// partition; what was in a directory when it went bad is forgotten, not touched. docs/storage_layout.md,
// "Several directories".

import { type Files, FilesError } from "../../src/base/files.ts";
import { formatPartition, type PartitionId } from "../../src/base/ids.ts";
import type { DataDir } from "../../storage/data_dir.ts";
import { replicasDir } from "../../storage/replica_dir.ts";
import { type DiskSpace, diskSpaceOf, isLow } from "./disk_space.ts";

/** What a set is made from. */
export interface DiskSetOptions {
  readonly files: Files;
  /** At least one. */
  readonly dirs: readonly DataDir[];
  /** See {@link isLow}. */
  readonly reserveBytes: number;
  /** Looks at the disk of a path. @default The disk of this machine */
  readonly space?: (path: string) => DiskSpace;
}

/** See the file comment. */
export class DiskSet {
  readonly #options: DiskSetOptions;
  readonly #space: (path: string) => DiskSpace;
  #dirs: readonly DataDir[];
  readonly #places = new Map<PartitionId, DataDir>();

  constructor(options: DiskSetOptions) {
    this.#options = options;
    this.#space = options.space ?? diskSpaceOf;
    this.#dirs = options.dirs;
  }

  /** Where the replica is. */
  locate(partition: PartitionId): DataDir | undefined {
    return this.#places.get(partition);
  }

  /** Notes where a replica is. */
  put(partition: PartitionId, path: string): void {
    const dir = this.#dirs.find((candidate) => candidate.path === path);
    if (dir !== undefined) this.#places.set(partition, dir);
  }

  forget(partition: PartitionId): void {
    this.#places.delete(partition);
  }

  /** Replicas per tag. */
  count(tag: string): number {
    let count = 0;
    for (const dir of this.#places.values()) if (dir.tag === tag) count++;
    return count;
  }

  /**
   * A directory for a new replica: the one with the most free space per replica it then has.
   *
   * @throws {FilesError} `noSpace` if none can take one.
   */
  choose(partition: PartitionId): DataDir {
    let best: { dir: DataDir; share: number } | undefined;
    for (const dir of this.#dirs) {
      if (this.refusal(partition, dir) !== undefined) continue;
      const { freeBytes } = this.#space(dir.path);
      const share = Math.max(1, freeBytes) / (this.count(dir.tag) + 1);
      if (best === undefined || share > best.share) best = { dir, share };
    }
    if (best !== undefined) return best.dir;
    const reasons = this.#dirs.map((dir) => `${dir.tag}: ${this.refusal(partition, dir)}`);
    throw new FilesError("noSpace", `No data directory can take a replica (${reasons.join("; ")})`);
  }

  /** A directory in use. */
  byTag(tag: string): DataDir | undefined {
    return this.#dirs.find((dir) => dir.tag === tag);
  }

  /** Tags in use. */
  get tags(): string[] {
    return this.#dirs.map(({ tag }) => tag);
  }

  /** Why the directory cannot take the replica; `undefined` if it can. */
  refusal(partition: PartitionId, { path }: DataDir): string | undefined {
    const name = `${replicasDir(path)}/${formatPartition(partition)}`;
    if (this.#options.files.exists(name)) return "it holds a replica of that partition";
    const { totalBytes, freeBytes } = this.#space(path);
    return isLow({ totalBytes, freeBytes }, this.#options.reserveBytes)
      ? `only ${freeBytes} bytes are free`
      : undefined;
  }

  /** Goes on without a directory. @returns The partitions whose replicas were in it. */
  drop(tag: string): PartitionId[] {
    this.#dirs = this.#dirs.filter((dir) => dir.tag !== tag);
    const lost: PartitionId[] = [];
    for (const [partition, dir] of this.#places) {
      if (dir.tag !== tag) continue;
      lost.push(partition);
      this.#places.delete(partition);
    }
    return lost;
  }
}
