// What an operator may do by hand: choose the function level, propose a step for one partition.
// Proposals go the same way as meta's own: the server concerned asks for the change, and the ballot
// decides. See docs/meta.md, "Function levels" and "Cure".

import { Err } from "../base/errors.ts";
import { formatPartition } from "../base/ids.ts";
import type { Action } from "./cluster_state.ts";
import { contextOf, startActions } from "./cure.ts";
import { isPossible } from "./guardian.ts";
import type { MetaBody, Token } from "./io.ts";
import { allows } from "./levels.ts";
import { fail, type MetaState, note, type Reign, reply } from "./meta_state.ts";

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
  const { change, node, force } = request;
  const becomesPrimary = change === "ASSIGN_PRIMARY" || change === "UPGRADE_TO_PRIMARY";
  const fallback = becomesPrimary ? node : partition.config.primary;
  const target = request.target === "" ? fallback : request.target;
  const action: Action = {
    change,
    target,
    node,
    source: "operator",
    since: s.now.mono,
    sentAt: -Infinity,
  };
  if (!isPossible(contextOf(s, reign), table, partition, action)) {
    const text = `${change} of "${node}" by "${target}" is impossible in the current configuration`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  if (partition.actions.length > 0 && !force) {
    return fail(s, token, Err.BUSY, "The partition has a pending proposal; force replaces it");
  }
  startActions(s, reign, table, partition, [action]);
  reply<"propose">(s, token, {});
}
