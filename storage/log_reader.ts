// Reads one segment and decides what a broken place is: a torn tail, which was never confirmed and
// may go, or damage, which must be reported because something confirmed may be missing. Reader's
// half of docs/log_format.md, "Reading". Invariant: no byte of an invalid block ever reaches a
// visitor.

import {
  type BlockHead,
  checkBlock,
  decodeRecords,
  decodeSegmentHead,
  findBlock,
  type SegmentHead,
  viewOf,
} from "./log_format.ts";
import type { LogDamage, LogRecord } from "./log.ts";

/**
 * Receives what a log holds, in order. Payloads are views into the segment: copy them to keep them.
 */
export interface LogVisitor {
  /** A segment begins. Not called for one whose head is damaged. */
  segment?(head: SegmentHead, path: string): void;
  /** One valid block. */
  block(records: readonly LogRecord[], path: string, offset: number, end: number): void;
  damage?(damage: LogDamage): void;
  /** The log ends in bytes that are no records; see {@link SegmentResult.torn}. */
  torn?(): void;
}

export interface SegmentInput {
  readonly bytes: Uint8Array;
  readonly path: string;
  /** Only the last segment of a log may have a torn tail. */
  readonly last: boolean;
  /** The writer syncs the head before the first block, so that any block proves the head. */
  readonly headSyncedFirst: boolean;
}

export interface SegmentResult {
  /** `undefined` if the head is torn or damaged. */
  readonly head: SegmentHead | undefined;
  /** Offset behind the last valid block; 0 if the file is not even a segment. */
  readonly end: number;
  /** Position of `end`; `undefined` if not known. */
  readonly endPosition: number | undefined;
  /**
   * Something is behind `end` that is no block, zeros apart: written and never confirmed, or confirmed and damaged
   * since, which nothing behind it can tell apart.
   */
  readonly torn: boolean;
}

/**
 * Reads a segment.
 *
 * @throws {LogFormatError} If it is of a newer format.
 */
export function readSegment(input: SegmentInput, visitor: LogVisitor): SegmentResult {
  const { bytes, path, last } = input;
  const view = viewOf(bytes);
  const decoded = decodeSegmentHead(bytes, path);
  let base: number | undefined;
  let offset: number;
  if (decoded !== undefined) {
    base = decoded.head.startPosition - decoded.headBytes;
    offset = decoded.headBytes;
    visitor.segment?.(decoded.head, path);
  } else {
    offset = findBlock(bytes, view, 0, undefined);
    const first = offset < 0 ? undefined : checkBlock(bytes, view, offset, undefined)!;
    if (first !== undefined) base = first.position - offset;
    const proven = first !== undefined &&
      (input.headSyncedFirst || provenSynced(bytes, view, offset, base!));
    if (last && !proven) {
      return { head: undefined, end: 0, endPosition: undefined, torn: !isZero(bytes, 0) };
    }
    visitor.damage?.({ file: path, offset: 0, reason: "The segment's head is not valid" });
    if (first === undefined) {
      return { head: undefined, end: 0, endPosition: undefined, torn: false };
    }
  }
  const end = readBlocks(input, view, offset, base!, visitor);
  const torn = last && !isZero(bytes, end);
  return { head: decoded?.head, end, endPosition: base! + end, torn };
}

function isZero(bytes: Uint8Array, from: number): boolean {
  return bytes.subarray(from).every((byte) => byte === 0);
}

function readBlocks(
  { bytes, path, last }: SegmentInput,
  view: DataView,
  from: number,
  base: number,
  visitor: LogVisitor,
): number {
  let offset = from;
  while (offset < bytes.length) {
    const block = checkBlock(bytes, view, offset, base);
    const records = block && decodeRecords(bytes, view, offset, block.end);
    if (block !== undefined && records !== undefined) {
      visitor.block(records, path, offset, block.end);
      offset = block.end;
      continue;
    }
    const after = block?.end ?? offset + 1;
    const proven = block !== undefined || provenSynced(bytes, view, offset, base);
    if (last && !proven) return offset;
    visitor.damage?.({ file: path, offset, reason: "No valid block where one must start" });
    const next = findBlock(bytes, view, after, base);
    if (next < 0) return last ? offset : bytes.length;
    offset = next;
  }
  return offset;
}

/**
 * Whether a valid block behind `offset` says that the log was synced beyond it when that block was
 * written.
 */
function provenSynced(bytes: Uint8Array, view: DataView, offset: number, base: number): boolean {
  let at = findBlock(bytes, view, offset + 1, base);
  while (at >= 0) {
    const block: BlockHead = checkBlock(bytes, view, at, base)!;
    if (block.synced > base + offset) return true;
    at = findBlock(bytes, view, block.end, base);
  }
  return false;
}
