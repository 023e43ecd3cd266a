// What goes wrong in a run: each kind of fault has its own mean pause and its own stream of chance, and ends
// by itself after a while. `heal` ends everything at once for the last phase of a run.

import type { NodeId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { Beacon } from "../../src/schema/meta_rpc.ts";
import { Budget } from "./budget.ts";
import { between, logUniform } from "./chance.ts";
import type { Env } from "./env.ts";
import type { Machine } from "./machine.ts";
import {
  dieHalfPreparedAgain,
  forgetGhosts,
  killTwoPrimaries,
  returnDuringRemoval,
  sleepingLeader,
  type Stage,
} from "./plots.ts";
import type { PileOrder } from "./scheduler.ts";
import type { FaultRates } from "./swarm.ts";
import { type CrashKind, type DiskFault, HARM } from "./watched.ts";
import { membersOf } from "./watch_config.ts";

const DISK_FAULTS: readonly DiskFault[] = ["fsync", "fsync", "noSpace", "engine"];

/** What faults need of meta: both the scripted one and the real ones. */
export interface MetaSide {
  /** A meta server dies and comes back, or the store misbehaves. */
  crashOne(chance: Prng): void;
  disturbStore(chance: Prng): void;
  /** The store takes up to `delayMs` longer per request. */
  slowStore(delayMs: number, forMs: number): void;
  /** The leader sleeps as part of a virtual machine. @returns Who that is; undefined if nobody leads. */
  suspendLeader(forMs: number): NodeId | undefined;
  /** An operator's or balancer's wish that nobody needs. */
  disturb(): void;
  heal(): void;
}

/** In which order a stopped process finds what piled up. */
export function pileOrder(chance: Prng): PileOrder {
  const dice = chance.float();
  return dice < 0.4 ? "planned" : dice < 0.7 ? chance : "timersLast";
}

/** See the file comment. */
export class Faults {
  readonly #env: Env;
  readonly #machines: readonly Machine[];
  readonly #meta: MetaSide;
  readonly #everybody: readonly NodeId[];
  readonly #cuts: [NodeId, NodeId][] = [];
  #cutsHeld = 0;
  readonly #stopped = new Map<Machine, object>();
  readonly #budget: Budget;

  constructor(env: Env, machines: readonly Machine[], meta: MetaSide, clients: readonly NodeId[]) {
    this.#env = env;
    this.#machines = machines;
    this.#budget = new Budget(env, machines);
    this.#meta = meta;
    this.#everybody = [...machines.map((machine) => machine.id), ...env.metas, ...clients];
    this.#every("crashMs", (chance) => this.#crash(chance, chance.pick(machines), "process"));
    this.#every("powerLossMs", (chance) => this.#crash(chance, chance.pick(machines), "power"));
    this.#every("blackoutMs", (chance) => this.#blackout(chance));
    this.#every("pauseMs", (chance) => this.#pause(chance, false));
    this.#every("suspendMs", (chance) => this.#pause(chance, true));
    this.#every("cutMs", (chance) => this.#cut(chance));
    this.#every("partitionMs", (chance) => this.#partition(chance));
    this.#every("clogMs", (chance) => this.#clog(chance));
    this.#every("clockStepMs", (chance) => this.#stepClock(chance));
    this.#every("diskFaultMs", (chance) => this.#failDisk(chance));
    this.#every("rotMs", (chance) => this.#rot(chance));
    this.#every("stopMs", (chance) => this.#stop(chance));
    this.#every("harmMs", (chance) => this.#harm(chance));
    this.#every("lostCopyMs", (chance) => this.#loseOnlyCopy(chance));
    this.#every("lostReplicaMs", (chance) => this.#loseReplica(chance));
    this.#every("metaCrashMs", (chance) => meta.crashOne(chance));
    this.#every("storeFaultMs", (chance) => meta.disturbStore(chance));
    this.#every("adminMs", () => meta.disturb());
    const stage: Stage = {
      env,
      machine: (id) => machines.find((machine) => machine.id === id),
      crash: (chance, machine, kind, downMs) => this.#crash(chance, machine, kind, downMs),
      // Where everything is synced it takes flipped bits, and models of logs have none.
      canLoseEnd: env.swarm.whole || !env.swarm.disk.fsync,
      loseEnd: (chance, machine, downMs, absent) => this.#loseEnd(chance, machine, downMs, absent),
      cut: (pairs, forMs) => this.#cutPairs(pairs, forMs),
      later: (ms, act) => this.#later(ms, act),
      slowStore: (delayMs, forMs) => meta.slowStore(delayMs, forMs),
      suspendLeader: (forMs) => meta.suspendLeader(forMs),
    };
    this.#every("twoPrimariesMs", (chance) => killTwoPrimaries(stage, chance));
    this.#every("halfPreparedMs", (chance) => dieHalfPreparedAgain(stage, chance));
    this.#every("forgottenMs", (chance) => forgetGhosts(stage, chance));
    this.#every("sleepingLeaderMs", (chance) => sleepingLeader(stage, chance));
    this.#every("returnMs", (chance) => returnDuringRemoval(stage, chance));
    this.#every("slowMs", (chance) => {
      const node = chance.pick(this.#everybody);
      this.#env.network.setSlow(node, chance.chance(0.3) ? 0 : logUniform(chance, 2, 120));
    });
  }

  #every(kind: keyof FaultRates, act: (chance: Prng) => void): void {
    const mean = this.#env.swarm.faults[kind];
    if (mean === 0) return;
    const chance = this.#env.chance.stream(`fault ${kind}`);
    const again = () => {
      this.#env.scheduler.after(mean * between(chance, 0.1, 1.9), kind, undefined, () => {
        if (this.#env.healed) return;
        if (this.#budget.isComparing) return again();
        this.#env.coverage.hit(`fault.${kind}`);
        this.#env.trace.add(this.#env.scheduler.now, "", `fault ${kind}`, undefined);
        act(chance);
        again();
      });
    };
    again();
  }

  /** Runs `undo` after `ms`, or at the end of faults. */
  #later(ms: number, undo: () => void): void {
    this.#env.scheduler.after(ms, "fault ends", undefined, undo);
  }

  /** @param downMs Also longer than any grace period. */
  #crash(
    chance: Prng,
    machine: Machine,
    kind: CrashKind,
    downMs = logUniform(chance, 5, 20_000),
  ): void {
    if (this.#budget.isComparing) return;
    this.#resume(machine);
    const loses = kind === "power" && !this.#env.swarm.disk.fsync;
    const end = loses && !this.#budget.mayLose(machine) ? "process" : kind;
    if (loses && end === "power") this.#budget.doubt(machine);
    machine.crash(end);
    this.#later(downMs, () => machine.start());
  }

  /** SIGTERM, and a start later: a rolling restart, an update. */
  #stop(chance: Prng): void {
    const machine = chance.pick(this.#machines);
    const { process } = machine;
    if (process === undefined || this.#stopped.has(machine)) return;
    const downMs = logUniform(chance, 5, 5000);
    process.stop(between(chance, 100, 3000), () => {
      if (machine.process !== process) return;
      machine.crash("process");
      this.#later(downMs, () => machine.start());
    });
  }

  #blackout(chance: Prng): void {
    for (const machine of this.#machines) {
      if (chance.chance(0.9)) {
        this.#crash(chance, machine, chance.chance(0.5) ? "power" : "process");
      }
    }
  }

  /** SIGSTOP, or with `suspend` a virtual machine that sleeps: then the monotonic clock stops as well. */
  #pause(chance: Prng, suspend: boolean): void {
    const machine = chance.pick(this.#machines);
    const { process } = machine;
    if (process === undefined || this.#stopped.has(machine)) return;
    this.#stopped.set(machine, process);
    this.#env.scheduler.hold(process);
    if (suspend) machine.clock.suspend();
    const order = pileOrder(chance);
    this.#later(logUniform(chance, 20, 8000), () => {
      if (this.#stopped.get(machine) === process) this.#resume(machine, order);
    });
  }

  #resume(machine: Machine, order: PileOrder = "planned"): void {
    const process = this.#stopped.get(machine);
    if (process === undefined) return;
    this.#stopped.delete(machine);
    machine.clock.wake();
    this.#env.scheduler.release(process, order);
  }

  #cut(chance: Prng): void {
    const from = chance.pick(this.#everybody);
    const to = chance.pick(this.#everybody);
    if (from === to) return;
    const pairs: [NodeId, NodeId][] = [[from, to]];
    if (chance.chance(0.4)) pairs.push([to, from]);
    this.#cutPairs(pairs, logUniform(chance, 100, 10_000));
  }

  #partition(chance: Prng): void {
    const side = new Set(this.#everybody.filter(() => chance.chance(0.5)));
    const oneWay = chance.chance(0.3);
    const pairs: [NodeId, NodeId][] = [];
    for (const from of this.#everybody) {
      for (const to of this.#everybody) {
        if (from === to || side.has(from) === side.has(to)) continue;
        if (!oneWay || side.has(from)) pairs.push([from, to]);
      }
    }
    this.#cutPairs(pairs, logUniform(chance, 200, 10_000));
  }

  #cutPairs(pairs: readonly [NodeId, NodeId][], forMs: number): void {
    this.#cutsHeld++;
    for (const pair of pairs) {
      this.#env.network.setCut(pair[0], pair[1], true);
      this.#cuts.push([pair[0], pair[1]]);
    }
    this.#later(forMs, () => {
      this.#cutsHeld--;
      for (const [from, to] of pairs) this.#env.network.setCut(from, to, false);
    });
  }

  #clog(chance: Prng): void {
    const { now } = this.#env.scheduler;
    if (chance.chance(0.3)) return this.#lateThenSilent(chance);
    const until = now + logUniform(chance, 50, 3000);
    this.#env.network.clog(chance.pick(this.#everybody), chance.pick(this.#everybody), until);
  }

  /** A server hears a late answer of meta and then nothing; meta hears nothing since the question. */
  #lateThenSilent(chance: Prng): void {
    const { scheduler, network } = this.#env;
    const server = chance.pick(this.#machines).id;
    const lateMs = between(chance, 400, 1000);
    for (const meta of this.#env.metas) {
      // The next question gets through, and its answer is late; nothing else does.
      network.setQuota(server, meta, Beacon, 1);
      network.clog(meta, server, scheduler.now + lateMs);
      this.#later(lateMs + 50, () => this.#cutPairs([[meta, server]], 2500));
      this.#later(lateMs + 2600, () => network.setQuota(server, meta, Beacon, undefined));
    }
  }

  #stepClock(chance: Prng): void {
    const size = logUniform(chance, 100, 10_000_000);
    chance.pick(this.#machines).clock.step(chance.chance(0.5) ? size : -size);
  }

  /** A disk fails; somebody restarts the server later, with what the disk really holds. */
  #failDisk(chance: Prng): void {
    const machine = chance.pick(this.#machines);
    const { process } = machine;
    if (process === undefined || this.#stopped.has(machine) || !this.#budget.mayLose(machine)) {
      return;
    }
    // What fails is noticed later: until then it must not be left alone, and commit what nobody else has.
    const may = () => this.#budget.mayLose(machine) && this.#budget.isJoined(machine);
    process.failDisk(chance.pick(DISK_FAULTS), may);
    this.#later(logUniform(chance, 50, 5000), () => {
      if (machine.process !== process || (chance.chance(0.7) && process.freeDisk())) return;
      this.#crash(chance, machine, "power");
    });
  }

  /**
   * Bits flip in a file of a server that is down; only servers with bytes have any. Or it is a primary, in the newest
   * records of its log, and it is back before anybody else leads: what it forgot, the others must not forget with it.
   */
  #rot(chance: Prng): void {
    // What nothing on one disk can show, another member must be there to say.
    const isCalm = this.#isCalm();
    const newest = isCalm && chance.chance(0.5);
    const leader = newest ? this.#env.watch.anyConfig(chance)?.primary : undefined;
    const machine = this.#machines.find(({ id }) => id === leader) ?? chance.pick(this.#machines);
    if (machine.process === undefined || !this.#budget.mayLose(machine)) return;
    const downMs = newest ? logUniform(chance, 5, this.#env.swarm.graceMs / 2) : undefined;
    this.#crash(chance, machine, newest || chance.chance(0.5) ? "power" : "process", downMs);
    if (machine.disk.rot({ place: newest ? "newest" : "anywhere", tail: isCalm })) {
      this.#rotten(machine);
    }
  }

  #rotten(machine: Machine): void {
    this.#budget.doubt(machine);
    this.#env.coverage.hit(`fault.rot.${machine.disk.rotten}`);
  }

  /** See Stage. */
  #loseEnd(chance: Prng, machine: Machine, downMs: number, absent: readonly NodeId[]): boolean {
    if (!this.#budget.mayLose(machine) || !this.#isCalm(absent)) return false;
    this.#crash(chance, machine, "power", downMs);
    if (this.#env.swarm.disk.fsync && machine.disk.rot({ place: "end", tail: true })) {
      this.#rotten(machine);
    }
    return true;
  }

  /**
   * Rows of some or all copies of a partition are found to be damaged, also of all at the same moment: nobody counts
   * on more than that one of them goes on.
   */
  #harm(chance: Prng): void {
    const partition = this.#env.watch.anyConfig(chance)?.partition;
    const machines = this.#machines.filter(() => chance.chance(0.5));
    if (partition === undefined) return;
    for (const { process } of machines) {
      const replica = process?.replica(partition);
      if (process === undefined || replica === undefined || !this.#budget.harm(replica)) continue;
      this.#env.coverage.hit("fault.harmed");
      const tell = () => {
        // One that learns may get an image without the damage.
        if (process.replica(partition) !== replica || replica.core.status === "learner") return;
        replica.hear(HARM);
        this.#env.scheduler.after(this.#env.swarm.tickMs, "damaged", process, tell);
      };
      tell();
    }
  }

  /** A directory disappears while its server is down. */
  #loseReplica(chance: Prng): void {
    const machine = chance.pick(this.#machines);
    if (machine.process === undefined || !this.#budget.mayLose(machine)) return;
    this.#crash(chance, machine, "process");
    const partition = machine.disk.loseReplica(chance);
    if (partition === undefined) return;
    this.#budget.doubt(machine);
    this.#env.watch.forgotten(machine.id, partition, true);
    this.#env.coverage.hit("fault.lostReplica");
  }

  /** Nothing is left of a partition of one replica: beyond what the cluster promises to bear, and to be told. */
  #loseOnlyCopy(chance: Prng): void {
    const config = this.#env.watch.anyConfig(chance);
    const machine = this.#machines.find(({ id }) => id === config?.primary);
    if (config === undefined || machine?.process === undefined) return;
    const holders = this.#machines.filter(({ disk }) => disk.holds(config.partition));
    const ghost = this.#env.watch.ghost(config.partition);
    if (membersOf(config).length > 1 || holders.length > 1 || ghost.ackedMax === 0) return;
    if (config.maxReplicaCount > 1 || this.#budget.isComparing) return;
    this.#crash(chance, machine, "process", logUniform(chance, 20, 4 * this.#env.swarm.graceMs));
    machine.disk.loseReplica(chance, config.partition);
    this.#env.watch.forgotten(machine.id, config.partition, true);
    ghost.isLost = true;
    this.#env.coverage.hit("fault.lostCopy");
  }

  /** Everybody runs, apart from `absent`, and hears everybody. */
  #isCalm(absent: readonly NodeId[] = []): boolean {
    return this.#stopped.size === 0 && this.#cutsHeld === 0 &&
      this.#machines.every((one) =>
        (one.process !== undefined || absent.includes(one.id)) && !this.#budget.isDoubtful(one)
      );
  }

  /** Ends all faults: everybody runs, every link works. */
  heal(): void {
    for (const machine of this.#machines) {
      this.#resume(machine);
      // A server whose log is poisoned is restarted by its operator.
      if (machine.disk.poisoned) {
        machine.crash(this.#env.swarm.disk.fsync ? "power" : "process");
      }
      machine.start();
    }
    this.#meta.heal();
    this.#env.network.heal();
  }
}
