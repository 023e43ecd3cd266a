// The data directories of a server process, one per disk: one process at a time, a number for each
// start, and which of them can be used. Invariants: incarnations strictly grow, also over power
// loss, because peers and generations rely on it; a directory that the server once had to go on
// without is never taken up again with the replicas it holds, because logs no longer cover them.
// docs/storage_layout.md, "Directories".

import { fromUtf8 } from "../src/base/bytes.ts";
import { type Files, FilesError } from "../src/base/files.ts";
import { makeDirDurable } from "./durable_dir.ts";
import {
  type NodeRecord,
  randomId,
  readRecord,
  type RecordedDir,
  writeRecords,
} from "./node_record.ts";
import { LayoutError, listReplicas, moveReplicaAside } from "./replica_dir.ts";
import { listSharedLogs } from "./recover_shard.ts";

/** Linux makes it anew at every start. */
export const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** A data directory as people name it. */
export interface DataDir {
  /** Names the disk in shell, metrics and logs. */
  readonly tag: string;
  /** Absolute. */
  readonly path: string;
}

/** A directory that is not used, and why. */
export interface BadDir extends DataDir {
  readonly reason: string;
}

/** Where a process keeps what; plain data, also for shards in other threads. */
export interface StoragePlan {
  readonly incarnation: number;
  readonly dataDirs: readonly DataDir[];
  /** Where shared logs are written. */
  readonly logDir: string;
  /** Other places that may hold shared logs of earlier starts. */
  readonly formerLogDirs: readonly string[];
  /** Why no stored replica can be trusted: shared logs of the last start are gone. "" = they are not. */
  readonly lostLog: string;
  /** Whether the last start ended with everything synced; also true for the first one. */
  readonly wasClean: boolean;
  /** This start of the operating system; "" = not known. */
  readonly boot: string;
}

interface Candidate extends RecordedDir {
  lock: { release(): void } | undefined;
  record: NodeRecord | undefined;
  id: string;
}

