// Waking operations up: one coarse timer for all pauses and deadlines of a client, instead of one timer per
// operation. Runs only while somebody waits. Precision is TICK_MS, late never early.

import type { Clock } from "../base/clock.ts";

/** Distance of two looks at the waiting ones, ms. */
const TICK_MS = 4;

/** Something that waits. */
export interface Sleeper {
  /** Changes whenever a wait begins or ends; an entry made under another number is void. */
  waitId: number;
}

interface Entry<S extends Sleeper> {
  readonly sleeper: S;
  readonly waitId: number;
  /** Monotonic ms. */
  readonly at: number;
}

/** See the file comment. */
export class Wakeups<S extends Sleeper> {
  readonly #clock: Clock;
  readonly #wake: (sleeper: S) => void;
  #entries: Entry<S>[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param wake Called once per due entry whose sleeper still waits. */
  constructor(clock: Clock, wake: (sleeper: S) => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  /** Wakes the sleeper at `at` unless its `waitId` changes before. */
  add(sleeper: S, at: number): void {
    this.#entries.push({ sleeper, waitId: sleeper.waitId, at });
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
  }

  /** Wakes everybody who waits, now, and stops the timer. */
  drain(): S[] {
    const waiting = this.#entries.filter((e) => e.sleeper.waitId === e.waitId);
    this.#entries = [];
    this.#stop();
    return waiting.map((e) => e.sleeper);
  }

  #tick(): void {
    const now = this.#clock.now().mono;
    const due: Entry<S>[] = [];
    const rest: Entry<S>[] = [];
    for (const entry of this.#entries) {
      if (entry.sleeper.waitId !== entry.waitId) continue;
      (entry.at <= now ? due : rest).push(entry);
    }
    // Woken operations may add new entries: the list must be complete before.
    this.#entries = rest;
    for (const entry of due) {
      if (entry.sleeper.waitId === entry.waitId) this.#wake(entry.sleeper);
    }
    if (this.#entries.length === 0) this.#stop();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
