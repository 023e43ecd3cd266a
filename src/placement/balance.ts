// Carries out the balancer's plans. Invariants: one round at a time, begun only while every partition
// is healthy; a round is nothing but per-partition lists of ordinary proposals, so an impossible step
// drops the rest of its list and the cure repairs. Rules: docs/meta.md, "Balancer".

import { Err } from "../base/errors.ts";
import { formatPartition, NOBODY, type NodeId } from "../base/ids.ts";
import type { ConfigChange, PartitionConfig } from "../schema/types.ts";
import { planAll, planRound } from "./balancer.ts";
import type { Action, PartitionState } from "./cluster_state.ts";
import { membersOf } from "./config_change.ts";
import { crowdingOf, placeOf } from "./domains.ts";
import { isDrained } from "./drain.ts";
import { isFull } from "./failure_detector.ts";
import { startActions } from "./cure.ts";
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
import type { BalanceView, Forecast, Move } from "./shares.ts";

/** Moves of one round: few enough that a death in the middle leaves little to repair. */
const ROUND_MOVES_MAX = 10;

/** Moves a plan shows at most. */
const PLAN_MOVES_MAX = 1000;

/** Moves times servers and partitions that a plan may take. */
const PLAN_WORK = 300_000;

/** A forecast is kept for 1 ms per so many servers and partitions: 1 s with 10,000. */
const FORECAST_ITEMS_PER_MS = 10;

/** Between rounds, ms: a round that failed must not be repeated in a busy loop. */
const ROUND_PAUSE_MS = 1000;

/** Begins the next round when the one before is done and there is a reason to. */
export function tickBalance(s: MetaState, reign: Reign): void {
  const { balance } = reign;
  const level = levelNow(s, reign);
  if (!allows(level, "steady") || s.now.mono < balance.nextAt) return;
  const everything = balance.running || allows(level, "lively");
  if (!everything && reign.drained.nodes.size === 0) return;
  if (obstacle(reign) !== undefined) return;
  balance.nextAt = s.now.mono + ROUND_PAUSE_MS;
  const moves = planRound(viewOf(reign), ROUND_MOVES_MAX, !everything);
  if (moves.length === 0) {
    if (balance.running) note(s, "balance", { done: true, started: balance.started });
    balance.running = false;
    return;
  }
  balance.started += moves.length;
  note(s, "balance", { done: false, moves: moves.length });
  for (const move of moves) {
    const { table, partition } = reign.cluster.partition(move.partition)!;
    startActions(s, reign, table, partition, actionsOf(move, partition, s.now.mono));
  }
}

/** Why no round may begin now; `undefined` if one may. */
function obstacle(reign: Reign): string | undefined {
  for (const { node, alive, incarnation, stats } of reign.detector.nodes) {
    const { primaries, replicas } = reign.cluster.load(node);
    if (primaries + replicas === 0) continue;
    if (!alive) return `${node} is dead and still has partitions`;
    // A new leader only believes that it is alive, and knows neither its labels nor its shards.
    if (incarnation === 0) return `${node} has not reported yet`;
    if (stats?.draining === true) return `${node} is about to end`;
  }
  let moving = 0;
  let unhealthy = 0;
  for (const { info, busy, partitions } of reign.cluster.tables.values()) {
    if (info.status === "dropped") continue;
    if (busy || info.status !== "available") return `Table "${info.name}" is being changed`;
    for (const p of partitions) {
      if (p.inFlight !== undefined || p.actions.length > 0) moving++;
      else if (!isHealthy(reign, p, info.maxReplicaCount)) unhealthy++;
    }
  }
  if (moving > 0) return `${moving} partitions are being changed`;
  return unhealthy > 0 ? `${unhealthy} partitions are not healthy` : undefined;
}

function isHealthy(reign: Reign, { config }: PartitionState, replicaCount: number): boolean {
  return isWhole(reign, config) && membersOf(config).length === replicaCount;
}

