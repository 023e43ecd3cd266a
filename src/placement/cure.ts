// Keeps partitions on their way to health: repeats what is proposed, takes the next step when one
// has happened, tries somebody else when one does not happen. Proposals may be lost, late or
// repeated; ballots make that harmless. Invariant: nothing is proposed without the lead, or below
// level "steady"; only the removal of a dead primary goes on while the cluster is frozen. Rules:
// docs/meta.md, "Cure".

import { formatPartition, NOBODY, type NodeId } from "../base/ids.ts";
import type { ConfigChange, PartitionConfig } from "../schema/types.ts";
import type { Action, PartitionState, TableState } from "./cluster_state.ts";
import { isMember, membersOf, nextConfig } from "./config_change.ts";
import type { NodeState } from "./failure_detector.ts";
import {
  awaitsSuccessor,
  chooseCure,
  type CureContext,
  isPossible,
  shouldHandOver,
} from "./guardian.ts";
import { allows } from "./levels.ts";
import { leads, levelNow, type MetaState, note, type Reign } from "./meta_state.ts";
import { cancelAnswer, changeConfig } from "./update_config.ts";

/** Steps that give a partition another primary. */
const PASSES_ON: ReadonlySet<ConfigChange> = new Set([
  "DOWNGRADE_TO_SECONDARY",
  "UPGRADE_TO_PRIMARY",
]);

/** A member that is being added may copy much before its server reports it as a learner. */
const ADD_PATIENCE = 3;

/** Looks at every partition. */
export function cureAll(s: MetaState, reign: Reign): void {
  reign.nextCureAt = s.now.mono + s.settings.cureIntervalMs;
  for (const table of reign.cluster.tables.values()) {
    for (const partition of table.partitions) curePartition(s, reign, table, partition);
  }
}

/** Looks at one partition. */
export function curePartition(
  s: MetaState,
  reign: Reign,
  table: TableState,
  partition: PartitionState,
): void {
  const isIdle = partition.inFlight === undefined && table.info.status === "available";
  if (!isIdle || !leads(s)) return;
  const level = levelNow(s, reign);
  const { primary } = partition.config;
  if (primary !== NOBODY && !reign.detector.isAlive(primary)) {
    // Decided here and not only when it dies: it may have died while a change was in flight.
    if (!allows(level, "freezed")) return;
    const next = nextConfig(partition.config, "DOWNGRADE_TO_INACTIVE", primary)!;
    reign.cluster.setActions(table, partition, []);
    return changeConfig(s, reign, table, partition, "DOWNGRADE_TO_INACTIVE", primary, next);
  }
  if (!allows(level, "steady")) return;
  const context = contextOf(s, reign);
  // Whatever is being done can be done by the next primary as well.
  const [head] = partition.actions;
  if (head !== undefined && !PASSES_ON.has(head.change) && shouldHandOver(context, partition)) {
    reign.cluster.setActions(table, partition, []);
  }
  if (continueActions(s, reign, context, table, partition)) return;
  const cure = chooseCure(context, table, partition);
  if (cure.kind !== "healthy") partition.wholeSince = Infinity;
  switch (cure.kind) {
    case "propose": {
      partition.stuck = "";
      const { change, target, node } = cure;
      return startActions(s, reign, table, partition, [
        { change, target, node, source: "cure", since: s.now.mono, sentAt: -Infinity },
      ]);
    }
    case "wait":
      // The next tick may find room: learners of other partitions finish all the time.
      if (cure.retrySoon === true) reign.nextCureAt = Math.min(reign.nextCureAt, s.now.mono);
      else if (primary === NOBODY && partition.stuck !== cure.reason) {
        partition.stuck = cure.reason;
        const name = formatPartition(partition.partition);
        note(s, "noCandidate", { partition: name, reason: cure.reason });
      }
      return;
    case "healthy":
      if (partition.wholeSince === Infinity) partition.wholeSince = s.now.mono;
      return;
    case "removePrimary":
      return;
  }
}

/**
 * A server is about to end: its partitions get other primaries now.
 *
 * @returns How many it should still wait for.
 */
export function handOver(s: MetaState, reign: Reign, node: NodeId): number {
  if (!allows(levelNow(s, reign), "steady")) return 0;
  let waiting = 0;
  for (const table of reign.cluster.tables.values()) {
    if (table.info.status !== "available") continue;
    for (const partition of table.partitions) {
      if (!awaitsSuccessor(contextOf(s, reign), partition, node)) continue;
      waiting++;
      curePartition(s, reign, table, partition);
    }
  }
  return waiting;
}

