// Simulated meta servers: the production MetaCore on modelled clocks, network and store, driven with the
// promises of roles/meta/meta_driver.ts. A session that ended is replaced by a new one; a core that abdicates
// ends its process, which is started again after a while.

import { type Now, sleptMs } from "../../src/base/clock.ts";
import { Err } from "../../src/base/errors.ts";
import type { NodeId } from "../../src/base/ids.ts";
import {
  META_REQUESTS,
  type MetaEffect,
  type MetaEvent,
  type MetaRequest,
} from "../../src/placement/io.ts";
import { MetaCore } from "../../src/placement/meta.ts";
import { ConfigProposal, CreateTable, Propose } from "../../src/schema/meta_rpc.ts";
import type { ConfigChange } from "../../src/schema/types.ts";
import type { Prng } from "../../src/base/prng.ts";
import { countMetaStep } from "./census.ts";
import { integerBetween, logUniform } from "./chance.ts";
import { NodeClock } from "./clocks.ts";
import { type Env, WALL_START } from "./env.ts";
import { type MetaSide, pileOrder } from "./faults.ts";
import { type Responder, SimRpc } from "./rpc.ts";
import type { PileOrder } from "./scheduler.ts";
import { SESSION_MS, SimStore, STORE_ID, type StoreSession } from "./sim_store.ts";

/** Until when a leader may act after its newest answer of the store (docs/meta.md, "Leadership"). */
const PROVEN_MS = SESSION_MS * 2 / 3;
const TICK_MS = 50;
const PING_MS = 150;

/** One life of a meta server. */
class MetaProcess {
  readonly rpc: SimRpc;
  readonly core: MetaCore;
  readonly #env: Env;
  readonly #clock: NodeClock;
  readonly #store: SimStore;
  readonly #onEnd: () => void;
  readonly #inbox: MetaEvent[] = [];
  #session: StoreSession;
  #stepping = false;
  /** When the newest question that the store answered was asked. */
  #provenAt: Now | undefined;
  #epoch = 0;
  #following = "";

  constructor(env: Env, id: NodeId, clock: NodeClock, store: SimStore, onEnd: () => void) {
    this.#env = env;
    this.#clock = clock;
    this.#store = store;
    this.#onEnd = onEnd;
    this.rpc = new SimRpc(this, id, env.network, env.scheduler);
    this.core = new MetaCore({
      self: id,
      cluster: "sim",
      metaServers: env.metas,
      coordinator: "sim",
      settings: env.swarm.meta,
    });
    for (const [name, rpc] of Object.entries(META_REQUESTS)) {
      this.rpc.handle(rpc, (_from, body, responder) => {
        const request = { name, body } as MetaRequest;
        this.deliver({ kind: "request", token: responder, request });
      });
    }
    this.#session = store.connect(this, id);
    env.network.attach(id, this.rpc);
    this.#tick();
    this.#ping();
  }

