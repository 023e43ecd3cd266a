// The body of a mutation: session records first, then physical operations. Written by hand because every
// write of every replica passes here. Layout (docs/log_format.md, "Mutation body"):
//
//   varint n                                    number of session records
//   n x { varint session | varint sequence | varint answeredBelow | varint error | varint length + 1 (0 = no result) | result }
//   m x { varint keyLength * 2 + isPut | key | if isPut: varint valueLength | value }   until the end
//
// An empty body is an empty write.

import { assert } from "../base/assert.ts";
import type { ByteSlab } from "../base/byte_slab.ts";

/** The outcome of one exactly-once write; sequence 0 opens the session named by the mutation's decree. */
export interface SessionRecord {
  readonly session: number;
  readonly sequence: number;
  readonly answeredBelow: number;
  readonly error: number;
  readonly result: Uint8Array | undefined;
}

/** A put, or a delete if `value` is undefined. */
export interface BodyOp {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/**
 * Encodes a body; empty if there is nothing to say.
 *
 * @param room Bytes left free in front of it, for the mutation's head.
 * @param slab Where the bytes come from; absent = a fresh array.
 */
export function encodeBody(
  sessions: readonly SessionRecord[],
  ops: readonly BodyOp[],
  room = 0,
  slab?: ByteSlab,
): Uint8Array {
  if (sessions.length === 0 && ops.length === 0) return new Uint8Array(room);
  let size = room + varintSize(sessions.length);
  for (const s of sessions) {
    size += varintSize(s.session) + varintSize(s.sequence) + varintSize(s.answeredBelow) +
      varintSize(s.error) + varintSize(resultSize(s)) + (s.result?.length ?? 0);
  }
  for (const op of ops) {
    size += varintSize(op.key.length * 2) + op.key.length;
    if (op.value !== undefined) size += varintSize(op.value.length) + op.value.length;
  }
  const bytes = slab === undefined ? new Uint8Array(size) : slab.take(size);
  let at = putVarint(bytes, room, sessions.length);
  for (const s of sessions) {
    at = putVarint(bytes, at, s.session);
    at = putVarint(bytes, at, s.sequence);
    at = putVarint(bytes, at, s.answeredBelow);
    at = putVarint(bytes, at, s.error);
    at = putVarint(bytes, at, resultSize(s));
    if (s.result !== undefined) {
      bytes.set(s.result, at);
      at += s.result.length;
    }
  }
  for (const op of ops) {
    at = putVarint(bytes, at, op.key.length * 2 + (op.value === undefined ? 0 : 1));
    bytes.set(op.key, at);
    at += op.key.length;
    if (op.value === undefined) continue;
    at = putVarint(bytes, at, op.value.length);
    bytes.set(op.value, at);
    at += op.value.length;
  }
  assert(at === size, "Mutation body size is wrong", { at, size });
  return bytes;
}

/** Receives the parts of a body in order; keys and values are views into it. */
export interface BodyVisitor {
  session?(record: SessionRecord): void;
  put?(key: Uint8Array, value: Uint8Array): void;
  remove?(key: Uint8Array): void;
}

/**
 * Walks through a body. A visitor without `put` and `remove` reads only the session records at the front.
 *
 * @returns False if the bytes are not a whole body; the visitor may then have seen a part of it.
 */
export function readBody(bytes: Uint8Array, visitor: BodyVisitor): boolean {
  const cursor = new Cursor(bytes);
  cursor.sessions(visitor);
  if (visitor.put === undefined && visitor.remove === undefined) return cursor.ok;
  while (cursor.nextOp()) {
    const key = bytes.subarray(cursor.keyAt, cursor.keyAt + cursor.keyLength);
    if (cursor.valueLength === REMOVED) visitor.remove?.(key);
    else visitor.put?.(key, bytes.subarray(cursor.valueAt, cursor.valueAt + cursor.valueLength));
  }
  return cursor.ok;
}

/** In place of a value's length: the key is removed. */
export const REMOVED = -1;

/**
 * Appends where the operations of a body are: four numbers each, where its key begins, the key's length, where its value
 * begins, and the value's length or {@link REMOVED}.
 *
 * @returns False if the bytes are not a whole body; `places` is then of no use.
 */
export function readPlaces(bytes: Uint8Array, places: number[]): boolean {
  const cursor = new Cursor(bytes);
  cursor.sessions({});
  while (cursor.nextOp()) {
    places.push(cursor.keyAt, cursor.keyLength, cursor.valueAt, cursor.valueLength);
  }
  return cursor.ok;
}

/** A place in a body, and the operation in front of it. */
class Cursor {
  at = 0;
  ok = true;
  keyAt = 0;
  keyLength = 0;
  valueAt = 0;
  valueLength = REMOVED;

  constructor(readonly bytes: Uint8Array) {}

  sessions(visitor: BodyVisitor): void {
    if (this.bytes.length === 0) return;
    const count = this.#varint();
    for (let i = 0; i < count && this.ok; i++) {
      const session = this.#varint();
      const sequence = this.#varint();
      const answeredBelow = this.#varint();
      const error = this.#varint();
      const length = this.#varint();
      const start = length === 0 ? 0 : this.#skip(length - 1);
      if (!this.ok || visitor.session === undefined) continue;
      const result = length === 0 ? undefined : this.bytes.subarray(start, this.at);
      visitor.session({ session, sequence, answeredBelow, error, result });
    }
  }

  /** @returns False at the end, or when `ok` has become false. */
  nextOp(): boolean {
    if (!this.ok || this.at >= this.bytes.length) return false;
    const head = this.#varint();
    this.keyLength = Math.floor(head / 2);
    this.keyAt = this.#skip(this.keyLength);
    this.valueLength = REMOVED;
    if (head % 2 === 0) return this.ok;
    this.valueLength = this.#varint();
    this.valueAt = this.#skip(this.valueLength);
    return this.ok;
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) break;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (Number.isSafeInteger(value)) return value;
        break;
      }
      scale *= 0x80;
    }
    this.ok = false;
    return 0;
  }

  /** @returns Where the part begins that is passed over. */
  #skip(length: number): number {
    const start = this.at;
    this.at += length;
    if (this.at > this.bytes.length) this.ok = false;
    return start;
  }
}

function resultSize(record: SessionRecord): number {
  return record.result === undefined ? 0 : record.result.length + 1;
}

function varintSize(value: number): number {
  let size = 1;
  while (value >= 0x80) {
    value = Math.floor(value / 0x80);
    size++;
  }
  return size;
}

function putVarint(bytes: Uint8Array, at: number, value: number): number {
  while (value >= 0x80) {
    bytes[at++] = (value % 0x80) | 0x80;
    value = Math.floor(value / 0x80);
  }
  bytes[at++] = value;
  return at;
}
