// The log a prepare waits for: one writer per shard, one fdatasync per group of records of all its
// replicas. Invariants: a position is reported durable only after the bytes of every record up to
// it, and the directory entry of their file, are on stable storage; after one failure nothing is
// reported any more (§13), a full disk apart, which is waited for. docs/log_format.md, "Writing" and "Collecting".

import { type Files, isNoSpace } from "../src/base/files.ts";
import type { PartitionId } from "../src/base/ids.ts";
import { BlockBuffer } from "./block_buffer.ts";
import { makeDirDurable } from "./durable_dir.ts";
import { Extent, GroupSync } from "./group_sync.ts";
import { HighSequences } from "./high_sequences.ts";
import { SegmentKind } from "./log_format.ts";
import type { LogVisitor } from "./log_reader.ts";
import {
  createSegment,
  type LogContents,
  type OpenSegment,
  readLog,
  removeSegment,
} from "./log_segments.ts";
import type { LogDamage, LogRecord, SharedLog } from "./log.ts";

/** Default of {@link SharedLogOptions.segmentBytes}. */
const SHARED_SEGMENT_BYTES = 64 * 1024 * 1024;

export interface SharedLogOptions {
  readonly files: Files;
  /** Made if absent. Nobody else may write to it. */
  readonly dir: string;
  /** Start of this process, larger than any before (replica_dir.ts). */
  readonly incarnation: number;
  /**
   * "group": durable means fdatasync. "none": durable means written; a power loss may take it back.
   */
  readonly fsync: "group" | "none";
  /** A segment that has reached this size is followed by a new one. @default 64 MiB */
  readonly segmentBytes?: number;
  /**
   * Shards of this process; recovery uses it to skip logs that cannot concern a shard. @default 1
   */
  readonly shardCount?: number;
  /** Sees segments, damage and a torn tail too, in order with the records. */
  readonly observer?: Pick<LogVisitor, "segment" | "damage" | "torn">;
  /**
   * Sync on the event loop while the disk needs no longer than this on average, ms (group_sync.ts).
   * @default 0: never
   */
  readonly inlineSyncMsMax?: number;
  /** Resolves after `ms`. @default The runtime's timer */
  readonly pause?: (ms: number) => Promise<void>;
  /** Sees every group that became durable. */
  readonly groups?: GroupObserver;
}

/** What a log tells of its groups, for metrics. */
export interface GroupObserver {
  /** Monotonic ms. */
  now(): number;
  /** A group was written and synced in `ms`. */
  synced(records: number, bytes: number, ms: number): void;
}

/**
 * Reads what the log holds, repairs its tail and opens it for appending.
 *
 * @param onRecord Gets every valid record in order; the payload is a view, copy it to keep it.
 * @throws {FilesError}
 * @throws {LogFormatError} If it was written by a newer version.
 */
export async function openSharedLog(
  options: SharedLogOptions,
  onRecord: (record: LogRecord) => void,
): Promise<{ log: SharedLog; damage: LogDamage[] }> {
  const { files, dir, observer } = options;
  await makeDirDurable(files, dir);
  const damage: LogDamage[] = [];
  const highs = new Map<string, HighSequences>();
  const contents = await readLog({ files, dir, kind: SegmentKind.SHARED, repair: true }, {
    segment: (head, path) => observer?.segment?.(head, path),
    block(records, path) {
      let high = highs.get(path);
      if (high === undefined) highs.set(path, high = new HighSequences());
      for (const record of records) {
        high.note(record.partition, record.generation, record.sequence);
        onRecord(record);
      }
    },
    damage(found) {
      damage.push(found);
      observer?.damage?.(found);
    },
    torn: () => observer?.torn?.(),
  });
  const sync = new GroupSync(options.inlineSyncMsMax ?? 0);
  await sync.calibrate();
  return { log: new GroupLog(options, contents, highs, sync), damage };
}

/** Pause before a full disk is tried again, ms. */
const FULL_RETRY_MS = 200;

/**
 * The disk was full before anything was synced. A sync that fails is another thing, whatever its reason: the
 * kernel may have dropped what it could not write.
 */
class NoRoom extends Error {
  constructor(readonly reason: Error) {
    super(reason.message, { cause: reason });
  }
}

function withRoom<T>(write: () => T): T {
  try {
    return write();
  } catch (error) {
    throw isNoSpace(error) ? new NoRoom(error as Error) : error;
  }
}

interface OldSegment {
  readonly path: string;
  readonly bytes: number;
  readonly highs: HighSequences;
}

class GroupLog implements SharedLog {
  readonly #files: Files;
  readonly #dir: string;
  readonly #incarnation: number;
  readonly #shardCount: number;
  readonly #fsync: boolean;
  readonly #segmentBytes: number;
  readonly #groups: GroupObserver | undefined;
  readonly #pause: (ms: number) => Promise<void>;
  readonly #sync: GroupSync;
  readonly #extent: Extent;
  /** Everything appended and not yet written. */
  readonly #queue = new BlockBuffer(256 * 1024);
  /** Oldest first; never the current one. */
  readonly #old: OldSegment[];
  #current: OpenSegment | undefined;
  /**
   * Of the segment the queued records will go to: the current one, or the next if there is none.
   */
  #highs = new HighSequences();
  #nextIndex: number;
  /** Position of the end of what is written, and of what is on stable storage. */
  #end: number;
  #synced: number;
  /** Records appended so far; the number of a record is its public position. */
  #appended = 0;
  /** Position that was last reported durable. */
  #durable = 0;
  #running: Promise<void> | undefined;
  #failed = false;
  #closed = false;
  #collecting = false;

