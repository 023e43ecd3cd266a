// Row keys as the engine stores them: u16 big-endian hash key length | hash key | sort key. Keys order as
// plain bytes, so first by the LENGTH of the hash key. The partition hash is CRC-64/NVME of the hash key, or of
// the sort key if the hash key is empty. Invariant: a user key starts with a length below 0xffff, so keys
// from ff ff on are free for the replica's own rows. Vectors and reasons: docs/data_api.md, "Encodings".

import { assert } from "../base/assert.ts";
import type { ByteSlab } from "../base/byte_slab.ts";
import { crc64Mod } from "../base/crc.ts";

/** Longest hash key: the length 0xffff is reserved. */
export const HASH_KEY_BYTES_MAX = 65534;

/** Lowest raw key of a row (empty hash key, empty sort key). */
export const USER_KEYS_START: Uint8Array = new Uint8Array([0x00, 0x00]);

/** First key above all rows. */
export const USER_KEYS_END: Uint8Array = new Uint8Array([0xff, 0xff]);

/** The two parts of a row's key. */
export interface RowKey {
  readonly hashKey: Uint8Array;
  readonly sortKey: Uint8Array;
}

/**
 * Joins hash key and sort key into a raw key.
 *
 * @param hashKey At most {@link HASH_KEY_BYTES_MAX} bytes; the border has checked that.
 * @param slab Where the bytes come from; absent = a fresh array.
 * @throws {AssertionError} If the hash key is longer.
 */
export function encodeKey(
  hashKey: Uint8Array,
  sortKey: Uint8Array,
  slab?: ByteSlab,
): Uint8Array {
  const length = hashKey.length;
  assert(length <= HASH_KEY_BYTES_MAX, "Hash key is too long", { length, max: HASH_KEY_BYTES_MAX });
  const bytes = 2 + length + sortKey.length;
  const raw = slab === undefined ? new Uint8Array(bytes) : slab.take(bytes);
  raw[0] = length >>> 8;
  raw[1] = length & 0xff;
  raw.set(hashKey, 2);
  raw.set(sortKey, 2 + length);
  return raw;
}

/** Whether a raw key can name a row. A peer's keys are checked with this before they reach the engine. */
export function isUserKey(raw: Uint8Array): boolean {
  if (raw.length < 2) return false;
  const length = (raw[0]! << 8) | raw[1]!;
  return length <= HASH_KEY_BYTES_MAX && 2 + length <= raw.length;
}

/** Splits a raw key into views; `undefined` if it does not name a row. */
export function decodeKey(raw: Uint8Array): RowKey | undefined {
  if (!isUserKey(raw)) return undefined;
  const end = 2 + ((raw[0]! << 8) | raw[1]!);
  return { hashKey: raw.subarray(2, end), sortKey: raw.subarray(end) };
}

/** The hash key of a raw key as a view; `undefined` if the key does not name a row. */
export function hashKeyOf(raw: Uint8Array): Uint8Array | undefined {
  return isUserKey(raw) ? raw.subarray(2, 2 + ((raw[0]! << 8) | raw[1]!)) : undefined;
}

/**
 * The smallest byte string above everything that starts with `prefix`: trailing ff bytes are dropped and
 * the last remaining byte grows by one. Empty if there is none (no bytes, or only ff): unbounded.
 */
export function nextKey(prefix: Uint8Array): Uint8Array {
  let end = prefix.length;
  while (end > 0 && prefix[end - 1] === 0xff) end--;
  const next = new Uint8Array(end);
  next.set(prefix.subarray(0, end));
  if (end > 0) next[end - 1] = next[end - 1]! + 1;
  return next;
}

/** The end (exclusive) of the rows of a hash key. */
export function nextHashKey(hashKey: Uint8Array): Uint8Array {
  return nextKey(encodeKey(hashKey, new Uint8Array(0)));
}

/**
 * The partition of a row: hash modulo count, as unsigned 64-bit integers. The count need not be a power of two.
 *
 * @param partitionCount Bounds: 1 .. 65536.
 */
export function partitionIndexOf(
  hashKey: Uint8Array,
  sortKey: Uint8Array,
  partitionCount: number,
): number {
  return crc64Mod(hashKey.length > 0 ? hashKey : sortKey, partitionCount);
}

/** {@link partitionIndexOf} of a raw key; `undefined` if the key does not name a row. */
export function partitionIndexOfKey(raw: Uint8Array, partitionCount: number): number | undefined {
  if (!isUserKey(raw)) return undefined;
  const end = 2 + ((raw[0]! << 8) | raw[1]!);
  return crc64Mod(end > 2 ? raw.subarray(2, end) : raw.subarray(2), partitionCount);
}
