// How one replica, or one leadership, less here becomes one more there: the moves that the stages of a plan are
// made of. Invariants: no move puts more members of a partition into one failure domain; of the partitions that
// would do, the one is taken that evens out shards, then disks. Rules: docs/meta.md, "Balancer".

import type { NodeId, PartitionId, TableId } from "../base/ids.ts";
import { compareCrowding } from "./domains.ts";
import { type BalancePartition, membersIn, type Move, type Shares } from "./shares.ts";

/** From one server to another. */
export interface Shift {
  readonly from: NodeId;
  readonly to: NodeId;
}

/** See the file comment. */
export class Shifts {
  readonly #shares: Shares;
  /** Partitions that move already. */
  readonly #taken: ReadonlySet<PartitionId>;

  constructor(shares: Shares, taken: ReadonlySet<PartitionId>) {
    this.#shares = shares;
    this.#taken = taken;
  }

  /** Whether the partition may have `to` instead of `from`. */
  canCopy(p: BalancePartition, { from, to }: Shift): boolean {
    const members = membersIn(p);
    if (!members.includes(from) || !this.canTake(p, to)) return false;
    const after = members.map((node) => node === from ? to : node);
    return compareCrowding(this.#shares.crowding(after), this.#shares.crowding(members)) <= 0;
  }

  /** Whether a server could be a new member. */
  canTake(p: BalancePartition, to: NodeId): boolean {
    const isMember = p.primary === to || p.secondaries.includes(to);
    return !isMember && this.#shares.nodes.get(to)?.full === false;
  }

  /**
   * One leadership less at `from`, one more at `to`: along a chain of servers that hold each
   * other's partitions, which copies nothing; otherwise with a copy as its last step.
   */
  primary(table: TableId, shift: Shift): Move[] {
    const led = this.#ledIn(table);
    const via = this.#reach(led, shift);
    const chain = chainTo(via, shift.to);
    if (chain.length > 0) return chain;
    for (const at of via.keys()) {
      const last = { from: at, to: shift.to };
      const copied = this.#favourite(led.get(at) ?? [], last);
      if (copied !== undefined) return [moveOf(copied, last), ...chainTo(via, at)];
    }
    return [];
  }

  /**
   * One replica less at `from`, one more at `to`, and primaries as equal as before: of a secondary; of a primary
   * where that evens out primaries; of a primary whose leadership is made up for by another one.
   */
  replica(table: TableId, shift: Shift): Move[] {
    const { from, to } = shift;
    const shares = this.#shares;
    const led = this.#ledIn(table).get(from) ?? [];
    const followed = [...shares.tables.get(table)!.values()]
      .filter((p) => p.secondaries.includes(from));
    const copied = this.#favourite(followed, shift);
    if (copied !== undefined) return [moveOf(copied, shift)];
    const p = this.#favourite(led, shift);
    if (p === undefined) return [];
    const isLower = shares.of(from, table).primaries > shares.of(to, table).primaries;
    if (isLower && shares.of(from).primaries > shares.of(to).primaries) return [moveOf(p, shift)];
    for (const other of shares.tables.keys()) {
      const isSame = other === table;
      const isHigher = shares.of(to, other).primaries > shares.of(from, other).primaries;
      if (!isSame && !(isLower && isHigher)) continue;
      const back = this.#pass(other, { from: to, to: from });
      if (back.length > 0) return [moveOf(p, shift), ...back];
    }
    return [];
  }

  /** Leaderships from server to server without a copy. */
  #pass(table: TableId, shift: Shift): Move[] {
    return chainTo(this.#reach(this.#ledIn(table), shift), shift.to);
  }

  /** Partitions of a table by who leads them. */
  #ledIn(table: TableId): Map<NodeId, BalancePartition[]> {
    const led = new Map<NodeId, BalancePartition[]>();
    for (const p of this.#shares.tables.get(table)!.values()) {
      const list = led.get(p.primary);
      if (list === undefined) led.set(p.primary, [p]);
      else list.push(p);
    }
    return led;
  }

  /** Servers a leadership can get to from `from` by being passed on, nearest first, and the last partition on the way. */
  #reach(
    led: ReadonlyMap<NodeId, readonly BalancePartition[]>,
    { from, to }: Shift,
  ): Map<NodeId, BalancePartition | undefined> {
    const via = new Map<NodeId, BalancePartition | undefined>([[from, undefined]]);
    for (const node of via.keys()) {
      const best = new Map<NodeId, { p: BalancePartition; cost: readonly number[] }>();
      for (const p of led.get(node) ?? []) {
        for (const next of p.secondaries) {
          if (via.has(next) || this.#shares.isDrained(next)) continue;
          const cost = this.#taste(p, { from: node, to: next });
          const known = best.get(next);
          if (known === undefined || compareCosts(cost, known.cost) < 0) {
            best.set(next, { p, cost });
          }
        }
      }
      for (const [next, { p }] of best) via.set(next, p);
      if (via.has(to)) break;
    }
    return via;
  }

  /** The partition to copy where several could be. */
  #favourite(partitions: readonly BalancePartition[], shift: Shift): BalancePartition | undefined {
    let best: { p: BalancePartition; cost: readonly number[] } | undefined;
    for (const p of partitions) {
      if (!this.canCopy(p, shift)) continue;
      const cost = this.#taste(p, shift);
      if (best === undefined || compareCosts(cost, best.cost) < 0) best = { p, cost };
    }
    return best?.p;
  }

  /**
   * What makes one partition a better choice than another: it does not move yet, so more fits into a round; it goes
   * from a full shard to an empty one; it leaves a full disk.
   */
  #taste(p: BalancePartition, { from, to }: Shift): readonly number[] {
    const shares = this.#shares;
    const isLed = p.primary === from;
    const shard = (node: NodeId) => shares.ofShard(node, shares.shardOf(node, p.partition));
    const [here, there] = [shard(from), shard(to)];
    return [
      Number(this.#taken.has(p.partition)),
      isLed ? there.primaries - here.primaries : there.replicas - here.replicas,
      isLed && p.secondaries.includes(to)
        ? shares.ofDisk(to, p).primaries - shares.ofDisk(from, p).primaries
        : -shares.ofDisk(from, p).replicas,
    ];
  }
}

/** The move that brings a partition from one server to another. */
export function moveOf(p: BalancePartition, { from, to }: Shift): Move {
  const kind = p.primary !== from
    ? "copySecondary"
    : p.secondaries.includes(to)
    ? "movePrimary"
    : "copyPrimary";
  return { partition: p.partition, kind, from, to };
}

/** Compares place by place. */
export function compareCosts(a: readonly number[], b: readonly number[]): number {
  const place = a.findIndex((value, i) => value !== b[i]);
  return place < 0 ? 0 : a[place]! - b[place]!;
}

/** The moves that lead to a server, the last one first. */
function chainTo(via: ReadonlyMap<NodeId, BalancePartition | undefined>, to: NodeId): Move[] {
  const moves: Move[] = [];
  let node = to;
  for (let p = via.get(node); p !== undefined; p = via.get(node)) {
    moves.push(moveOf(p, { from: p.primary, to: node }));
    node = p.primary;
  }
  return moves;
}
