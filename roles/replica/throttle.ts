// How a table's requests are slowed down or refused when there are too many: counters per second for requests
// and written bytes, a token bucket for bytes that reads return. Pure: time is passed in. Each partition
// gets its share of the table's limit. Invariant: a refused request leaves the counters as they were, so that
// refused clients cannot starve admitted ones. docs/data_api.md, "Throttling".

import type { RateLimit, RateStep } from "../../src/schema/table_envs.ts";

/** What happens to a request over a limit: it waits `ms`, or is answered BUSY after `ms`. */
export interface Verdict {
  readonly kind: "delay" | "reject";
  readonly ms: number;
}

/** Units per second, with one limit for delaying and one for refusing. */
export class RateThrottle {
  #limit: RateLimit | undefined;
  #delay = Infinity;
  #reject = Infinity;
  #second = -1;
  #used = 0;

  /** Takes the table's limit; `undefined` switches it off. The counter of the current second stays. */
  configure(limit: RateLimit | undefined, partitionCount: number): void {
    this.#limit = limit;
    this.#delay = shareOf(limit?.delay, partitionCount);
    this.#reject = shareOf(limit?.reject, partitionCount);
  }

  /**
   * Counts a request, unless it is to be refused.
   *
   * @param nowMs Monotonic ms.
   * @returns `undefined` if it may go on at once.
   */
  admit(units: number, nowMs: number): Verdict | undefined {
    const limit = this.#limit;
    if (limit === undefined) return undefined;
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#used = 0;
    }
    const used = this.#used + units;
    // A single request larger than the limit passes in a second of its own, or it would never pass.
    if (used > this.#reject && this.#used > 0) return { kind: "reject", ms: limit.reject!.ms };
    this.#used = used;
    return used > this.#delay ? { kind: "delay", ms: limit.delay!.ms } : undefined;
  }

  /** Takes a request back that another limit refused. */
  giveBack(units: number): void {
    this.#used = Math.max(0, this.#used - units);
  }
}

function shareOf(step: RateStep | undefined, partitionCount: number): number {
  return step === undefined ? Infinity : Math.floor(step.units / partitionCount) + 1;
}

/**
 * Bytes that reads may return per second. They are known only afterwards: a read is charged when it is done,
 * the account may go below zero, and reads are refused until it is above again. At most one second is saved up.
 */
export class TokenBucket {
  #rate = 0;
  #tokens = 0;
  #filledAt = 0;

  /** @param rate Bytes per second of this partition; 0 switches it off. */
  configure(rate: number, nowMs: number): void {
    if (rate === this.#rate) return;
    this.#rate = rate;
    this.#tokens = rate;
    this.#filledAt = nowMs;
  }

  get enabled(): boolean {
    return this.#rate > 0;
  }

  /** Whether a read may begin at `nowMs`, monotonic. */
  hasTokens(nowMs: number): boolean {
    if (this.#rate === 0) return true;
    const earned = Math.max(0, nowMs - this.#filledAt) * this.#rate / 1000;
    this.#tokens = Math.min(this.#rate, this.#tokens + earned);
    this.#filledAt = Math.max(this.#filledAt, nowMs);
    return this.#tokens > 0;
  }

  /** Charges what a read returned. */
  charge(bytes: number): void {
    if (this.#rate > 0) this.#tokens -= bytes;
  }
}
