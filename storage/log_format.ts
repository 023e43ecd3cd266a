// Layout of log segments, blocks and records, shared by writer and reader; docs/log_format.md is
// the page behind it. Invariant: whatever decodes here was written by us at exactly this place of
// this log, because the checksum covers the position.

import { crc32 } from "../src/base/crc.ts";
import { assert } from "../src/base/assert.ts";
import type { Decree, PartitionId } from "../src/base/ids.ts";
import { type LogRecord, RecordKind } from "./log.ts";

const FORMAT_VERSION = 1;
const SEGMENT_MAGIC = 0x474c4750; // "PGLG"
const BLOCK_MAGIC = 0x4b4c4250; // "PBLK"
const SEGMENT_FIXED_BYTES = 64;
const TABLE_ENTRY_BYTES = 24;
export const BLOCK_HEAD_BYTES = 28;
const RECORD_HEAD_BYTES = 40;
const CRC_FROM = 8;

/** What the files of a log are. Numbers are on disk: frozen. */
export const SegmentKind = { SHARED: 1, PRIVATE: 2 } as const;
export type SegmentKind = (typeof SegmentKind)[keyof typeof SegmentKind];

/** Highest sequence of one replica in earlier segments of a shared log. */
export interface TableEntry {
  readonly partition: PartitionId;
  readonly generation: number;
  readonly sequence: number;
}

/** Head of a segment. */
export interface SegmentHead {
  readonly kind: SegmentKind;
  readonly index: number;
  /** Position of the first block. */
  readonly startPosition: number;
  /** Shared: incarnation of the writer; private: generation. */
  readonly owner: number;
  /** Private: last sequence and largest decree of all earlier segments; shared: 0. */
  readonly previousSequence: number;
  readonly previousDecree: Decree;
  /** Shared: shards of the writer's process; private: 0. */
  readonly shardCount: number;
  readonly table: readonly TableEntry[];
}

/** A file is of a format this version cannot read. */
export class LogFormatError extends Error {
  override readonly name = "LogFormatError";
}

/** Encodes a segment head into a fresh array. */
export function encodeSegmentHead(head: SegmentHead): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_FIXED_BYTES + head.table.length * TABLE_ENTRY_BYTES);
  const view = viewOf(bytes);
  view.setUint32(0, SEGMENT_MAGIC, true);
  view.setUint16(8, FORMAT_VERSION, true);
  view.setUint16(10, head.kind, true);
  view.setUint32(12, bytes.length, true);
  putU64(view, 16, head.index);
  putU64(view, 24, head.startPosition);
  putU64(view, 32, head.owner);
  putU64(view, 40, head.previousSequence);
  putU64(view, 48, head.previousDecree);
  view.setUint32(56, head.shardCount, true);
  view.setUint32(60, head.table.length, true);
  let at = SEGMENT_FIXED_BYTES;
  for (const entry of head.table) {
    putU64(view, at, entry.partition);
    putU64(view, at + 8, entry.generation);
    putU64(view, at + 16, entry.sequence);
    at += TABLE_ENTRY_BYTES;
  }
  view.setUint32(4, crc32(bytes.subarray(CRC_FROM)), true);
  return bytes;
}

/**
 * Decodes the head at the front of a segment; `undefined` if it is not whole and right.
 *
 * @throws {LogFormatError} If it is right and of a newer format.
 */
export function decodeSegmentHead(
  bytes: Uint8Array,
  path: string,
): { head: SegmentHead; headBytes: number } | undefined {
  if (bytes.length < SEGMENT_FIXED_BYTES) return undefined;
  const view = viewOf(bytes);
  const headBytes = view.getUint32(12, true);
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) return undefined;
  if (headBytes < SEGMENT_FIXED_BYTES || headBytes > bytes.length) return undefined;
  if ((headBytes - SEGMENT_FIXED_BYTES) % TABLE_ENTRY_BYTES !== 0) return undefined;
  if (view.getUint32(4, true) !== crc32(bytes.subarray(CRC_FROM, headBytes))) return undefined;
  const version = view.getUint16(8, true);
  if (version > FORMAT_VERSION) {
    throw new LogFormatError(
      `Cannot read "${path}": format version is ${version}, this program knows up to ` +
        `${FORMAT_VERSION}, start a newer program`,
    );
  }
  const table: TableEntry[] = [];
  for (let at = SEGMENT_FIXED_BYTES; at < headBytes; at += TABLE_ENTRY_BYTES) {
    table.push({
      partition: getU64(view, at),
      generation: getU64(view, at + 8),
      sequence: getU64(view, at + 16),
    });
  }
  const head: SegmentHead = {
    kind: view.getUint16(10, true) as SegmentKind,
    index: getU64(view, 16),
    startPosition: getU64(view, 24),
    owner: getU64(view, 32),
    previousSequence: getU64(view, 40),
    previousDecree: getU64(view, 48),
    shardCount: view.getUint32(56, true),
    table,
  };
  return { head, headBytes };
}

