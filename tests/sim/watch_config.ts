// S1: how one stored configuration may follow another: ballot + 1, exactly one thing changed, nobody twice.

import type { NodeId } from "../../src/base/ids.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import { ConfigSync, UpdateConfig } from "../../src/schema/meta_rpc.ts";
import type { AnyRpc, ResponseOf } from "../../src/schema/rpc.ts";
import { type Env, Violation } from "./env.ts";

/** What changed in a step. */
export interface ConfigStep {
  /** Who became a secondary without having been a member. */
  readonly promoted: NodeId | undefined;
  /** Who was primary and is not any more. */
  readonly deposed: NodeId | undefined;
}

/** Members of a configuration. */
export function membersOf(config: PartitionConfig): NodeId[] {
  return config.primary === "" ? [...config.secondaries] : [config.primary, ...config.secondaries];
}

/** @throws {Violation} If `after` may not follow `before`. */
export function checkConfigStep(
  before: PartitionConfig | undefined,
  after: PartitionConfig,
): ConfigStep {
  const details = { before, after };
  const members = membersOf(after);
  if (new Set(members).size !== members.length) {
    throw new Violation("S1", "A node is in a configuration twice", details);
  }
  if (members.length > after.maxReplicaCount + 1) {
    throw new Violation("S1", "Too many members", details);
  }
  if (before === undefined) return { promoted: undefined, deposed: undefined };
  if (after.ballot !== before.ballot + 1) {
    throw new Violation("S1", "The ballot did not grow by one", details);
  }
  const old = new Set(membersOf(before));
  const added = members.filter((node) => !old.has(node));
  const removed = [...old].filter((node) => !members.includes(node));
  if (added.length + removed.length > 1) {
    throw new Violation("S1", "More than one member changed", details);
  }
  const primaryMoved = before.primary !== after.primary && before.primary !== "" &&
    after.primary !== "";
  if (primaryMoved) throw new Violation("S1", "The primary changed in one step", details);
  return {
    promoted: added.find((node) => after.secondaries.includes(node)),
    deposed: before.primary !== "" && before.primary !== after.primary ? before.primary : undefined,
  };
}

/** A server got an answer of meta: every configuration in it must be stored (S1). */
export function configsHeard({ watch }: Env, rpc: AnyRpc, response: unknown): void {
  if (rpc.code === ConfigSync.code) {
    const { configs } = response as ResponseOf<typeof ConfigSync>;
    for (const config of configs) watch.configSeen(config);
  } else if (rpc.code === UpdateConfig.code) {
    watch.configSeen((response as ResponseOf<typeof UpdateConfig>).config);
  }
}
