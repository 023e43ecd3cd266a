// Faults in several steps: what chance alone puts in the right order too rarely. Each one aims at one rule of
// the protocol that would otherwise hardly ever be the only thing between a run and a violation
// (docs/testing.md, "Simulator"). They use the same means as faults.ts and end by themselves.

import { NOBODY, type NodeId } from "../../src/base/ids.ts";
import { PEER_RPC } from "../../src/schema/replica_rpc.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import type { ReplicaCore } from "../../src/replication/replica.ts";
import type { Prng } from "../../src/base/prng.ts";
import { between, logUniform } from "./chance.ts";
import type { Env } from "./env.ts";
import type { Machine } from "./machine.ts";
import type { CrashKind } from "./watched.ts";

/** What plots need of Faults. */
export interface Stage {
  readonly env: Env;
  machine(id: NodeId): Machine | undefined;
  /** @param downMs How long it stays down. @default By chance, also longer than any grace period */
  crash(chance: Prng, machine: Machine, kind: CrashKind, downMs?: number): void;
  /** Whether anything here could take the end of a log. */
  readonly canLoseEnd: boolean;
  /**
   * A server loses the end of its log and is back soon.
   *
   * @param absent Who is down without having lost anything.
   * @returns False if that would be more than the cluster promises to bear: nothing happened.
   */
  loseEnd(chance: Prng, machine: Machine, downMs: number, absent: readonly NodeId[]): boolean;
  cut(pairs: readonly [NodeId, NodeId][], forMs: number): void;
  later(ms: number, act: () => void): void;
  slowStore(delayMs: number, forMs: number): void;
  suspendLeader(forMs: number): NodeId | undefined;
}

/** Most polls for a new primary, 2 ms each. */
const POLLS = 3000;

/**
 * A primary dies, perhaps while one of its secondaries hears nothing of the last prepares, and soon after it
 * its successor: what only one member logged must not come back (S8, truncation and barrier), and what all
 * had logged must stay although it was prepared again only in part (S7).
 */
export function killTwoPrimaries(stage: Stage, chance: Prng): void {
  const config = somePartition(stage.env, chance);
  const first = stage.machine(config?.primary ?? NOBODY);
  if (config === undefined || first === undefined || config.secondaries.length < 2) return;
  // Sometimes everybody hears everything: then the tail was committed and must stay.
  const deafMs = chance.chance(0.3) ? 0 : logUniform(chance, 5, 250);
  if (deafMs > 0) stage.cut([[first.id, chance.pick(config.secondaries)]], deafMs);
  stage.later(deafMs, () => {
    stage.crash(chance, first, "process");
    const untilMs = logUniform(chance, 0.1, 20);
    whenLed(stage, config, POLLS, (next) => {
      stage.later(untilMs, () => {
        const second = stage.machine(next.primary);
        if (second !== undefined) stage.crash(chance, second, "process");
      });
    });
  });
}

/** Two secondaries of a primary that dies at a bad moment, and what its successor leaves undone. */
interface HalfPlot {
  readonly stage: Stage;
  readonly chance: Prng;
  readonly config: PartitionConfig;
  readonly pair: readonly [NodeId, NodeId];
  /** Only one of the pair holds the last mutations, which nobody will have acknowledged. */
  readonly isGhost: boolean;
  readonly end: HalfEnd;
}

/**
 * A primary dies at a bad moment, and its successor prepares only one mutation again before it dies too. Two moments are
 * bad. Its clients know of two commits that its secondaries do not: the last member then holds [d@new, d+1@old], where
 * the fall of ballots proves nothing, and d+1 must stay (§10.2). Or only one secondary has logged its last two
 * mutations: if the other one leads, they are ghosts, the barrier replaces the first, and the second must go (§10.4).
 */
export function dieHalfPreparedAgain(stage: Stage, chance: Prng): void {
  waitForBadMoment(stage, chance, chance.chance(0.5), killSecond);
}

/** As above with ghosts, but the second primary lives, and the other one forgets that they are ghosts (§12.3). */
export function forgetGhosts(stage: Stage, chance: Prng): void {
  if (stage.canLoseEnd) waitForBadMoment(stage, chance, true, forgetGhost);
}

/**
 * What happens when the successor leads, or is readable if there are ghosts.
 *
 * @returns False to be asked again soon: the moment has not come.
 */
type HalfEnd = (plot: HalfPlot, primary: NodeId) => boolean;

/** How often an end is asked, every 2 ms. */
const END_POLLS = 200;

function waitForBadMoment(stage: Stage, chance: Prng, isGhost: boolean, end: HalfEnd): void {
  const config = somePartition(stage.env, chance);
  if (config === undefined || config.secondaries.length !== 2) return;
  const [a, b] = config.secondaries as [NodeId, NodeId];
  const plot: HalfPlot = { stage, chance, config, pair: [a, b], isGhost, end };
  if (isGhost) stage.cut([[config.primary, chance.pick([a, b])]], 600);
  const watch = (polls: number) => {
    const first = stage.machine(config.primary);
    if (polls === 0 || stage.env.healed || first === undefined) return;
    if (isBadMoment(plot)) strike(plot, first);
    else stage.later(0.3, () => watch(polls - 1));
  };
  watch(POLLS);
}

function coreOf({ stage, config }: HalfPlot, node: NodeId): ReplicaCore | undefined {
  return stage.machine(node)?.process?.replica(config.partition)?.core;
}

