// Reads a range of an engine in blocks, one row at a time for the caller. Invariant: what is held in memory is
// one block, and rows fetched but not consumed stay for the next caller, so a scan can pause anywhere.

import type { EngineIterator, Entry } from "../../storage/engine.ts";

/** Rows and bytes of one block: an iterator call costs about 25 us, so single rows would be slow. */
const BLOCK_ROWS = 256;
const BLOCK_BYTES = 256 * 1024;

/** See the file comment. Close it always. */
export class RangeReader {
  readonly #iterator: EngineIterator;
  #block: Entry[] = [];
  #at = 0;
  #ended = false;

  constructor(iterator: EngineIterator) {
    this.#iterator = iterator;
  }

  /**
   * Makes the next row available to {@link take}.
   *
   * @param rows How many rows the caller still wants; fetches no more than that at once.
   * @returns False at the end of the range.
   */
  async fill(rows = BLOCK_ROWS): Promise<boolean> {
    if (this.#at < this.#block.length) return true;
    if (this.#ended) return false;
    const count = Math.max(1, Math.min(rows, BLOCK_ROWS));
    this.#block = await this.#iterator.next(count, BLOCK_BYTES);
    this.#at = 0;
    this.#ended = this.#block.length === 0;
    return !this.#ended;
  }

  /** The next row of the block; `undefined` if it is used up: then call {@link fill}. */
  take(): Entry | undefined {
    return this.#at < this.#block.length ? this.#block[this.#at++] : undefined;
  }

  close(): Promise<void> {
    return this.#iterator.close();
  }
}