/** What {@link chooseCure} sees now. */
export function contextOf(s: MetaState, reign: Reign): CureContext {
  const { cluster, detector } = reign;
  const { nodes: drained } = reign.drained;
  const { nodes: forgotten } = reign.forgotten;
  const { nodes: blackList } = reign.blackList;
  const lists = { drained, forgotten, blackList };
  return { cluster, detector, ...lists, settings: s.settings, now: s.now.mono };
}

/** Begins a list of steps. */
export function startActions(
  s: MetaState,
  reign: Reign,
  table: TableState,
  partition: PartitionState,
  actions: Action[],
): void {
  reign.cluster.setActions(table, partition, actions);
  propose(s, reign, table, partition);
}

/** @returns Whether a list is still being worked on. */
function continueActions(
  s: MetaState,
  reign: Reign,
  context: CureContext,
  table: TableState,
  partition: PartitionState,
): boolean {
  const [head, ...rest] = partition.actions;
  if (head === undefined) return false;
  if (isAchieved(head, partition.config, table)) {
    reign.cluster.setActions(table, partition, rest.map((a) => ({ ...a, since: s.now.mono })));
    return continueActions(s, reign, context, table, partition);
  }
  if (!isPossible(context, table, partition, head)) {
    reign.cluster.setActions(table, partition, []);
    return false;
  }
  if (isHopeless(s, partition, head)) {
    partition.avoid = head.node;
    reign.cluster.setActions(table, partition, []);
    const { change, node } = head;
    const name = formatPartition(partition.partition);
    note(s, "cureGivenUp", { partition: name, change, node });
    return false;
  }
  if (s.now.mono - head.sentAt >= s.settings.cureIntervalMs) propose(s, reign, table, partition);
  return true;
}

function isAchieved(action: Action, config: PartitionConfig, table: TableState): boolean {
  const { change, node } = action;
  switch (change) {
    case "ASSIGN_PRIMARY":
    case "UPGRADE_TO_PRIMARY":
      return config.primary === node;
    case "ADD_SECONDARY":
    case "ADD_SECONDARY_FOR_LB":
    case "DOWNGRADE_TO_SECONDARY":
      return config.secondaries.includes(node);
    case "DOWNGRADE_TO_INACTIVE":
    case "REMOVE":
      return !isMember(config, node);
    case "PRIMARY_FORCE_UPDATE_BALLOT":
      return config.maxReplicaCount === table.info.maxReplicaCount;
    case "UPGRADE_TO_SECONDARY":
    case "DROP_PARTITION":
      return true;
  }
}

function isHopeless(s: MetaState, partition: PartitionState, action: Action): boolean {
  const waited = s.now.mono - action.since;
  const isAdd = action.change === "ADD_SECONDARY" || action.change === "ADD_SECONDARY_FOR_LB";
  if (!isAdd) return waited > s.settings.proposalGiveUpMs;
  if (partition.reports.get(action.node)?.status === "learner") return false;
  return waited > s.settings.proposalGiveUpMs * ADD_PATIENCE;
}

/** Sends the head of the list. */
function propose(s: MetaState, reign: Reign, table: TableState, partition: PartitionState): void {
  const head = partition.actions[0]!;
  head.sentAt = s.now.mono;
  const { change, node, target } = head;
  const { config } = partition;
  const nodes = reign.detector.addresses([...membersOf(config), node, target]);
  s.out.push({
    kind: "send",
    to: target,
    message: {
      ...{ change, node, config, table: table.info, nodes, empty: head.empty === true },
      incarnation: reign.detector.incarnation(target),
    },
  });
}

/**
 * Servers were declared dead: nobody waits for their requests, and their partitions need new
 * primaries.
 */
export function onDead(s: MetaState, reign: Reign, dead: readonly NodeState[]): void {
  const names = new Set<NodeId>(dead.map(({ node }) => node));
  for (const { node, heardAt } of dead) {
    note(s, "nodeDead", { node, silentMs: Math.round(s.now.mono - heardAt) });
  }
  for (const table of reign.cluster.tables.values()) {
    for (const partition of table.partitions) {
      for (const node of names) {
        cancelAnswer(partition, node);
        partition.reports.delete(node);
      }
    }
  }
  cureAll(s, reign);
}
