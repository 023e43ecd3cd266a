// What every part of one simulated world shares.

import type { NodeId } from "../../src/base/ids.ts";
import type { Chance } from "./chance.ts";
import type { Coverage } from "./coverage.ts";
import type { Network } from "./network.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Swarm } from "./swarm.ts";
import type { Trace } from "./trace.ts";
import type { Watch } from "./watch.ts";

/** See the file comment. */
export interface Env {
  readonly swarm: Swarm;
  readonly scheduler: Scheduler;
  readonly chance: Chance;
  readonly trace: Trace;
  readonly coverage: Coverage;
  readonly network: Network;
  readonly watch: Watch;
  readonly metas: readonly NodeId[];
  /** What broke in code that nobody waits for: the run ends with it. */
  fatal: unknown;
  /** Faults are over: what failed once may not fail again. */
  healed: boolean;
}

/** A rule of the product was broken; the run ends here. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly rule: string;

  constructor(rule: string, message: string, details: unknown) {
    super(`${rule}: ${message} ${JSON.stringify(details)}`);
    this.rule = rule;
  }
}

/** Unix ms at virtual time 0. */
export const WALL_START = Date.UTC(2026, 0, 1);
