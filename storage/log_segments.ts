// The files of a log: naming, reading them all in order, cutting a torn tail, starting a new one.
// Invariant: after `readLog` with `repair` the files hold exactly the bytes that were handed to the
// visitor (and damaged places), all of them on stable storage. docs/log_format.md, "Segment" and
// "Reading".

import type { FileHandle, Files } from "../src/base/files.ts";
import { parentOf } from "./durable_dir.ts";
import {
  decodeSegmentHead,
  encodeSegmentHead,
  type SegmentHead,
  SegmentKind,
} from "./log_format.ts";
import { type LogVisitor, readSegment } from "./log_reader.ts";

const PREFIX = "log.";
const INDEX_DIGITS = 10;

/** One file of a log. */
export interface Segment {
  readonly path: string;
  readonly index: number;
  readonly bytes: number;
  readonly head: SegmentHead | undefined;
}

/** What `readLog` found. */
export interface LogContents {
  readonly segments: Segment[];
  /** Where the next segment starts. */
  readonly nextIndex: number;
  readonly endPosition: number;
}

/** Path of a segment. */
export function segmentPath(dir: string, index: number): string {
  return `${dir}/${PREFIX}${String(index).padStart(INDEX_DIGITS, "0")}`;
}

/** Indexes of the segments in a directory, ascending. */
export function listSegments(files: Files, dir: string): number[] {
  const indexes: number[] = [];
  for (const name of files.list(dir)) {
    const match = /^log\.(\d{10,15})$/.exec(name);
    if (match !== null) indexes.push(Number(match[1]));
  }
  return indexes.sort((a, b) => a - b);
}

/**
 * Head of a segment without reading the rest; `undefined` if it is not valid.
 *
 * @throws {FilesError}
 * @throws {LogFormatError} If it is of a newer format.
 */
export function readSegmentHead(files: Files, path: string): SegmentHead | undefined {
  const file = files.open(path, "read");
  try {
    const start = new Uint8Array(64);
    if (file.read(start, 0) < start.length) return undefined;
    const headBytes = new DataView(start.buffer).getUint32(12, true);
    const bytes = new Uint8Array(Math.min(headBytes, file.size()));
    file.read(bytes, 0);
    return decodeSegmentHead(bytes, path)?.head;
  } finally {
    file.close();
  }
}

export interface ReadLogOptions {
  readonly files: Files;
  readonly dir: string;
  readonly kind: SegmentKind;
  /** Cut the torn tail and sync what remains. False reads a log that belongs to somebody else. */
  readonly repair: boolean;
}

/**
 * Reads all segments in order; holds one of them in memory at a time.
 *
 * @throws {FilesError}
 * @throws {LogFormatError} If a segment is of a newer format.
 */
export async function readLog(options: ReadLogOptions, visitor: LogVisitor): Promise<LogContents> {
  const { files, dir, kind, repair } = options;
  const indexes = listSegments(files, dir);
  const segments: Segment[] = [];
  let endPosition: number | undefined;
  for (const [i, index] of indexes.entries()) {
    const path = segmentPath(dir, index);
    const last = i === indexes.length - 1;
    const bytes = files.readFile(path);
    const report = (offset: number, reason: string) =>
      visitor.damage?.({ file: path, offset, reason });
    if (i > 0 && index !== indexes[i - 1]! + 1) report(0, "The segment before it is missing");
    const continues = endPosition;
    const result = readSegment(
      { bytes, path, last, headSyncedFirst: kind === SegmentKind.SHARED },
      {
        block: (records, at, offset, end) => visitor.block(records, at, offset, end),
        damage: (damage) => visitor.damage?.(damage),
        segment(head) {
          if (continues !== undefined && head.startPosition !== continues) {
            report(0, "The segment before it is shorter than it was");
          }
          visitor.segment?.(head, path);
        },
      },
    );
    if (result.torn) visitor.torn?.();
    if (last && repair) await repairTail(files, path, bytes.length, result.end);
    // A file that never became a segment changes nothing, above all not where the next one starts.
    if (last && result.end === 0) break;
    endPosition = result.endPosition;
    segments.push({
      path,
      index,
      bytes: last ? result.end : bytes.length,
      head: result.head,
    });
  }
  const newest = segments.at(-1);
  return {
    segments,
    nextIndex: newest === undefined ? (indexes[0] ?? 1) : newest.index + 1,
    endPosition: endPosition ?? lastKnownEnd(segments),
  };
}

/**
 * If the end of the last segment cannot be told, positions go on behind anything it can have held.
 */
function lastKnownEnd(segments: readonly Segment[]): number {
  let end = 0;
  for (const segment of segments) {
    end = Math.max(end, segment.head?.startPosition ?? end) + segment.bytes;
  }
  return end;
}

async function repairTail(files: Files, path: string, size: number, end: number): Promise<void> {
  if (end === 0) {
    files.remove(path);
    await files.syncDir(parentOf(path));
    return;
  }
  const file = files.open(path, "write");
  try {
    if (end < size) file.truncate(end);
    // Also without a cut: what a crashed process wrote may be in the page cache only, and a log
    // that continues it must not become durable before it.
    await file.sync();
  } finally {
    file.close();
  }
  await files.syncDir(parentOf(path));
}

/** A segment that is being written. */
export interface OpenSegment {
  readonly file: FileHandle;
  readonly path: string;
  readonly index: number;
  /** Add to an offset to get its position. */
  readonly base: number;
  /** Bytes written. */
  size: number;
}

/** Creates a segment and writes its head, without syncing anything. @throws {FilesError} */
export function createSegment(files: Files, dir: string, head: SegmentHead): OpenSegment {
  const path = segmentPath(dir, head.index);
  const file = files.open(path, "createNew");
  try {
    const bytes = encodeSegmentHead(head);
    file.write(bytes, 0);
    return {
      file,
      path,
      index: head.index,
      base: head.startPosition - bytes.length,
      size: bytes.length,
    };
  } catch (error) {
    file.close();
    // Half a head must not stand between two segments: the next attempt takes the same index.
    files.remove(path);
    throw error;
  }
}

/** Removes a segment for good. */
export async function removeSegment(files: Files, path: string): Promise<void> {
  await files.discard(path);
  await files.syncDir(parentOf(path));
}
