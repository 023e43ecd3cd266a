// Where replicas should go so that servers carry equal shares: a pure plan over a picture of the
// cluster. Invariants: no step leaves a partition with fewer members, hosts or zones than it had;
// every group of steps lowers an ordered list of imbalances (primaries per table, primaries,
// replicas per table, replicas), so planning always ends. Rules: docs/meta.md, "Balancer".

import type { NodeId, PartitionId, TableId } from "../base/ids.ts";

/** A server that is alive. */
export interface BalanceNode {
  readonly node: NodeId;
  /** Servers of one host or zone fail together. "" = not known. */
  readonly host: string;
  readonly zone: string;
  /** It must give everything away and gets nothing. */
  readonly drained: boolean;
}

/** A healthy partition. */
export interface BalancePartition {
  readonly partition: PartitionId;
  readonly table: TableId;
  readonly primary: NodeId;
  readonly secondaries: readonly NodeId[];
}

/** What a plan is made from. Every member is one of the nodes. */
export interface BalanceView {
  readonly nodes: readonly BalanceNode[];
  readonly partitions: readonly BalancePartition[];
}

/** How a replica moves; `copyPrimary` and `copySecondary` have one member more for a while. */
export type MoveKind = "movePrimary" | "copyPrimary" | "copySecondary";

/** One replica, or one leadership, goes from one server to another. */
export interface Move {
  readonly partition: PartitionId;
  readonly kind: MoveKind;
  readonly from: NodeId;
  readonly to: NodeId;
}

/** The partition after a move. */
export function afterMove(p: BalancePartition, move: Move): BalancePartition {
  const others = p.secondaries.filter((node) => node !== move.from && node !== move.to);
  switch (move.kind) {
    case "movePrimary":
      return { ...p, primary: move.to, secondaries: [...others, move.from] };
    case "copyPrimary":
      return { ...p, primary: move.to, secondaries: others };
    case "copySecondary":
      return { ...p, secondaries: [...others, move.to] };
  }
}

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

interface Counts {
  primaries: number;
  replicas: number;
}

/** The picture as it will be after the moves chosen so far. */
class Plan {
  readonly #nodes: ReadonlyMap<NodeId, BalanceNode>;
  readonly #targets: readonly NodeId[];
  readonly #tables = new Map<TableId, Map<PartitionId, BalancePartition>>();
  readonly #taken = new Set<PartitionId>();
  readonly #total = new Map<NodeId, Counts>();
  readonly #ofTable = new Map<TableId, Map<NodeId, Counts>>();

  constructor(view: BalanceView) {
    this.#nodes = new Map(view.nodes.map((node) => [node.node, node]));
    this.#targets = view.nodes.filter(({ drained }) => !drained).map(({ node }) => node);
    for (const p of view.partitions) {
      let table = this.#tables.get(p.table);
      if (table === undefined) this.#tables.set(p.table, table = new Map());
      table.set(p.partition, p);
      this.#count(p, 1);
    }
  }

  isTaken(partition: PartitionId): boolean {
    return this.#taken.has(partition);
  }

  apply(move: Move): void {
    for (const table of this.#tables.values()) {
      const p = table.get(move.partition);
      if (p === undefined) continue;
      const next = afterMove(p, move);
      this.#count(p, -1);
      this.#count(next, 1);
      table.set(move.partition, next);
      this.#taken.add(move.partition);
    }
  }

  /** The moves that belong together and come next. */
  next(drainOnly: boolean): Move[] {
    const drain = this.#drain();
    if (drain !== undefined) return [drain];
    if (drainOnly || this.#targets.length < 2) return [];
    for (const stage of [this.#tablePrimaries, this.#allPrimaries]) {
      const moves = stage.call(this);
      if (moves.length > 0) return moves;
    }
    const move = this.#tableReplicas() ?? this.#allReplicas();
    return move === undefined ? [] : [move];
  }

  /** Leaderships leave a drained server first: that costs nothing and keeps clients away. */
  #drain(): Move | undefined {
    const isDrained = (node: NodeId) => this.#nodes.get(node)?.drained === true;
    for (const p of this.#all()) {
      if (this.isTaken(p.partition) || !isDrained(p.primary)) continue;
      const to = this.#least(p.secondaries.filter((node) => !isDrained(node)), p.table);
      if (to !== undefined) return moveOf(p, p.primary, to);
    }
    for (const p of this.#all()) {
      if (this.isTaken(p.partition)) continue;
      const from = p.secondaries.find(isDrained) ?? (isDrained(p.primary) ? p.primary : undefined);
      if (from === undefined) continue;
      const to = this.#least(this.#targets.filter((node) => this.#canCopy(p, from, node)), p.table);
      if (to !== undefined) return moveOf(p, from, to);
    }
    return undefined;
  }

  /** Primaries of each table within 1 of each other. */
  #tablePrimaries(): Move[] {
    for (const table of this.#tables.keys()) {
      const count = (node: NodeId) => this.#counts(node, table).primaries;
      for (const [from, to] of this.#pairs(count)) {
        const moves = this.#shiftPrimary(table, from, to);
        if (moves.length > 0) return moves;
      }
    }
    return [];
  }

  /** All primaries within 1, by exchanging the places of the rests that tables leave. */
  #allPrimaries(): Move[] {
    for (const [from, to] of this.#pairs((node) => this.#counts(node).primaries)) {
      for (const table of this.#tables.keys()) {
        if (this.#counts(from, table).primaries <= this.#counts(to, table).primaries) continue;
        const moves = this.#shiftPrimary(table, from, to);
        if (moves.length > 0) return moves;
      }
    }
    return [];
  }

