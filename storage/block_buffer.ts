// Records on their way to a log file: encoded as they are queued, into blocks in one reused buffer,
// so that writing a group is one call and queueing copies each payload exactly once. Writer's half
// of docs/log_format.md; the reader's is log_reader.ts.

import { BLOCK_HEAD_BYTES, putRecord, recordBytes, sealBlock, viewOf } from "./log_format.ts";
import type { LogRecord } from "./log.ts";

const BLOCK_BODY_BYTES_MAX = 1024 * 1024;
/** A buffer that one burst grew beyond this many times its start is given back after the burst. */
const GROWTH_KEPT = 32;

/** Queue of encoded blocks. */
export class BlockBuffer {
  readonly #startBytes: number;
  #bytes: Uint8Array;
  #view: DataView;
  /** Offsets of the blocks; the last one is still growing. */
  readonly #blocks: number[] = [];
  #size = 0;

  /** @param startBytes First capacity; small where thousands of logs have one. */
  constructor(startBytes: number) {
    this.#startBytes = startBytes;
    this.#bytes = new Uint8Array(startBytes);
    this.#view = viewOf(this.#bytes);
  }

  /** Bytes queued, block heads included. */
  get size(): number {
    return this.#size;
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
  }

  /**
   * Finishes the queued blocks for their place in the log. The result is valid until the next
   * `append` or `clear`.
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
    if (this.#bytes.length > GROWTH_KEPT * this.#startBytes) this.#resize(this.#startBytes);
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
