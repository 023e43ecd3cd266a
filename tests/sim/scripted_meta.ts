// A stand-in for the meta server in worlds that are about replicas: it keeps the rules of configurations
// (ballot + 1, stored before visible, one change in flight, lease before verdict) and otherwise behaves
// badly: it proposes at random, repeats itself, moves primaries for no reason. The real one is MetaCore.

import { Err } from "../../src/base/errors.ts";
import { type NodeId, type PartitionId, partitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import {
  Beacon,
  ConfigProposal,
  ConfigSync,
  QueryConfig,
  UpdateConfig,
} from "../../src/schema/meta_rpc.ts";
import type { RequestOf, Rpc } from "../../src/schema/rpc.ts";
import type {
  ConfigChange,
  PartitionConfig,
  ReplicaReport,
  TableInfo,
} from "../../src/schema/types.ts";
import { between, heavyTail } from "./chance.ts";
import { NodeClock } from "./clocks.ts";
import { type Env, WALL_START } from "./env.ts";
import type { MetaSide } from "./faults.ts";
import { type Responder, SimRpc } from "./rpc.ts";
import { membersOf } from "./watch_config.ts";

/** The table of scripted worlds. */
export const TABLE_ID = 1;

/** See the file comment. */
export class ScriptedMeta implements MetaSide {
  readonly id: NodeId;
  readonly #env: Env;
  readonly #rpc: SimRpc;
  readonly #clock: NodeClock;
  readonly #chance: Prng;
  readonly #configs = new Map<PartitionId, PartitionConfig>();
  readonly #inflight = new Map<PartitionId, NodeId>();
  /** When each server was heard last, monotonic ms of this machine. */
  readonly #heard = new Map<NodeId, number>();
  /** Newest incarnation of each server. */
  readonly #lives = new Map<NodeId, number>();
  readonly #reports = new Map<NodeId, readonly ReplicaReport[]>();
  readonly #dead = new Set<NodeId>();
  readonly #table: TableInfo;

  constructor(env: Env, id: NodeId) {
    this.id = id;
    this.#env = env;
    this.#chance = env.chance.stream("meta");
    this.#clock = new NodeClock(() => env.scheduler.now, 1000, WALL_START);
    this.#rpc = new SimRpc(this, id, env.network, env.scheduler);
    const { partitions, replicaCount } = env.swarm;
    this.#table = {
      tableId: TABLE_ID,
      name: "t",
      status: "available",
      partitionCount: partitions,
      maxReplicaCount: replicaCount,
      envs: new Map(),
      createdAt: 0,
      droppedAt: 0,
      expiresAt: 0,
      revision: 0,
    };
    for (let index = 0; index < partitions; index++) {
      const config: PartitionConfig = {
        partition: partitionId(TABLE_ID, index),
        ballot: 0,
        primary: "",
        secondaries: [],
        lastDrops: [],
        maxReplicaCount: replicaCount,
        committedHint: 0,
      };
      this.#configs.set(config.partition, config);
      env.watch.configStored(config);
    }
    this.#handle();
    env.network.attach(id, this.#rpc);
    this.#tick();
  }

  /** It has no faults of its own. */
  crashOne(): void {}

  disturbStore(): void {}
  slowStore(): void {}
  suspendLeader(): undefined {}

  heal(): void {}

  #handle(): void {
    const rpc = this.#rpc;
    rpc.handle(Beacon, (_from, body, responder) => {
      const { node, sentAt, incarnation } = body as RequestOf<typeof Beacon>;
      this.#lives.set(node, Math.max(incarnation, this.#lives.get(node) ?? 0));
      this.#heard.set(node, this.#clock.now().mono);
      // A verdict is final until the server comes back by itself: this beacon is that.
      this.#dead.delete(node);
      reply(responder, Beacon, {
        ...{ sentAt, isLeader: true, leader: this.id, allowed: true, syncHint: 0 },
        ...{ store: "", wantsStored: false },
      });
    });
    rpc.handle(ConfigSync, (_from, body, responder) => {
      this.#configSync(body as RequestOf<typeof ConfigSync>, responder);
    });
    rpc.handle(UpdateConfig, (_from, body, responder) => {
      this.#updateConfig(body as RequestOf<typeof UpdateConfig>, responder);
    });
    rpc.handle(QueryConfig, (_from, _body, responder) => {
      reply(responder, QueryConfig, {
        tableId: TABLE_ID,
        partitionCount: this.#table.partitionCount,
        partitions: [...this.#configs.values()],
        nodes: [],
      });
    });
  }

  #configSync({ node, replicas }: RequestOf<typeof ConfigSync>, responder: Responder): void {
    this.#reports.set(node, replicas);
    if ([...this.#inflight.values()].includes(node)) return responder.fail(Err.BUSY);
    const configs = [...this.#configs.values()].filter((c) => membersOf(c).includes(node));
    const useless = replicas.filter((report) => {
      const config = this.#configs.get(report.partition);
      return config !== undefined && config.primary !== "" && report.ballot < config.ballot &&
        membersOf(config).length >= config.maxReplicaCount && !membersOf(config).includes(node);
    });
    const garbage = useless.map((report) => report.partition);
    const tables = [this.#table];
    reply(responder, ConfigSync, { configs, tables, garbage, nodes: [], handOver: 0 });
  }

  #updateConfig(request: RequestOf<typeof UpdateConfig>, responder: Responder): void {
    const { config, node } = request;
    const current = this.#configs.get(config.partition);
    const answer = (error: number, config: PartitionConfig | undefined) =>
      reply(responder, UpdateConfig, { error, config });
    if (current === undefined) return answer(Err.OK, undefined);
    if (sameConfig(current, config)) return answer(Err.OK, current);
    if (config.ballot !== current.ballot + 1) return answer(Err.INVALID_VERSION, current);
    if (this.#inflight.has(config.partition)) return;
    this.#store(config, node, () => answer(Err.OK, config));
  }

  /** Persists, then makes visible. */
  #store(config: PartitionConfig, node: NodeId, then: () => void): void {
    this.#inflight.set(config.partition, node);
    const delay = heavyTail(this.#chance, 2, this.#env.healed ? 20 : 800);
    this.#env.scheduler.after(delay, "store", this, () => {
      this.#inflight.delete(config.partition);
      this.#env.watch.configStored(config);
      this.#env.coverage.hit("meta.stored");
      this.#configs.set(config.partition, config);
      then();
      this.#cure(config.partition);
    });
  }

  #tick(): void {
    this.#env.scheduler.after(50, "meta tick", this, () => {
      this.#tick();
      this.#detect();
      for (const partition of this.#configs.keys()) {
        if (this.#chance.chance(0.3)) this.#cure(partition);
      }
    });
  }

  #detect(): void {
    const now = this.#clock.now().mono;
    for (const [node, heard] of this.#heard) {
      if (now - heard <= this.#env.swarm.graceMs) continue;
      this.#dead.add(node);
      this.#reports.delete(node);
    }
    for (const config of this.#configs.values()) {
      if (!this.#dead.has(config.primary) || this.#inflight.has(config.partition)) continue;
      this.#env.coverage.hit("meta.primaryDead");
      const lastDrops = [...config.lastDrops.filter((n) => n !== config.primary), config.primary];
      this.#store(
        {
          ...config,
          ballot: config.ballot + 1,
          primary: "",
          lastDrops: lastDrops.slice(-3),
        },
        config.primary,
        () => {},
      );
    }
  }

  #alive(): NodeId[] {
    return [...this.#heard.keys()].filter((node) => !this.#dead.has(node));
  }

  /** One step towards a healthy partition (docs/meta.md, "Cure"). */
  #cure(partition: PartitionId): void {
    const config = this.#configs.get(partition)!;
    if (this.#inflight.has(partition)) return;
    const alive = this.#alive();
    const members = membersOf(config);
    if (config.primary === "") {
      const candidates = config.secondaries.filter((node) => alive.includes(node));
      if (candidates.length > 0) {
        return this.#propose("UPGRADE_TO_PRIMARY", this.#chance.pick(candidates), config);
      }
      if (config.secondaries.length > 0 || alive.length === 0) return;
      const chosen = config.lastDrops.length === 0
        ? this.#chance.pick(alive)
        : this.#lastHolder(config, alive);
      if (chosen === undefined) return;
      return this.#propose("ASSIGN_PRIMARY", chosen, config);
    }
    const dead = config.secondaries.find((node) => this.#dead.has(node));
    if (dead !== undefined) return this.#propose("DOWNGRADE_TO_INACTIVE", dead, config);
    if (members.length > config.maxReplicaCount) {
      return this.#propose("REMOVE", this.#chance.pick(config.secondaries), config);
    }
    const others = alive.filter((node) => !members.includes(node));
    if (members.length < config.maxReplicaCount && others.length > 0) {
      this.#propose("ADD_SECONDARY", this.#chance.pick(others), config);
    }
  }

  /** Everybody was lost: the last one that still holds it and all that is recorded as committed; both must have said so. */
  #lastHolder(config: PartitionConfig, alive: readonly NodeId[]): NodeId | undefined {
    const lastTwo = config.lastDrops.slice(-2);
    if (!lastTwo.every((node) => alive.includes(node) && this.#reports.has(node))) return undefined;
    const reportOf = (node: NodeId) =>
      this.#reports.get(node)!.find((report) => report.partition === config.partition);
    const chosen = lastTwo.findLast((node) => reportOf(node) !== undefined);
    if (chosen === undefined || reportOf(chosen)!.maxPrepared < config.committedHint) {
      return undefined;
    }
    return chosen;
  }

  /** Something nobody needs. */
  disturb(): void {
    const partition = this.#chance.pick([...this.#configs.keys()]);
    const config = this.#configs.get(partition)!;
    const nodes = [...this.#heard.keys()];
    if (config.primary === "" || nodes.length === 0) return;
    const node = this.#chance.pick(nodes);
    const changes: ConfigChange[] = [
      "ADD_SECONDARY_FOR_LB",
      "DOWNGRADE_TO_SECONDARY",
      "REMOVE",
      "DOWNGRADE_TO_INACTIVE",
      "UPGRADE_TO_PRIMARY",
      "ASSIGN_PRIMARY",
    ];
    this.#propose(
      this.#chance.pick(changes),
      this.#chance.chance(0.3) ? config.primary : node,
      config,
    );
  }

  #propose(change: ConfigChange, node: NodeId, config: PartitionConfig): void {
    const to = config.primary === "" ? node : config.primary;
    const incarnation = this.#lives.get(to) ?? 0;
    const rest = { nodes: [], empty: false, incarnation };
    this.#rpc.send(to, ConfigProposal, { change, node, config, table: this.#table, ...rest });
    // Proposals are one-way: some come twice, much later.
    if (this.#env.healed || !this.#chance.chance(0.05)) return;
    this.#env.scheduler.after(between(this.#chance, 10, 3000), "late proposal", this, () => {
      this.#rpc.send(to, ConfigProposal, { change, node, config, table: this.#table, ...rest });
    });
  }
}

/** Answers with all that the declaration demands. */
function reply<Q, A>(responder: Responder, _rpc: Rpc<Q, A>, body: A): void {
  responder.reply(body);
}

function sameConfig(a: PartitionConfig, b: PartitionConfig): boolean {
  return a.ballot === b.ballot && a.primary === b.primary &&
    a.secondaries.length === b.secondaries.length &&
    a.secondaries.every((node) => b.secondaries.includes(node));
}