  #tableReplicas(): Move | undefined {
    for (const table of this.#tables.keys()) {
      for (const [from, to] of this.#pairs((node) => this.#counts(node, table).replicas)) {
        const move = this.#shiftReplica(table, from, to);
        if (move !== undefined) return move;
      }
    }
    return undefined;
  }

  #allReplicas(): Move | undefined {
    for (const [from, to] of this.#pairs((node) => this.#counts(node).replicas)) {
      for (const table of this.#tables.keys()) {
        if (this.#counts(from, table).replicas <= this.#counts(to, table).replicas) continue;
        const move = this.#shiftReplica(table, from, to);
        if (move !== undefined) return move;
      }
    }
    return undefined;
  }

  /**
   * One leadership less at `from`, one more at `to`: along a chain of servers that hold each
   * other's partitions, which copies nothing; otherwise by a copy.
   */
  #shiftPrimary(table: TableId, from: NodeId, to: NodeId): Move[] {
    const partitions = [...this.#tables.get(table)!.values()];
    // Those that do not move yet first: more fits into a round.
    partitions.sort((a, b) =>
      Number(this.isTaken(a.partition)) - Number(this.isTaken(b.partition))
    );
    const via = new Map<NodeId, BalancePartition | undefined>([[from, undefined]]);
    for (const node of via.keys()) {
      for (const p of partitions) {
        if (p.primary !== node) continue;
        for (const next of p.secondaries) {
          if (!via.has(next) && this.#targets.includes(next)) via.set(next, p);
        }
      }
    }
    const moves: Move[] = [];
    let node = to;
    for (let p = via.get(node); p !== undefined; p = via.get(node)) {
      moves.push(moveOf(p, p.primary, node));
      node = p.primary;
    }
    if (moves.length > 0) return moves;
    const copied = partitions.find((p) => p.primary === from && this.#canCopy(p, from, to));
    return copied === undefined ? [] : [moveOf(copied, from, to)];
  }

  /** One replica less at `from`, one more at `to`, without making primaries less equal. */
  #shiftReplica(table: TableId, from: NodeId, to: NodeId): Move | undefined {
    const partitions = [...this.#tables.get(table)!.values()].filter((p) =>
      this.#canCopy(p, from, to)
    );
    partitions.sort((a, b) =>
      Number(this.isTaken(a.partition)) - Number(this.isTaken(b.partition))
    );
    const copied = partitions.find((p) => p.primary !== from) ??
      partitions.find(() =>
        this.#counts(from, table).primaries > this.#counts(to, table).primaries &&
        this.#counts(from).primaries > this.#counts(to).primaries
      );
    return copied === undefined ? undefined : moveOf(copied, from, to);
  }

  /** Whether the partition may have `to` instead of `from`. */
  #canCopy(p: BalancePartition, from: NodeId, to: NodeId): boolean {
    const members = [p.primary, ...p.secondaries];
    if (!members.includes(from) || members.includes(to)) return false;
    const next = members.map((node) => node === from ? to : node);
    return this.#spread(next, "host") >= this.#spread(members, "host") &&
      this.#spread(next, "zone") >= this.#spread(members, "zone");
  }

  #spread(members: readonly NodeId[], what: "host" | "zone"): number {
    return new Set(members.map((node) => this.#nodes.get(node)?.[what] ?? "")).size;
  }

  /** Servers that differ by 2 or more, the most different first. */
  #pairs(count: (node: NodeId) => number): [NodeId, NodeId][] {
    const pairs: [NodeId, NodeId][] = [];
    for (const from of this.#targets) {
      for (const to of this.#targets) if (count(from) - count(to) >= 2) pairs.push([from, to]);
    }
    const gap = ([from, to]: [NodeId, NodeId]) => count(from) - count(to);
    return pairs.sort((a, b) => gap(b) - gap(a));
  }

  #least(nodes: readonly NodeId[], table: TableId): NodeId | undefined {
    const cost = (node: NodeId) => {
      const { primaries, replicas } = this.#counts(node, table);
      return [primaries, replicas, this.#counts(node).replicas];
    };
    const compare = (a: number[], b: number[]) => {
      const place = a.findIndex((value, i) => value !== b[i]);
      return place < 0 ? 0 : a[place]! - b[place]!;
    };
    return [...nodes].sort((a, b) => compare(cost(a), cost(b)))[0];
  }

  *#all(): Generator<BalancePartition> {
    for (const table of this.#tables.values()) yield* table.values();
  }

  #counts(node: NodeId, table?: TableId): Readonly<Counts> {
    return (table === undefined ? this.#total : this.#ofTable.get(table))?.get(node) ?? NOTHING;
  }

  #count(p: BalancePartition, sign: 1 | -1): void {
    let ofTable = this.#ofTable.get(p.table);
    if (ofTable === undefined) this.#ofTable.set(p.table, ofTable = new Map());
    for (const map of [this.#total, ofTable]) {
      for (const node of [p.primary, ...p.secondaries]) {
        let counts = map.get(node);
        if (counts === undefined) map.set(node, counts = { primaries: 0, replicas: 0 });
        counts.replicas += sign;
        if (node === p.primary) counts.primaries += sign;
      }
    }
  }
}

const NOTHING: Readonly<Counts> = { primaries: 0, replicas: 0 };

function moveOf(p: BalancePartition, from: NodeId, to: NodeId): Move {
  const kind = p.primary !== from
    ? "copySecondary"
    : p.secondaries.includes(to)
    ? "movePrimary"
    : "copyPrimary";
  return { partition: p.partition, kind, from, to };
}
