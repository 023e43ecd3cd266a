// Blocks of memory that are used again and again: what comes and goes with every batch would otherwise be allocated,
// zeroed and collected each time. Invariant: whoever gives a block back does not touch it any more.

/** Size of the blocks that are kept. */
export const BLOCK_BYTES = 64 * 1024;
/** Free blocks kept: 4 MiB, what the rows of one database may take while they wait. */
const FREE_MAX = 64;

/** See the file comment. */
class BlockPool {
  readonly #free: Uint8Array[] = [];

  /** A block of at least `bytes`; what it holds is anything. */
  take(bytes: number): Uint8Array {
    return bytes > BLOCK_BYTES
      ? new Uint8Array(bytes)
      : this.#free.pop() ?? new Uint8Array(BLOCK_BYTES);
  }

  /** Takes a block back. */
  give(block: Uint8Array): void {
    if (block.length === BLOCK_BYTES && this.#free.length < FREE_MAX) this.#free.push(block);
  }
}

/** The blocks of this thread. */
export const blocks = new BlockPool();
