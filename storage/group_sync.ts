// How one group of the shared log reaches stable storage with the least waiting. Two measured facts decide:
// a thread hop costs more than a fast disk needs for the sync itself, above all when the cores are busy; and a file
// that grows makes every sync commit a journal that all servers of a machine share. Invariant: `sync` returns only
// after fdatasync did, whichever way it was called. docs/log_format.md, "Writing".

import type { FileHandle } from "../src/base/files.ts";
import { atEndOfTurn, turnsAreFast } from "./turns.ts";

/**
 * A segment grows by so many zero bytes at a time at most, ahead of what is written. 128 KiB sync as fast on average
 * as 1 MiB (250-840 us against 280-800 per group of 3 KB, both cores busy; without any 1.6-3.2 ms), and the group
 * that pays for them waits for an eighth of the bytes.
 */
const EXTENT_BYTES = 128 * 1024;
const ZEROS = new Uint8Array(EXTENT_BYTES);

/** Weight of the newest sync in the running average. */
const WEIGHT = 0.1;
/** Groups synced in the background before a disk that was slow is tried on the event loop again. */
const BACKGROUND_GROUPS = 512;

/** See the file comment. */
export class GroupSync {
  readonly #inlineMsMax: number;
  #averageMs = 0;
  #backgroundLeft = 0;
  #turnsAreFast = true;

  /**
   * @param inlineMsMax Sync on the event loop while this disk needs no longer than this on average, ms;
   * 0 = never.
   */
  constructor(inlineMsMax: number) {
    this.#inlineMsMax = inlineMsMax;
  }

  /** Whether the next group is synced on the event loop. */
  get isInline(): boolean {
    return this.#inlineMsMax > 0 && this.#backgroundLeft === 0;
  }

  /** Finds out how this runtime ends a turn of the event loop. */
  async calibrate(): Promise<void> {
    if (this.#inlineMsMax === 0) return;
    this.#turnsAreFast = await turnsAreFast();
  }

  /**
   * Resolves when what this turn of the event loop appends is complete. Before an inline sync that is the end of
   * the turn, so that what several sockets delivered at once shares a group; a background sync lets the next
   * group gather by itself.
   */
  gathered(): Promise<void> {
    if (!this.isInline || !this.#turnsAreFast) return Promise.resolve();
    return new Promise<void>((resolve) => atEndOfTurn(resolve));
  }

  /** Waits until the file's data is on stable storage. @throws {FilesError} */
  async sync(file: FileHandle): Promise<void> {
    if (!this.isInline) {
      if (this.#backgroundLeft > 0) this.#backgroundLeft--;
      return await file.sync();
    }
    const startedAt = performance.now();
    file.syncNow();
    const ms = performance.now() - startedAt;
    this.#averageMs += (ms - this.#averageMs) * WEIGHT;
    if (this.#averageMs <= this.#inlineMsMax) return;
    this.#averageMs = 0;
    this.#backgroundLeft = BACKGROUND_GROUPS;
  }
}

/** Room for the next records: an open segment and how far its file reaches. */
export class Extent {
  readonly #bytes: number;
  #allocated = 0;

  /** @param segmentBytes Size of a segment: small ones grow in small steps. */
  constructor(segmentBytes: number) {
    this.#bytes = Math.min(EXTENT_BYTES, segmentBytes);
  }

  /** A new file. */
  reset(): void {
    this.#allocated = 0;
  }

  /** Extends the file if its records have reached the end of it. */
  ensure(file: FileHandle, size: number): void {
    if (size <= this.#allocated) return;
    this.#allocated = size + this.#bytes;
    try {
      file.write(ZEROS.subarray(0, this.#bytes), size);
    } catch {
      // A disk without room for zeros may have room for the next records; if not, their write fails.
    }
  }

  /** Cuts the zeros off: they are a torn tail, which is legal in the last segment only. */
  trim(file: FileHandle, size: number): void {
    if (this.#allocated > size) file.truncate(size);
    this.#allocated = 0;
  }

  /** The same when the log is closed: whoever opens it next cuts zeros off that could not be cut now. */
  trimLast(file: FileHandle, size: number): void {
    try {
      this.trim(file, size);
    } catch {
      // Zeros at the end of the last segment are harmless.
    }
  }
}
