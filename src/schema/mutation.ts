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
  const view = new DataView(bytes.buffer);
  putU64(view, 0, mutation.ballot);
  putU64(view, 8, mutation.decree);
  putU64(view, 16, mutation.lastCommitted);
  putU64(view, 24, mutation.timestampUs);
  bytes.set(mutation.body, MUTATION_HEAD_BYTES);
  return bytes;
}

/** Decodes a mutation; `undefined` if the bytes are too short or a number is not a safe integer. The body is a view. */
export function decodeMutation(bytes: Uint8Array): Mutation | undefined {
  if (bytes.length < MUTATION_HEAD_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const ballot = getU64(view, 0);
  const decree = getU64(view, 8);
  const lastCommitted = getU64(view, 16);
  const timestampUs = getU64(view, 24);
  if (!(ballot >= 0 && decree >= 1 && lastCommitted >= 0 && timestampUs >= 0)) return undefined;
  return { ballot, decree, lastCommitted, timestampUs, body: bytes.subarray(MUTATION_HEAD_BYTES) };
}

function putU64(view: DataView, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "Not an unsigned safe integer", { value });
  view.setUint32(at, value % 0x1_0000_0000, true);
  view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** NaN if the value exceeds the safe integers. */
function getU64(view: DataView, at: number): number {
  const high = view.getUint32(at + 4, true);
  return high > 0x1fffff ? NaN : high * 0x1_0000_0000 + view.getUint32(at, true);
}
