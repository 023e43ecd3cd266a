// Row values as the engine stores them, version 1: u32 expireTs | u64 timetag | user data, big-endian. The
// timetag is timestampUs << 8 | clusterId << 1 | deleted; the last bit is never set on stored rows. Version 0 has
// no timetag, version 2 puts 0x82 in front; both are decoded for data that was imported. New replicas write
// version 1 only. Vectors: docs/data_api.md, "Encodings".

import { assert } from "../base/assert.ts";
import type { ByteSlab } from "../base/byte_slab.ts";

/** The version new replicas write. */
export const DATA_VERSION = 1;

/** Bytes before the user data in version 1. */
const VALUE_HEADER_BYTES = 12;

/** Unix seconds of 2016-01-01 00:00:00 UTC, where expiry times start. */
export const EPOCH_2016_SECONDS = 1_451_606_400;

/** Largest expiry time, seconds since 2016. */
export const EXPIRE_TS_MAX = 0xffff_ffff;

/** A stored value taken apart. `userData` is a view. */
export interface StoredValue {
  /** Seconds since 2016; 0 = never. */
  readonly expireTs: number;
  /** Unix microseconds of the write; 0 in version 0. */
  readonly timestampUs: number;
  readonly clusterId: number;
  readonly userData: Uint8Array;
}

/**
 * Encodes a row value.
 *
 * @param expireTs Seconds since 2016, 0 = never. Bounds: 0 .. 2^32-1.
 * @param timestampUs Unix microseconds of the mutation. Bounds: 0 .. 2^53-1.
 * @param clusterId Bounds: 0 .. 127; 0 without duplication.
 * @param slab Where the bytes come from; absent = a fresh array.
 */
export function encodeValue(
  userData: Uint8Array,
  expireTs: number,
  timestampUs: number,
  clusterId = 0,
  slab?: ByteSlab,
): Uint8Array {
  assert(clusterId >= 0 && clusterId <= 127, "Cluster id out of range", { clusterId });
  const length = VALUE_HEADER_BYTES + userData.length;
  const stored = slab === undefined ? new Uint8Array(length) : slab.take(length);
  // The 64-bit timetag in two halves: the low one holds the low 24 bits of the timestamp.
  putU32(stored, 0, expireTs);
  putU32(stored, 4, Math.floor(timestampUs / 0x100_0000));
  putU32(stored, 8, (timestampUs % 0x100_0000) * 0x100 + clusterId * 2);
  stored.set(userData, VALUE_HEADER_BYTES);
  return stored;
}

/** Expiry of a version 1 value, seconds since 2016; 0 = never. */
export function expireTsOf(stored: Uint8Array): number {
  return getU32(stored, 0);
}

/** User data of a version 1 value, as a view. */
export function userDataOf(stored: Uint8Array): Uint8Array {
  return stored.subarray(VALUE_HEADER_BYTES);
}

/** Whether a version 1 value is expired at `nowSeconds` (since 2016). */
export function isExpired(stored: Uint8Array, nowSeconds: number): boolean {
  const expireTs = getU32(stored, 0);
  return expireTs > 0 && expireTs <= nowSeconds;
}

/**
 * Takes a value of any known version apart.
 *
 * @param version What the replica's format row says; a first byte with the top bit set and a known version
 * in its low bits overrides it.
 * @returns `undefined` if the value is too short for its version.
 */
export function decodeValue(stored: Uint8Array, version: 0 | 1): StoredValue | undefined {
  const tagged = stored[0] === 0x82;
  const at = tagged ? 1 : 0;
  const head = tagged || version === 1 ? at + VALUE_HEADER_BYTES : 4;
  if (stored.length < head) return undefined;
  const expireTs = getU32(stored, at);
  const userData = stored.subarray(head);
  if (head === 4) return { expireTs, timestampUs: 0, clusterId: 0, userData };
  const low = getU32(stored, at + 8);
  return {
    expireTs,
    timestampUs: getU32(stored, at + 4) * 0x100_0000 + (low >>> 8),
    clusterId: (low & 0xff) >>> 1,
    userData,
  };
}

/** Whole seconds since 2016 of a Unix time in milliseconds; 0 before 2016. */
export function secondsSince2016(wallMs: number): number {
  return Math.max(0, Math.floor(wallMs / 1000) - EPOCH_2016_SECONDS);
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

function getU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>>
    0;
}
