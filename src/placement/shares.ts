// The picture of a cluster that the balancer plans on, and what each server has in it: counted once, then kept up
// to date move by move. Invariant: the counters always equal a recount of the partitions.

import type { NodeId, PartitionId, TableId } from "../base/ids.ts";
import { type Crowding, crowdingOf, leastCrowding, type Place } from "./domains.ts";

/** A server that is alive. */
export interface BalanceNode extends Place {
  readonly node: NodeId;
  /** It must give everything away and gets nothing. */
  readonly drained: boolean;
  /** It has no room for new replicas, or gets none because an operator said so. */
  readonly full: boolean;
  /** Partition p lives on shard p mod `shards`; at least 1. */
  readonly shards: number;
}

/** A healthy partition. */
export interface BalancePartition {
  readonly partition: PartitionId;
  readonly table: TableId;
  readonly primary: NodeId;
  readonly secondaries: readonly NodeId[];
  /** Data directory of the replica, by server, as far as known. */
  readonly disks: ReadonlyMap<NodeId, string>;
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

/** What a plan would be, as of some time ago. */
export interface Forecast {
  readonly next: readonly Move[];
  readonly rest: readonly Move[];
  /** The rest is cut off. */
  readonly isMore: boolean;
  /** Monotonic ms. */
  readonly until: number;
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

/** What a server, one of its shards or one of its disks has. */
export interface Counts {
  readonly primaries: number;
  readonly replicas: number;
}

type Counter = { -readonly [Name in keyof Counts]: number };

const NOTHING: Counts = { primaries: 0, replicas: 0 };

/** What one server has, in all and in its parts. */
class NodeShare {
  readonly all: Counter = { primaries: 0, replicas: 0 };
  readonly tables = new Map<TableId, Counter>();
  readonly shards = new Map<number, Counter>();
  readonly disks = new Map<string, Counter>();
}

/** See the file comment. */
export class Shares {
  readonly nodes: ReadonlyMap<NodeId, BalanceNode>;
  /** Servers that may have replicas, in the order of the view. */
  readonly targets: readonly NodeId[];
  readonly tables = new Map<TableId, Map<PartitionId, BalancePartition>>();
  readonly #tableOf = new Map<PartitionId, TableId>();
  readonly #nodes = new Map<NodeId, NodeShare>();
  readonly #least = new Map<number, Crowding>();

  constructor(view: BalanceView) {
    this.nodes = new Map(view.nodes.map((node) => [node.node, node]));
    this.targets = view.nodes.filter(({ drained }) => !drained).map(({ node }) => node);
    for (const p of view.partitions) {
      let table = this.tables.get(p.table);
      if (table === undefined) this.tables.set(p.table, table = new Map());
      table.set(p.partition, p);
      this.#tableOf.set(p.partition, p.table);
      this.#count(p, 1);
    }
  }

  /** Takes a move as done. */
  apply(move: Move): void {
    const table = this.tables.get(this.#tableOf.get(move.partition)!)!;
    const p = table.get(move.partition)!;
    const next = afterMove(p, move);
    this.#count(p, -1);
    this.#count(next, 1);
    table.set(move.partition, next);
  }

  /** A partition as it is after the moves. */
  get(partition: PartitionId): BalancePartition {
    return this.tables.get(this.#tableOf.get(partition)!)!.get(partition)!;
  }

  *all(): Generator<BalancePartition> {
    for (const table of this.tables.values()) yield* table.values();
  }

  isDrained(node: NodeId): boolean {
    return this.nodes.get(node)?.drained === true;
  }

  /** What a server has, of one table or of all. */
  of(node: NodeId, table?: TableId): Counts {
    const share = this.#nodes.get(node);
    return (table === undefined ? share?.all : share?.tables.get(table)) ?? NOTHING;
  }

  /** The shard of a server that serves the partition. */
  shardOf(node: NodeId, partition: PartitionId): number {
    return partition % (this.nodes.get(node)?.shards ?? 1);
  }

  /** What one shard of a server has. */
  ofShard(node: NodeId, shard: number): Counts {
    return this.#nodes.get(node)?.shards.get(shard) ?? NOTHING;
  }

  /** What the disk of a replica has; nothing if the disk is not known. */
  ofDisk(node: NodeId, { disks }: BalancePartition): Counts {
    const disk = disks.get(node);
    return (disk === undefined ? undefined : this.#nodes.get(node)?.disks.get(disk)) ?? NOTHING;
  }

  /** How much members share failure domains. */
  crowding(members: readonly NodeId[]): Crowding {
    return crowdingOf(members.map((node) => this.nodes.get(node)!));
  }

  /** What no partition with so many members can beat. */
  leastCrowding(members: number): Crowding {
    let least = this.#least.get(members);
    if (least === undefined) {
      least = leastCrowding(this.targets.map((node) => this.nodes.get(node)!), members);
      this.#least.set(members, least);
    }
    return least;
  }

  #count(p: BalancePartition, sign: 1 | -1): void {
    this.#countMember(p, p.primary, sign);
    for (const node of p.secondaries) this.#countMember(p, node, sign);
  }

  #countMember(p: BalancePartition, node: NodeId, sign: 1 | -1): void {
    let share = this.#nodes.get(node);
    if (share === undefined) this.#nodes.set(node, share = new NodeShare());
    const disk = p.disks.get(node);
    const counters = [
      share.all,
      counterOf(share.tables, p.table),
      counterOf(share.shards, this.shardOf(node, p.partition)),
    ];
    if (disk !== undefined) counters.push(counterOf(share.disks, disk));
    for (const counter of counters) {
      counter.replicas += sign;
      if (node === p.primary) counter.primaries += sign;
    }
  }
}

function counterOf<Key>(counters: Map<Key, Counter>, key: Key): Counter {
  let counter = counters.get(key);
  if (counter === undefined) counters.set(key, counter = { primaries: 0, replicas: 0 });
  return counter;
}

/** Members of a partition, its primary first. */
export function membersIn(p: BalancePartition): NodeId[] {
  return [p.primary, ...p.secondaries];
}
