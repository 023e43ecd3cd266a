// Finds out when a data directory stops working: at intervals, and when a replica in it failed. A directory that
// cannot be written, or is not the one it was, is left for good: that is noted in the others first, then the
// shards are told. The only directory is never left. docs/storage_layout.md, "Several directories".

import { type Files, FilesError } from "../../src/base/files.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { DataDir, DataDirs } from "../../storage/data_dir.ts";

/** Distance of two looks at every directory, ms. */
const LOOK_MS = 5000;

const PROBE = new Uint8Array(512);

/** What a watch is made from. */
export interface DiskWatchOptions {
  readonly files: Files;
  readonly dirs: DataDirs;
  readonly logger: Logger;
  /** A directory was left. */
  readonly onLost: (dir: DataDir) => void;
}

/** See the file comment. */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  readonly #looking = new Map<string, Promise<void>>();
  /** What was last said about the only directory. */
  #complaint = "";
  #timer: ReturnType<typeof setInterval>;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(() => {
      for (const dir of options.dirs.good) this.#look(dir);
    }, LOOK_MS);
  }

  /** Something in the directory failed. */
  suspect(tag: string): void {
    const dir = this.#options.dirs.good.find((good) => good.tag === tag);
    if (dir !== undefined) this.#look(dir);
  }

  /** Looks no more; resolves when nothing runs. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all(this.#looking.values());
  }

  #look(dir: DataDir): void {
    if (this.#looking.has(dir.tag)) return;
    const look = this.#judge(dir).catch((error) => {
      this.#options.logger.error("Cannot note that a data directory failed", {
        ...dir,
        error: String(error),
      });
    }).finally(() => this.#looking.delete(dir.tag));
    this.#looking.set(dir.tag, look);
  }

  async #judge(dir: DataDir): Promise<void> {
    const { dirs, logger, onLost } = this.#options;
    const reason = await this.#probe(dir.path);
    if (reason === undefined) return;
    if (await dirs.exclude(dir.tag, reason)) {
      logger.error("Data directory failed; its replicas go elsewhere", { ...dir, reason });
      return onLost(dir);
    }
    if (reason !== this.#complaint) {
      logger.error("The only data directory failed", { ...dir, reason });
    }
    this.#complaint = reason;
  }

  /** @returns What is wrong. A full disk is not: it can be read, and space comes back. */
  async #probe(path: string): Promise<string | undefined> {
    const { files } = this.#options;
    try {
      if (!files.exists(`${path}/node`)) {
        return `"${path}/node" is gone: is the disk still mounted?`;
      }
      const file = files.open(`${path}/probe`, "create");
      try {
        file.write(PROBE, 0);
        await file.sync();
      } finally {
        file.close();
      }
      files.remove(`${path}/probe`);
      return undefined;
    } catch (error) {
      if (!(error instanceof FilesError)) throw error;
      return error.kind === "noSpace" ? undefined : error.message;
    }
  }
}
