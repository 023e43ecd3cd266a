// The disk of a whole simulated server: a file system of bytes that crashes take apart (memory_files.ts), and the
// databases in it. One process at a time sees it through ProcessFiles, which is dead when the process is.

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import type { FileHandle, Files } from "../../src/base/files.ts";
import { formatPartition, type PartitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { BOOT_ID } from "../../storage/data_dir.ts";
import { listReplicas, type Manifest, ReplicaDir, replicasDir } from "../../storage/replica_dir.ts";
import { MemoryFiles } from "./memory_files.ts";
import type { CrashKind, SimDisk } from "./watched.ts";
import { type RotAim, type RotPlace, rotSomewhere } from "./rot.ts";
import { EngineFiles } from "./whole_engine.ts";

/** Where everything of a server is. */
export const DATA_DIR = "/data";

/** See the file comment. */
export class WholeDisk implements SimDisk {
  readonly files = new MemoryFiles();
  readonly chance: Prng;
  poisoned = false;
  rotten: RotPlace | undefined;
  isRotUnread = false;
  /** Replicas whose directory is being moved aside as damaged (true) or useless: a crash may do it or not. */
  readonly leaving = new Map<PartitionId, boolean>();
  readonly #engines = new Map<string, EngineFiles>();

  constructor(chance: Prng) {
    this.chance = chance;
    this.files.makeDir(BOOT_ID.slice(0, BOOT_ID.lastIndexOf("/")));
    this.#boot();
  }

  /** The operating system starts. */
  #boot(): void {
    this.files.open(BOOT_ID, "create").close();
    this.files.overwrite(BOOT_ID, utf8(`${this.chance.uint32()}`));
  }

  get partitions(): readonly PartitionId[] {
    return listReplicas(this.files, DATA_DIR);
  }

  holds(partition: PartitionId): boolean {
    return this.partitions.includes(partition);
  }

  isWhole(partition: PartitionId): boolean {
    return this.manifest(partition).boot === fromUtf8(this.files.readFile(BOOT_ID));
  }

  /** What a replica's manifest says. */
  manifest(partition: PartitionId): Manifest {
    return ReplicaDir.open(this.files, DATA_DIR, partition).manifest;
  }

  /** The database in a directory. */
  engine(dir: string): EngineFiles {
    let engine = this.#engines.get(dir);
    if (engine === undefined) this.#engines.set(dir, engine = new EngineFiles());
    return engine;
  }

  crash(kind: CrashKind): boolean {
    const { files, chance } = this;
    const isTorn = kind === "power" && files.hasUnsynced;
    if (kind === "power") {
      files.powerLoss(chance);
      files.makeDir(BOOT_ID.slice(0, BOOT_ID.lastIndexOf("/")));
      this.#boot();
    } else files.processCrash();
    files.bytesFree = Infinity;
    for (const engine of this.#engines.values()) engine.crash(kind, chance);
    this.poisoned = false;
    if (!this.isRotUnread) this.rotten = undefined;
    return isTorn;
  }

  loseReplica(chance: Prng, only?: PartitionId): PartitionId | undefined {
    const { partitions } = this;
    if (partitions.length === 0) return undefined;
    const partition = only ?? chance.pick(partitions);
    this.files.removeDurably(`${replicasDir(DATA_DIR)}/${formatPartition(partition)}`);
    return partition;
  }

  rot(aim: RotAim): boolean {
    const place = rotSomewhere(this.files, this.chance, aim);
    if (place === undefined) return false;
    this.rotten = this.rotten === "tail" ? "tail" : place;
    this.isRotUnread = true;
    return true;
  }

  /** A life has read everything that is here. */
  wasRead(): void {
    this.isRotUnread = false;
  }
}

/** The file system as one process sees it: nothing happens on its behalf after its end. */
export class ProcessFiles implements Files {
  readonly #files: Files;
  #dead = false;

  constructor(files: Files) {
    this.#files = files;
  }

  /** The process is gone: what it still asks for is never answered. */
  die(): void {
    this.#dead = true;
  }

  open(path: string, mode: "read" | "write" | "create" | "createNew"): FileHandle {
    return this.#alive().open(path, mode);
  }
  exists(path: string): boolean {
    return this.#alive().exists(path);
  }
  readFile(path: string): Uint8Array {
    return this.#alive().readFile(path);
  }
  writeFileAtomic(path: string, bytes: Uint8Array): Promise<void> {
    return this.#alive().writeFileAtomic(path, bytes);
  }
  list(path: string): string[] {
    return this.#alive().list(path);
  }
  makeDir(path: string): void {
    this.#alive().makeDir(path);
  }
  rename(from: string, to: string): void {
    this.#alive().rename(from, to);
  }
  syncDir(path: string): Promise<void> {
    return this.#alive().syncDir(path);
  }
  remove(path: string): void {
    this.#alive().remove(path);
  }
  discard(path: string): Promise<void> {
    return this.#alive().discard(path);
  }
  lockDir(path: string): { release(): void } {
    return this.#alive().lockDir(path);
  }

  #alive(): Files {
    if (this.#dead) throw new DeadProcess();
    return this.#files;
  }
}

/** Thrown at code of a process that is gone. */
class DeadProcess extends Error {
  override readonly name = "DeadProcess";
}
