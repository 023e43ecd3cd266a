// What outlives the processes of a simulated replica server: its clocks and its disk. A crash drops the
// process and applies the crash to the disk; a start recovers from what is left.

import type { NodeId } from "../../src/base/ids.ts";
import { integerBetween } from "./chance.ts";
import { NodeClock } from "./clocks.ts";
import { type Env, WALL_START } from "./env.ts";
import { ServerDisk } from "./model_disk.ts";
import { ServerProcess } from "./sim_server.ts";
import { WholeDisk } from "./whole_disk.ts";
import { WholeProcess } from "./whole_server.ts";
import type { CrashKind, SimDisk, SimProcess } from "./watched.ts";

/** What outlives a process. */
export class Machine {
  readonly id: NodeId;
  readonly clock: NodeClock;
  readonly disk: SimDisk;
  readonly #env: Env;
  readonly #start: () => SimProcess;
  process: SimProcess | undefined;

  constructor(env: Env, id: NodeId) {
    const draw = env.chance.stream(`machine ${id}`);
    this.id = id;
    this.#env = env;
    this.clock = new NodeClock(
      () => env.scheduler.now,
      integerBetween(draw, 0, 1_000_000),
      WALL_START + integerBetween(draw, -5000, 5000),
    );
    this.clock.setRate(1 + (draw.float() - 0.5) * 0.002);
    const chance = env.chance.stream(`disk ${id}`);
    if (env.swarm.whole) {
      const disk = new WholeDisk(chance);
      this.disk = disk;
      this.#start = () => new WholeProcess(env, this, disk);
    } else {
      const disk = new ServerDisk(chance);
      this.disk = disk;
      this.#start = () => new ServerProcess(env, this, disk);
    }
  }

  /** Starts the process. */
  start(): void {
    this.process ??= this.#start();
  }

  /** Ends the process, and with it everything that was only in memory. */
  crash(kind: CrashKind): void {
    const { process } = this;
    if (process === undefined) return;
    this.process = undefined;
    process.die();
    const isTorn = this.disk.crash(kind, this.#env.swarm.disk.fsync);
    if (isTorn) this.#env.coverage.hit("log.tornTail");
    this.#env.watch.crashed(this.id);
  }
}
