// A replica server's right to serve, granted by meta's answers to beacons. The server must have stopped
// before meta, which waits for the longer grace period, gives its partitions to others. Invariant: the
// deadline counts from when a beacon was *sent*, never from when its answer came, and the lease is over
// as soon as either clock says so: the monotonic clock stands still while a machine is suspended, the
// wall clock steps. Rules: docs/protocol.md, "Reads" (§8); docs/meta.md, "Failure detector".

import type { Now } from "../base/clock.ts";

/** Until when a server may serve, on both clocks. */
export class Lease {
  readonly #validMs: number;
  // Invariant: both deadlines come from the same beacon, the newest one that was acknowledged.
  #sentMono = -Infinity;
  #deadlineMono = -Infinity;
  #deadlineWall = -Infinity;

  /**
   * @param leaseMs What meta grants per beacon; shorter than meta's grace period.
   * @param safetyMs Part of it that is never used: clock rates differ, and a check precedes its use.
   */
  constructor(leaseMs: number, safetyMs: number) {
    this.#validMs = leaseMs - safetyMs;
  }

  /** Monotonic ms from which on nothing may be served; -Infinity before the first acknowledged beacon. */
  get deadlineMono(): number {
    return this.#deadlineMono;
  }

  /** The same on the wall clock, Unix ms. */
  get deadlineWall(): number {
    return this.#deadlineWall;
  }

  /**
   * Takes the acknowledgement of the beacon that was sent at `sent`.
   *
   * @returns Whether it prolonged the lease; an answer older than the newest one does not.
   */
  acknowledge(sent: Now): boolean {
    if (sent.mono <= this.#sentMono) return false;
    this.#sentMono = sent.mono;
    this.#deadlineMono = sent.mono + this.#validMs;
    this.#deadlineWall = sent.wall + this.#validMs;
    return true;
  }

  /** Whether the lease holds now and for `aheadMs` more. */
  holds(now: Now, aheadMs: number): boolean {
    return now.mono + aheadMs < this.#deadlineMono && now.wall + aheadMs < this.#deadlineWall;
  }
}
