// Where replicas should go so that servers carry equal shares: a pure plan over a picture of the cluster.
// Invariants: no step leaves a partition with fewer members, or more of them in one failure domain; every group of
// steps lowers an ordered list of imbalances (crowding, primaries per table, primaries, replicas per table,
// replicas, primaries per shard), so planning always ends. Rules: docs/meta.md, "Balancer".

import type { NodeId, PartitionId } from "../base/ids.ts";
import { compareCrowding } from "./domains.ts";
import { type BalancePartition, type BalanceView, membersIn, type Move, Shares } from "./shares.ts";
import { compareCosts, moveOf, type Shift, Shifts } from "./shifts.ts";

/**
 * One round: at most one move per partition, about `movesMax` in all; later rounds continue from
 * what this one brought. Empty = nothing to improve.
 *
 * @param drainOnly Only empty the drained servers.
 */
export function planRound(view: BalanceView, movesMax: number, drainOnly = false): Move[] {
  const plan = new Plan(view);
  const moves: Move[] = [];
  while (moves.length < movesMax) {
    const group = plan.next(drainOnly);
    // A partition that already moves in this round: its next step depends on how that ends.
    if (group.length === 0 || group.some(({ partition }) => plan.isTaken(partition))) break;
    for (const move of group) {
      plan.apply(move);
      moves.push(move);
    }
  }
  return moves;
}

/**
 * Everything up to equal shares, in order; a partition may move more than once.
 *
 * @param movesMax About so many moves at most; as many means that there may be more.
 */
export function planAll(view: BalanceView, movesMax: number, drainOnly = false): Move[] {
  const plan = new Plan(view);
  const moves: Move[] = [];
  while (moves.length < movesMax) {
    const group = plan.next(drainOnly);
    if (group.length === 0) break;
    for (const move of group) {
      plan.apply(move);
      moves.push(move);
    }
    plan.newRound();
  }
  return moves;
}

/** The picture as it will be after the moves chosen so far. */
class Plan {
  readonly #shares: Shares;
  readonly #taken = new Set<PartitionId>();
  readonly #shifts: Shifts;
  /** Partitions with members that may have to leave a drained server, or a shared failure domain. */
  readonly #toDrain = new Set<PartitionId>();
  readonly #toSpread = new Set<PartitionId>();

  constructor(view: BalanceView) {
    this.#shares = new Shares(view);
    this.#shifts = new Shifts(this.#shares, this.#taken);
    for (const { partition } of view.partitions) this.#watch(partition);
  }

  isTaken(partition: PartitionId): boolean {
    return this.#taken.has(partition);
  }

  apply(move: Move): void {
    this.#shares.apply(move);
    this.#taken.add(move.partition);
    this.#watch(move.partition);
  }

  #watch(partition: PartitionId): void {
    this.#toSpread.add(partition);
    const isDrained = (node: NodeId) => this.#shares.isDrained(node);
    if (membersIn(this.#shares.get(partition)).some(isDrained)) this.#toDrain.add(partition);
    else this.#toDrain.delete(partition);
  }

  /** Every partition may move again. */
  newRound(): void {
    this.#taken.clear();
  }

  /** The moves that belong together and come next. */
  next(drainOnly: boolean): Move[] {
    const drain = this.#drain();
    if (drain !== undefined) return [drain];
    if (drainOnly || this.#shares.targets.length < 2) return [];
    const spread = this.#spread();
    if (spread !== undefined) return [spread];
    const stages = [
      this.#tablePrimaries,
      this.#allPrimaries,
      this.#tableReplicas,
      this.#allReplicas,
      this.#shardPrimaries,
    ];
    for (const stage of stages) {
      const moves = stage.call(this);
      if (moves.length > 0) return moves;
    }
    return [];
  }

  /** Leaderships leave a drained server first: that costs nothing and keeps clients away. */
  #drain(): Move | undefined {
    const shares = this.#shares;
    const isDrained = (node: NodeId) => shares.isDrained(node);
    for (const partition of this.#toDrain) {
      const p = shares.get(partition);
      if (this.isTaken(partition) || !isDrained(p.primary)) continue;
      const to = this.#least(p.secondaries.filter((node) => !isDrained(node)), p);
      if (to !== undefined) return moveOf(p, { from: p.primary, to });
    }
    for (const partition of this.#toDrain) {
      if (this.isTaken(partition)) continue;
      const p = shares.get(partition);
      const from = p.secondaries.find(isDrained) ?? p.primary;
      const targets = shares.targets.filter((to) => this.#shifts.canCopy(p, { from, to }));
      const to = this.#least(targets, p);
      if (to !== undefined) return moveOf(p, { from, to });
      // Nobody has room, and nobody will have in this plan.
      this.#toDrain.delete(partition);
    }
    return undefined;
  }

  /** Members that share a host, a zone or a rack while there are others. */
  #spread(): Move | undefined {
    const shares = this.#shares;
    for (const partition of this.#toSpread) {
      const p = shares.get(partition);
      const members = membersIn(p);
      const before = shares.crowding(members);
      let best: { move: Move; cost: number[] } | undefined;
      const isSpread = compareCrowding(before, shares.leastCrowding(members.length)) === 0;
      // A secondary rather than the primary: that is one step less, and clients do not notice.
      for (const from of isSpread ? [] : [...p.secondaries, p.primary]) {
        for (const to of shares.targets) {
          if (!this.#shifts.canTake(p, to)) continue;
          const after = shares.crowding(members.map((node) => node === from ? to : node));
          if (compareCrowding(after, before) >= 0) continue;
          const cost = [...after, Number(from === p.primary), ...this.#load(to, p)];
          if (best === undefined || compareCosts(cost, best.cost) < 0) {
            best = { move: moveOf(p, { from, to }), cost };
          }
        }
      }
      if (best !== undefined) return best.move;
      this.#toSpread.delete(partition);
    }
    return undefined;
  }

  /** Primaries of each table within 1 of each other. */
  #tablePrimaries(): Move[] {
    for (const table of this.#shares.tables.keys()) {
      for (const shift of this.#pairs((node) => this.#shares.of(node, table).primaries)) {
        const moves = this.#shifts.primary(table, shift);
        if (moves.length > 0) return moves;
      }
    }
    return [];
  }

  /** All primaries within 1, by exchanging the places of the rests that tables leave. */
  #allPrimaries(): Move[] {
    const shares = this.#shares;
    for (const shift of this.#pairs((node) => shares.of(node).primaries)) {
      for (const table of shares.tables.keys()) {
        if (shares.of(shift.from, table).primaries <= shares.of(shift.to, table).primaries) {
          continue;
        }
        const moves = this.#shifts.primary(table, shift);
        if (moves.length > 0) return moves;
      }
    }
    return [];
  }

  #tableReplicas(): Move[] {
    for (const table of this.#shares.tables.keys()) {
      for (const shift of this.#pairs((node) => this.#shares.of(node, table).replicas)) {
        const moves = this.#shifts.replica(table, shift);
        if (moves.length > 0) return moves;
      }
    }
    return [];
  }

