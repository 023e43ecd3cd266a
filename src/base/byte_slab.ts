// Small byte arrays without an allocation each: they are cut out of slabs. A fresh Uint8Array above 64 bytes costs
// about 500 ns in Deno, with the garbage it leaves outside of the heap; a view of a slab costs 50 ns. Invariant: a
// region is handed out once and never reused; a slab is freed with its last view. For what lives about as long as
// its neighbours: a view that is kept holds the whole slab.

const SLAB_BYTES = 16 * 1024;
/** Larger arrays stand alone. */
const SHARE_MAX = SLAB_BYTES / 8;

/** See the file comment. */
export class ByteSlab {
  #bytes = new Uint8Array(0);
  #used = 0;

  /** `length` zero bytes. */
  take(length: number): Uint8Array {
    if (length > SHARE_MAX) return new Uint8Array(length);
    if (this.#used + length > this.#bytes.length) {
      this.#bytes = new Uint8Array(SLAB_BYTES);
      this.#used = 0;
    }
    const start = this.#used;
    this.#used += length;
    return this.#bytes.subarray(start, this.#used);
  }
}
