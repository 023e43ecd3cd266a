// The next step of one partition towards health, chosen from what is known and nothing else.
// Invariant: a step is proposed only if it is possible under the current configuration, and a
// partition that lost every member is given only to a server that provably was among the last.
// Rules: docs/meta.md, "Cure".

import { NOBODY, type NodeId } from "../base/ids.ts";
import { minMembers } from "../schema/partition_config.ts";
import type { PartitionConfig, ReplicaReport } from "../schema/types.ts";
import type { Action, ClusterState, Dropped, PartitionState, TableState } from "./cluster_state.ts";
import { isMember, membersOf } from "./config_change.ts";
import { type Crowding, crowdingOf, hostLimit, type Place, placeOf } from "./domains.ts";
import { type FailureDetector, isFull } from "./failure_detector.ts";
import type { MetaSettings } from "./io.ts";

/** What to do next. */
export type Cure =
  | { readonly kind: "healthy" }
  /** Meta itself writes a configuration without its dead primary. */
  | { readonly kind: "removePrimary"; readonly node: NodeId }
  | {
    readonly kind: "propose";
    readonly change: Action["change"];
    readonly target: NodeId;
    readonly node: NodeId;
  }
  /** Nothing can be done now. `retrySoon`: another partition's progress makes room. */
  | { readonly kind: "wait"; readonly reason: string; readonly retrySoon?: boolean };

/** What a choice depends on. */
export interface CureContext {
  readonly cluster: ClusterState;
  readonly detector: FailureDetector;
  /** Servers that an operator empties: they get nothing new. */
  readonly drained: ReadonlySet<NodeId>;
  /** Servers that an operator declared gone for good. */
  readonly forgotten: ReadonlySet<NodeId>;
  /** Servers that keep what they have and get no new replica. */
  readonly blackList: ReadonlySet<NodeId>;
  readonly settings: MetaSettings;
  /** Monotonic ms. */
  readonly now: number;
}

/** Whether a proposal still makes sense under the current configuration (rule 0). */
export function isPossible(
  c: CureContext,
  table: TableState,
  p: PartitionState,
  action: Action,
): boolean {
  const { config } = p;
  const { change, node, target } = action;
  if (!c.detector.isAlive(target)) return false;
  const byPrimary = config.primary === target;
  switch (change) {
    case "ASSIGN_PRIMARY":
      if (target !== node || config.primary !== NOBODY) return false;
      // An operator may also choose a member that does not lead by itself because it may lack something.
      return config.secondaries.length === 0 ||
        (action.source === "operator" && config.secondaries.includes(node));
    case "UPGRADE_TO_PRIMARY":
      return target === node && config.primary === NOBODY && config.secondaries.includes(node);
    case "ADD_SECONDARY":
    case "ADD_SECONDARY_FOR_LB": {
      const extra = change === "ADD_SECONDARY_FOR_LB" ? 1 : 0;
      const room = config.secondaries.length + 1 < config.maxReplicaCount + extra;
      return byPrimary && room && !isMember(config, node) && c.detector.isAlive(node);
    }
    case "DOWNGRADE_TO_SECONDARY":
      return byPrimary && node === target;
    case "DOWNGRADE_TO_INACTIVE":
      // Against a dead secondary; an operator may mean an alive one.
      return byPrimary && isMember(config, node) &&
        (action.source === "operator" || !c.detector.isAlive(node));
    case "REMOVE":
      // A move ends here; if somebody else was lost meanwhile, the old member stays.
      if (action.source === "balance" && !hasSpare(c, config)) return false;
      return byPrimary && isMember(config, node);
    case "PRIMARY_FORCE_UPDATE_BALLOT":
      return byPrimary && node === target && config.maxReplicaCount !== table.info.maxReplicaCount;
    case "UPGRADE_TO_SECONDARY":
    case "DROP_PARTITION":
      return false;
  }
}

/** Whether enough members remain without any one of them. */
function hasSpare(c: CureContext, config: PartitionConfig): boolean {
  return membersOf(config).filter((node) => c.detector.isAlive(node)).length >
    config.maxReplicaCount;
}