/** The directories in use by this process. */
export class DataDirs {
  readonly plan: StoragePlan;
  readonly #files: Files;
  readonly #good: Candidate[];
  readonly #bad: BadDir[];
  #version: number;
  #store: string;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    files: Files,
    parts: { plan: StoragePlan; good: Candidate[]; bad: BadDir[]; version: number; store: string },
  ) {
    this.#files = files;
    this.plan = parts.plan;
    this.#good = parts.good;
    this.#bad = parts.bad;
    this.#version = parts.version;
    this.#store = parts.store;
  }

  /**
   * Locks the directories, made if absent, and starts a new incarnation. Of several, those that cannot be used
   * are left out; the only one must be usable.
   *
   * @param options `logDir`: "" = the first good data directory. `nowSeconds`: Unix time, keeps incarnations
   * growing even if everything was wiped.
   * @throws {FilesError} `exists` if another process uses one of them; else if no directory is usable.
   * @throws {LayoutError} `newer`: a newer program wrote one of them.
   */
  static async open(
    files: Files,
    dirs: readonly DataDir[],
    options: { readonly logDir: string; readonly nowSeconds: number },
  ): Promise<DataDirs> {
    const opening = new Opening(files, dirs);
    try {
      await opening.take();
      const plan = await opening.begin(options.logDir, options.nowSeconds);
      const { good, bad, version, store } = opening;
      return new DataDirs(files, { plan, good, bad, version, store });
    } catch (error) {
      opening.release();
      throw error;
    }
  }

  /** Identity of meta's store whose tables are kept here; "" = of none yet. */
  get store(): string {
    return this.#store;
  }

  /** Keeps another identity; durable when it resolves. */
  async adoptStore(store: string): Promise<void> {
    if (store === this.#store) return;
    const before = this.#store;
    this.#store = store;
    try {
      await this.#write(false);
    } catch (error) {
      this.#store = before;
      throw error;
    }
  }

  /** Directories in use now; at the start those of the plan. */
  get good(): readonly DataDir[] {
    return this.#good.map(({ tag, path }) => ({ tag, path }));
  }

  /** Directories that cannot be used, in the order they were found to be. */
  get bad(): readonly BadDir[] {
    return this.#bad;
  }

  /**
   * Goes on without a directory. Resolves when that is on stable storage elsewhere: logs need not be kept for
   * its replicas any more.
   *
   * @returns False if it is the only one left, or not in use.
   * @throws {FilesError} If that cannot be noted; the directory is in use as before.
   */
  async exclude(tag: string, reason: string): Promise<boolean> {
    const index = this.#good.findIndex((dir) => dir.tag === tag);
    if (index < 0 || this.#good.length === 1) return false;
    const dir = this.#good.splice(index, 1)[0]!;
    const bad = { tag, path: dir.path, reason };
    this.#bad.push(bad);
    try {
      await this.#write(false);
    } catch (error) {
      // Nobody would know after a restart: it is still in use, and the next look tries again.
      this.#bad.splice(this.#bad.indexOf(bad), 1);
      this.#good.splice(index, 0, dir);
      throw error;
    }
    dir.lock?.release();
    return true;
  }

  /** Ends the use. @param clean Everything was synced: the next start needs no shared log. */
  async close(clean: boolean): Promise<void> {
    try {
      if (clean) await this.#write(true);
    } finally {
      for (const { lock } of this.#good) lock?.release();
    }
  }

  #write(clean: boolean): Promise<void> {
    const write = this.#writing.then(async () => {
      const version = ++this.#version;
      const { incarnation, logDir } = this.plan;
      const lost = this.#bad.map(({ tag }) => tag);
      const head = { incarnation, version, lost, logDir, clean, store: this.#store };
      const failed = await writeRecords(this.#files, this.#good, head);
      if (failed !== undefined) throw failed.error;
    });
    this.#writing = write.catch(() => {
      // Whoever asked for it knows.
    });
    return write;
  }
}

/** The steps of {@link DataDirs.open}. */
class Opening {
  readonly #files: Files;
  readonly #dirs: readonly DataDir[];
  readonly good: Candidate[] = [];
  readonly bad: BadDir[] = [];
  version = 0;
  readonly #found: Candidate[] = [];
  #newest: NodeRecord | undefined;
  #firstError: unknown;

  constructor(files: Files, dirs: readonly DataDir[]) {
    this.#files = files;
    this.#dirs = dirs;
  }

  get store(): string {
    return this.#newest?.store ?? "";
  }

