// Committed mutations become one engine batch, together with the decree they reach: so the rows and the
// applied decree are always of one moment (§15.1). Also the other rows a replica keeps for itself: the
// exactly-once window of its last checkpoint and the format of its data. docs/storage_layout.md, "Engine".

import { assert } from "../src/base/assert.ts";
import { EMPTY, utf8 } from "../src/base/bytes.ts";
import type { Decree } from "../src/base/ids.ts";
import type { Mutation } from "../src/schema/mutation.ts";
import { DATA_VERSION } from "../src/schema/value_format.ts";
import { type BatchOp, type Engine, EngineError, META_KEY_PREFIX } from "./engine.ts";
import { PackedOps } from "./packed_ops.ts";

/** Reads one row: an {@link Engine} or a snapshot of it. */
export type RowSource = Pick<Engine, "get">;

/** Decree and image of the exactly-once window. */
export interface StoredSessions {
  readonly decree: Decree;
  readonly image: Uint8Array;
}

function metaKey(name: string): Uint8Array {
  const text = utf8(name);
  const key = new Uint8Array(META_KEY_PREFIX.length + text.length);
  key.set(META_KEY_PREFIX);
  key.set(text, META_KEY_PREFIX.length);
  return key;
}

/**
 * Row of the highest applied decree: u64 big-endian; then the mutation's timestamp, u64, microseconds, unless an image or
 * an older version wrote it.
 */
export const APPLIED_KEY: Uint8Array = metaKey("applied");
/** Row of the exactly-once window: u64 big-endian decree, then the image. */
export const SESSIONS_KEY: Uint8Array = metaKey("sessions");
/** Row of the data version: one byte. */
export const FORMAT_KEY: Uint8Array = metaKey("format");

/**
 * Turns committed mutations into one batch: places in the mutations' bodies.
 *
 * @param mutations Consecutive decrees; may be empty.
 * @param applied Decree the engine holds before; the first mutation continues it.
 * @returns Physical operations in order, then the applied decree; nothing for no mutations.
 * @throws {EngineError} `corruption` if a body is not whole. Nothing of the batch may be used then.
 */
export function applyOps(mutations: readonly Mutation[], applied: Decree): PackedOps {
  const ops = new PackedOps();
  if (mutations.length === 0) return ops;
  let decree = applied;
  for (const mutation of mutations) {
    decree++;
    assert(mutation.decree === decree, "Applied decrees must have no gap", {
      expected: decree,
      got: mutation.decree,
    });
    if (!ops.addBody(mutation.body)) {
      throw new EngineError("corruption", `Mutation ${decree} cannot be decoded`);
    }
  }
  ops.addPut(appliedRow(decree, mutations[mutations.length - 1]!.timestampUs), APPLIED_KEY.length);
  return ops;
}

/** The row of the applied decree. @param timestampUs Of its mutation, 0 = not known. */
export function appliedOp(decree: Decree, timestampUs = 0): BatchOp {
  const value = appliedRow(decree, timestampUs).subarray(APPLIED_KEY.length);
  return { type: "put", key: APPLIED_KEY, value };
}

/** Its key and its value, one after the other. */
function appliedRow(decree: Decree, timestampUs: number): Uint8Array {
  const start = APPLIED_KEY.length;
  const row = new Uint8Array(start + (timestampUs === 0 ? 8 : 16));
  row.set(APPLIED_KEY);
  putU64(row, start, decree);
  if (timestampUs !== 0) putU64(row, start + 8, timestampUs);
  return row;
}

/** Highest decree whose effects the source holds; 0 for a new replica. @throws {EngineError} */
export function readApplied(source: RowSource): Decree {
  const value = source.get(APPLIED_KEY);
  return value === undefined ? 0 : getU64(value, "applied decree");
}

/** Timestamp of the mutation of that decree, microseconds; 0 = not known. @throws {EngineError} */
export function readAppliedTimestamp(source: RowSource): number {
  const value = source.get(APPLIED_KEY);
  return value === undefined || value.length < 16 ? 0 : getU64(value.subarray(8), "applied decree");
}

/** The row of the exactly-once window as of `decree`. */
export function sessionsOp(decree: Decree, image: Uint8Array): BatchOp {
  return { type: "put", key: SESSIONS_KEY, value: sessionsValue(decree, image) };
}

/** The value of that row. */
export function sessionsValue(decree: Decree, image: Uint8Array): Uint8Array {
  const value = new Uint8Array(8 + image.length);
  putU64(value, 0, decree);
  value.set(image, 8);
  return value;
}

/** The exactly-once window of the last checkpoint; decree 0 and no bytes for a new replica. @throws {EngineError} */
export function readSessions(source: RowSource): StoredSessions {
  const value = source.get(SESSIONS_KEY);
  return value === undefined ? { decree: 0, image: EMPTY } : parseSessions(value);
}

/** Takes the value of a sessions row apart. @throws {EngineError} `corruption` */
export function parseSessions(value: Uint8Array): StoredSessions {
  return { decree: getU64(value, "sessions row"), image: value.subarray(8) };
}

/** The row of the data version this program writes. */
export function formatOp(): BatchOp {
  return { type: "put", key: FORMAT_KEY, value: new Uint8Array([DATA_VERSION]) };
}

/**
 * Marks a new engine with the data version, or checks the mark of an old one.
 *
 * @throws {EngineError} `other` if the data was written by a version this program does not know.
 */
export async function ensureFormat(engine: Engine): Promise<void> {
  const value = engine.get(FORMAT_KEY);
  if (value === undefined) return await engine.write([formatOp()]);
  if (value.length !== 1 || value[0] !== DATA_VERSION) {
    const found = value.length === 1 ? String(value[0]) : "unreadable";
    throw new EngineError(
      "other",
      `Data version is ${found}, expected ${DATA_VERSION}: start the program that wrote it`,
    );
  }
}

function putU64(bytes: Uint8Array, at: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, "Not an unsigned safe integer", { value });
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint32(at, Math.floor(value / 0x1_0000_0000));
  view.setUint32(at + 4, value % 0x1_0000_0000);
}

function getU64(bytes: Uint8Array, what: string): number {
  if (bytes.length < 8) throw new EngineError("corruption", `Row of the ${what} is too short`);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const value = view.getUint32(0) * 0x1_0000_0000 + view.getUint32(4);
  if (!Number.isSafeInteger(value)) {
    throw new EngineError("corruption", `Row of the ${what} holds no decree`);
  }
  return value;
}
