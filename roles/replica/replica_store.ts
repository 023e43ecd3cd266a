// What one replica keeps on disk, as its driver sees it: an engine, a private log, and the generation both
// belong to. Invariant: the manifest names a generation only after its engine is flushed, and a record
// carries the generation that was active when it was appended. On disk: docs/storage_layout.md.

import type { Ballot, Decree, PartitionId } from "../../src/base/ids.ts";
import type { AppendRecord, RecoveredState } from "../../src/replication/io.ts";
import type { TableInfo } from "../../src/schema/types.ts";
import type { Engine } from "../../storage/engine.ts";
import type { LogRecord } from "../../storage/log.ts";

/** One open replica on disk. */
export interface ReplicaStore {
  readonly partition: PartitionId;
  /** Engine of the active generation. */
  readonly engine: Engine;
  /** Decree from which on the private log certainly holds everything. */
  readonly firstDecree: Decree;
  /** Numbers a record, queues it for the private log and returns it for the shared log. */
  append(record: AppendRecord): LogRecord;
  /** Hands queued records of the private log to the operating system. @throws {FilesError} */
  writeLog(): void;
  /** Syncs the private log if anything was appended since. @throws {FilesError} */
  syncLog(): Promise<void>;
  /** Highest sequence of a generation that a restart does not need the shared log for. */
  covered(generation: number): number;
  /** Encoded mutations first..last, up to `bytesMax`; `undefined` if the private log lacks one. */
  readMutations(first: Decree, last: Decree, bytesMax: number): Promise<Uint8Array[] | undefined>;
  /**
   * Makes the state at `decree` survive power loss, then gives back log space.
   *
   * @returns False if another generation became active meanwhile.
   */
  checkpoint(
    at: { decree: Decree; ballot: Ballot; sessions: Uint8Array; whole?: boolean },
  ): Promise<boolean>;
  /** The table as last described, or as its directory tells. */
  readonly table: TableInfo;
  /** Notes what meta says about the table; soon on disk, because meta's store may have to be rebuilt from it. */
  describe(table: TableInfo): void;
  /** Begins a new generation with an empty engine. At most one at a time. */
  stage(): Promise<StagedGeneration>;
  /** Approximate bytes of the engine. */
  measure(): Promise<number>;
  /**
   * Syncs and closes everything; afterwards a restart needs nothing of the shared log.
   *
   * @throws {FilesError} `noSpace`: the engine is closed, and the end of the log waits in memory; call it again.
   */
  close(): Promise<void>;
}

/** A generation that is being filled. `activate` or `discard` ends it. */
export interface StagedGeneration {
  readonly engine: Engine;
  /** Makes the manifest name it. Its engine must have been flushed. */
  commit(ballot: Ballot, durable: Decree): Promise<void>;
  /**
   * After `commit`: switches over, synchronously. The old generation is closed and removed later, but not
   * before `released` resolves: nobody reads its engine then.
   */
  activate(released: Promise<void>): void;
  /** Instead of `activate`: forgets it, also after a failed `commit`. */
  discard(): Promise<void>;
}

/** A store and what its core starts from. */
export interface OpenedReplica {
  readonly store: ReplicaStore;
  readonly recovered: RecoveredState;
  readonly maxReplicaCount: number;
  /** Partitions of the table when it was last known; 0 or absent = unknown. */
  readonly partitionCount?: number;
}

/** Makes and finds replicas on disk. */
export interface ReplicaStores {
  /** An empty replica. Fails if its directory exists. */
  create(partition: PartitionId, table: TableInfo | undefined): Promise<OpenedReplica>;
  /**
   * One that was closed cleanly by this process, or found no room to open at the start; `undefined` if it is not stored
   * or cannot be used.
   */
  reopen(partition: PartitionId): Promise<OpenedReplica | undefined>;
  /** Renames the directory of a closed replica: `err` = damaged, `gar` = meta has no use for it. */
  moveAside(partition: PartitionId, reason: "err" | "gar"): Promise<void>;
  /** Tag of the data directory that holds the replica; "" if none does. */
  locate(partition: PartitionId): string;
  /** Why the data directory cannot take the replica; `undefined` if it can. */
  refusal(partition: PartitionId, tag: string): string | undefined;
  /**
   * Moves a closed replica to another data directory. If it fails, the replica is where it was, or not located any
   * more.
   *
   * @returns What was copied, and why the source is still there.
   */
  move(partition: PartitionId, tag: string): Promise<{ bytes: number; leftover?: string }>;
  /** Gives a data directory up. @returns The partitions whose replicas were in it. */
  drop(tag: string): PartitionId[];
}
