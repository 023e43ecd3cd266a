// Tells the replicas of a shard that time passes: those that heard something in every tick, the others more rarely. With
// 256 idle partitions this is most of what a server does. Invariant: every replica is ticked once in SETTLED_TICKS.

import type { ReplicaEvent } from "../../src/replication/io.ts";

const TICK: ReplicaEvent = { kind: "tick" };

/**
 * Replicas without traffic are ticked every so many ticks, members that wait for nothing but their next group check
 * once a second. 256 idle partitions cost three times as much if all are ticked every 200 ms.
 */
const IDLE_TICKS = 2;
const SETTLED_TICKS = 10;
/** So many (2^9) take their turn together, so that what they tell their groups shares packets; more would stall. */
const TOGETHER_BITS = 9;

/** What is ticked. */
interface Replica {
  /** Whether it heard something since the last tick. */
  busy: boolean;
  /** What the core said after the last tick, unless it heard something since. */
  settled: boolean;
  readonly core: { readonly settled?: boolean };
  /** @returns Whether its store has failed, so that it closes. */
  noticeFailure(): boolean;
  deliver(event: ReplicaEvent): void;
  writeLog(): void;
}

/** See the file comment. */
export class ReplicaTicks {
  readonly #replicas: ReadonlyMap<number, Replica>;
  #ticks = 0;

  constructor(replicas: ReadonlyMap<number, Replica>) {
    this.#replicas = replicas;
  }

  /** @param isNews Whether any replica heard something since the last tick. */
  tick(isNews: boolean): void {
    this.#ticks++;
    // In between nobody is due, unless they are so many that they take turns.
    const isBetween = this.#ticks % IDLE_TICKS !== 0 && this.#replicas.size <= 1 << TOGETHER_BITS;
    if (isBetween && !isNews) return;
    let i = 0;
    for (const replica of this.#replicas.values()) {
      const rare = replica.settled ? SETTLED_TICKS : IDLE_TICKS;
      const due = replica.busy || (this.#ticks + (i++ >> TOGETHER_BITS)) % rare === 0;
      if (!due || replica.noticeFailure()) continue;
      replica.busy = false;
      replica.deliver(TICK);
      replica.writeLog();
      replica.settled = replica.core.settled ?? false;
    }
  }
}
