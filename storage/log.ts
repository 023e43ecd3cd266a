// The two logs behind every replica (docs/log_format.md). A *shared log* per shard is the one place a
// prepare must be durable in before it is acknowledged: one writer, one fdatasync per group. A *private
// log* per replica holds the same records without anybody waiting for it; it is synced in the background and
// feeds learners. A record names its partition, the generation of the replica and a sequence number that
// grows by one per record of that replica, so recovery is exact: private log first, then from the shared
// log whatever continues it.

import type { Decree, PartitionId } from "../src/base/ids.ts";

/** What a record says. Numbers are on disk: frozen. */
export const RecordKind = {
  /** Payload: an encoded mutation (src/schema/mutation.ts). */
  MUTATION: 1,
  /**
   * Payload: u64 ballot, u64 reconcile end. The replica adopted `ballot`; on replay every mutation with a
   * decree above `reconcile end` and a smaller ballot is dropped. 2^53-1 as reconcile end drops nothing.
   */
  BALLOT: 2,
} as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

/** One record of either log. */
export interface LogRecord {
  readonly partition: PartitionId;
  /** Life of the replica: a replica whose state was replaced by an image starts a new generation. */
  readonly generation: number;
  /** 1, 2, 3, ... within (partition, generation). */
  readonly sequence: number;
  readonly kind: RecordKind;
  /** Decree of a mutation; 0 for other kinds. Kept outside the payload so that collection need not parse it. */
  readonly decree: Decree;
  readonly payload: Uint8Array;
}

/** Where a recovery stopped trusting a log. */
export interface LogDamage {
  readonly file: string;
  readonly offset: number;
  readonly reason: string;
}

/** Group-committed log of one shard. */
export interface SharedLog {
  /**
   * Queues a record. The bytes of the payload must not change afterwards.
   *
   * @returns The record's position: `onDurable(p)` later reports every position <= p as durable.
   * After a failure nothing becomes durable any more; the position is still returned.
   */
  append(record: LogRecord): number;
  /** Reports durability, and the first failure; called from the event loop, never from `append`. */
  onDurable: (position: number) => void;
  onFailed: (error: Error) => void;
  /** The disk is full: what waits is kept in memory and tried again until there is room. Repeated. */
  onFull: (error: Error) => void;
  /** True after a failed write or fsync: the log refuses for ever (§13). */
  readonly poisoned: boolean;
  /**
   * Deletes the oldest segments in which every record is covered. Never the current one.
   *
   * @param covered Highest sequence of (partition, generation) that is durable elsewhere; Infinity if the
   * replica or generation is gone.
   * @returns Number of segments deleted.
   */
  collect(covered: (partition: PartitionId, generation: number) => number): Promise<number>;
  /** Bytes of all segments. */
  readonly bytes: number;
  /** Waits for queued records, then closes. */
  close(): Promise<void>;
}

/** Log of one replica, in its directory. */
export interface PrivateLog {
  /** Queues a record in memory; it reaches the file at the next `write` or `sync`. */
  append(record: LogRecord): void;
  /**
   * Writes queued records to the file without fsync. Synchronous.
   *
   * @throws {FilesError} `noSpace`: they wait on, and the next call tries again. Any other failure is final.
   */
  write(): void;
  /** Writes and syncs; then `syncedSequence` covers everything appended before the call. */
  sync(): Promise<void>;
  readonly lastSequence: number;
  readonly syncedSequence: number;
  readonly poisoned: boolean;
  /** Decree from which on the log certainly holds every mutation; Infinity if it holds none. */
  readonly firstDecree: Decree;
  /** Deletes segments that end at or below `durable`, keeping at least `reserveBytes`. @returns segments deleted. */
  collect(durable: Decree, reserveBytes: number): Promise<number>;
  /**
   * Encoded mutations of decrees from..to in order, the newest version of each (records of larger ballots
   * replace earlier ones), stopping after `bytesMax`. `undefined` if the log does not hold all of them.
   */
  readMutations(from: Decree, to: Decree, bytesMax: number): Promise<Uint8Array[] | undefined>;
  readonly bytes: number;
  close(): Promise<void>;
}
