// A mutation: the unit of replication and of logging. One encoding serves the wire, the logs and memory,
// so the primary encodes once and nobody encodes again. Layout (docs/log_format.md, "Mutation"), little-endian:
//
//   u64 ballot | u64 decree | u64 lastCommitted | u64 timestampUs | body
//
// The body is made of physical operations only (mutation_body.ts): applying it twice, or over a newer
// state, is harmless, and every replica computes the same bytes from it.

import { assert } from "../base/assert.ts";
import type { Ballot, Decree } from "../base/ids.ts";

/** Bytes before the body. */
export const MUTATION_HEAD_BYTES = 32;

/** One decree's worth of writes. */
export interface Mutation {
  readonly ballot: Ballot;
  readonly decree: Decree;
  /** The primary's commit point when it sent this. */
  readonly lastCommitted: Decree;
  /** Unix microseconds, strictly increasing along the decrees of a partition. */
  readonly timestampUs: number;
  /** Physical operations; empty for an empty write. */
  readonly body: Uint8Array;
}

/** Encodes a mutation into a fresh array. */
export function encodeMutation(mutation: Mutation): Uint8Array {
  const bytes = new Uint8Array(MUTATION_HEAD_BYTES + mutation.body.length);
  bytes.set(mutation.body, MUTATION_HEAD_BYTES);
  putHead(bytes, mutation);
  return bytes;
}

/**
 * Makes a mutation of an encoded body, without copying it.
 *
 * @param bytes Room for the head, then the body; becomes the mutation's encoding.
 */
export function sealMutation(bytes: Uint8Array, head: Omit<Mutation, "body">): Mutation {
  const { ballot, decree, lastCommitted, timestampUs } = head;
  putHead(bytes, head);
  const body = bytes.subarray(MUTATION_HEAD_BYTES);
  return { ballot, decree, lastCommitted, timestampUs, body };
}

function putHead(bytes: Uint8Array, head: Omit<Mutation, "body">): void {
  putU64(bytes, 0, head.ballot);
  putU64(bytes, 8, head.decree);
  putU64(bytes, 16, head.lastCommitted);
  putU64(bytes, 24, head.timestampUs);
}

/** Decodes a mutation; `undefined` if the bytes are too short or a number is not a safe integer. The body is a view. */
export function decodeMutation(bytes: Uint8Array): Mutation | undefined {
  if (bytes.length < MUTATION_HEAD_BYTES) return undefined;
  const ballot = getU64(bytes, 0);
  const decree = getU64(bytes, 8);
  const lastCommitted = getU64(bytes, 16);
  const timestampUs = getU64(bytes, 24);
  if (!(ballot >= 0 && decree >= 1 && lastCommitted >= 0 && timestampUs >= 0)) return undefined;
  return { ballot, decree, lastCommitted, timestampUs, body: bytes.subarray(MUTATION_HEAD_BYTES) };
}

// Byte by byte: a DataView is an allocation per mutation.
function putU64(bytes: Uint8Array, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "Not an unsigned safe integer", { value });
  putU32(bytes, at, value % 0x1_0000_0000);
  putU32(bytes, at + 4, Math.floor(value / 0x1_0000_0000));
}

/** NaN if the value exceeds the safe integers. */
function getU64(bytes: Uint8Array, at: number): number {
  const high = getU32(bytes, at + 4);
  return high > 0x1fffff ? NaN : high * 0x1_0000_0000 + getU32(bytes, at);
}

function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function getU32(bytes: Uint8Array, at: number): number {
  const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
  return (low | (bytes[at + 3]! << 24)) >>> 0;
}
