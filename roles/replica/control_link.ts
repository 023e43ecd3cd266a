// How the control part of a replica server (beacons, config sync) and a shard talk: plain messages, so that
// a shard may live in its own thread (shard_thread.ts). The one exception is the lease, which every read checks:
// two numbers in memory that both sides see. Rules: docs/protocol.md, "Reads" (§8).

import type { Clock, Now } from "../../src/base/clock.ts";
import type { NodeId, PartitionId } from "../../src/base/ids.ts";
import type { AccessState } from "../../src/schema/access.ts";
import type { ConfigProposalMessage } from "../../src/schema/meta_rpc.ts";
import type {
  ConfigChange,
  NodeAddress,
  PartitionConfig,
  ReplicaReport,
  TableInfo,
} from "../../src/schema/types.ts";

/** From the control part to a shard. */
export type ShardCommand =
  /** The lease and the view of meta are good, or no more. */
  | { readonly kind: "contact"; readonly connected: boolean }
  | { readonly kind: "nodes"; readonly nodes: readonly NodeAddress[] }
  | { readonly kind: "tables"; readonly tables: readonly TableInfo[] }
  | { readonly kind: "config"; readonly config: PartitionConfig }
  | { readonly kind: "missing"; readonly config: PartitionConfig }
  | { readonly kind: "proposal"; readonly proposal: ConfigProposalMessage }
  | { readonly kind: "closeReplica"; readonly partition: PartitionId }
  | { readonly kind: "garbage"; readonly partition: PartitionId }
  /** Answer to `updateConfig`. */
  | {
    readonly kind: "configReply";
    readonly partition: PartitionId;
    readonly attempt: number;
    readonly error: number;
    readonly config: PartitionConfig | undefined;
  }
  /** Whom meta says may come in. */
  | { readonly kind: "access"; readonly access: AccessState }
  /** A data directory is not used any more. */
  | { readonly kind: "diskLost"; readonly tag: string }
  /** Asks for a `reports` message with the same number. */
  | { readonly kind: "collect"; readonly request: number };

/** From a shard to the control part. */
export type ShardReport =
  | {
    readonly kind: "updateConfig";
    readonly partition: PartitionId;
    readonly attempt: number;
    readonly change: ConfigChange;
    readonly node: NodeId;
    readonly config: PartitionConfig;
  }
  | { readonly kind: "requestConfigSync" }
  /** Something in a data directory failed. */
  | { readonly kind: "diskSuspect"; readonly tag: string }
  /** A proposal of meta came in on this shard's port. */
  | { readonly kind: "proposal"; readonly proposal: ConfigProposalMessage }
  | {
    readonly kind: "reports";
    readonly request: number;
    readonly replicas: readonly ReplicaReport[];
    /** Tables of these replicas, as last heard of. */
    readonly tables: readonly TableInfo[];
    /** Whether the shard can hold replicas: false after its log failed. */
    readonly usable: boolean;
  };

const MONO = 0;
const WALL = 1;

/**
 * The lease as every reader of a shard sees it. Both numbers are 8 bytes at their natural alignment, which the
 * machines this runs on read and write as a whole; a reader that sees one of an older beacon only stops earlier.
 */
export class LeaseGate {
  readonly #deadlines: Float64Array;
  readonly #clock: Clock;
  readonly #aheadMs: number;

  /**
   * @param memory 16 bytes or more; shared by the control part (writer) and the shards (readers).
   * @param aheadMs By how much the writer's monotonic clock is ahead of this one, at most (shard_worker.ts).
   */
  constructor(clock: Clock, memory: ArrayBufferLike = new ArrayBuffer(16), aheadMs = 0) {
    this.#clock = clock;
    this.#deadlines = new Float64Array(memory, 0, 2);
    this.#aheadMs = aheadMs;
  }

  /** Sets both deadlines: monotonic ms and Unix ms. */
  set(deadlineMono: number, deadlineWall: number): void {
    this.#deadlines[MONO] = deadlineMono;
    this.#deadlines[WALL] = deadlineWall;
  }

  /** For how long the lease holds, ms; 0 = it does not. */
  get remainingMs(): number {
    const now = this.#clock.now();
    const mono = this.#deadlines[MONO]! - this.#aheadMs - now.mono;
    return Math.max(0, Math.min(mono, this.#deadlines[WALL]! - now.wall));
  }

  /** Whether the lease holds at this moment. Asked for every request: buffered ones run before timers. */
  get held(): boolean {
    return this.heldAt(this.#clock.now());
  }

  /** The same for a reading of the clock that was taken in this turn of the event loop. */
  heldAt(now: Now): boolean {
    return now.mono + this.#aheadMs < this.#deadlines[MONO]! &&
      now.wall < this.#deadlines[WALL]!;
  }
}
