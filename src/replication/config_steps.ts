// The next configuration to ask meta for, one per kind of change: ballot + 1, exactly one member different
// (docs/protocol.md, "Reconfiguration", §9).

import { NOBODY, type NodeId } from "../base/ids.ts";
import type { PartitionConfig } from "../schema/types.ts";

/** `config` without `node`, as the next configuration to ask for. */
export function withoutMember(config: PartitionConfig, node: NodeId): PartitionConfig {
  const lastDrops = [...config.lastDrops.filter((n) => n !== node), node].slice(-3);
  return {
    ...config,
    ballot: config.ballot + 1,
    primary: config.primary === node ? NOBODY : config.primary,
    secondaries: config.secondaries.filter((n) => n !== node),
    lastDrops,
  };
}

/** `config` with `node` as one more secondary. */
export function withSecondary(config: PartitionConfig, node: NodeId): PartitionConfig {
  return {
    ...config,
    ballot: config.ballot + 1,
    primary: config.primary === node ? NOBODY : config.primary,
    secondaries: [...config.secondaries.filter((n) => n !== node), node],
    lastDrops: config.lastDrops.filter((n) => n !== node),
  };
}

/** `config` led by `node`. */
export function withPrimary(config: PartitionConfig, node: NodeId): PartitionConfig {
  return {
    ...config,
    ballot: config.ballot + 1,
    primary: node,
    secondaries: config.secondaries.filter((n) => n !== node),
    lastDrops: config.lastDrops.filter((n) => n !== node),
  };
}
