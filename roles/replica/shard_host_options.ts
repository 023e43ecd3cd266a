// What the host of a shard's replicas is made from.

import type { Clock } from "../../src/base/clock.ts";
import type { NodeId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { ReplicaSettings } from "../../src/replication/io.ts";
import type { RpcClient, RpcServer } from "../../src/rpc/contract.ts";
import type { SharedLog } from "../../storage/log.ts";
import type { LeaseGate, ShardReport } from "./control_link.ts";
import type { DiskRoom } from "./disk_room.ts";
import type { ReplicaMetrics } from "./replica_metrics.ts";
import type { ReplicaStores } from "./replica_store.ts";
import type { ShardHooks } from "./shard_hooks.ts";

/** What a shard is made from. */
export interface ShardHostOptions {
  readonly node: NodeId;
  readonly incarnation: number;
  /** This shard's number and how many there are: it holds the partitions p with p mod count = shard. */
  readonly shard: number;
  readonly shardCount: number;
  readonly settings: ReplicaSettings;
  readonly stores: ReplicaStores;
  readonly sharedLog: SharedLog;
  /** @default there is always room */
  readonly room?: DiskRoom;
  readonly server: RpcServer;
  readonly client: RpcClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly lease: LeaseGate;
  /** Rows per second that are checked for expiry. @default 0: none */
  readonly sweepRowsPerSecond?: number;
  /** Messages to the control part. */
  readonly report: (report: ShardReport) => void;
  readonly metrics?: ReplicaMetrics;
  /** Runs work at the end of the turn of the event loop. @default the end of each batch of input */
  readonly endOfTurn?: (work: () => void) => void;
  /** @default PLAIN_HOOKS */
  readonly hooks?: ShardHooks;
}