/** Whether somebody leads and every member is alive. */
function isWhole(reign: Reign, config: PartitionConfig): boolean {
  return config.primary !== NOBODY &&
    membersOf(config).every((node) => reign.detector.isAlive(node));
}

/** What the planner sees: alive servers that were heard, and the partitions that are whole on them. */
function viewOf(reign: Reign): BalanceView {
  const heard = [...reign.detector.nodes].filter((n) => n.alive && n.incarnation !== 0);
  const names = new Set(heard.map((n) => n.node));
  const nodes = heard.map((n) => ({
    ...placeOf(n.node, n.labels),
    node: n.node,
    drained: isDrained(reign, n.node),
    full: isFull(n) || reign.blackList.nodes.has(n.node),
    shards: Math.max(1, n.shardPorts.length),
  }));
  const partitions = [...reign.cluster.tables.values()]
    .filter(({ info }) => info.status === "available")
    .flatMap(({ info, partitions }) =>
      partitions.filter(({ config }) => {
        return isWhole(reign, config) && membersOf(config).every((node) => names.has(node));
      }).map((state) => {
        const { partition, config: { primary, secondaries }, reports } = state;
        const disks = new Map([...reports].map(([node, { disk }]) => [node, disk]));
        return { partition, table: info.tableId, primary, secondaries, disks };
      })
    );
  return { nodes, partitions };
}

/** The steps of a move, each by whoever leads then. */
function actionsOf(move: Move, { config }: PartitionState, now: number): Action[] {
  const { from, to } = move;
  const step = (change: ConfigChange, target: NodeId, node: NodeId): Action => {
    return { change, target, node, source: "balance", since: now, sentAt: -Infinity };
  };
  const pass = [step("DOWNGRADE_TO_SECONDARY", from, from), step("UPGRADE_TO_PRIMARY", to, to)];
  switch (move.kind) {
    case "movePrimary":
      return pass;
    case "copyPrimary":
      return [step("ADD_SECONDARY_FOR_LB", from, to), ...pass, step("REMOVE", to, from)];
    case "copySecondary":
      return [
        step("ADD_SECONDARY_FOR_LB", config.primary, to),
        step("REMOVE", config.primary, from),
      ];
  }
}

/** How far a plan looks ahead: planning has to fit between two beacons, also in a large cluster. */
function planLimit({ nodes, partitions }: BalanceView): number {
  return Math.max(
    20,
    Math.min(PLAN_MOVES_MAX, Math.floor(PLAN_WORK / (nodes.length + partitions.length))),
  );
}

/**
 * The next round, and everything up to equal shares. While something moves there is no plan, but what would be
 * left of one tells how far it is. Kept for a while that grows with the cluster: pages ask again and again.
 */
function forecast(s: MetaState, reign: Reign): Forecast {
  const kept = reign.balance.forecast;
  if (kept !== undefined && s.now.mono < kept.until) return kept;
  const view = viewOf(reign);
  const movesMax = planLimit(view);
  const rest = planAll(view, movesMax);
  const made = {
    next: planRound(view, ROUND_MOVES_MAX),
    rest,
    isMore: rest.length >= movesMax,
    until: s.now.mono + (view.nodes.length + view.partitions.length) / FORECAST_ITEMS_PER_MS,
  };
  reign.balance.forecast = made;
  return made;
}

