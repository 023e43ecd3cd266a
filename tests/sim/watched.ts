// What the judge, the faults and the checks of health see of a simulated server and its replicas, whichever way
// it is built: production cores over models (sim_server.ts), or the whole production server (whole_server.ts).

import type { NodeId, PartitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { ReplicaEvent } from "../../src/replication/io.ts";
import type { ReplicaCore } from "../../src/replication/replica.ts";
import type { RotAim, RotPlace } from "./rot.ts";

/** One open replica. */
export interface WatchedReplica {
  readonly partition: PartitionId;
  readonly server: WatchedServer;
  readonly core: ReplicaCore;
  /** Order-independent hash of the engine's rows. */
  readonly contentHash: number;
  /** From this decree on the engine's content is compared: when it was opened it may have been ahead. */
  engineAhead: number;
  /** The status the judge saw last. */
  statusSeen: string;
  /** How far the judge has followed the commit point. */
  commitsChecked: number;
  /** Something happened to it. */
  hear(event: ReplicaEvent): void;
}

/** One life of a server. */
export interface WatchedServer {
  readonly id: NodeId;
  readonly incarnation: number;
  /** A fault of its disk was injected: replicas may condemn themselves. */
  readonly isDamaged: boolean;
  /** Where bits had flipped when this life read its disk; undefined: nowhere. */
  readonly rotten?: RotPlace | undefined;
  /** Whether a client request would be served now, as far as the lease goes. */
  readonly holdsLease: boolean;
}

/** What a replica with harmed rows hears. */
export const HARM = { kind: "damaged", reason: "harmed rows" } as const;

/** Faults of a running server's disk. */
export type DiskFault = "fsync" | "noSpace" | "engine";

/** A server as its machine and the faults see it. */
export interface SimProcess extends WatchedServer {
  /** The open replica of a partition. */
  replica(partition: PartitionId): WatchedReplica | undefined;
  /** The process is gone. */
  die(): void;
  /**
   * SIGTERM: others lead first what it leads, for so long, then everything is closed in order.
   *
   * @param onEnd The process has ended by itself.
   * @returns False if this kind of server only ends at once.
   */
  stop(handOverMs: number, onEnd: () => void): boolean;
  /**
   * Its disk fails, at the next occasion.
   *
   * @param may Whether it may at that moment: since then it may have become the only one that has something.
   */
  failDisk(fault: DiskFault, may: () => boolean): void;
  /** Room comes back on a full disk. @returns False if the disk needs another life of the server. */
  freeDisk(): boolean;
}

/** How a server ends. */
export type CrashKind = "process" | "power";

/** What is left of a server between two lives. */
export interface SimDisk {
  /** A fault was injected that this life may not survive; a new life begins without. */
  poisoned: boolean;
  /** Where bits have flipped since the last life that read everything, or in what this life has read. */
  readonly rotten: RotPlace | undefined;
  /** No life has read everything since. */
  readonly isRotUnread: boolean;
  /** Partitions that have files here. */
  readonly partitions: readonly PartitionId[];
  holds(partition: PartitionId): boolean;
  /** Whether a restart knows that nothing acknowledged was lost with the power (§12.5). */
  isWhole(partition: PartitionId): boolean;
  /** Applies a crash. @returns Whether the end of what was being written to a log is torn. */
  crash(kind: CrashKind, fsync: boolean): boolean;
  /** Files of one replica of a stopped server are gone. @returns Whose; undefined if there are none. */
  loseReplica(chance: Prng, only?: PartitionId): PartitionId | undefined;
  /**
   * Flips bits in a file of a stopped server. @returns Whether there was one to flip.
   */
  rot(aim: RotAim): boolean;
}