  release(): void {
    for (const { lock } of this.#found) lock?.release();
  }

  /** Finds the directories that can be used; locks them and reads what they say. */
  async take(): Promise<void> {
    for (const dir of this.#dirs) await this.#attempt(dir, () => this.#look(dir));
    for (const { record } of this.#found) {
      if (record !== undefined && record.version >= (this.#newest?.version ?? 0)) {
        this.#newest = record;
      }
    }
    for (const dir of this.#found) await this.#attempt(dir, () => this.#check(dir));
    if (this.good.length === 0) throw this.#firstError;
  }

  /** Starts the incarnation. */
  async begin(logDir: string, nowSeconds: number): Promise<StoragePlan> {
    const records = this.good.map(({ record }) => record?.incarnation ?? 0);
    const incarnation = Math.max(Math.max(0, ...records) + 1, nowSeconds);
    const newest = this.#newest;
    this.version = (newest?.version ?? 0) + 1;
    for (;;) {
      const dir = logDir === "" ? this.good[0]!.path : logDir;
      const boot = bootId(this.#files);
      const head = {
        incarnation,
        version: this.version,
        lost: this.bad.map(({ tag }) => tag),
        logDir: dir,
        clean: false,
        store: this.store,
      };
      const failed = await writeRecords(this.#files, this.good, head);
      if (failed === undefined) {
        const lostLog = newest === undefined ? "" : this.#lostLog(newest);
        const places = new Set([newest?.logDir ?? "", ...this.good.map(({ path }) => path)]);
        const formerLogDirs = [...places].filter((path) => path !== dir && this.#hasLogs(path));
        const dataDirs = this.good.map(({ tag, path }) => ({ tag, path }));
        const wasClean = newest?.clean ?? true;
        return { incarnation, dataDirs, logDir: dir, formerLogDirs, lostLog, wasClean, boot };
      }
      if (this.good.length === 1) throw failed.error;
      this.good.splice(this.good.indexOf(failed.dir), 1);
      failed.dir.lock?.release();
      this.#reject(failed.dir, failed.error);
      this.version++;
    }
  }

  async #attempt(dir: DataDir, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const isUnusable = (error instanceof FilesError && error.kind !== "exists") ||
        (error instanceof LayoutError && error.kind === "unreadable");
      if (!isUnusable) throw error;
      this.#reject(dir, error);
    }
  }

  #reject({ tag, path }: DataDir, error: unknown): void {
    this.#firstError ??= error;
    const reason = error instanceof Error ? error.message : String(error);
    this.bad.push({ tag, path, reason });
  }

  #look(dir: DataDir): Promise<void> {
    const candidate: Candidate = { ...dir, lock: undefined, record: undefined, id: "" };
    if (this.#files.exists(`${dir.path}/node`)) {
      const lock = this.#files.lockDir(dir.path);
      try {
        candidate.record = readRecord(this.#files, `${dir.path}/node`);
      } catch (error) {
        lock.release();
        throw error;
      }
      candidate.lock = lock;
      candidate.id = candidate.record.id;
    }
    this.#found.push(candidate);
    return Promise.resolve();
  }

  async #check(dir: Candidate): Promise<void> {
    const disks = this.#newest?.disks ?? {};
    if (dir.record === undefined) {
      if (Object.hasOwn(disks, dir.tag) || this.#newest?.lost.includes(dir.tag) === true) {
        throw new FilesError(
          "notFound",
          `"${dir.path}" is empty and held data before: is the disk mounted? A new disk gets a new tag ` +
            `(--data-dir newtag:${dir.path})`,
        );
      }
      // The directory above one that is there may be closed to this user.
      if (!this.#files.exists(dir.path)) await makeDirDurable(this.#files, dir.path);
      dir.lock = this.#files.lockDir(dir.path);
    }
    try {
      const known = Object.values(disks);
      const isStale = dir.id !== "" && known.length > 0 && !known.includes(dir.id);
      if (isStale) await this.#setAside(dir);
    } catch (error) {
      dir.lock?.release();
      throw error;
    }
    if (dir.id === "") dir.id = randomId();
    this.good.push(dir);
  }

  /** The server went on without these replicas: they are kept for an operator, and never used. */
  async #setAside({ path, record }: Candidate): Promise<void> {
    const timestamp = record!.incarnation;
    for (const partition of listReplicas(this.#files, path)) {
      await moveReplicaAside(this.#files, path, partition, { reason: "err", timestamp });
    }
  }

  #lostLog({ clean, logDir }: NodeRecord): string {
    if (clean || logDir === "" || this.#hasLogs(logDir)) return "";
    return `The shared log of the last start is not in "${logDir}" any more, and the server was not ` +
      "stopped in order: confirmed writes may be missing";
  }

  #hasLogs(path: string): boolean {
    try {
      return path !== "" && listSharedLogs(this.#files, path).length > 0;
    } catch {
      // Unreadable is gone.
      return false;
    }
  }
}

/** Name of this start of the operating system; "" where it has none. */
function bootId(files: Files): string {
  try {
    return fromUtf8(files.readFile(BOOT_ID)).trim();
  } catch {
    return "";
  }
}