/** Shows, starts or stops balancing; always answers with what the next round would be. */
export function onBalance(
  s: MetaState,
  reign: Reign,
  { action }: MetaBody<"balance">,
  token: Token,
): void {
  const { balance } = reign;
  const level = levelNow(s, reign);
  if (action === "start") {
    if (!allows(level, "steady")) return fail(s, token, Err.STATE_FREEZED, levelText(s, reign));
    if (!balance.running) balance.started = 0;
    balance.running = true;
    balance.nextAt = -Infinity;
  } else if (action === "stop") stopBalance(reign);
  let moving = 0;
  for (const { partitions } of reign.cluster.tables.values()) {
    for (const { actions } of partitions) if (actions[0]?.source === "balance") moving++;
  }
  const waitsFor = allows(level, "steady") ? obstacle(reign) ?? "" : levelText(s, reign);
  const { next, rest, isMore } = forecast(s, reign);
  reply<"balance">(s, token, {
    running: balance.running || allows(level, "lively"),
    waitsFor,
    moving,
    started: balance.started,
    next: action === "plan" ? [...rest] : waitsFor === "" ? [...next] : [],
    remaining: Math.max(0, rest.length - moving),
    isMore,
  });
  if (action === "start") tickBalance(s, reign);
}

/** Begins one move that an operator wants. */
export function onMoveReplica(
  s: MetaState,
  reign: Reign,
  { move }: MetaBody<"moveReplica">,
  token: Token,
): void {
  if (!allows(levelNow(s, reign), "steady")) {
    return fail(s, token, Err.STATE_FREEZED, levelText(s, reign));
  }
  const found = reign.cluster.partition(move.partition);
  const name = formatPartition(move.partition);
  if (found === undefined || found.table.info.status !== "available") {
    return fail(s, token, Err.OBJECT_NOT_FOUND, `There is no partition ${name}`);
  }
  const { table, partition } = found;
  if (partition.inFlight !== undefined || partition.actions.length > 0) {
    return fail(s, token, Err.BUSY, `${name} is being changed; try again`);
  }
  const refusal = refusalOf(reign, table.info.maxReplicaCount, partition, move);
  if (refusal !== undefined) return fail(s, token, Err.INVALID_ARGUMENT, `${name}: ${refusal}`);
  note(s, "balance", { done: false, moves: 1 });
  startActions(s, reign, table, partition, actionsOf(move, partition, s.now.mono));
  reply<"moveReplica">(s, token, {});
}

/** Why a move cannot be made; `undefined` if it can. */
function refusalOf(
  reign: Reign,
  replicaCount: number,
  partition: PartitionState,
  { kind, from, to }: Move,
): string | undefined {
  const { config } = partition;
  if (!isHealthy(reign, partition, replicaCount)) return "it is not whole, nothing moves";
  const role = kind === "copySecondary" ? "secondary" : "primary";
  const isFrom = role === "primary" ? config.primary === from : config.secondaries.includes(from);
  if (!isFrom) return `${from} is not its ${role}`;
  if (isDrained(reign, to)) return `${to} is being drained`;
  if (kind === "movePrimary") {
    return config.secondaries.includes(to) ? undefined : `${to} is not its secondary`;
  }
  const state = reign.detector.get(to);
  if (membersOf(config).includes(to)) return `${to} is a member already`;
  if (state?.alive !== true) return `${to} is not alive`;
  if (isFull(state)) return `${to} has no room for new replicas`;
  if (reign.blackList.nodes.has(to)) return `${to} is on the black list`;
  const places = (members: readonly NodeId[]) =>
    members.map((node) => placeOf(node, reign.detector.get(node)?.labels ?? new Map()));
  const [before] = crowdingOf(places(membersOf(config)));
  const [after] = crowdingOf(places(membersOf(config).map((node) => node === from ? to : node)));
  return after > before ? `the host of ${to} has a member already` : undefined;
}

/** Ends a run; what is left of its moves is dropped, and the cure completes the partitions. */
function stopBalance(reign: Reign): void {
  reign.balance.running = false;
  for (const table of reign.cluster.tables.values()) {
    for (const partition of table.partitions) {
      const isMoving = partition.actions[0]?.source === "balance";
      if (isMoving) reign.cluster.setActions(table, partition, []);
    }
  }
}

/** Nothing asked for, nothing running. */
export function newBalance(): Reign["balance"] {
  return { running: false, started: 0, nextAt: -Infinity, forecast: undefined };
}
