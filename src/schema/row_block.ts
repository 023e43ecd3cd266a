// The rows of a range answer as one byte string inside the message: many rows cost one value of msgpack, and one
// copy at the receiver, instead of three each. All integers are unsigned 32-bit little-endian:
//
//   count
//   count x { key length x 4 + 2 (has expiry) + 1 (has value) | key | value length | value | expiry }
//
// A server writes rows into the block as it reads them, so that none of them lives as an object until the answer is
// complete: with 3000 rows as two arrays each a server collected garbage for twice as long, held 50 to 60 MB more and
// answered 0.7 times as many such reads. Whoever reads gets rows that share one copy of the block, so they outlive
// the received frame. Page: docs/protocol.md, "Rows".

import { blocks } from "../base/block_pool.ts";
import { EMPTY } from "../base/bytes.ts";
import { type Field, SchemaError } from "./field.ts";
import type { Row } from "./types.ts";

const HAS_VALUE = 1;
const HAS_EXPIRY = 2;
const COUNT_BYTES = 4;
/** Shortest row: the head of an empty key. Bounds what a count may promise. */
const ROW_BYTES_MIN = 4;
/** A row without its key and value at most. */
const ROW_HEADS_BYTES = 12;

/** See the file comment. Rows are added, and then it is read. */
export class RowBlock {
  /** Rows lie in pieces that are used again, one after the other, until the block is asked for. */
  #pieces: Uint8Array[] = [];
  readonly #lengths: number[] = [];
  #piece: Uint8Array = EMPTY;
  #used = 0;
  #whole: Uint8Array | undefined;
  #count = 0;
  #dataBytes = 0;
  #rows: readonly Row[] | undefined;

  static of(rows: Iterable<Row>): RowBlock {
    const block = new RowBlock();
    for (const { key, value, expireTs } of rows) block.add(key, value, expireTs);
    return block;
  }

  /** @throws {SchemaError} */
  static received(plain: unknown, path: string): RowBlock {
    if (!(plain instanceof Uint8Array)) {
      throw new SchemaError(`Field "${path}": expected a block of rows`);
    }
    const block = new RowBlock();
    block.#whole = new Uint8Array(plain);
    const rows = decodeRows(block.#whole, path);
    block.#rows = rows;
    block.#count = rows.length;
    for (const { key, value } of rows) block.#dataBytes += key.length + (value?.length ?? 0);
    return block;
  }

  /** Rows in it. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of their keys and values. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  /** Copies a row behind the others. */
  add(key: Uint8Array, value: Uint8Array | undefined, expireTs?: number): void {
    if (this.#whole !== undefined) throw new Error("The rows of this block are complete");
    const dataBytes = key.length + (value === undefined ? 0 : value.length);
    if (this.#used + ROW_HEADS_BYTES + dataBytes > this.#piece.length) {
      this.#endPiece();
      this.#piece = blocks.take(ROW_HEADS_BYTES + dataBytes);
    }
    const bytes = this.#piece;
    const flags = (value === undefined ? 0 : HAS_VALUE) + (expireTs === undefined ? 0 : HAS_EXPIRY);
    let at = putU32(bytes, this.#used, key.length * 4 + flags);
    bytes.set(key, at);
    at += key.length;
    if (value !== undefined) {
      at = putU32(bytes, at, value.length);
      bytes.set(value, at);
      at += value.length;
    }
    if (expireTs !== undefined) at = putU32(bytes, at, expireTs);
    this.#used = at;
    this.#dataBytes += dataBytes;
    this.#count++;
  }

  /** Turns the order of the rows around, which completes them. */
  reverse(): void {
    const whole = this.bytes();
    const turned = new Uint8Array(whole.length);
    putU32(turned, 0, this.#count);
    let to = whole.length;
    for (let at = COUNT_BYTES; at < whole.length;) {
      const next = rowEnd(whole, at);
      to -= next - at;
      turned.set(whole.subarray(at, next), to);
      at = next;
    }
    this.#whole = turned;
    this.#rows = undefined;
  }

  /** The block; no more rows can be added. */
  bytes(): Uint8Array {
    return this.#whole ??= this.#join();
  }

  /** The rows, views of the block; no more can be added. */
  toArray(): readonly Row[] {
    return this.#rows ??= decodeRows(this.bytes(), "rows");
  }

  #endPiece(): void {
    if (this.#used > 0) {
      this.#pieces.push(this.#piece);
      this.#lengths.push(this.#used);
    }
    this.#used = 0;
  }

  #join(): Uint8Array {
    this.#endPiece();
    const size = this.#lengths.reduce((sum, length) => sum + length, COUNT_BYTES);
    const whole = new Uint8Array(size);
    let at = putU32(whole, 0, this.#count);
    for (let i = 0; i < this.#pieces.length; i++) {
      const piece = this.#pieces[i]!;
      whole.set(piece.subarray(0, this.#lengths[i]!), at);
      at += this.#lengths[i]!;
      blocks.give(piece);
    }
    this.#pieces = [];
    this.#piece = EMPTY;
    return whole;
  }
}

/** Rows of one answer. */
export const rowBlock: Field<RowBlock> = {
  write: (rows) => rows.bytes(),
  read: (plain, path) => RowBlock.received(plain, path),
};

/** @param bytes The rows are views of it. */
function decodeRows(bytes: Uint8Array, path: string): Row[] {
  const end = bytes.length;
  let at = COUNT_BYTES;
  const fail = (): never => {
    throw new SchemaError(`Field "${path}": the block of rows is cut off or has bytes too many`);
  };
  const count = end < COUNT_BYTES ? fail() : getU32(bytes, 0);
  if (count * ROW_BYTES_MIN > end) fail();
  const rows = new Array<Row>(count);
  for (let i = 0; i < count; i++) {
    if (at + 4 > end) fail();
    const head = getU32(bytes, at);
    const keyEnd = at + 4 + (head >>> 2);
    const key = bytes.subarray(at + 4, keyEnd);
    at = keyEnd;
    let value: Uint8Array | undefined;
    if ((head & HAS_VALUE) !== 0) {
      if (at + 4 > end) fail();
      const valueEnd = at + 4 + getU32(bytes, at);
      value = bytes.subarray(at + 4, valueEnd);
      at = valueEnd;
    }
    let expireTs: number | undefined;
    if ((head & HAS_EXPIRY) !== 0) {
      if (at + 4 > end) fail();
      expireTs = getU32(bytes, at);
      at += 4;
    }
    if (at > end) fail();
    rows[i] = { key, value, expireTs };
  }
  if (at !== end) fail();
  return rows;
}

/** Where the row that begins at `at` ends; the block is one of our own. */
function rowEnd(bytes: Uint8Array, at: number): number {
  const head = getU32(bytes, at);
  at += 4 + (head >>> 2);
  if ((head & HAS_VALUE) !== 0) at += 4 + getU32(bytes, at);
  return (head & HAS_EXPIRY) !== 0 ? at + 4 : at;
}

function getU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>>
    0;
}

function putU32(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value & 0xff;
  bytes[at + 1] = (value >>> 8) & 0xff;
  bytes[at + 2] = (value >>> 16) & 0xff;
  bytes[at + 3] = value >>> 24;
  return at + 4;
}
