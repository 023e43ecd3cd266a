// How one configuration follows from another. Invariant (I1): the next configuration has ballot + 1
// and differs from the current one exactly as change and node say; meta checks every request
// against that, and makes the rest itself. Rules: docs/meta.md, "Changing a configuration".

import { type Ballot, NOBODY, type NodeId } from "../base/ids.ts";
import { sameMembers } from "../schema/partition_config.ts";
import type { ConfigChange, PartitionConfig } from "../schema/types.ts";

/** Lost members that a configuration remembers. */
export const LAST_DROPS_MAX = 3;

/** Primary and secondaries. */
export function membersOf(config: PartitionConfig): NodeId[] {
  return config.primary === NOBODY
    ? [...config.secondaries]
    : [config.primary, ...config.secondaries];
}

/** Whether the node counts. */
export function isMember(config: PartitionConfig, node: NodeId): boolean {
  return node !== NOBODY && (config.primary === node || config.secondaries.includes(node));
}

/**
 * The configuration that `change` about `node` makes of `current`.
 *
 * @returns `undefined` if the change is impossible there, or not one that a configuration goes
 * through.
 */
export function nextConfig(
  current: PartitionConfig,
  change: ConfigChange,
  node: NodeId,
): PartitionConfig | undefined {
  if (node === NOBODY) return undefined;
  const { primary, secondaries } = current;
  const others = secondaries.filter((member) => member !== node);
  const isSecondary = others.length < secondaries.length;
  switch (change) {
    case "ASSIGN_PRIMARY":
      if (primary !== NOBODY || secondaries.length > 0) return undefined;
      return withMembers(current, node, []);
    case "UPGRADE_TO_PRIMARY":
      if (primary !== NOBODY || !isSecondary) return undefined;
      return withMembers(current, node, others);
    case "PRIMARY_FORCE_UPDATE_BALLOT":
      if (primary !== node) return undefined;
      return withMembers(current, primary, secondaries);
    case "UPGRADE_TO_SECONDARY":
      if (primary === NOBODY || isMember(current, node)) return undefined;
      // One above the target while a replica is moved.
      if (secondaries.length + 1 > current.maxReplicaCount) return undefined;
      return withMembers(current, primary, [...secondaries, node]);
    case "DOWNGRADE_TO_SECONDARY":
      if (primary !== node) return undefined;
      return withMembers(current, NOBODY, [...secondaries, node]);
    case "DOWNGRADE_TO_INACTIVE":
    case "REMOVE":
      if (!isMember(current, node)) return undefined;
      return withMembers(current, primary === node ? NOBODY : primary, others);
    case "DROP_PARTITION":
    case "ADD_SECONDARY":
    case "ADD_SECONDARY_FOR_LB":
      return undefined;
  }
}

/**
 * The configuration of a dropped partition: everybody becomes a lost member, the primary as the
 * newest.
 */
export function droppedConfig(current: PartitionConfig): PartitionConfig {
  return withMembers(current, NOBODY, []);
}

function withMembers(
  current: PartitionConfig,
  primary: NodeId,
  secondaries: readonly NodeId[],
): PartitionConfig {
  const kept = (node: NodeId) => node === primary || secondaries.includes(node);
  const gone = [...current.secondaries, current.primary].filter((node) =>
    node !== NOBODY && !kept(node)
  );
  const before = current.lastDrops.filter((node) => !kept(node) && !gone.includes(node));
  return {
    ...current,
    ballot: current.ballot + 1,
    primary,
    secondaries: [...secondaries],
    lastDrops: [...before, ...gone].slice(-LAST_DROPS_MAX),
  };
}

/**
 * Whether both name the same members in the same roles at the same ballot; lost members are not
 * compared.
 */
export function sameConfig(a: PartitionConfig, b: PartitionConfig): boolean {
  return a.partition === b.partition && a.maxReplicaCount === b.maxReplicaCount &&
    a.committedHint === b.committedHint && sameMembers(a, b);
}

/**
 * Whether `node` may ask for this change itself: the primary, who becomes it, or who wants to
 * leave.
 */
export function mayAsk(
  current: PartitionConfig,
  change: ConfigChange,
  node: NodeId,
  from: NodeId,
): boolean {
  if (from === NOBODY) return false;
  if (change === "ASSIGN_PRIMARY" || change === "UPGRADE_TO_PRIMARY") return from === node;
  const leaves = change === "DOWNGRADE_TO_INACTIVE" || change === "REMOVE";
  return from === current.primary || (leaves && from === node);
}

/** The configuration of a partition that never had a member. */
export function emptyConfig(partition: number, maxReplicaCount: number): PartitionConfig {
  return {
    partition,
    ballot: FIRST_BALLOT,
    primary: NOBODY,
    secondaries: [],
    lastDrops: [],
    maxReplicaCount,
    committedHint: 0,
  };
}

const FIRST_BALLOT: Ballot = 0;
