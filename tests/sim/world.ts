// One run: builds the world of a seed, runs it with faults, heals it, waits until everything is well again,
// and judges the histories. A broken rule ends it with a Violation.

import type { NodeId } from "../../src/base/ids.ts";
import { AssertionError } from "../../src/base/assert.ts";
import { withoutAmbient } from "./ambient.ts";
import { countUnknown } from "./census.ts";
import { Chance } from "./chance.ts";
import { Coverage } from "./coverage.ts";
import { type Env, Violation } from "./env.ts";
import { Faults, type MetaSide } from "./faults.ts";
import { type HistoryEntry, operationsByObject } from "./history.ts";
import { checkLinearizable } from "./linearizability.ts";
import { missingHealth } from "./liveness.ts";
import { Network } from "./network.ts";
import { Priorities, Scheduler } from "./scheduler.ts";
import { ScriptedMeta, TABLE_ID } from "./scripted_meta.ts";
import { SimMetas } from "./sim_meta.ts";
import { HotKeys, SimClient } from "./sim_client.ts";
import { Machine } from "./machine.ts";
import { drawSwarm, type Swarm } from "./swarm.ts";
import { Trace } from "./trace.ts";
import { Watch } from "./watch.ts";

/** How a run may be bent, for tests and replays. */
export interface RunOptions {
  readonly seed: string;
  /** Overrides parts of what the seed draws. */
  readonly adjust?: (swarm: Swarm) => Swarm;
  readonly onTrace?: Trace["onEntry"];
}

/** Outcome of a run. */
export interface RunResult {
  readonly seed: string;
  readonly hash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly coverage: Coverage;
  readonly swarm: Swarm;
  /** undefined: everything is well. */
  readonly failure: { rule: string; message: string; stack: string | undefined } | undefined;
  /** The last things that happened, for people. */
  readonly tail: (count: number) => string[];
  /** What the clients saw, in order of the answers. */
  readonly history: readonly HistoryEntry[];
}

/** Runs one seed. */
export async function runSeed(options: RunOptions): Promise<RunResult> {
  const world = new World(options);
  let failure: RunResult["failure"];
  try {
    await withoutAmbient(options.seed, () => world.run());
  } catch (error) {
    const rule = error instanceof Violation
      ? error.rule
      : error instanceof AssertionError
      ? "assertion"
      : "exception";
    const { message, stack } = error as Error;
    failure = { rule, message, stack };
  }
  return world.result(failure);
}

/** Turns of the promise queue after each happening: more than any chain without a wait needs. */
const TURNS = 24;

class World {
  readonly #options: RunOptions;
  readonly #env: Env;
  readonly #machines: Machine[] = [];
  readonly #clients: SimClient[] = [];
  readonly #meta: MetaSide;
  readonly #faults: Faults;
  readonly #history: HistoryEntry[] = [];

