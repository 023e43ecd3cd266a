// What meta, replicas and those who show a partition all ask of a configuration.

import type { PartitionConfig } from "./types.ts";

/**
 * Fewest live members with which a partition takes writes, where `min-replica-count` of the servers says nothing
 * else: more than half of them, one of up to two (docs/protocol.md, §5).
 */
export function minMembers(maxReplicaCount: number): number {
  return maxReplicaCount <= 2 ? 1 : Math.floor(maxReplicaCount / 2) + 1;
}

/** Whether both have the same ballot, primary and set of secondaries. */
export function sameMembers(a: PartitionConfig, b: PartitionConfig): boolean {
  return a.ballot === b.ballot && a.primary === b.primary &&
    a.secondaries.length === b.secondaries.length &&
    a.secondaries.every((node) => b.secondaries.includes(node));
}
