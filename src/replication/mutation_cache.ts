// Applied mutations kept for learners: encoded bytes and nothing else. They live for seconds; as objects (a mutation,
// an entry, views) every one of them reached the old generation of the garbage collector. Copied into blocks they
// cost one copy, and the blocks are used again. Invariants: holds a run of decrees without a gap; nobody outside has a
// view of a block.

import { assert } from "../base/assert.ts";
import { BLOCK_BYTES, blocks } from "../base/block_pool.ts";
import { EMPTY } from "../base/bytes.ts";
import type { Decree } from "../base/ids.ts";

/** Blocks double from here up to those of the pool, so that a replica without traffic keeps a small one. */
const BLOCK_BYTES_MIN = 2 * 1024;
/** Forgotten places at the front of the columns before they are cut off. */
const SLACK = 1024;

/** See the file comment. */
export class MutationCache {
  // Parallel columns; mutation d is at index #head + d - #low - 1. A block goes with the last one in it.
  #blocks: Uint8Array[] = [];
  #starts: number[] = [];
  #lengths: number[] = [];
  #head = 0;
  #low: Decree;
  #bytes = 0;
  #block: Uint8Array = EMPTY;
  #used = 0;

  /** @param low The first mutation held will be `low` + 1. */
  constructor(low: Decree) {
    this.#low = low;
  }

  /** Everything in (low, high] is held. */
  get low(): Decree {
    return this.#low;
  }

  get high(): Decree {
    return this.#low + this.#blocks.length - this.#head;
  }

  /** Bytes of the mutations held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Encoded bytes of a mutation, a copy; `undefined` if it is not held. */
  get(decree: Decree): Uint8Array | undefined {
    if (decree <= this.#low) return undefined;
    const i = this.#head + decree - this.#low - 1;
    const start = this.#starts[i];
    return start === undefined
      ? undefined
      : this.#blocks[i]!.slice(start, start + this.#lengths[i]!);
  }

  /** Copies the next mutation in. */
  push(decree: Decree, encoded: Uint8Array): void {
    assert(decree === this.high + 1, "The cache has a gap", { decree, high: this.high });
    if (this.#used + encoded.length > this.#block.length) {
      this.#block = this.#nextBlock(encoded.length);
      this.#used = 0;
    }
    this.#block.set(encoded, this.#used);
    this.#blocks.push(this.#block);
    this.#starts.push(this.#used);
    this.#lengths.push(encoded.length);
    this.#used += encoded.length;
    this.#bytes += encoded.length;
  }

  /** Forgets the oldest mutation, if there is one. */
  shift(): void {
    if (this.#head === this.#blocks.length) return;
    this.#bytes -= this.#lengths[this.#head]!;
    const block = this.#blocks[this.#head]!;
    this.#blocks[this.#head++] = EMPTY;
    this.#low++;
    if (block !== this.#blocks[this.#head]) {
      if (block === this.#block) this.#used = 0;
      else blocks.give(block);
    }
    if (this.#head < SLACK || this.#head * 2 < this.#blocks.length) return;
    this.#blocks = this.#blocks.slice(this.#head);
    this.#starts = this.#starts.slice(this.#head);
    this.#lengths = this.#lengths.slice(this.#head);
    this.#head = 0;
  }

  #nextBlock(bytes: number): Uint8Array {
    const doubled = Math.max(BLOCK_BYTES_MIN, bytes, this.#block.length * 2);
    return doubled < BLOCK_BYTES ? new Uint8Array(doubled) : blocks.take(bytes);
  }
}