  constructor(options: RunOptions) {
    this.#options = options;
    const chance = new Chance(options.seed);
    const drawn = drawSwarm(chance);
    const swarm = options.adjust?.(drawn) ?? drawn;
    const scheduler = new Scheduler(options.seed);
    const coverage = new Coverage();
    const count = (name: string) => coverage.hit(name);
    const network = new Network(scheduler, chance, swarm.network, count);
    const trace = new Trace();
    trace.onEntry = options.onTrace;
    const watch = new Watch({ fsync: swarm.disk.fsync, count });
    const metas = Array.from({ length: Math.max(1, swarm.metas) }, (_, i) => `m${i + 1}:1`);
    const [healed, fatal] = [false, undefined];
    this.#env = { swarm, scheduler, chance, trace, coverage, network, watch, metas, healed, fatal };
    this.#meta = swarm.metas === 0
      ? new ScriptedMeta(this.#env, metas[0]!)
      : new SimMetas(this.#env);
    const machines = new Map<NodeId, Machine>();
    for (let i = 1; i <= swarm.servers; i++) {
      const machine = new Machine(this.#env, `r${i}:1`);
      this.#machines.push(machine);
      machines.set(machine.id, machine);
      machine.start();
    }
    watch.machines = machines;
    const keys = new HotKeys(swarm.load.hashKeys, swarm.partitions);
    for (let i = 1; i <= swarm.load.clients; i++) {
      this.#clients.push(new SimClient(this.#env, i, TABLE_ID, this.#history, keys));
    }
    this.#prioritize();
    const clientIds = this.#clients.map((client) => client.id);
    this.#faults = new Faults(this.#env, this.#machines, this.#meta, clientIds);
  }

  #prioritize(): void {
    const { scheduler, swarm, chance, metas } = this.#env;
    if (swarm.priorityMs === 0) return;
    const draw = chance.stream("priorities");
    const changes = Array.from({ length: swarm.priorityChanges }, () => draw.below(swarm.eventsMax))
      .sort((a, b) => a - b);
    const nodes = [...this.#machines, ...this.#clients].map(({ id }) => id);
    scheduler.prioritize(new Priorities([...nodes, ...metas], swarm.priorityMs, changes, draw));
  }

  async run(): Promise<void> {
    const { scheduler, swarm, trace, watch } = this.#env;
    while (scheduler.events < swarm.eventsMax) {
      const settled = this.#next();
      if (settled !== undefined) await settled;
    }
    this.#env.healed = true;
    scheduler.prioritize(undefined);
    this.#faults.heal();
    trace.add(scheduler.now, "", "healed", undefined);
    for (const ghost of watch.ghosts.values()) ghost.expectProgress();
    const deadline = () => scheduler.now + 2 * swarm.graceMs + 120_000;
    await this.#runUntil(deadline(), () => this.#missing(false));
    for (const client of this.#clients) client.stop();
    await this.#runUntil(deadline(), () => this.#unanswered() ?? this.#missing(true));
    // The lights go out: everything that was ever promised must come back from the disks alone.
    trace.add(scheduler.now, "", "blackout", undefined);
    const end = swarm.disk.fsync ? "power" : "process";
    for (const machine of this.#machines) machine.crash(end);
    for (const machine of this.#machines) machine.start();
    await this.#runUntil(deadline(), () => this.#missing(true));
    this.#judge();
  }

  /** Runs the next happening and what it sets going. Without whole servers nothing here waits. */
  #next(): Promise<void> | undefined {
    const planned = this.#env.scheduler.next();
    if (planned === undefined) throw new Violation("liveness", "Nothing is planned any more", {});
    const { now } = this.#env.scheduler;
    if (planned.label !== "think") this.#env.trace.mix(now, planned.label);
    return this.#env.swarm.whole ? this.#settle() : undefined;
  }

  /** Lets the promises of whole servers go on, always equally far. */
  async #settle(): Promise<void> {
    for (let i = 0; i < TURNS; i++) await null;
    if (this.#env.fatal !== undefined) throw this.#env.fatal;
  }

  /** Runs until nothing is missing. */
  async #runUntil(deadline: number, missing: () => unknown): Promise<void> {
    const { scheduler } = this.#env;
    for (let checkAt = scheduler.now;;) {
      if (scheduler.now >= checkAt) {
        const what = missing();
        if (what === undefined) return;
        if (scheduler.now > deadline) {
          throw new Violation("liveness", "Not healthy after all faults ended", what);
        }
        checkAt = scheduler.now + 100;
      }
      const settled = this.#next();
      if (settled !== undefined) await settled;
    }
  }

  #missing(isQuiet: boolean): unknown {
    const ghosts = [...this.#env.watch.ghosts.values()];
    const newest = ghosts.flatMap(({ newestConfig }) => newestConfig ?? []);
    if (newest.length < this.#env.swarm.partitions) return { partitions: newest.length };
    return missingHealth(this.#env, this.#machines, newest, isQuiet);
  }

  #unanswered(): unknown {
    const running = this.#clients.filter((client) => client.running > 0).length;
    return running === 0 ? undefined : { clientsWaiting: running };
  }

  #judge(): void {
    for (const [hashKey, operations] of operationsByObject(this.#history)) {
      countUnknown((name) => this.#env.coverage.hit(name), operations);
      const verdict = checkLinearizable(operations, 100_000);
      if (verdict === "linearizable") continue;
      if (verdict === "undecided") this.#env.coverage.hit("judge.undecided");
      else {
        throw new Violation("linearizability", `History of ${hashKey} has no order`, {
          operations,
        });
      }
    }
  }

  result(failure: RunResult["failure"]): RunResult {
    const { scheduler, coverage, trace, swarm } = this.#env;
    return {
      seed: this.#options.seed,
      hash: trace.hash,
      events: scheduler.events,
      virtualMs: scheduler.now,
      coverage,
      swarm,
      failure,
      tail: (count) => trace.tail(count),
      history: this.#history,
    };
  }
}
