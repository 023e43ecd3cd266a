// The rows of a range answer as one byte string inside the message: many rows cost one value of msgpack, and one
// copy at the receiver, instead of three each. All integers are unsigned 32-bit little-endian:
//
//   count
//   count x { key length x 4 + 2 (has expiry) + 1 (has value) | key | value length | value | expiry }
//
// Whoever reads gets rows that share one copy of the block, so they outlive the received frame.
// Page: docs/protocol.md, "Rows".

import { type Field, SchemaError } from "./field.ts";
import type { Row } from "./types.ts";

const HAS_VALUE = 1;
const HAS_EXPIRY = 2;
/** Shortest row: the head of an empty key. Bounds what a count may promise. */
const ROW_BYTES_MIN = 4;

/** Rows of one answer. */
export const rowBlock: Field<readonly Row[]> = { write: encodeRows, read: decodeRows };

function encodeRows(rows: readonly Row[]): Uint8Array {
  let size = 4;
  for (let i = 0; i < rows.length; i++) {
    const { key, value, expireTs } = rows[i]!;
    size += 4 + key.length + (value === undefined ? 0 : 4 + value.length) +
      (expireTs === undefined ? 0 : 4);
  }
  const bytes = new Uint8Array(size);
  let at = putU32(bytes, 0, rows.length);
  for (let i = 0; i < rows.length; i++) {
    const { key, value, expireTs } = rows[i]!;
    const flags = (value === undefined ? 0 : HAS_VALUE) + (expireTs === undefined ? 0 : HAS_EXPIRY);
    at = putU32(bytes, at, key.length * 4 + flags);
    bytes.set(key, at);
    at += key.length;
    if (value !== undefined) {
      at = putU32(bytes, at, value.length);
      bytes.set(value, at);
      at += value.length;
    }
    if (expireTs !== undefined) at = putU32(bytes, at, expireTs);
  }
  return bytes;
}

function decodeRows(plain: unknown, path: string): Row[] {
  if (!(plain instanceof Uint8Array)) {
    throw new SchemaError(`Field "${path}": expected a block of rows`);
  }
  const bytes = new Uint8Array(plain);
  const end = bytes.length;
  let at = 4;
  const fail = (): never => {
    throw new SchemaError(`Field "${path}": the block of rows is cut off or has bytes too many`);
  };
  const count = end < 4 ? fail() : getU32(bytes, 0);
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
