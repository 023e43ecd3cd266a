// Reads a range of an engine in blocks, one row at a time for the caller. Invariant: what is held in memory is
// two blocks, and rows fetched but not consumed stay for the next caller, so a scan can pause anywhere.

import type { EngineIterator, Entry } from "../../storage/engine.ts";

/** Rows and bytes of one block: an iterator call costs about 25 us, so single rows would be slow. */
const BLOCK_ROWS = 256;
const BLOCK_BYTES = 128 * 1024;

/** See the file comment. Close it always. */
export class RangeReader {
  readonly #iterator: EngineIterator;
  readonly #readsAhead: boolean;
  #block: readonly Entry[] = [];
  #at = 0;
  #ahead: Promise<readonly Entry[]> | undefined;
  #ended = false;

  /** @param readsAhead The range will be read to its end: the next block is read while this one is used. */
  constructor(iterator: EngineIterator, readsAhead = false) {
    this.#iterator = iterator;
    this.#readsAhead = readsAhead;
  }

  /**
   * Makes the next row available to {@link take}.
   *
   * @param rows How many rows the caller still wants; fetches no more than that at once, unless it reads ahead.
   * @returns False at the end of the range.
   */
  async fill(rows = BLOCK_ROWS): Promise<boolean> {
    if (this.#at < this.#block.length) return true;
    if (this.#ended) return false;
    const count = this.#readsAhead ? BLOCK_ROWS : Math.max(1, Math.min(rows, BLOCK_ROWS));
    const reading = this.#ahead ?? this.#iterator.next(count, BLOCK_BYTES);
    this.#ahead = undefined;
    this.#block = await reading;
    this.#at = 0;
    this.#ended = this.#block.length === 0;
    if (this.#readsAhead && !this.#ended) {
      this.#ahead = this.#iterator.next(BLOCK_ROWS, BLOCK_BYTES);
      // Whoever wants the block hears of its failure.
      this.#ahead.catch(() => {});
    }
    return !this.#ended;
  }

  /** The next row of the block; `undefined` if it is used up: then call {@link fill}. */
  take(): Entry | undefined {
    return this.#at < this.#block.length ? this.#block[this.#at++] : undefined;
  }

  close(): Promise<void> {
    const close = () => this.#iterator.close();
    return this.#ahead === undefined ? close() : this.#ahead.then(close, close);
  }
}
