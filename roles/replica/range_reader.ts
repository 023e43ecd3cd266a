// Reads a range of an engine in blocks, one row at a time for the caller. Invariant: what is held in memory is
// two blocks, and rows fetched but not consumed stay for the next caller, so a scan can pause anywhere. One block is
// handed out per turn of the event loop: LevelDB's threads bring the next one while this one is used, for as many
// readers as there are, and a turn would last until the last of them is done.

import type { EngineIterator, Entry } from "../../storage/engine.ts";

/** Rows and bytes of one block: an iterator call costs about 25 us, so single rows would be slow. */
const BLOCK_ROWS = 256;
const BLOCK_BYTES = 128 * 1024;

/** How a range is read. */
export interface ReaderOptions {
  /** The range will be read to its end: the next block is read while this one is used. @default false */
  readonly readsAhead?: boolean;
  /** Runs work at the end of the turn of the event loop. @default turns are as long as they are */
  readonly endOfTurn?: ((work: () => void) => void) | undefined;
}

/** See the file comment. Close it always. */
export class RangeReader {
  readonly #iterator: EngineIterator;
  readonly #options: ReaderOptions;
  #block: readonly Entry[] = [];
  #at = 0;
  #ahead: Promise<readonly Entry[]> | undefined;
  #ended = false;

  constructor(iterator: EngineIterator, options: ReaderOptions = {}) {
    this.#iterator = iterator;
    this.#options = options;
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
    const { readsAhead, endOfTurn } = this.#options;
    const isFirst = this.#block.length === 0;
    const count = readsAhead ? BLOCK_ROWS : Math.max(1, Math.min(rows, BLOCK_ROWS));
    const reading = this.#ahead ?? this.#iterator.next(count, BLOCK_BYTES);
    this.#ahead = undefined;
    this.#block = await reading;
    this.#at = 0;
    this.#ended = this.#block.length === 0;
    if (this.#ended) return false;
    if (readsAhead) {
      this.#ahead = this.#iterator.next(BLOCK_ROWS, BLOCK_BYTES);
      // Whoever wants the block hears of its failure.
      this.#ahead.catch(() => {});
    }
    if (!isFirst && endOfTurn !== undefined) {
      await new Promise<void>((resolve) => endOfTurn(resolve));
    }
    return true;
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