  #allReplicas(): Move[] {
    const shares = this.#shares;
    for (const shift of this.#pairs((node) => shares.of(node).replicas)) {
      for (const table of shares.tables.keys()) {
        if (shares.of(shift.from, table).replicas <= shares.of(shift.to, table).replicas) continue;
        const moves = this.#shifts.replica(table, shift);
        if (moves.length > 0) return moves;
      }
    }
    return [];
  }

  /**
   * Leaderships of one table that two servers exchange so that their shards have more equal shares. Every exchange
   * lowers the sum of squares of primaries per shard.
   */
  #shardPrimaries(): Move[] {
    const shares = this.#shares;
    const primaries = (node: NodeId, partition: PartitionId) =>
      shares.ofShard(node, shares.shardOf(node, partition)).primaries;
    for (const p of shares.all()) {
      const a = p.primary;
      if ((shares.nodes.get(a)?.shards ?? 1) < 2) continue;
      for (const b of p.secondaries) {
        // p goes from its shard of a to its shard of b, q the other way.
        const gain = primaries(a, p.partition) - primaries(b, p.partition);
        if (gain <= 0 || shares.isDrained(b)) continue;
        for (const q of shares.tables.get(p.table)!.values()) {
          if (q.primary !== b || !q.secondaries.includes(a)) continue;
          const isSame = shares.shardOf(a, p.partition) === shares.shardOf(a, q.partition) ||
            shares.shardOf(b, p.partition) === shares.shardOf(b, q.partition);
          if (isSame) continue;
          // Each shift lowers the squares by 2 (difference - 1).
          if (gain + primaries(b, q.partition) - primaries(a, q.partition) <= 2) continue;
          return [moveOf(p, { from: a, to: b }), moveOf(q, { from: b, to: a })];
        }
      }
    }
    return [];
  }

  /** Servers that differ by 2 or more, the most different first, as far as they are asked for. */
  *#pairs(count: (node: NodeId) => number): Generator<Shift> {
    const counted = this.#shares.targets.map((node) => ({ node, count: count(node) }));
    counted.sort((a, b) => a.count - b.count);
    for (let i = counted.length - 1; i > 0; i--) {
      for (const low of counted) {
        if (counted[i]!.count - low.count < 2) break;
        yield { from: counted[i]!.node, to: low.node };
      }
    }
  }

  #least(nodes: readonly NodeId[], p: BalancePartition): NodeId | undefined {
    let best: { node: NodeId; cost: number[] } | undefined;
    for (const node of nodes) {
      const cost = this.#load(node, p);
      if (best === undefined || compareCosts(cost, best.cost) < 0) best = { node, cost };
    }
    return best?.node;
  }

  /** For leaderships if the server is a member, otherwise for replicas. */
  #load(node: NodeId, p: BalancePartition): number[] {
    const shares = this.#shares;
    const [own, all] = [shares.of(node, p.table), shares.of(node)];
    return p.secondaries.includes(node)
      ? [own.primaries, all.primaries, all.replicas]
      : [own.replicas, all.replicas, all.primaries];
  }
}
