// Rows in memory, the newest operation per key, in front of an engine. Their bytes are copied into blocks and found
// through numbers: kept as objects, an operation and two views each, every row that waited while the young generation
// was collected had to be moved by the collector, and many reached the old one. Keys are found by a hash of their
// bytes: a text per key, as the key of a plain map, costs 250 ns where the hash of 24 bytes costs 30. Invariants: one
// operation per key; what `find` returned stays as it is, what `ops` yields holds until the layer is cleared.

import { blocks } from "../src/base/block_pool.ts";
import { ByteSlab } from "../src/base/byte_slab.ts";
import { EMPTY } from "../src/base/bytes.ts";
import { REMOVED } from "../src/schema/mutation_body.ts";
import type { BatchOp } from "./engine.ts";
import { PackedOps, PLACE } from "./packed_ops.ts";

/** Bytes that a row costs beyond its key and value: its cells and its share of the table. */
const ROW_BYTES = 32;

/** Starts every hash, so that nobody outside knows which keys collide. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0]!;

// Cells of a row: hash of its key, number of its block, and where key and value are there.
const HASH = 0;
const BLOCK = 1;
const KEY_AT = 2;
const KEY_LENGTH = 3;
const VALUE_AT = 4;
const VALUE_LENGTH = 5;
const CELLS = 6;

/** Rows there is room for at first, and after a batch that was much smaller than the room. A power of two. */
const ROOM_MIN = 64;

const found = new ByteSlab();

type Hash = (bytes: Uint8Array, at: number, length: number) => number;

/** Somebody who waits until the layer is in the engine. */
export interface LayerWaiter {
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
  /** A read, which does not wait for room on a full disk. */
  readonly isRead: boolean;
}

/** See the file comment. */
export class RowLayer {
  readonly waiters: LayerWaiter[] = [];
  readonly #hash: Hash;
  #cells = new Int32Array(ROOM_MIN * CELLS);
  /** Open addressing by hash: the number of a row + 1, or 0. At most half full. */
  #table = new Int32Array(ROOM_MIN * 2);
  #blocks: Uint8Array[] = [];
  /** The newest block. */
  #block: Uint8Array = EMPTY;
  /** Bytes used of it. */
  #used = 0;
  #size = 0;
  #bytes = 0;

  /** @param hash For tests of equal hashes. @default FNV-1a with a random start */
  constructor(hash: Hash = hashOf) {
    this.#hash = hash;
  }

