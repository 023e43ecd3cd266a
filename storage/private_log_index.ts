// Which part of a private log holds which decrees, and reading them back in bounded memory. The
// same decree may stand there several times, re-prepared under larger ballots, and a ballot record
// may have dropped it: what a learner gets is what replay would keep (docs/log_format.md, "Replay",
// 5).

import type { Files } from "../src/base/files.ts";
import type { Ballot, Decree } from "../src/base/ids.ts";
import { decodeMutation } from "../src/schema/mutation.ts";
import { checkBlock, decodeRecords, viewOf } from "./log_format.ts";
import { RecordKind } from "./log.ts";

/** Small runs cost memory, large ones reading: 32 MiB of log are about 512 runs. */
const RUN_BYTES = 64 * 1024;

/** A run of whole blocks of one segment. */
interface Run {
  readonly offset: number;
  end: number;
  minDecree: Decree;
  maxDecree: Decree;
}

/** A ballot record of the log. */
export interface BallotMark {
  readonly sequence: number;
  readonly ballot: Ballot;
  readonly reconcileEnd: Decree;
}

/** Sparse index of one segment. */
export class DecreeIndex {
  readonly runs: Run[] = [];
  minDecree: Decree = Infinity;
  maxDecree: Decree = 0;

  /** Adds blocks at the end: `minDecree` Infinity and `maxDecree` 0 if they hold no mutation. */
  add(offset: number, end: number, minDecree: Decree, maxDecree: Decree): void {
    this.minDecree = Math.min(this.minDecree, minDecree);
    this.maxDecree = Math.max(this.maxDecree, maxDecree);
    const last = this.runs.at(-1);
    if (last !== undefined && last.end === offset && end - last.offset <= RUN_BYTES) {
      last.end = end;
      last.minDecree = Math.min(last.minDecree, minDecree);
      last.maxDecree = Math.max(last.maxDecree, maxDecree);
      return;
    }
    this.runs.push({ offset, end, minDecree, maxDecree });
  }
}

interface IndexedSegment {
  readonly path: string;
  readonly index: DecreeIndex;
}

interface Candidate {
  readonly sequence: number;
  readonly ballot: Ballot;
  readonly payload: Uint8Array;
}

/** What to read. */
export interface DecreeRequest {
  readonly from: Decree;
  readonly to: Decree;
  readonly bytesMax: number;
}

/**
 * Newest versions of the decrees from..to in order, as many as fit `bytesMax` (at least one);
 * `undefined` if one of them is not in the log.
 *
 * @throws {FilesError}
 */
export function readDecrees(
  files: Files,
  segments: readonly IndexedSegment[],
  ballots: readonly BallotMark[],
  request: DecreeRequest,
): Uint8Array[] | undefined {
  const { from, bytesMax } = request;
  if (from > request.to) return [];
  const to = Math.min(request.to, lastDecreeWithin(segments, request));
  const candidates = new Map<Decree, Candidate>();
  for (const segment of segments) {
    const runs = segment.index.runs.filter((r) => r.minDecree <= to && r.maxDecree >= from);
    if (runs.length === 0) continue;
    const file = files.open(segment.path, "read");
    try {
      for (const run of runs) {
        const bytes = new Uint8Array(run.end - run.offset);
        if (file.read(bytes, run.offset) < bytes.length) return undefined;
        if (!collectRun(bytes, from, to, candidates)) return undefined;
      }
    } finally {
      file.close();
    }
  }
  const result: Uint8Array[] = [];
  let total = 0;
  for (let decree = from; decree <= to; decree++) {
    const found = candidates.get(decree);
    if (found === undefined || isDropped(decree, found, ballots)) return undefined;
    total += found.payload.length;
    if (result.length > 0 && total > bytesMax) break;
    result.push(found.payload);
  }
  return result;
}

/**
 * A decree up to which reading takes about `bytesMax`: the request may span gigabytes. Runs are in
 * the order of writing, so decrees ascend but for those that were prepared again.
 */
function lastDecreeWithin(
  segments: readonly IndexedSegment[],
  { from, to, bytesMax }: DecreeRequest,
): Decree {
  let bytes = 0;
  let last = from;
  for (const segment of segments) {
    for (const run of segment.index.runs) {
      if (run.maxDecree < from || run.minDecree > to) continue;
      if (bytes > bytesMax && last >= from) return last;
      bytes += run.end - run.offset;
      last = Math.max(last, run.maxDecree);
    }
  }
  return to;
}

function collectRun(
  bytes: Uint8Array,
  from: Decree,
  to: Decree,
  candidates: Map<Decree, Candidate>,
): boolean {
  const view = viewOf(bytes);
  for (let at = 0; at < bytes.length;) {
    const block = checkBlock(bytes, view, at, undefined);
    const records = block && decodeRecords(bytes, view, at, block.end);
    if (block === undefined || records === undefined) return false;
    for (const { kind, decree, sequence, payload } of records) {
      if (kind !== RecordKind.MUTATION || decree < from || decree > to) continue;
      const ballot = decodeMutation(payload)?.ballot;
      if (ballot === undefined) return false;
      const held = candidates.get(decree);
      if (held === undefined || ballot >= held.ballot) {
        candidates.set(decree, { sequence, ballot, payload });
      }
    }
    at = block.end;
  }
  return true;
}

function isDropped(decree: Decree, found: Candidate, ballots: readonly BallotMark[]): boolean {
  return ballots.some((mark) =>
    mark.sequence > found.sequence && mark.ballot > found.ballot && mark.reconcileEnd < decree
  );
}