  onDurable: (position: number) => void = () => {};
  onFailed: (error: Error) => void = () => {};
  onFull: (error: Error) => void = () => {};

  constructor(
    options: SharedLogOptions,
    contents: LogContents,
    highs: ReadonlyMap<string, HighSequences>,
    sync: GroupSync,
  ) {
    this.#sync = sync;
    this.#files = options.files;
    this.#dir = options.dir;
    this.#incarnation = options.incarnation;
    this.#shardCount = options.shardCount ?? 1;
    this.#fsync = options.fsync === "group";
    this.#segmentBytes = options.segmentBytes ?? SHARED_SEGMENT_BYTES;
    this.#extent = new Extent(this.#segmentBytes);
    this.#groups = options.groups;
    this.#pause = options.pause ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms)));
    this.#old = contents.segments.map(({ path, bytes }) => ({
      path,
      bytes,
      highs: highs.get(path) ?? new HighSequences(),
    }));
    this.#nextIndex = contents.nextIndex;
    this.#end = contents.endPosition;
    this.#synced = contents.endPosition;
  }

  get poisoned(): boolean {
    return this.#failed;
  }

  get bytes(): number {
    return this.#old.reduce((sum, segment) => sum + segment.bytes, this.#current?.size ?? 0);
  }

  append(record: LogRecord): number {
    const position = ++this.#appended;
    if (this.#failed || this.#closed) return position;
    this.#queue.append(record);
    this.#highs.note(record.partition, record.generation, record.sequence);
    // Not at once: everything appended by the code that is running now shares the group. While a
    // group is in flight the running loop picks up what gathers.
    this.#running ??= this.#sync.gathered().then(() => this.#run());
    return position;
  }

  async #run(): Promise<void> {
    while (this.#queue.size > 0 && !this.#failed) {
      let upTo = 0;
      try {
        if (this.#current === undefined) await this.#startSegment();
        upTo = this.#appended;
        const startedAt = this.#groups?.now() ?? 0;
        const bytes = await this.#writeGroup(this.#current!);
        this.#groups?.synced(upTo - this.#durable, bytes, this.#groups.now() - startedAt);
        this.#durable = upTo;
      } catch (error) {
        if (error instanceof NoRoom && !this.#closed) {
          await this.#awaitRoom(error);
          continue;
        }
        this.#fail(error);
        break;
      }
      this.onDurable(upTo);
      if (this.#queue.size > 0 && this.#sync.isInline) await this.#sync.gathered();
    }
    this.#running = undefined;
  }

  // One group of 200 B, write and fdatasync, took 97 us with the asynchronous sync and 78 us with
  // syncNow() on an idle machine; with both cores busy the hop to another thread and back costs
  // hundreds of us, which is why a fast disk is synced on the event loop. 64 writers: 357k records of
  // 200 B/s against 499k/s.
  async #writeGroup(segment: OpenSegment): Promise<number> {
    const bytes = this.#queue.seal(this.#end, this.#synced);
    withRoom(() => segment.file.write(bytes, segment.size));
    segment.size += bytes.length;
    this.#end += bytes.length;
    this.#queue.clear();
    const full = segment.size >= this.#segmentBytes;
    // Decided before the first wait: what is appended from here on is queued for the next segment,
    // and must not be counted to this one, or the next table would promise records that are not
    // written yet.
    const highs = this.#highs;
    if (full) this.#highs = new HighSequences();
    if (this.#fsync || full) {
      // A full segment is synced with fsync "none" as well: a torn tail is legal in the last
      // segment only.
      const end = this.#end;
      if (full) this.#extent.trim(segment.file, segment.size);
      else this.#extent.ensure(segment.file, segment.size);
      await this.#sync.sync(segment.file);
      this.#synced = end;
    }
    if (!full) return bytes.length;
    segment.file.close();
    this.#old.push({ path: segment.path, bytes: segment.size, highs });
    this.#current = undefined;
    return bytes.length;
  }

  async #startSegment(): Promise<void> {
    const table = new HighSequences();
    for (const segment of this.#old) table.merge(segment.highs);
    const head = {
      kind: SegmentKind.SHARED,
      index: this.#nextIndex,
      startPosition: this.#end,
      owner: this.#incarnation,
      previousSequence: 0,
      previousDecree: 0,
      shardCount: this.#shardCount,
      table: table.list(),
    };
    const segment = withRoom(() => createSegment(this.#files, this.#dir, head));
    this.#nextIndex++;
    this.#current = segment;
    this.#extent.reset();
    await segment.file.sync();
    await this.#files.syncDir(this.#dir);
  }

  /** Nothing was lost: the same group goes to the same place again, over what was written of it. */
  async #awaitRoom({ reason }: NoRoom): Promise<void> {
    this.onFull(reason);
    await this.#pause(FULL_RETRY_MS);
  }

  #fail(error: unknown): void {
    this.#failed = true;
    this.#queue.clear();
    this.onFailed(error instanceof Error ? error : new Error(String(error)));
  }

  async collect(
    covered: (partition: PartitionId, generation: number) => number,
  ): Promise<number> {
    if (this.#collecting) return 0;
    this.#collecting = true;
    let count = 0;
    try {
      for (let oldest = this.#old[0]; oldest?.highs.isCovered(covered); oldest = this.#old[0]) {
        await removeSegment(this.#files, oldest.path);
        this.#old.shift();
        count++;
      }
    } finally {
      this.#collecting = false;
    }
    return count;
  }

  async close(): Promise<void> {
    this.#closed = true;
    while (this.#running !== undefined) await this.#running;
    if (this.#current !== undefined) {
      this.#extent.trimLast(this.#current.file, this.#current.size);
      this.#current.file.close();
    }
    this.#current = undefined;
  }
}
