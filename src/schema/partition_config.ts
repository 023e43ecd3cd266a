// What meta and replicas both ask of a configuration.

import type { PartitionConfig } from "./types.ts";

/** Whether both have the same ballot, primary and set of secondaries. */
export function sameMembers(a: PartitionConfig, b: PartitionConfig): boolean {
  return a.ballot === b.ballot && a.primary === b.primary &&
    a.secondaries.length === b.secondaries.length &&
    a.secondaries.every((node) => b.secondaries.includes(node));
}
