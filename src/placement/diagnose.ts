// Partitions that nobody leads and that meta does not give to anybody by itself, with what is known of whoever
// had them, so that an operator can decide. Pure reading. Rules: docs/meta.md, "Cure", "DDD".

import { NOBODY, type NodeId } from "../base/ids.ts";
import type { ReplicaReport } from "../schema/types.ts";
import type { LostPartition } from "../schema/operator_rpc.ts";
import type { PartitionState, TableState } from "./cluster_state.ts";
import { contextOf } from "./cure.ts";
import { chooseCure, type CureContext } from "./guardian.ts";
import type { MetaBody, Token } from "./io.ts";
import { type MetaState, type Reign, reply } from "./meta_state.ts";
import { compareHeld } from "./recovery_plan.ts";

/** Tells what is stuck, and why. */
export function onDddDiagnose(
  s: MetaState,
  reign: Reign,
  { tableId }: MetaBody<"dddDiagnose">,
  token: Token,
): void {
  const partitions: LostPartition[] = [];
  const context = contextOf(s, reign);
  for (const table of reign.cluster.tables.values()) {
    if (table.info.status !== "available" || (tableId !== 0 && tableId !== table.info.tableId)) {
      continue;
    }
    for (const partition of table.partitions) {
      const lost = diagnose(context, table, partition);
      if (lost !== undefined) partitions.push(lost);
    }
  }
  reply<"dddDiagnose">(s, token, { partitions });
}

/** @returns `undefined` if somebody leads, or meta is giving it to somebody. */
function diagnose(
  c: CureContext,
  table: TableState,
  p: PartitionState,
): LostPartition | undefined {
  const { config, reports, dropped, inFlight, actions } = p;
  if (config.primary !== NOBODY || inFlight !== undefined || actions.length > 0) return undefined;
  const cure = chooseCure(c, table, p);
  if (cure.kind !== "wait") return undefined;
  const names = new Set([
    ...config.secondaries,
    ...config.lastDrops,
    ...dropped.map(({ node }) => node),
    ...reports.keys(),
  ]);
  const nodes = [...names].map((node) => ({
    node,
    alive: c.detector.isAlive(node),
    collected: c.detector.get(node)?.collected === true,
    report: reports.get(node),
  }));
  const { choice, lost } = leastLoss(c, p);
  return { table: table.info.name, config, reason: cure.reason, choice, lost, nodes };
}

/** The most complete replica of an alive server, and what it lacks. */
function leastLoss(
  c: CureContext,
  { config, reports }: PartitionState,
): { choice: NodeId; lost: number } {
  const known = [...reports.values()].map(({ committed }) => committed);
  const committed = Math.max(config.committedHint, ...known);
  let best: { readonly node: NodeId; readonly report: ReplicaReport } | undefined;
  for (const [node, report] of reports) {
    if (!c.detector.isAlive(node)) continue;
    const isBetter = best === undefined || compareHeld(best.report, report, committed) < 0;
    if (isBetter) best = { node, report };
  }
  if (best === undefined) return { choice: NOBODY, lost: 0 };
  return { choice: best.node, lost: Math.max(0, committed - best.report.maxPrepared) };
}
