// The log of one replica: the same records as in the shared log, synced behind everybody's back,
// kept for learners. Invariants: sequences are consecutive over all segments; `syncedSequence`
// never claims a record whose bytes or directory entry a power loss could take. docs/log_format.md,
// "Writing" and "Collecting".

import { assert } from "../src/base/assert.ts";
import { type Files, FilesError, isNoSpace } from "../src/base/files.ts";
import type { Decree } from "../src/base/ids.ts";
import { BlockBuffer } from "./block_buffer.ts";
import { makeDirDurable } from "./durable_dir.ts";
import { decodeBallot, SegmentKind } from "./log_format.ts";
import {
  createSegment,
  type LogContents,
  type OpenSegment,
  readLog,
  removeSegment,
} from "./log_segments.ts";
import { type LogDamage, type LogRecord, type PrivateLog, RecordKind } from "./log.ts";
import { type BallotMark, DecreeIndex, readDecrees } from "./private_log_index.ts";

/** Default of {@link PrivateLogOptions.segmentBytes}. */
const PRIVATE_SEGMENT_BYTES = 32 * 1024 * 1024;

export interface PrivateLogOptions {
  readonly files: Files;
  /** Made if absent. Nobody else may write to it. */
  readonly dir: string;
  readonly generation: number;
  /**
   * A segment that has reached this size ends at the next sync, or at twice the size. @default 32
   * MiB
   */
  readonly segmentBytes?: number;
}

/** An opened private log and what recovery must know of it. */
export interface OpenedPrivateLog {
  readonly log: PrivateLog;
  readonly damage: LogDamage[];
  /**
   * Last sequence and largest decree of segments that were collected: the first record follows
   * them.
   */
  readonly previousSequence: number;
  readonly previousDecree: Decree;
  /** It ended in bytes that are no records. */
  readonly torn: boolean;
}

/**
 * Reads what the log holds, repairs its tail and opens it for appending.
 *
 * @param onRecord Gets every valid record in order; the payload is a view, copy it to keep it.
 * @throws {FilesError}
 * @throws {LogFormatError} If it was written by a newer version.
 */
export async function openPrivateLog(
  options: PrivateLogOptions,
  onRecord: (record: LogRecord) => void,
): Promise<OpenedPrivateLog> {
  const { files, dir } = options;
  await makeDirDurable(files, dir);
  const damage: LogDamage[] = [];
  let torn = false;
  const state: ReadState = { indexes: new Map(), ballots: [], lastSequence: 0, maxDecree: 0 };
  const contents = await readLog({ files, dir, kind: SegmentKind.PRIVATE, repair: true }, {
    segment(head) {
      state.lastSequence = Math.max(state.lastSequence, head.previousSequence);
      state.maxDecree = Math.max(state.maxDecree, head.previousDecree);
    },
    block(records, path, offset, end) {
      let index = state.indexes.get(path);
      if (index === undefined) state.indexes.set(path, index = new DecreeIndex());
      const range = { min: Infinity, max: 0 };
      for (const record of records) {
        note(record, range, state.ballots);
        state.lastSequence = Math.max(state.lastSequence, record.sequence);
        onRecord(record);
      }
      state.maxDecree = Math.max(state.maxDecree, range.max);
      index.add(offset, end, range.min, range.max);
    },
    damage: (found) => damage.push(found),
    torn: () => torn = true,
  });
  const first = contents.segments[0]?.head;
  return {
    log: new ReplicaLog(options, contents, state),
    damage,
    previousSequence: first?.previousSequence ?? 0,
    previousDecree: first?.previousDecree ?? 0,
    torn,
  };
}

interface ReadState {
  readonly indexes: Map<string, DecreeIndex>;
  readonly ballots: BallotMark[];
  lastSequence: number;
  maxDecree: Decree;
}

interface DecreeRange {
  min: Decree;
  max: Decree;
}

/** Takes a record into the range of its block, or into the list of ballots. */
function note(record: LogRecord, range: DecreeRange, ballots: BallotMark[]): void {
  if (record.kind === RecordKind.MUTATION) {
    range.min = Math.min(range.min, record.decree);
    range.max = Math.max(range.max, record.decree);
    return;
  }
  const ballot = decodeBallot(record.payload);
  if (ballot !== undefined) ballots.push({ ...ballot, sequence: record.sequence });
}