function isBadMoment(plot: HalfPlot): boolean {
  const { stage, config, pair } = plot;
  const primary = coreOf(plot, config.primary);
  const [one, other] = [coreOf(plot, pair[0]), coreOf(plot, pair[1])];
  if (primary?.status !== "primary" || primary.ballot !== config.ballot) return false;
  if (one === undefined || other === undefined) return false;
  if (plot.isGhost) return Math.abs(one.report().lastPrepared - other.report().lastPrepared) >= 2;
  const { ackedMax } = stage.env.watch.ghost(config.partition);
  const acked = Math.min(primary.committed, ackedMax);
  return acked - Math.max(one.committed, other.committed) >= 2;
}

/** How many prepares get through between the two. */
function setQuota({ stage, pair: [a, b] }: HalfPlot, count: number | undefined): void {
  for (const [from, to] of [[a, b], [b, a]] as const) {
    stage.env.network.setQuota(from, to, PEER_RPC.prepare, count);
  }
}

/** Longer than it takes until somebody else leads. */
function downMs({ stage, chance }: HalfPlot): number {
  return stage.env.swarm.graceMs + between(chance, 500, 5000);
}

function strike(plot: HalfPlot, first: Machine): void {
  const { stage, chance, config, isGhost } = plot;
  stage.env.coverage.hit(isGhost ? "plot.ghostTail" : "plot.halfPrepared");
  stage.crash(chance, first, "process", downMs(plot));
  if (!isGhost) setQuota(plot, 1);
  stage.later(15_000, () => setQuota(plot, undefined));
  whenLed(stage, config, POLLS, ({ primary }) => {
    // The reign after a ghost becomes readable and prepares nothing more; half a takeover must not.
    if (isGhost) setQuota(plot, 0);
    const end = (polls: number) => {
      if (stage.env.healed) return;
      const isDue = !isGhost || polls === 0 || coreOf(plot, primary)?.readable === true;
      const isOver = (isDue && plot.end(plot, primary)) || polls === 0;
      if (isOver) setQuota(plot, undefined);
      else stage.later(2, () => end(polls - 1));
    };
    stage.later(isGhost ? 2 : between(chance, 2, 50), () => end(END_POLLS));
  });
}

function killSecond(plot: HalfPlot, primary: NodeId): boolean {
  const second = plot.stage.machine(primary);
  if (second !== undefined) plot.stage.crash(plot.chance, second, "process", downMs(plot));
  return true;
}

/**
 * The member that held the ghosts loses the end of its log, and its primary begins another reign: the reconcile end of
 * that one does not drop the ghosts, but stands behind what replaced them.
 */
function forgetGhost(plot: HalfPlot, primary: NodeId): boolean {
  const { stage, chance, pair, config } = plot;
  const second = stage.machine(primary);
  const other = stage.machine(pair.find((node) => node !== primary)!);
  const core = coreOf(plot, primary);
  // Of its own log alone it must know, afterwards, that the barrier is committed.
  const isKnown = core !== undefined && core.report().lastPrepared > core.committed;
  if (second === undefined || other === undefined || !isKnown) return false;
  const soon = () => logUniform(chance, 5, 200);
  stage.crash(chance, second, "process", soon());
  if (stage.loseEnd(chance, other, soon(), [config.primary, primary])) {
    stage.env.coverage.hit("plot.ghostForgotten");
  }
  return true;
}

/** Waits until somebody else than `before.primary` leads at a larger ballot, and believes it. */
function whenLed(
  stage: Stage,
  before: PartitionConfig,
  polls: number,
  act: (config: PartitionConfig) => void,
): void {
  const { env } = stage;
  if (polls === 0 || env.healed) return;
  const config = env.watch.ghost(before.partition).newestConfig!;
  const { primary, ballot } = config;
  const replica = stage.machine(primary)?.process?.replica(before.partition);
  const leads = primary !== before.primary && replica?.core.status === "primary" &&
    replica.core.ballot === ballot;
  if (leads) return act(config);
  stage.later(2, () => whenLed(stage, before, polls - 1, act));
}

/**
 * A primary is cut off from meta until it is declared dead, and is back while its removal is on its way to a
 * slow store: meta may not tell it that it is still a member (S13, "Config sync").
 */
export function returnDuringRemoval(stage: Stage, chance: Prng): void {
  const { env } = stage;
  const machine = stage.machine(somePartition(env, chance)?.primary ?? NOBODY);
  if (machine === undefined) return;
  const backMs = env.swarm.graceMs + between(chance, -100, 300);
  const pairs = env.metas.flatMap((meta): [NodeId, NodeId][] => [
    [machine.id, meta],
    [meta, machine.id],
  ]);
  stage.cut(pairs, backMs);
  // Below what a leader needs to stay one.
  stage.later(backMs - 300, () => stage.slowStore(between(chance, 100, 380), 900));
}

/**
 * The leader of the metas sleeps as part of a virtual machine, so that its monotonic clock stands still, and a primary
 * reaches nobody but it. When it wakes, another one leads and has given the partition away: it may not prolong any
 * lease, although by its own clock its reign is young (S13).
 */
export function sleepingLeader(stage: Stage, chance: Prng): void {
  const { env } = stage;
  const primary = somePartition(env, chance)?.primary ?? NOBODY;
  const sleepMs = between(chance, 1000, 4000);
  const leader = primary === NOBODY ? undefined : stage.suspendLeader(sleepMs);
  if (leader === undefined) return;
  env.coverage.hit("plot.sleepingLeader");
  const pairs = env.metas.filter((meta) => meta !== leader).flatMap((meta): [NodeId, NodeId][] => [
    [primary, meta],
    [meta, primary],
  ]);
  stage.cut(pairs, sleepMs + 1500);
}

function somePartition(env: Env, chance: Prng): PartitionConfig | undefined {
  return env.watch.anyConfig(chance);
}
