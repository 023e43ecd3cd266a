// Reads that are also sent to a second replica when the first one takes long: the first success counts. One coarse
// timer serves all of them (wakeups.ts). Invariant: a read fails only when every attempt that was made has failed, and
// nothing is repeated once an answer is there. See docs/client.md, "Follower reads".

import type { Clock } from "../base/clock.ts";
import { type Sleeper, Wakeups } from "./wakeups.ts";

interface Hedge extends Sleeper {
  readonly repeat: () => void;
}

/** See the file comment. */
export class Hedges {
  readonly #wakeups: Wakeups<Hedge>;

  constructor(clock: Clock) {
    this.#wakeups = new Wakeups<Hedge>(clock, (hedge) => hedge.repeat());
  }

  /**
   * @param first The read.
   * @param at Monotonic ms from which on it is repeated.
   * @param again Starts the repetition; `undefined` if there is nobody to ask.
   * @returns The first success; the failure of `first` if both failed.
   */
  run<T>(first: Promise<T>, at: number, again: () => Promise<T> | undefined): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let second: Promise<T> | undefined;
      const hedge: Hedge = {
        waitId: 0,
        repeat: () => {
          second = again();
          // Its failure matters only together with the first one's, below.
          second?.then(resolve, () => {});
        },
      };
      this.#wakeups.add(hedge, at);
      first.then((value) => {
        hedge.waitId++;
        resolve(value);
      }, (error) => {
        hedge.waitId++;
        if (second === undefined) reject(error);
        else second.then(resolve, () => reject(error));
      });
    });
  }

  /** Repeats nothing more. */
  close(): void {
    this.#wakeups.drain();
  }
}
