// Removes replica directories that were moved aside - damaged ones and garbage - when they were kept long enough
// for somebody to want them back. A few files at a time: a directory of many gigabytes must not stop what runs in
// this thread. Invariant: only directories under a name that moving aside gives are touched.
// docs/storage_layout.md, "Directories".

import type { Files } from "../../src/base/files.ts";
import type { Logger } from "../../src/observe/logger.ts";
import { type AsideDir, listAside } from "../../storage/replica_dir.ts";

/** How long they are kept, ms. */
export interface AsideSettings {
  readonly garbageKeepMs: number;
  readonly damagedKeepMs: number;
}

/** What a cleaner works with. */
export interface AsideCleanerOptions {
  readonly files: Files;
  /** Paths of the data directories in use. */
  readonly dataDirs: () => readonly string[];
  readonly settings: () => AsideSettings;
  /** Unix ms. */
  readonly wall: () => number;
  readonly logger: Logger;
}

/** Files removed at a time: about a millisecond. */
const STEPS = 16;
const STEP_PAUSE_MS = 50;
const CHECK_MS = 600_000;
const FIRST_CHECK_MS = 60_000;

/** Directories whose time is over. Others than damaged ones and garbage stay for ever. */
export function expiredAside(
  found: readonly AsideDir[],
  { garbageKeepMs, damagedKeepMs }: AsideSettings,
  wall: number,
): AsideDir[] {
  return found.filter(({ reason, timestamp }) => {
    const keepMs = reason === "gar" ? garbageKeepMs : reason === "err" ? damagedKeepMs : Infinity;
    return wall - timestamp * 1000 >= keepMs;
  });
}

/** See the file comment. */
export class AsideCleaner {
  readonly #options: AsideCleanerOptions;
  readonly #doomed: AsideDir[] = [];
  #removing: Iterator<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: AsideCleanerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#later(FIRST_CHECK_MS);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => this.#later(this.step()), ms);
  }

  /** Looks for directories, or removes some files of one. @returns Ms until the next step. */
  step(): number {
    if (this.#removing === undefined && this.#doomed.length === 0) this.#look();
    const dir = this.#doomed[0];
    if (dir === undefined) return CHECK_MS;
    const { files, logger } = this.#options;
    try {
      this.#removing ??= removal(files, dir.path);
      for (let i = 0; i < STEPS; i++) {
        if (this.#removing.next().done !== true) continue;
        logger.info("Removed a directory that was moved aside", { path: dir.path });
        this.#next();
        break;
      }
    } catch (error) {
      // The disk has its own watchers; the next look finds the directory again.
      logger.warn("Cannot remove a directory that was moved aside", { error: String(error) });
      this.#next();
    }
    return STEP_PAUSE_MS;
  }

  #look(): void {
    const { files, dataDirs, settings, wall, logger } = this.#options;
    for (const path of dataDirs()) {
      try {
        this.#doomed.push(...expiredAside(listAside(files, path), settings(), wall()));
      } catch (error) {
        logger.warn("Cannot look for directories that were moved aside", { error: String(error) });
      }
    }
  }

  #next(): void {
    this.#doomed.shift();
    this.#removing = undefined;
  }
}

/** Removes a replica's directory file by file: manifest, engines and logs are one level below. */
function* removal(files: Files, path: string): Generator<void> {
  for (const name of files.list(path)) {
    const inner = `${path}/${name}`;
    if (/^(data|log)\.\d+$/.test(name)) {
      for (const file of files.list(inner)) {
        files.remove(`${inner}/${file}`);
        yield;
      }
    }
    files.remove(inner);
    yield;
  }
  files.remove(path);
}