/** Bytes of a record. */
export function recordBytes(record: LogRecord): number {
  return RECORD_HEAD_BYTES + record.payload.length;
}

/** Writes a record at `at`; the caller has made room. */
export function putRecord(bytes: Uint8Array, view: DataView, at: number, record: LogRecord): void {
  view.setUint32(at, record.payload.length, true);
  view.setUint32(at + 4, record.kind, true);
  putU64(view, at + 8, record.partition);
  putU64(view, at + 16, record.generation);
  putU64(view, at + 24, record.sequence);
  putU64(view, at + 32, record.decree);
  bytes.set(record.payload, at + RECORD_HEAD_BYTES);
}

/** Fills in the head of a block whose body of `length` bytes stands behind it. */
export function sealBlock(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  block: { readonly length: number; readonly position: number; readonly synced: number },
): void {
  view.setUint32(at, BLOCK_MAGIC, true);
  view.setUint32(at + 8, block.length, true);
  putU64(view, at + 12, block.position);
  putU64(view, at + 20, block.synced);
  const end = at + BLOCK_HEAD_BYTES + block.length;
  view.setUint32(at + 4, crc32(bytes.subarray(at + CRC_FROM, end)), true);
}

/**
 * A valid block: where it ends, its position, and up to where the log was synced when it was
 * written.
 */
export interface BlockHead {
  readonly end: number;
  readonly position: number;
  readonly synced: number;
}

/**
 * Checks the block at `at`.
 *
 * @param base What to add to an offset to get its position; `undefined` if not known, then any is
 * right.
 * @returns `undefined` if no valid block starts there.
 */
export function checkBlock(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  base: number | undefined,
): BlockHead | undefined {
  if (at + BLOCK_HEAD_BYTES > bytes.length) return undefined;
  if (view.getUint32(at, true) !== BLOCK_MAGIC) return undefined;
  const end = at + BLOCK_HEAD_BYTES + view.getUint32(at + 8, true);
  const position = getU64(view, at + 12);
  // The position is compared before the checksum: it is cheap, and bytes of a client that look like
  // blocks cannot make a search through a damaged segment quadratic.
  if (end > bytes.length || (base !== undefined && position !== base + at)) return undefined;
  if (view.getUint32(at + 4, true) !== crc32(bytes.subarray(at + CRC_FROM, end))) return undefined;
  return { end, position, synced: getU64(view, at + 20) };
}

/** Offset of the next valid block at or behind `from`; -1 if there is none. */
export function findBlock(
  bytes: Uint8Array,
  view: DataView,
  from: number,
  base: number | undefined,
): number {
  for (let at = bytes.indexOf(BLOCK_MAGIC & 0xff, from); at >= 0;) {
    if (checkBlock(bytes, view, at, base) !== undefined) return at;
    at = bytes.indexOf(BLOCK_MAGIC & 0xff, at + 1);
  }
  return -1;
}

/**
 * Records of the block at `at`, payloads as views; `undefined` if the body is not made of whole
 * records of known kinds, which in a block with a right checksum only a bug or another program can
 * produce.
 */
export function decodeRecords(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  end: number,
): LogRecord[] | undefined {
  const records: LogRecord[] = [];
  let from = at + BLOCK_HEAD_BYTES;
  while (from < end) {
    const payloadFrom = from + RECORD_HEAD_BYTES;
    if (payloadFrom > end) return undefined;
    const payloadEnd = payloadFrom + view.getUint32(from, true);
    const kind = view.getUint32(from + 4, true);
    if (payloadEnd > end) return undefined;
    if (kind !== RecordKind.MUTATION && kind !== RecordKind.BALLOT) return undefined;
    records.push({
      partition: getU64(view, from + 8),
      generation: getU64(view, from + 16),
      sequence: getU64(view, from + 24),
      kind,
      decree: getU64(view, from + 32),
      payload: bytes.subarray(payloadFrom, payloadEnd),
    });
    from = payloadEnd;
  }
  return records;
}

/** "Drops nothing" as reconcile end of a ballot record. */
export const RECONCILE_END_NONE = Number.MAX_SAFE_INTEGER;

/** Payload of a ballot record. */
export function encodeBallot(ballot: number, reconcileEnd: Decree): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  putU64(view, 0, ballot);
  putU64(view, 8, reconcileEnd);
  return bytes;
}

/** Reads the payload of a ballot record; `undefined` if it is not one. */
export function decodeBallot(
  payload: Uint8Array,
): { ballot: number; reconcileEnd: Decree } | undefined {
  if (payload.length !== 16) return undefined;
  const view = viewOf(payload);
  const ballot = getU64(view, 0);
  const reconcileEnd = getU64(view, 8);
  return ballot >= 0 && reconcileEnd >= 0 ? { ballot, reconcileEnd } : undefined;
}

/** A view of the same bytes. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
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
