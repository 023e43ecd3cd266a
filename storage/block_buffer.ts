// Records on their way to a log file: encoded as they are queued, into blocks in one reused buffer, so that
// writing a group is one call and queueing copies each payload exactly once. Writer's half of
// docs/log_format.md; the reader's is log_reader.ts.

import { BLOCK_HEAD_BYTES, putRecord, recordBytes, sealBlock, viewOf } from "./log_format.ts";
import type { LogRecord } from "./log.ts";

const BLOCK_BODY_BYTES_MAX = 1024 * 1024;
const CAPACITY_START_BYTES = 256 * 1024;
/** A buffer that one burst blew up beyond this is given back after the burst. */
const CAPACITY_KEEP_BYTES = 8 * 1024 * 1024;

/** Queue of encoded blocks. */
export class BlockBuffer {
  #bytes = new Uint8Array(CAPACITY_START_BYTES);
  #view = viewOf(this.#bytes);
  /** Offsets of the blocks; the last one is still growing. */
  readonly #blocks: number[] = [];
  #size = 0;
  #records = 0;

  /** Bytes queued, block heads included. */
  get size(): number {
    return this.#size;
  }

  /** Records queued. */
  get records(): number {
    return this.#records;
  }

  /** Queues a record. */
  append(record: LogRecord): void {
    const length = recordBytes(record);
    const blockFrom = this.#blocks.at(-1);
    const fits = blockFrom !== undefined &&
      this.#size - blockFrom - BLOCK_HEAD_BYTES + length <= BLOCK_BODY_BYTES_MAX;
    this.#reserve(length + BLOCK_HEAD_BYTES);
    if (!fits) {
      this.#blocks.push(this.#size);
      this.#size += BLOCK_HEAD_BYTES;
    }
    putRecord(this.#bytes, this.#view, this.#size, record);
    this.#size += length;
    this.#records++;
  }

  /**
   * Finishes the queued blocks for their place in the log. The result is valid until the next `append` or `clear`.
   *
   * @param position Of the first block.
   * @param synced Position up to which the log is on stable storage.
   */
  seal(position: number, synced: number): Uint8Array {
    for (let i = 0; i < this.#blocks.length; i++) {
      const at = this.#blocks[i]!;
      const length = (this.#blocks[i + 1] ?? this.#size) - at - BLOCK_HEAD_BYTES;
      sealBlock(this.#bytes, this.#view, at, { length, position: position + at, synced });
    }
    return this.#bytes.subarray(0, this.#size);
  }

  /** Forgets what was queued. */
  clear(): void {
    this.#blocks.length = 0;
    this.#size = 0;
    this.#records = 0;
    if (this.#bytes.length > CAPACITY_KEEP_BYTES) this.#resize(CAPACITY_START_BYTES);
  }

  #reserve(bytes: number): void {
    const needed = this.#size + bytes;
    if (needed > this.#bytes.length) this.#resize(Math.max(needed, this.#bytes.length * 2));
  }

  #resize(capacity: number): void {
    const larger = new Uint8Array(capacity);
    larger.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = larger;
    this.#view = viewOf(larger);
  }
}