  /** Keys held. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of all that was added, and what it costs to hold it. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The value of a key, a copy; null if the newest operation deletes it, undefined if there is none. */
  find(key: Uint8Array): Uint8Array | null | undefined {
    if (this.#size === 0) return undefined;
    const hash = this.#hash(key, 0, key.length);
    const row = this.#table[this.#slotOf(hash, key, 0, key.length)]! - 1;
    if (row < 0) return undefined;
    const value = this.#valueOf(row);
    if (value === undefined) return null;
    const copy = found.take(value.length);
    copy.set(value);
    return copy;
  }

  /** Adds operations in order, in place of earlier ones on the same keys. Their bytes are copied. */
  add(ops: Iterable<BatchOp>): void {
    if (ops instanceof PackedOps) return this.#addPacked(ops);
    for (const op of ops) {
      const value = op.type === "put" ? op.value : EMPTY;
      const at = this.#take(op.key.length + value.length);
      this.#block.set(op.key, at);
      this.#block.set(value, at + op.key.length);
      const length = op.type === "put" ? value.length : REMOVED;
      this.#place(at, op.key.length, at + op.key.length, length);
    }
  }

  /** All operations, in no particular order: there is one per key. Keys and values are views. */
  *ops(): Iterable<BatchOp> {
    for (let row = 0; row < this.#size; row++) {
      const key = this.#keyOf(row);
      const value = this.#valueOf(row);
      yield value === undefined ? { type: "del", key } : { type: "put", key, value };
    }
  }

  /** Forgets everything but the room for as much. */
  clear(): void {
    for (const block of this.#blocks) blocks.give(block);
    this.#blocks = [];
    this.#block = EMPTY;
    this.waiters.length = 0;
    if (this.#table.length > 8 * Math.max(this.#size, ROOM_MIN)) {
      this.#cells = new Int32Array(ROOM_MIN * CELLS);
      this.#table = new Int32Array(ROOM_MIN * 2);
    } else this.#table.fill(0);
    this.#used = this.#size = this.#bytes = 0;
  }

  /** One copy per body, whatever is in it. */
  #addPacked({ bodies, ends, places }: PackedOps): void {
    for (let i = 0, n = 0; i < bodies.length; i++) {
      const end = ends[i]!;
      if (n === end) continue;
      const body = bodies[i]!;
      const start = places[n]!;
      const shift = this.#take(body.length - start) - start;
      this.#block.set(start === 0 ? body : body.subarray(start), shift + start);
      for (; n < end; n += PLACE) {
        this.#place(shift + places[n]!, places[n + 1]!, shift + places[n + 2]!, places[n + 3]!);
      }
    }
  }

  /** Room in the newest block, or in a new one. @returns Where it begins. */
  #take(length: number): number {
    if (this.#blocks.length === 0 || this.#used + length > this.#block.length) {
      this.#blocks.push(this.#block = blocks.take(length));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += length;
    this.#bytes += length;
    return at;
  }

  /** The newest operation on its key is this one in the newest block. */
  #place(keyAt: number, keyLength: number, valueAt: number, valueLength: number): void {
    if (this.#size * 2 >= this.#table.length) this.#grow();
    const hash = this.#hash(this.#block, keyAt, keyLength);
    const slot = this.#slotOf(hash, this.#block, keyAt, keyLength);
    let row = this.#table[slot]! - 1;
    if (row < 0) {
      row = this.#size++;
      this.#table[slot] = this.#size;
      this.#bytes += ROW_BYTES;
    }
    const cells = this.#cells;
    const cell = row * CELLS;
    cells[cell + HASH] = hash;
    cells[cell + BLOCK] = this.#blocks.length - 1;
    cells[cell + KEY_AT] = keyAt;
    cells[cell + KEY_LENGTH] = keyLength;
    cells[cell + VALUE_AT] = valueAt;
    cells[cell + VALUE_LENGTH] = valueLength;
  }

  /** Where the table has the key, or would. */
  #slotOf(hash: number, bytes: Uint8Array, at: number, length: number): number {
    const cells = this.#cells;
    const mask = this.#table.length - 1;
    for (let slot = hash & mask;; slot = (slot + 1) & mask) {
      const row = this.#table[slot]! - 1;
      if (row < 0) return slot;
      const cell = row * CELLS;
      if (cells[cell + HASH] !== hash || cells[cell + KEY_LENGTH] !== length) continue;
      const block = this.#blocks[cells[cell + BLOCK]!]!;
      const from = cells[cell + KEY_AT]!;
      let i = 0;
      while (i < length && block[from + i] === bytes[at + i]) i++;
      if (i === length) return slot;
    }
  }

  #viewOf(row: number, at: number, length: number): Uint8Array {
    const start = this.#cells[row * CELLS + at]!;
    return this.#blocks[this.#cells[row * CELLS + BLOCK]!]!.subarray(start, start + length);
  }

  #keyOf(row: number): Uint8Array {
    return this.#viewOf(row, KEY_AT, this.#cells[row * CELLS + KEY_LENGTH]!);
  }

  #valueOf(row: number): Uint8Array | undefined {
    const length = this.#cells[row * CELLS + VALUE_LENGTH]!;
    return length === REMOVED ? undefined : this.#viewOf(row, VALUE_AT, length);
  }

  #grow(): void {
    const cells = new Int32Array(this.#cells.length * 2);
    cells.set(this.#cells);
    const table = new Int32Array(this.#table.length * 2);
    const mask = table.length - 1;
    for (let row = 0; row < this.#size; row++) {
      let slot = cells[row * CELLS + HASH]! & mask;
      while (table[slot] !== 0) slot = (slot + 1) & mask;
      table[slot] = row + 1;
    }
    this.#cells = cells;
    this.#table = table;
  }
}

/** FNV-1a over all bytes. */
function hashOf(bytes: Uint8Array, at: number, length: number): number {
  let hash = SEED;
  for (let i = at; i < at + length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  return hash;
}
