// What an operator may do by hand: choose the function level, propose a step for one partition.
// Proposals go the same way as meta's own: the server concerned asks for the change, and the ballot
// decides. See docs/meta.md, "Function levels" and "Cure".

import { Err } from "../base/errors.ts";
import { formatPartition, NOBODY, type NodeId } from "../base/ids.ts";
import type { Action, PartitionState } from "./cluster_state.ts";
import { droppedConfig } from "./config_change.ts";
import { contextOf, startActions } from "./cure.ts";
import { isPossible } from "./guardian.ts";
import type { MetaBody, Token } from "./io.ts";
import { allows } from "./levels.ts";
import {
  fail,
  levelNow,
  levelText,
  type MetaState,
  note,
  type Reign,
  reply,
} from "./meta_state.ts";
import { changeConfig } from "./update_config.ts";

/**
 * Reads or sets the chosen level. It is kept in memory only: a new leader starts with the
 * configured one.
 */
export function onControlMeta(
  s: MetaState,
  reign: Reign,
  { level }: MetaBody<"controlMeta">,
  token: Token,
): void {
  const previous = s.level;
  if (level !== undefined && level !== previous) {
    s.level = level;
    note(s, "level", { level, previous });
    if (!allows(level, "lively")) {
      for (const table of reign.cluster.tables.values()) {
        for (const partition of table.partitions) {
          if (partition.actions.length > 0) reign.cluster.setActions(table, partition, []);
        }
      }
    }
    if (!allows(level, "lively")) reign.balance.running = false;
    reign.nextCureAt = s.now.mono;
  }
  reply<"controlMeta">(s, token, { level: s.level, previous });
}

/** Proposes one step. `force` replaces what is being proposed. */
export function onPropose(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"propose">,
  token: Token,
): void {
  const found = reign.cluster.partition(request.partition);
  if (found === undefined || found.table.info.status !== "available") {
    const name = formatPartition(request.partition);
    return fail(s, token, Err.OBJECT_NOT_FOUND, `Partition ${name} does not exist`);
  }
  const { table, partition } = found;
  const { change, node, force, empty } = request;
  const becomesPrimary = change === "ASSIGN_PRIMARY" || change === "UPGRADE_TO_PRIMARY";
  const fallback = becomesPrimary ? node : partition.config.primary;
  const target = request.target === "" ? fallback : request.target;
  const action: Action = {
    change,
    target,
    node,
    source: "operator",
    empty,
    since: s.now.mono,
    sentAt: -Infinity,
  };
  const refusal = empty ? emptyProblem(partition, change, node) : undefined;
  if (refusal !== undefined) return fail(s, token, Err.INVALID_ARGUMENT, refusal);
  // Members that died while nobody led are members for ever: nobody else can take them out.
  const { config } = partition;
  const isDead = (member: NodeId) => !reign.detector.isAlive(member);
  const mustDrop = force && change === "ASSIGN_PRIMARY" && config.primary === NOBODY &&
    config.secondaries.length > 0 && config.secondaries.every(isDead) &&
    partition.inFlight === undefined;
  const drop = () =>
    changeConfig(s, reign, table, partition, "DROP_PARTITION", NOBODY, droppedConfig(config));
  const level = levelNow(s, reign);
  if (!allows(level, "steady")) {
    // Servers that are members cannot be forgotten, and their deaths may be why the cluster is frozen.
    if (mustDrop && allows(level, "freezed")) drop();
    const text = `${levelText(s, reign)}; forget_node removes servers that will not come back`;
    return fail(s, token, Err.STATE_FREEZED, text);
  }
  const seen = mustDrop ? { ...partition, config: droppedConfig(config) } : partition;
  if (!isPossible(contextOf(s, reign), table, seen, action)) {
    const text = `${change} of "${node}" by "${target}" is impossible in the current configuration`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  if (partition.actions.length > 0 && !force) {
    return fail(s, token, Err.BUSY, "The partition has a pending proposal; force replaces it");
  }
  if (mustDrop) {
    // The proposal follows when this is stored.
    reign.cluster.setActions(table, partition, [action]);
    drop();
  } else startActions(s, reign, table, partition, [action]);
  reply<"propose">(s, token, {});
}

/** Why a partition cannot begin with nothing at a server; `undefined` if it can. */
function emptyProblem(
  { reports }: PartitionState,
  change: Action["change"],
  node: NodeId,
): string | undefined {
  if (change !== "ASSIGN_PRIMARY") return `Only ASSIGN_PRIMARY can be empty, not ${change}`;
  if (!reports.has(node)) return undefined;
  return `"${node}" holds a replica of the partition: propose it without empty, or take another server`;
}