/**
 * The next step (rules 1-5). The caller has checked that nothing is in flight and the table is
 * available.
 */
export function chooseCure(c: CureContext, table: TableState, p: PartitionState): Cure {
  const { config } = p;
  if (config.primary === NOBODY) {
    if (config.secondaries.length > 0) return upgradeSecondary(c, table, p);
    return config.lastDrops.length === 0 ? assignNew(c, table, p) : assignLost(c, p);
  }
  if (!c.detector.isAlive(config.primary)) return { kind: "removePrimary", node: config.primary };
  const target = config.primary;
  if (shouldHandOver(c, p)) {
    return { kind: "propose", change: "DOWNGRADE_TO_SECONDARY", target, node: target };
  }
  // The primary itself removes a dead secondary: it alone knows what is still uncommitted.
  const dead = config.secondaries.find((node) => !c.detector.isAlive(node));
  if (dead !== undefined) {
    return { kind: "propose", change: "DOWNGRADE_TO_INACTIVE", target, node: dead };
  }
  if (config.maxReplicaCount !== table.info.maxReplicaCount) {
    return { kind: "propose", change: "PRIMARY_FORCE_UPDATE_BALLOT", target, node: target };
  }
  const members = config.secondaries.length + 1;
  if (members < config.maxReplicaCount) return addSecondary(c, table, p);
  if (members > config.maxReplicaCount) {
    const most = best(config.secondaries, (node) => [
      ...crowdingWith(c, membersOf(config).filter((member) => member !== node)),
      -c.cluster.load(node).replicas,
    ])!;
    return { kind: "propose", change: "REMOVE", target, node: most };
  }
  return { kind: "healthy" };
}

/** Whether the primary is about to end, and another member can lead instead. */
export function shouldHandOver(c: CureContext, { config, reports }: PartitionState): boolean {
  if (config.primary === NOBODY || !isLeaving(c, config.primary)) return false;
  return config.secondaries.some((node) =>
    canTake(c, node) && !lacksCommitted(config, reports.get(node))
  );
}

/** Whether a member that is about to end should wait: it leads, or nobody does yet. */
export function awaitsSuccessor(c: CureContext, p: PartitionState, node: NodeId): boolean {
  const { config } = p;
  if (config.primary === node) return shouldHandOver(c, p);
  if (config.primary !== NOBODY || !config.secondaries.includes(node)) return false;
  return config.secondaries.some((other) => other !== node && canTake(c, other));
}

function isLeaving(c: CureContext, node: NodeId): boolean {
  return c.detector.get(node)?.stats?.draining === true;
}

/** Rule 1: every secondary has all that was committed (I3), so the least loaded one leads. */
function upgradeSecondary(c: CureContext, table: TableState, p: PartitionState): Cure {
  const { config } = p;
  const alive = config.secondaries.filter((node) => c.detector.isAlive(node));
  if (alive.length === 0) return { kind: "wait", reason: "every secondary is dead" };
  // Defence against disks that lost what they had confirmed (R): the report shows less than was
  // committed.
  const whole = alive.filter((node) => !lacksCommitted(config, p.reports.get(node)));
  const node = best(whole, (name) => [
    name === p.avoid ? 1 : 0,
    canTake(c, name) ? 0 : 1,
    unstable(c, name),
    ...primaryCost(c, table, name),
  ]);
  if (node === undefined) {
    return { kind: "wait", reason: "every alive secondary lacks committed mutations" };
  }
  return { kind: "propose", change: "UPGRADE_TO_PRIMARY", target: node, node };
}

/** Only a report made after the hint was recorded can prove anything. */
function lacksCommitted(config: PartitionConfig, report: ReplicaReport | undefined): boolean {
  return report !== undefined && report.ballot >= config.ballot &&
    report.maxPrepared < config.committedHint;
}

/** Rule 2: a new partition. */
function assignNew(c: CureContext, table: TableState, p: PartitionState): Cure {
  const may = (name: NodeId) => !isFull(c.detector.get(name)!) && !c.blackList.has(name);
  const node = best(aliveNodes(c).filter(may), (name) => [
    name === p.avoid ? 1 : 0,
    unstable(c, name),
    ...primaryCost(c, table, name),
  ]);
  if (node === undefined) return { kind: "wait", reason: "no server may take a replica" };
  return { kind: "propose", change: "ASSIGN_PRIMARY", target: node, node };
}

