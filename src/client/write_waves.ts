// When the writes of one process leave: a few at once, more of them in waves. A server logs, syncs and answers
// everything that arrives together for the price of one, and so does each of its secondaries; writes that leave
// one by one, as the answers to their predecessors happen to come in, arrive one by one. While many writes are on
// their way, those that are issued meanwhile wait until most of the wave is answered and leave together as the next
// one. Numbers: docs/performance.md, "What paid".
//
// Invariants: a process with few writes on their way never waits; no write waits for more than HOLD_MS, timer
// precision apart, whatever the others do; writes leave in the order in which they came.

import { setImmediate } from "node:timers";
import type { Clock } from "../base/clock.ts";
import { type Sleeper, Wakeups } from "./wakeups.ts";

/** While fewer of a wave are unanswered, the next one joins it at once. */
const FREE = 4;

/**
 * A wave is over when at most this share of it is unanswered. Not zero: partitions that are slower than the others would
 * slow down all of them.
 */
const OVER_SHARE = 1 / 8;

/** Longest wait of a write, ms: many times what a wave takes, unless a server hangs. */
const HOLD_MS = 4;

/** A write that leaves with a wave. */
export interface WaveMember {
  /** The wave it left with; the field belongs to {@link WriteWaves}. */
  wave: number;
}

/** See the file comment. */
export class WriteWaves<W extends WaveMember> implements Sleeper {
  waitId = 0;
  readonly #send: (write: W, now: number) => void;
  readonly #clock: Clock;
  readonly #wakeups: Wakeups<WriteWaves<W>>;
  /** Number of the wave that is on its way, how many left with it, and how many of them are unanswered. */
  #wave = 0;
  #size = 0;
  #unanswered = 0;
  /** The next wave. */
  #held: W[] = [];
  /** It leaves at the end of this turn, with what the answers of this turn bring. */
  #isDue = false;

  /** @param send Called once per write that leaves; `now` is read once per wave. */
  constructor(clock: Clock, send: (write: W, now: number) => void) {
    this.#clock = clock;
    this.#send = send;
    this.#wakeups = new Wakeups<WriteWaves<W>>(clock, () => this.#leave());
  }

  /** A write that wants to leave, at `now` (monotonic ms) or with the next wave. */
  add(write: W, now: number): void {
    if (!this.#isDue && this.#isOver()) {
      write.wave = this.#wave;
      this.#unanswered++;
      this.#size = Math.max(this.#size, this.#unanswered);
      return this.#send(write, now);
    }
    if (this.#held.push(write) === 1) this.#wakeups.add(this, now + HOLD_MS);
  }

  /** A write of that wave has its answer, or nobody waits for it any more. */
  answered(wave: number): void {
    if (wave !== this.#wave) return;
    const wasOver = this.#isOver();
    this.#unanswered--;
    if (wasOver || this.#isDue || !this.#isOver()) return;
    if (this.#size <= FREE && this.#held.length === 0) return;
    this.#isDue = true;
    setImmediate(() => {
      if (this.#isDue) this.#leave();
    });
  }

  /** @returns What has not left; it never will. */
  drain(): W[] {
    const held = this.#held;
    this.#held = [];
    this.#wakeups.drain();
    return held;
  }

  #isOver(): boolean {
    return this.#unanswered < FREE || this.#unanswered <= this.#size * OVER_SHARE;
  }

  #leave(): void {
    const held = this.#held;
    const now = this.#clock.now().mono;
    this.#held = [];
    this.waitId++;
    this.#isDue = false;
    this.#wave++;
    this.#size = held.length;
    this.#unanswered = held.length;
    for (const write of held) {
      write.wave = this.#wave;
      this.#send(write, now);
    }
  }
}
