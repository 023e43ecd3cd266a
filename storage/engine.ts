// The storage engine of one replica: an ordered map of byte strings with atomic batches, snapshots and one
// honest durability barrier. LevelDB stands behind it in production (level_engine.ts), a sorted map in
// tests and in the simulator (memory_engine.ts); both pass tests/conformance/engine_suite.ts.

/** One operation of a batch. */
export type BatchOp =
  | { readonly type: "put"; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: "del"; readonly key: Uint8Array };

/** A range of keys. Absent bounds are open. */
export interface RangeOptions {
  readonly gte?: Uint8Array;
  readonly gt?: Uint8Array;
  readonly lt?: Uint8Array;
  readonly lte?: Uint8Array;
  /** From the high end to the low one. @default false */
  readonly reverse?: boolean;
  /** Leave values out: `next` then yields empty values. @default true */
  readonly values?: boolean;
}

/** Key and value. They may be Node buffers: take parts with `subarray`, `slice` would not copy. */
export type Entry = readonly [key: Uint8Array, value: Uint8Array];

/** Reads a range as of the moment of its creation, whatever is written meanwhile. Close it always. */
export interface EngineIterator {
  /**
   * Up to `count` next entries; fewer at the end, or when `bytesMax` bytes of keys and values are
   * reached (at least one entry while there is one; up to 64 KiB more than asked for); none when exhausted.
   */
  next(count: number, bytesMax?: number): Promise<Entry[]>;
  close(): Promise<void>;
}

/** A point-in-time view. Close it always: it holds back the reclamation of space. */
export interface EngineSnapshot {
  get(key: Uint8Array): Uint8Array | undefined;
  range(options: RangeOptions): EngineIterator;
  close(): Promise<void>;
}

/** See the file comment. All methods but `close` may throw an {@link EngineError}. */
export interface Engine {
  /** Value of `key` as of the last completed write; `undefined` if absent. Synchronous: 400-500 k/s warm. */
  get(key: Uint8Array): Uint8Array | undefined;
  /**
   * Applies all operations in order, or none; writes happen in the order of their calls. Not durable against
   * power loss until `flush`. Keys and values are copied before the call returns.
   */
  write(ops: Iterable<BatchOp>): Promise<void>;
  /**
   * Applies all operations in order, or none: reads see them when it returns, or when its promise resolves if they
   * have to wait. They may reach stable storage much later than with `write`, and keys and values must not change
   * until then. Packed operations (packed_ops.ts) cost least. One replica has one apply outstanding at a time.
   */
  apply(ops: Iterable<BatchOp>): Promise<void> | undefined;
  /** A range as of a moment between the call and the first answer; what was applied before the call is in it. */
  range(options: RangeOptions): EngineIterator;
  /** As of now. Only inside of {@link Engine.exclusive} if operations are applied. */
  snapshot(): EngineSnapshot;
  /**
   * Runs `take`, now or soon, in a turn in which a snapshot holds exactly what was applied: applies that come
   * meanwhile wait for it. Runs it also if the engine has failed, or waits for room on a full disk: then there is
   * no snapshot.
   */
  exclusive(take: () => void): void;
  /**
   * Returns when everything written before the call survives power loss. For LevelDB this forces a memtable
   * flush: its `sync` option covers only the current log file and is no barrier (docs/protocol.md, §15).
   */
  flush(): Promise<void>;
  /** Rewrites [start, end) to give back the space of deleted rows. */
  compact(start: Uint8Array, end: Uint8Array): Promise<void>;
  /** Approximate bytes on disk of [start, end). */
  approximateSize(start: Uint8Array, end: Uint8Array): Promise<number>;
  /** What a read found to be damaged; once there is something, it stays. Absent: the engine proves nothing. */
  readonly damage?: string | undefined;
  /** Why nothing more can be written, also what was acknowledged already; it stays. Absent: writes tell by themselves. */
  readonly failure?: EngineError | undefined;
  /** Paths of the table files in use now, for somebody who checks them. Absent: there are none. */
  tableFiles?(): string[];
  /** Whoever waits for room on a full disk is refused, now and from now on. Absent: nobody ever waits for it. */
  stopWaiting?(): void;
  /** Waits for running operations, then releases everything. Idempotent. */
  close(): Promise<void>;
}

/**
 * Why an engine call failed, as far as a caller reacts differently. `noSpace`: what was written before is as good
 * as it was, but the database may refuse everything until it is opened anew. `noFile`: it could not have one more
 * file, and goes on as it was; trying again may help.
 */
export type EngineErrorKind =
  | "corruption"
  | "noSpace"
  | "noFile"
  | "io"
  | "closed"
  | "locked"
  | "other";

/** A failed engine call. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  readonly kind: EngineErrorKind;

  constructor(kind: EngineErrorKind, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.kind = kind;
  }
}

/** Whether an engine call failed because its disk is full. */
export function isEngineFull(error: unknown): boolean {
  return error instanceof EngineError && error.kind === "noSpace";
}

/** Whether an engine call failed because there may be no more files, on the disk or open ones. */
export function isOutOfFiles(error: unknown): boolean {
  return error instanceof EngineError && error.kind === "noFile";
}

/** Keys at and above this are the replica's own; user keys always sort below (a hash key is < 65535 bytes long). */
export const META_KEY_PREFIX = new Uint8Array([0xff, 0xff]);