/** Rule 3, DDD: every member was lost. */
function assignLost(c: CureContext, p: PartitionState): Cure {
  const { lastDrops } = p.config;
  const recent = lastDrops.at(-1)!;
  const previous = lastDrops.at(-2);
  if (previous === undefined) {
    // a. The only member there ever was since the partition was whole.
    if (!c.detector.isAlive(recent)) return { kind: "wait", reason: `${recent} is dead` };
    if (c.detector.get(recent)?.collected === true && !p.reports.has(recent)) {
      const reason = `${recent} came back without its replica; an operator must decide`;
      return { kind: "wait", reason };
    }
    return { kind: "propose", change: "ASSIGN_PRIMARY", target: recent, node: recent };
  }
  // b. The last one alone is not trusted: its log may not have reached the disk. One that an operator declared
  // gone for good, and that did not come back, cannot be asked; it has no report, as any dead one.
  const isGone = c.forgotten.has(previous) && c.detector.get(previous) === undefined;
  for (const node of isGone ? [recent] : [previous, recent]) {
    const state = c.detector.get(node);
    if (state?.alive !== true) return { kind: "wait", reason: `${node} is dead` };
    if (!state.collected) return { kind: "wait", reason: `${node} has not reported its replicas` };
  }
  const chosen = chooseLost(
    p.config,
    previous,
    p.reports.get(previous),
    recent,
    p.reports.get(recent),
  );
  if (chosen.node === undefined) return { kind: "wait", reason: chosen.reason };
  return { kind: "propose", change: "ASSIGN_PRIMARY", target: chosen.node, node: chosen.node };
}

/**
 * Which of the last two lost members leads again (rules 3b-3d). A member that reports no replica
 * has none.
 */
function chooseLost(
  config: PartitionConfig,
  previous: NodeId,
  previousReport: ReplicaReport | undefined,
  recent: NodeId,
  recentReport: ReplicaReport | undefined,
): { readonly node: NodeId | undefined; readonly reason: string } {
  const none = (reason: string) => ({ node: undefined, reason });
  const a = stateOf(previousReport);
  const b = stateOf(recentReport);
  if (a.ballot < 0 && b.ballot < 0) {
    return none("the last two members have no data; an operator must decide");
  }
  // c. Whoever was a member to the end holds everything that was ever committed: it leads, unless it shows
  // that its disk lost a part. Its ballot proves nothing: a former member learns newer ballots from
  // configurations it is not in, and a member may have died before it heard of its last one.
  const committed = Math.max(a.committed, config.committedHint);
  if (b.ballot >= 0) {
    if (b.maxPrepared >= committed) return { node: recent, reason: "" };
    return none(lossText(committed, b.maxPrepared));
  }
  // d. It has no replica at all: the one before it, with everything meta has heard of.
  if (a.maxPrepared >= committed) return { node: previous, reason: "" };
  return none(lossText(committed, a.maxPrepared));
}

function lossText(committed: number, held: number): string {
  return `decree ${committed} was committed, only ${held} is left; an operator must decide`;
}

function stateOf(
  report: ReplicaReport | undefined,
): { ballot: number; committed: number; maxPrepared: number } {
  return report ?? { ballot: -1, committed: -1, maxPrepared: -1 };
}