  deliver(event: MetaEvent): void {
    this.#inbox.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) {
      const out: MetaEffect[] = [];
      const now = this.#clock.now();
      this.core.step({ kind: "leaderUntil", mono: this.#leaderUntil(now) }, now, out);
      this.core.step(next, now, out);
      if (next.kind !== "tick" || out.length > 0) {
        const { rpc: { address }, core: { role } } = this;
        const details = { role, event: next, out };
        this.#env.trace.add(this.#env.scheduler.now, address, next.kind, details, out.length);
      }
      countMetaStep((name) => this.#env.coverage.hit(name), next, out);
      for (const effect of out) this.#perform(effect);
    }
    this.#stepping = false;
  }

  /** As src/coordination/zookeeper_session.ts has it: a machine that slept has proven nothing meanwhile. */
  #leaderUntil(now: Now): number {
    const { mono } = this.#provenAt ?? { mono: -Infinity };
    return mono + PROVEN_MS - sleptMs(now, this.#provenAt ?? now);
  }

  #perform(effect: MetaEffect): void {
    switch (effect.kind) {
      case "load":
        return this.#load(effect.epoch);
      case "store": {
        const { write, changes, epoch } = effect;
        return this.#store.multi(this.#session, changes, epoch, (result) => {
          this.deliver({ kind: "stored", write, result });
        });
      }
      case "readBack": {
        const { write, paths } = effect;
        return this.#store.read(this.#session, paths, (nodes) => {
          this.deliver({ kind: "readBack", write, nodes });
        });
      }
      case "send":
        return this.rpc.send(effect.to, ConfigProposal, effect.message);
      case "reply":
        return (effect.token as Responder).reply(effect.response);
      case "fail":
        return (effect.token as Responder).fail(effect.error, effect.detail);
      case "abdicate":
        this.#env.coverage.hit("meta.abdicate");
        return this.#onEnd();
      case "note":
        return this.#env.coverage.hit(`meta.${effect.event}`);
    }
  }

  #load(epoch: number): void {
    this.#store.read(this.#session, undefined, (nodes) => {
      if (nodes === undefined) {
        this.#env.scheduler.after(100, "load again", this, () => {
          if (this.#epoch === epoch) this.#load(epoch);
        });
        return;
      }
      this.deliver({ kind: "loaded", epoch, nodes: nodes.map((node) => node!), newStoreId: "sim" });
    });
  }

  #tick(): void {
    this.#env.scheduler.after(TICK_MS, "meta tick", this, () => {
      this.#tick();
      this.deliver({ kind: "tick" });
    });
  }

  #ping(): void {
    const askedAt = this.#clock.now();
    this.#store.ping(this.#session, (answer) => {
      if (answer === "lost") return;
      if (answer === "expired") return this.#lost();
      // When the answer was asked for decides, not when it came: a session is answered in order.
      if (askedAt.mono <= (this.#provenAt?.mono ?? -Infinity)) return;
      this.#provenAt = askedAt;
      if (answer.epoch !== 0 && answer.epoch !== this.#epoch) {
        this.#epoch = answer.epoch;
        this.#following = "";
        this.deliver({ kind: "elected", epoch: answer.epoch });
      } else if (answer.epoch === 0 && answer.leader !== this.#following) {
        this.#following = answer.leader;
        this.deliver({ kind: "following", leader: answer.leader });
      }
    });
    this.#env.scheduler.after(PING_MS, "ping", this, () => this.#ping());
  }

  #lost(): void {
    if (this.#session.expired) this.#session = this.#store.connect(this, this.rpc.address);
    this.#provenAt = undefined;
    this.#epoch = 0;
    this.#following = "";
    this.deliver({ kind: "lost", reason: "session expired" });
  }
}

/** All meta servers and their store. */
export class SimMetas implements MetaSide {
  readonly #env: Env;
  readonly #store: SimStore;
  readonly #clocks = new Map<NodeId, NodeClock>();
  readonly #processes = new Map<NodeId, MetaProcess>();
  readonly #held = new Map<NodeId, MetaProcess>();
  readonly #admin: SimRpc;
  readonly #chance: Prng;
  #created = false;

  constructor(env: Env) {
    this.#env = env;
    this.#chance = env.chance.stream("admin");
    this.#store = new SimStore(env);
    for (const id of env.metas) {
      const draw = env.chance.stream(`machine ${id}`);
      const clock = new NodeClock(
        () => env.scheduler.now,
        integerBetween(draw, 0, 1_000_000),
        WALL_START,
      );
      clock.setRate(1 + (draw.float() - 0.5) * 0.002);
      this.#clocks.set(id, clock);
      this.#start(id);
    }
    this.#admin = new SimRpc(this, "a1:1", env.network, env.scheduler);
    env.network.attach("a1:1", this.#admin);
    this.#createTable();
  }

  #start(id: NodeId): void {
    if (this.#processes.has(id)) return;
    const end = () => this.#stop(id, 300);
    this.#processes.set(
      id,
      new MetaProcess(this.#env, id, this.#clocks.get(id)!, this.#store, end),
    );
  }

  #stop(id: NodeId, restartMs: number): void {
    const process = this.#processes.get(id);
    if (process === undefined) return;
    this.#resume(id);
    this.#processes.delete(id);
    this.#env.scheduler.cancelOwner(process);
    this.#env.network.detach(id);
    this.#env.scheduler.after(restartMs, "meta start", undefined, () => this.#start(id));
  }