interface SegmentState {
  readonly path: string;
  bytes: number;
  readonly index: DecreeIndex;
  /** Largest decree of all earlier segments. */
  readonly previousDecree: Decree;
  /** Last sequence in it. */
  lastSequence: number;
}

class ReplicaLog implements PrivateLog {
  readonly #files: Files;
  readonly #dir: string;
  readonly #generation: number;
  readonly #segmentBytes: number;
  readonly #queue = new BlockBuffer(4 * 1024);
  #queuedDecrees: DecreeRange = { min: Infinity, max: 0 };
  /** Oldest first; the last one is the current one if there is one. */
  readonly #segments: SegmentState[];
  readonly #ballots: BallotMark[];
  #current: OpenSegment | undefined;
  /** The current file's directory entry is not known to be on stable storage. */
  #entryUnsynced = false;
  #nextIndex: number;
  #end: number;
  #syncedEnd: number;
  #lastSequence: number;
  #writtenSequence: number;
  #syncedSequence: number;
  #maxDecree: Decree;
  #failure: Error | undefined;
  #syncing: Promise<void> | undefined;
  #closed = false;

  constructor(options: PrivateLogOptions, contents: LogContents, state: ReadState) {
    this.#files = options.files;
    this.#dir = options.dir;
    this.#generation = options.generation;
    this.#segmentBytes = options.segmentBytes ?? PRIVATE_SEGMENT_BYTES;
    this.#segments = contents.segments.map(({ path, bytes, head }, i) => ({
      path,
      bytes,
      index: state.indexes.get(path) ?? new DecreeIndex(),
      previousDecree: head?.previousDecree ?? 0,
      // A segment ends where the next one says; the last one where the log ends.
      lastSequence: contents.segments[i + 1]?.head?.previousSequence ?? state.lastSequence,
    }));
    this.#ballots = state.ballots;
    this.#nextIndex = contents.nextIndex;
    this.#end = contents.endPosition;
    this.#syncedEnd = contents.endPosition;
    this.#lastSequence = state.lastSequence;
    this.#writtenSequence = state.lastSequence;
    this.#syncedSequence = state.lastSequence;
    this.#maxDecree = state.maxDecree;
  }

  get lastSequence(): number {
    return this.#lastSequence;
  }

  get syncedSequence(): number {
    return this.#syncedSequence;
  }

  get poisoned(): boolean {
    return this.#failure !== undefined;
  }

  get firstDecree(): Decree {
    let first = this.#queuedDecrees.min;
    for (const segment of this.#segments) first = Math.min(first, segment.index.minDecree);
    // Decrees that were collected may be back in part, prepared again under a larger ballot.
    return Math.max(first, (this.#segments[0]?.previousDecree ?? 0) + 1);
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, this.#queue.size);
  }

  append(record: LogRecord): void {
    if (this.#failure !== undefined || this.#closed) return;
    assert(record.sequence === this.#lastSequence + 1, "Private log sequence is not the next one", {
      sequence: record.sequence,
      last: this.#lastSequence,
    });
    this.#lastSequence = record.sequence;
    this.#queue.append(record);
    note(record, this.#queuedDecrees, this.#ballots);
  }

  write(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#queue.size === 0) return;
    try {
      this.#current ??= this.#startSegment();
      this.#writeQueue(this.#current);
      // Without anybody calling sync() the segment must end too.
      if (this.#current.size >= 2 * this.#segmentBytes && this.#syncing === undefined) {
        this.#endSegment(this.#current);
      }
    } catch (error) {
      // What waits stays in memory, and is written to the same place when there is room.
      if (isNoSpace(error)) throw error;
      throw this.#poison(error);
    }
  }

  #startSegment(): OpenSegment {
    const segment = createSegment(this.#files, this.#dir, {
      kind: SegmentKind.PRIVATE,
      index: this.#nextIndex,
      startPosition: this.#end,
      owner: this.#generation,
      previousSequence: this.#writtenSequence,
      previousDecree: this.#maxDecree,
      shardCount: 0,
      table: [],
    });
    this.#nextIndex++;
    this.#entryUnsynced = true;
    this.#segments.push({
      path: segment.path,
      bytes: segment.size,
      index: new DecreeIndex(),
      previousDecree: this.#maxDecree,
      lastSequence: this.#writtenSequence,
    });
    return segment;
  }

  #writeQueue(segment: OpenSegment): void {
    const bytes = this.#queue.seal(this.#end, this.#syncedEnd);
    segment.file.write(bytes, segment.size);
    const state = this.#segments.at(-1)!;
    const { min, max } = this.#queuedDecrees;
    state.index.add(segment.size, segment.size + bytes.length, min, max);
    segment.size += bytes.length;
    state.bytes = segment.size;
    state.lastSequence = this.#lastSequence;
    this.#end += bytes.length;
    this.#writtenSequence = this.#lastSequence;
    this.#maxDecree = Math.max(this.#maxDecree, max);
    this.#queuedDecrees = { min: Infinity, max: 0 };
    this.#queue.clear();
  }

  /**
   * The old segment is on stable storage before a next one exists: only the last one may have a
   * torn tail.
   */
  #endSegment(segment: OpenSegment): void {
    if (this.#syncedEnd < this.#end) {
      try {
        segment.file.syncNow();
      } catch (error) {
        // Also for want of space: the kernel may have dropped what it could not write.
        throw this.#poison(error);
      }
      this.#syncedEnd = this.#end;
    }
    segment.file.close();
    this.#current = undefined;
  }

  async sync(): Promise<void> {
    while (this.#syncing !== undefined) await this.#syncing;
    this.#syncing = this.#syncOnce();
    try {
      await this.#syncing;
    } finally {
      this.#syncing = undefined;
    }
  }

  async #syncOnce(): Promise<void> {
    this.write();
    const segment = this.#current;
    const sequence = this.#writtenSequence;
    const end = this.#end;
    try {
      if (segment !== undefined && this.#syncedEnd < end) {
        await segment.file.sync();
        this.#syncedEnd = Math.max(this.#syncedEnd, end);
      }
      // Also for segments that ended in between: their entries are in the same directory.
      if (this.#entryUnsynced) {
        // Cleared first: a segment may start while this waits.
        this.#entryUnsynced = false;
        await this.#files.syncDir(this.#dir);
      }
      this.#syncedSequence = Math.max(this.#syncedSequence, sequence);
      if (segment !== undefined && segment.size >= this.#segmentBytes) this.#endSegment(segment);
    } catch (error) {
      throw this.#poison(error);
    }
  }

  #poison(error: unknown): Error {
    // A failed sync is no full disk that could be waited for.
    const reason = isNoSpace(error) ? new FilesError("io", String(error), { cause: error }) : error;
    this.#failure ??= reason instanceof Error ? reason : new Error(String(reason));
    this.#queue.clear();
    return this.#failure;
  }

  async collect(durable: Decree, reserveBytes: number): Promise<number> {
    if (this.#segments.length < 2) return 0;
    // The newest segment stays, also after a restart: its head says which sequence comes next. So
    // it must be on stable storage before an older one goes, or a power loss could leave nothing at
    // all.
    await this.sync();
    const oldest = this.#segments.slice(0, -1);
    let total = this.bytes;
    let count = 0;
    for (const segment of oldest) {
      if (segment.index.maxDecree > durable || total - segment.bytes < reserveBytes) break;
      if (this.#segments[0] !== segment) break;
      // First, or one that stays would stand before a gap at the next start.
      await removeSegment(this.#files, segment.path);
      if (this.#segments[0] !== segment) break;
      this.#segments.shift();
      while ((this.#ballots[0]?.sequence ?? Infinity) <= segment.lastSequence) {
        this.#ballots.shift();
      }
      total -= segment.bytes;
      count++;
    }
    return count;
  }

  async readMutations(
    from: Decree,
    to: Decree,
    bytesMax: number,
  ): Promise<Uint8Array[] | undefined> {
    this.write();
    return readDecrees(this.#files, this.#segments, this.#ballots, { from, to, bytesMax });
  }

  async close(): Promise<void> {
    try {
      if (this.#failure === undefined) await this.sync();
    } finally {
      this.#closed = true;
      this.#current?.file.close();
      this.#current = undefined;
    }
  }
}