/** Rule 4: too few secondaries. */
function addSecondary(c: CureContext, table: TableState, p: PartitionState): Cure {
  const { config, dropped } = p;
  const target = config.primary;
  const newest = dropped.at(-1);
  const propose = (node: NodeId): Cure => {
    if (c.cluster.adding(node) >= c.settings.addSecondaryMax && config.secondaries.length > 0) {
      return { kind: "wait", reason: `${node} is taking in others`, retrySoon: true };
    }
    return { kind: "propose", change: "ADD_SECONDARY", target, node };
  };
  if (newest !== undefined && !isUrgent(c, config, newest)) {
    // It is expected back; its data is nearly complete.
    if (canTake(c, newest.node) && unstable(c, newest.node) === 0) return propose(newest.node);
    return { kind: "wait", reason: `${newest.node} is expected back` };
  }
  const members = membersOf(config);
  const usable = (node: NodeId) =>
    canTake(c, node) && !isMember(config, node) && mayShareHost(c, config, node) &&
    !c.blackList.has(node);
  for (const { node } of [...dropped].reverse()) {
    if (usable(node) && node !== p.avoid && unstable(c, node) === 0) return propose(node);
  }
  const fresh = aliveNodes(c).filter((name) => usable(name) && !isFull(c.detector.get(name)!));
  const node = best(fresh, (name) => [
    name === p.avoid ? 1 : 0,
    unstable(c, name),
    ...crowdingWith(c, [...members, name]),
    c.cluster.load(name, table.info.tableId).replicas,
    c.cluster.load(name).replicas,
  ]);
  if (node === undefined) return { kind: "wait", reason: "no other server may take a replica" };
  return propose(node);
}

/** How much members share failure domains. */
function crowdingWith(c: CureContext, members: readonly NodeId[]): Crowding {
  return crowdingOf(members.map((node) => placeIn(c, node)));
}

function placeIn(c: CureContext, node: NodeId): Place {
  return placeOf(node, c.detector.get(node)?.labels ?? NO_LABELS);
}

/**
 * Whether the host of a server may hold one member more. Hosts that are down count: a partition rather waits for
 * them than gets two members that fail together.
 */
function mayShareHost(c: CureContext, config: PartitionConfig, node: NodeId): boolean {
  const { host } = placeIn(c, node);
  const there = membersOf(config).filter((member) => placeIn(c, member).host === host).length;
  if (there === 0) return true;
  const hosts = new Set<string>();
  for (const known of c.detector.nodes) {
    if (!c.drained.has(known.node)) hosts.add(placeIn(c, known.node).host);
  }
  return there < hostLimit(config.maxReplicaCount, hosts.size);
}

const NO_LABELS: ReadonlyMap<string, string> = new Map();

function isUrgent(c: CureContext, config: PartitionConfig, newest: Dropped): boolean {
  const members = config.secondaries.length + 1;
  const required = minMembers(config.maxReplicaCount);
  if (c.blackList.has(newest.node)) return true;
  if (members < required && required < config.maxReplicaCount) return true;
  return c.now - newest.at > c.settings.replicaAssignDelayMs;
}

/** 1 for a server that was restarted too often lately: others come first. */
function unstable(c: CureContext, node: NodeId): number {
  return c.detector.isUnstable(node, c.now) ? 1 : 0;
}

function aliveNodes(c: CureContext): NodeId[] {
  return [...c.detector.nodes].map(({ node }) => node).filter((node) => canTake(c, node));
}

/**
 * Whether a server may get a replica. One without a beacon to this leader is only believed to be
 * alive.
 */
function canTake(c: CureContext, node: NodeId): boolean {
  const state = c.detector.get(node);
  return state !== undefined && state.alive && state.incarnation !== 0 &&
    state.stats?.draining !== true && !c.drained.has(node) && !c.forgotten.has(node);
}

/** Primaries of the table, its replicas, all primaries, all replicas. */
function primaryCost(c: CureContext, table: TableState, node: NodeId): number[] {
  const ofTable = c.cluster.load(node, table.info.tableId);
  const all = c.cluster.load(node);
  return [ofTable.primaries, ofTable.replicas, all.primaries, all.replicas];
}

/** The element with the smallest cost, compared place by place; the first of equals. */
function best(nodes: readonly NodeId[], cost: (node: NodeId) => number[]): NodeId | undefined {
  let winner: { node: NodeId; cost: number[] } | undefined;
  for (const node of nodes) {
    const own = cost(node);
    if (winner === undefined || isSmaller(own, winner.cost)) winner = { node, cost: own };
  }
  return winner?.node;
}

function isSmaller(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return a[i]! < b[i]!;
  }
  return false;
}