  /** Asks until the table exists: clients cannot do without. */
  #createTable(): void {
    const { partitions, replicaCount } = this.#env.swarm;
    const request = {
      name: "t",
      partitionCount: partitions,
      maxReplicaCount: replicaCount,
      envs: new Map<string, string>(),
      successIfExists: true,
    };
    const to = this.#chance.pick(this.#env.metas);
    this.#admin.start(to, CreateTable, request, 500, (error) => {
      if (error === Err.OK) this.#created = true;
      else this.#env.scheduler.after(50, "create again", this, () => this.#createTable());
    });
  }

  get created(): boolean {
    return this.#created;
  }

  crashOne(chance: Prng): void {
    const id = chance.pick(this.#env.metas);
    const process = this.#processes.get(id);
    if (process === undefined) return;
    const ms = logUniform(chance, 20, 5000);
    if (chance.chance(0.5)) return this.#stop(id, ms);
    // A paused leader may wake long after another one was elected.
    this.#env.coverage.hit("fault.metaPause");
    this.#pause(id, process, ms, { suspended: chance.chance(0.5), order: pileOrder(chance) });
  }

  suspendLeader(forMs: number): NodeId | undefined {
    const id = this.#leading();
    if (id === undefined || this.#held.has(id)) return undefined;
    this.#pause(id, this.#processes.get(id)!, forMs, { suspended: true, order: "planned" });
    return id;
  }

  #leading(): NodeId | undefined {
    return this.#env.metas.find((id) => this.#processes.get(id)?.core.role === "leading");
  }

  /** @param how `suspended`: as part of a virtual machine that sleeps, whose monotonic clock stands still. */
  #pause(
    id: NodeId,
    process: MetaProcess,
    ms: number,
    how: { readonly suspended: boolean; readonly order: PileOrder },
  ): void {
    this.#held.set(id, process);
    this.#env.scheduler.hold(process);
    if (how.suspended) this.#clocks.get(id)!.suspend();
    this.#env.scheduler.after(ms, "fault ends", undefined, () => {
      if (this.#held.get(id) === process) this.#resume(id, how.order);
    });
  }

  #resume(id: NodeId, order: PileOrder = "planned"): void {
    const process = this.#held.get(id);
    if (process === undefined) return;
    this.#held.delete(id);
    this.#clocks.get(id)!.wake();
    this.#env.scheduler.release(process, order);
  }

  /** Cuts a meta server from the store while servers still reach it, or makes the store forgetful. */
  disturbStore(chance: Prng): void {
    const ms = logUniform(chance, 200, 8000);
    if (chance.chance(0.3)) {
      return this.slowStore(logUniform(chance, 200, 4000), ms);
    }
    if (chance.chance(0.4)) {
      this.#store.lossy = logUniform(chance, 0.01, 0.5);
      this.#env.scheduler.after(ms, "fault ends", undefined, () => this.#store.lossy = 0);
      return;
    }
    const leading = this.#leading();
    const id = leading !== undefined && chance.chance(0.6) ? leading : chance.pick(this.#env.metas);
    const pairs: [NodeId, NodeId][] = chance.chance(0.5)
      ? [[id, STORE_ID]]
      : [[id, STORE_ID], [STORE_ID, id]];
    for (const [from, to] of pairs) this.#env.network.setCut(from, to, true);
    this.#env.scheduler.after(ms, "fault ends", undefined, () => {
      for (const [from, to] of pairs) this.#env.network.setCut(from, to, false);
    });
  }

  slowStore(delayMs: number, forMs: number): void {
    this.#store.slowMs = delayMs;
    this.#env.scheduler.after(forMs, "fault ends", undefined, () => this.#store.slowMs = 0);
  }

  /** An operator's proposal that nobody needs. */
  disturb(): void {
    const partitions = [...this.#env.watch.ghosts.keys()];
    if (partitions.length === 0) return;
    const partition = this.#chance.pick(partitions);
    const servers = this.#env.swarm.servers;
    const node = `r${1 + this.#chance.below(servers)}:1`;
    const primary = this.#env.watch.ghost(partition).newestConfig?.primary ?? "";
    const changes: ConfigChange[] = [
      "ADD_SECONDARY_FOR_LB",
      "DOWNGRADE_TO_SECONDARY",
      "REMOVE",
      "DOWNGRADE_TO_INACTIVE",
      "UPGRADE_TO_PRIMARY",
    ];
    const request = {
      partition,
      change: this.#chance.pick(changes),
      target: "",
      node: this.#chance.chance(0.4) ? primary : node,
      force: this.#chance.chance(0.5),
      empty: false,
    };
    const to = this.#chance.pick(this.#env.metas);
    this.#admin.start(to, Propose, request, 500, () => {});
  }

  heal(): void {
    this.#store.lossy = 0;
    this.#store.slowMs = 0;
    for (const id of this.#env.metas) {
      this.#resume(id);
      this.#start(id);
    }
  }
}
