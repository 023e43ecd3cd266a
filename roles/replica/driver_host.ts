// What the driver of a replica needs: a core to run, and its shard.

import type { Clock } from "../../src/base/clock.ts";
import type { NodeId, PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { Core, ReplicaEffect, ReplicaEvent, ReplicaView } from "../../src/replication/io.ts";
import type { Mutation } from "../../src/schema/mutation.ts";
import type { PeerMessage } from "../../src/schema/replica_rpc.ts";
import type { Engine } from "../../storage/engine.ts";
import type { LogRecord } from "../../storage/log.ts";
import type { ReplicaDriver } from "./replica_driver.ts";
import type { ReplicaMetrics } from "./replica_metrics.ts";

/** What a driver runs: `ReplicaCore`, or a fake of a test. */
export type ReplicaMachine =
  & Core<ReplicaEvent, ReplicaEffect>
  & ReplicaView
  & {
    /** The exactly-once window as of `applied`. */
    readonly sessionsImage: Uint8Array;
    /** A member that has nothing to do: it is ticked rarely. @default false */
    readonly settled?: boolean;
    /** Inactive, but it may be a member: it waits for meta's word. @default false */
    readonly transient?: boolean;
    /** Signature of a learner, or 0: images and logs are for learners only. */
    learnerSignature(node: NodeId): number;
  };

/** Effects that leave the replica: towards the network, the shared log and meta. */
export interface ReplicaDriverHost {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: ReplicaMetrics | undefined;
  /** 32 random bits. */
  chance(): number;
  /** Appends to the shared log; `onDurable(token)` is called when it is durable. */
  append(driver: ReplicaDriver, token: number, record: LogRecord): void;
  send(to: NodeId, message: PeerMessage): void;
  /** Copies the primary's image into `engine` and returns what it stands for. */
  pullImage(pull: Pull, engine: Engine): Promise<{ decree: number; sessions: Uint8Array }>;
  /** Copies logged mutations first..last of the primary; `onChunk` gets them in order. */
  pullLog(
    pull: Pull & { readonly first: number; readonly last: number },
    onChunk: (mutations: readonly Mutation[], done: boolean) => void,
  ): Promise<void>;
  updateConfig(
    driver: ReplicaDriver,
    effect: Extract<ReplicaEffect, { kind: "updateConfig" }>,
  ): void;
  requestConfigSync(): void;
  /** Gives up what reads the engine from outside the driver: images for learners. */
  release(driver: ReplicaDriver): Promise<void>;
  /** The core is finished: the replica leaves the serving map now, and its store is closed. */
  onFinished(driver: ReplicaDriver, reason: string, fate: Fate): void;
  /** The replica's disk refused something for want of space. */
  noSpace(driver: ReplicaDriver): void;
  /** Whether the replica's disk is known to be full. */
  isFull(driver: ReplicaDriver): boolean;
}

/** What becomes of a replica that has ended: it is moved aside, it stays as it is, or it starts again at once. */
export type Fate = "damaged" | "stays" | "reopen";

/** One copy from the primary. `cancelled` turns true when nobody wants it any more. */
export interface Pull {
  readonly partition: PartitionId;
  readonly from: NodeId;
  readonly signature: number;
  cancelled: boolean;
}
