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
  if (bytes.length === 0) return true;
  const cursor = { at: 0, ok: true };
  const sessions = getVarint(bytes, cursor);
  for (let i = 0; i < sessions && cursor.ok; i++) {
    const session = getVarint(bytes, cursor);
    const sequence = getVarint(bytes, cursor);
    const answeredBelow = getVarint(bytes, cursor);
    const error = getVarint(bytes, cursor);
    const length = getVarint(bytes, cursor);
    const result = length === 0 ? undefined : take(bytes, cursor, length - 1);
    if (cursor.ok) visitor.session?.({ session, sequence, answeredBelow, error, result });
  }
  if (visitor.put === undefined && visitor.remove === undefined) return cursor.ok;
  while (cursor.ok && cursor.at < bytes.length) {
    const head = getVarint(bytes, cursor);
    const key = take(bytes, cursor, Math.floor(head / 2));
    if (head % 2 === 0) {
      if (cursor.ok) visitor.remove?.(key);
      continue;
    }
    const value = take(bytes, cursor, getVarint(bytes, cursor));
    if (cursor.ok) visitor.put?.(key, value);
  }
  return cursor.ok;
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

function getVarint(bytes: Uint8Array, cursor: { at: number; ok: boolean }): number {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) break;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) {
      if (Number.isSafeInteger(value)) return value;
      break;
    }
    scale *= 0x80;
  }
  cursor.ok = false;
  return 0;
}

function take(bytes: Uint8Array, cursor: { at: number; ok: boolean }, length: number): Uint8Array {
  const end = cursor.at + length;
  if (!cursor.ok || end > bytes.length) {
    cursor.ok = false;
    return bytes.subarray(0, 0);
  }
  const part = bytes.subarray(cursor.at, end);
  cursor.at = end;
  return part;
}
