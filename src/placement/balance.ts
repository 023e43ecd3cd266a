// Carries out the balancer's plans, and remembers which servers are drained. Invariants: one round
// at a time, begun only while every partition is healthy; a round is nothing but per-partition lists
// of ordinary proposals, so an impossible step drops the rest of its list and the cure repairs; the
// drained servers are what the store has confirmed. Rules: docs/meta.md, "Balancer".

import { Err } from "../base/errors.ts";
import { NOBODY, type NodeId } from "../base/ids.ts";
import type { ConfigChange } from "../schema/types.ts";
import { type BalanceView, type Move, planRound } from "./balancer.ts";
import type { Action, PartitionState } from "./cluster_state.ts";
import { membersOf } from "./config_change.ts";
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
  write,
} from "./meta_state.ts";
import { DRAINED_PATH, drainedValue } from "./stored.ts";

/** Moves of one round: few enough that a death in the middle leaves little to repair. */
const ROUND_MOVES_MAX = 10;

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
  for (const { node, alive, stats } of reign.detector.nodes) {
    const { primaries, replicas } = reign.cluster.load(node);
    if (primaries + replicas === 0) continue;
    if (!alive) return `${node} is dead and still has partitions`;
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
  const members = membersOf(config);
  return config.primary !== NOBODY && members.length === replicaCount &&
    members.every((node) => reign.detector.isAlive(node));
}

/** What the planner sees: alive servers and all partitions. */
function viewOf(reign: Reign): BalanceView {
  const nodes = [...reign.detector.nodes].filter((n) => n.alive).map((n) => ({
    node: n.node,
    host: n.labels.get("host") ?? n.node.slice(0, n.node.lastIndexOf(":")),
    zone: n.labels.get("zone") ?? "",
    drained: isDrained(reign, n.node),
  }));
  const partitions = [...reign.cluster.tables.values()]
    .filter(({ info }) => info.status === "available")
    .flatMap(({ info, partitions }) =>
      partitions.map(({ partition, config: { primary, secondaries } }) => ({
        partition,
        table: info.tableId,
        primary,
        secondaries,
      }))
    );
  return { nodes, partitions };
}

/** Whether the server gets nothing new: an operator empties it, or it is about to end. */
export function isDrained(reign: Reign, node: NodeId): boolean {
  return reign.drained.nodes.has(node) || reign.detector.get(node)?.stats?.draining === true;
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
  reply<"balance">(s, token, {
    running: balance.running || allows(level, "lively"),
    waitsFor,
    moving,
    started: balance.started,
    next: waitsFor === "" ? planRound(viewOf(reign), ROUND_MOVES_MAX) : [],
  });
  if (action === "start") tickBalance(s, reign);
}

/** Ends a run; what is left of its moves is dropped, and the cure completes the partitions. */
export function stopBalance(reign: Reign): void {
  reign.balance.running = false;
  for (const table of reign.cluster.tables.values()) {
    for (const partition of table.partitions) {
      const isMoving = partition.actions[0]?.source === "balance";
      if (isMoving) reign.cluster.setActions(table, partition, []);
    }
  }
}

/** Marks a server as drained, or takes the mark away; answered once it is stored. */
export function onDrain(
  s: MetaState,
  reign: Reign,
  { node, drained }: MetaBody<"drain">,
  token: Token,
): void {
  const { nodes, version, busy } = reign.drained;
  const next = new Set(nodes);
  if (drained) next.add(node);
  else next.delete(node);
  if (drained && reign.detector.get(node) === undefined) {
    return fail(s, token, Err.OBJECT_NOT_FOUND, `No replica server "${node}" is known`);
  }
  if (next.size === nodes.size) return reply<"drain">(s, token, { drained: [...nodes] });
  if (busy) return fail(s, token, Err.BUSY, "Another server is being marked; try again");
  const alive = [...reign.detector.nodes].filter((other) => other.alive);
  if (drained && alive.every((other) => next.has(other.node))) {
    const text = `Every alive server would be drained; add one before "${node}" is drained`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  reign.drained.busy = true;
  reign.waiting.add(token);
  const value = drainedValue([...next]);
  const change = version < 0
    ? { op: "create" as const, path: DRAINED_PATH, value }
    : { op: "set" as const, path: DRAINED_PATH, value, version };
  write(s, reign, [change], ([stored]) => {
    reign.drained = { nodes: next, version: stored!, busy: false };
    reign.balance.nextAt = -Infinity;
    note(s, "drain", { node, drained });
    reply<"drain">(s, token, { drained: [...next] });
  });
}

/** Nothing asked for, nothing running. */
export function newBalance(): Reign["balance"] {
  return { running: false, started: 0, nextAt: -Infinity };
}
