// The two clocks of a simulated machine. The monotonic one drifts and stops while the machine is suspended;
// the wall clock drifts with it, does not stop, and steps when somebody sets it.

import type { Now } from "../../src/base/clock.ts";

/** Clocks of one node over virtual time. */
export class NodeClock {
  readonly #virtual: () => number;
  #rate = 1;
  /** Reading of both clocks at virtual time #since, when the rate changed last. */
  #since = 0;
  #mono: number;
  #wall: number;
  #suspendedAt: number | undefined;

  /** @param monoStart Where the monotonic clock begins: an arbitrary number, different per node. */
  constructor(virtual: () => number, monoStart: number, wallStart: number) {
    this.#virtual = virtual;
    this.#mono = monoStart;
    this.#wall = wallStart;
    this.#since = virtual();
  }

  /** Both clocks now. */
  now(): Now {
    const passed = (this.#virtual() - this.#since) * this.#rate;
    return {
      mono: this.#suspendedAt === undefined ? this.#mono + passed : this.#suspendedAt,
      wall: this.#wall + passed,
    };
  }

  /** Sets how fast both clocks run from now on; 1 is right. */
  setRate(rate: number): void {
    const now = this.now();
    this.#mono = now.mono;
    this.#wall = now.wall;
    this.#since = this.#virtual();
    this.#rate = rate;
  }

  /** Moves the wall clock. */
  step(ms: number): void {
    this.#wall += ms;
  }

  /** The machine sleeps: the monotonic clock stands still. */
  suspend(): void {
    if (this.#suspendedAt === undefined) this.#suspendedAt = this.now().mono;
  }

  /** The machine wakes. */
  wake(): void {
    if (this.#suspendedAt === undefined) return;
    const wall = this.now().wall;
    this.#mono = this.#suspendedAt;
    this.#wall = wall;
    this.#since = this.#virtual();
    this.#suspendedAt = undefined;
  }
}
