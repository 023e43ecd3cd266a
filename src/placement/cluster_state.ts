// Tables, partitions and load per server, as the store has confirmed them. Invariant: a
// configuration changes here only after the store accepted it, by `applyConfig`, with ballot + 1;
// the load counters always equal what a recount of all configurations and pending proposals would
// give. See docs/meta.md, "State".

import { assert } from "../base/assert.ts";
import { NOBODY, type NodeId, type PartitionId, partitionId, type TableId } from "../base/ids.ts";
import type { ConfigChange, PartitionConfig, ReplicaReport, TableInfo } from "../schema/types.ts";
import { membersOf } from "./config_change.ts";
import type { Token } from "./io.ts";

/**
 * A step that meta wants a server to start; repeated until it has happened or cannot happen any
 * more.
 */
export interface Action {
  readonly change: ConfigChange;
  /** Who is asked. */
  readonly target: NodeId;
  /** Whom the change is about. */
  readonly node: NodeId;
  readonly source: "cure" | "operator" | "balance";
  /** An operator gave the rows up; see ConfigProposal. */
  readonly empty?: boolean;
  /** Monotonic ms of its first proposal. */
  readonly since: number;
  sentAt: number;
}

/** A write of this partition's configuration that the store has not confirmed. */
export interface ChangeInFlight {
  readonly change: ConfigChange;
  readonly node: NodeId;
  readonly next: PartitionConfig;
  /** Who waits for the outcome, and what was asked; absent for meta's own changes. */
  token: Token | undefined;
  readonly requested: PartitionConfig | undefined;
  readonly from: NodeId;
}

/** A server that holds, or may hold, data of a partition without being a member. */
export interface Dropped {
  readonly node: NodeId;
  /** Monotonic ms when it was lost; -Infinity if it only reported a replica. */
  readonly at: number;
}

/** One partition. */
export interface PartitionState {
  readonly partition: PartitionId;
  config: PartitionConfig;
  /** Version of its node in the store. */
  version: number;
  inFlight: ChangeInFlight | undefined;
  /** The head is being proposed; the rest follows. Any impossible step drops all. */
  actions: Action[];
  /** Oldest first. */
  dropped: Dropped[];
  /** Candidate that brought nothing when it was asked last; others are preferred. */
  avoid: NodeId;
  /** Since when it has every member it should have, monotonic ms; Infinity = it has not. */
  wholeSince: number;
  /** Why nobody can lead it now, as last noted; "" otherwise. */
  stuck: string;
  /** What servers reported about their replicas, at their last config sync. */
  readonly reports: Map<NodeId, ReplicaReport>;
}

/** One table. */
export interface TableState {
  info: TableInfo;
  version: number;
  /**
   * Index i holds partition i; shorter than `partitionCount` only while the table is being created.
   */
  readonly partitions: PartitionState[];
  /** A change of the table itself is being written: no other one may begin. */
  busy: boolean;
}

/** Replicas per server. */
export interface Load {
  primaries: number;
  replicas: number;
}

interface NodeLoad extends Load {
  readonly tables: Map<TableId, Load>;
  /** Members being added to this server. */
  adding: number;
}

/** See the file comment. */
export class ClusterState {
  readonly tables = new Map<TableId, TableState>();
  /** Tables that own their name: all that are not dropped. */
  readonly #byName = new Map<string, TableState>();
  readonly #loads = new Map<NodeId, NodeLoad>();
  #lastTableId = 0;

  /** The number after all that were ever used. */
  takeTableId(): TableId {
    return ++this.#lastTableId;
  }

  byName(name: string): TableState | undefined {
    return this.#byName.get(name);
  }

  partition(id: PartitionId): { table: TableState; partition: PartitionState } | undefined {
    const table = this.tables.get(Math.floor(id / partitionId(1, 0)));
    const partition = table?.partitions[id % partitionId(1, 0)];
    return table === undefined || partition === undefined ? undefined : { table, partition };
  }

