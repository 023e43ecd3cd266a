// Tells the garbage collector of memory it cannot see. What an object of an addon holds beside the heap is freed when
// a full collection finds the object; V8 starts one when the heap or the array buffers have grown, and thousands of
// small objects with much behind them look like nothing. So after every so many bytes behind objects that are
// garbage by now an array buffer is made that is large enough for V8 to begin a collection, in small steps.
// Nobody touches it or keeps it: it has addresses, but no pages. If V8 thinks otherwise one day, what this costs is
// a little time, or the memory that it saved. Numbers: docs/performance.md, "Garbage".

/** Behind garbage, bytes, before the collector is told. */
export const TOLD_AFTER_BYTES = 32 * 1024 * 1024;

/**
 * V8 begins when array buffers have grown by 64 MiB since the last collection, and the C library maps, without
 * touching it, whatever is larger than 32 MiB.
 */
const TELLING_BYTES = 72 * 1024 * 1024;

/** See the file comment. One per thread and addon. */
export class ExternalMemory {
  readonly #allocate: (bytes: number) => unknown;
  /** Of which the collector has not been told. */
  #bytes = 0;

  constructor(allocate: (bytes: number) => unknown = (bytes) => new ArrayBuffer(bytes)) {
    this.#allocate = allocate;
  }

  /** @param bytes Held by an object that nobody uses any more. */
  abandon(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < TOLD_AFTER_BYTES) return;
    this.#bytes = 0;
    try {
      this.#allocate(TELLING_BYTES);
    } catch {
      // No addresses left: V8 has collected what it could before it said so.
    }
  }
}