  /** Adds a table, or gives it a new stored form. */
  putTable(info: TableInfo, version: number): TableState {
    this.#lastTableId = Math.max(this.#lastTableId, info.tableId);
    let table = this.tables.get(info.tableId);
    if (table === undefined) {
      table = { info, version, partitions: [], busy: false };
      this.tables.set(info.tableId, table);
    } else {
      if (this.#byName.get(table.info.name) === table) this.#byName.delete(table.info.name);
      table.info = info;
      table.version = version;
    }
    if (info.status !== "dropped") this.#byName.set(info.name, table);
    return table;
  }

  /** Adds a partition as stored. They come in the order of their indices. */
  addPartition(table: TableState, config: PartitionConfig, version: number): void {
    const id = partitionId(table.info.tableId, table.partitions.length);
    assert(config.partition === id, "Partitions out of order", { id, got: config.partition });
    table.partitions.push({
      partition: id,
      config,
      version,
      inFlight: undefined,
      actions: [],
      dropped: [],
      avoid: NOBODY,
      stuck: "",
      wholeSince: Infinity,
      reports: new Map(),
    });
    this.#count(table.info.tableId, config, 1);
  }

  /** Makes a stored configuration the current one. `now`: monotonic ms. */
  applyConfig(
    table: TableState,
    partition: PartitionState,
    next: PartitionConfig,
    version: number,
    now: number,
  ): void {
    const before = partition.config;
    assert(next.ballot === before.ballot + 1, "A ballot was skipped", {
      partition: partition.partition,
      before: before.ballot,
      next: next.ballot,
    });
    this.#count(table.info.tableId, before, -1);
    this.#count(table.info.tableId, next, 1);
    partition.config = next;
    partition.wholeSince = Infinity;
    partition.version = version;
    const members = membersOf(next);
    const lost = membersOf(before).filter((node) => !members.includes(node));
    partition.dropped = [
      ...partition.dropped.filter(({ node }) => !members.includes(node) && !lost.includes(node)),
      ...lost.map((node) => ({ node, at: now })),
    ].slice(-(next.maxReplicaCount + 1));
    if (members.includes(partition.avoid)) partition.avoid = NOBODY;
  }

  /** Replaces the list of actions; their expected effect counts as load. */
  setActions(table: TableState, partition: PartitionState, actions: Action[]): void {
    for (const action of partition.actions) this.#countAction(table.info.tableId, action, -1);
    partition.actions = actions;
    for (const action of actions) this.#countAction(table.info.tableId, action, 1);
  }

  /** Load of a server; `table` restricts it to one table. */
  load(node: NodeId, table?: TableId): Readonly<Load> {
    const load = this.#loads.get(node);
    return (table === undefined ? load : load?.tables.get(table)) ?? NO_LOAD;
  }

  /** Members being added to a server now. */
  adding(node: NodeId): number {
    return this.#loads.get(node)?.adding ?? 0;
  }

  #count(table: TableId, config: PartitionConfig, sign: 1 | -1): void {
    if (config.primary !== NOBODY) this.#add(config.primary, table, sign, sign);
    for (const node of config.secondaries) this.#add(node, table, 0, sign);
  }

  #countAction(table: TableId, action: Action, sign: 1 | -1): void {
    switch (action.change) {
      case "ASSIGN_PRIMARY":
        return this.#add(action.node, table, sign, sign);
      case "UPGRADE_TO_PRIMARY":
        return this.#add(action.node, table, sign, 0);
      case "ADD_SECONDARY":
      case "ADD_SECONDARY_FOR_LB":
        this.#add(action.node, table, 0, sign);
        this.#loads.get(action.node)!.adding += sign;
        return;
      default:
        return;
    }
  }

  #add(node: NodeId, table: TableId, primaries: number, replicas: number): void {
    let load = this.#loads.get(node);
    if (load === undefined) {
      load = { primaries: 0, replicas: 0, tables: new Map(), adding: 0 };
      this.#loads.set(node, load);
    }
    let ofTable = load.tables.get(table);
    if (ofTable === undefined) load.tables.set(table, ofTable = { primaries: 0, replicas: 0 });
    for (const counter of [load, ofTable]) {
      counter.primaries += primaries;
      counter.replicas += replicas;
    }
  }
}

const NO_LOAD: Readonly<Load> = { primaries: 0, replicas: 0 };
