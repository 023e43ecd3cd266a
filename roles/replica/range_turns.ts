// Range reads take turns: each holds rows in memory until it answers, and what LevelDB's threads have read for all of
// them comes back in one turn of the event loop, so that only so many run at a time, and the others wait as the
// requests they are. Invariant: at most RANGES_RUNNING_MAX run and WAITING_MAX wait; a read is checked again in full when
// its turn comes. docs/limits.md.

/**
 * Range reads that run at the same time, per shard. With 8 MiB each they hold 32 MiB at most. Of scans of 100 KB, 32
 * outstanding, on three servers that share two busy cores, 2 to 4 % of the delays of the event loop are above 25 ms;
 * with 64 it was 9 to 12 %, and as many scans per second or fewer.
 */
export const RANGES_RUNNING_MAX = 4;
/** Range reads that wait for their turn, per shard. */
const WAITING_MAX = 10_000;

interface Waiting {
  /** Monotonic ms; nobody waits for the answer after that. */
  readonly deadline: number;
  readonly go: () => void;
}

/** See the file comment. */
export class RangeTurns {
  readonly #now: () => number;
  #running = 0;
  #isCalling = false;
  // Taken from `#head` on; the rest is dropped when half of the list is taken.
  #waiting: Waiting[] = [];
  #head = 0;

  /** @param now Monotonic ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length - this.#head;
  }

  /**
   * Whether a read may run now; it then has the turn until {@link done}. Otherwise `go` is called when it
   * may ask again, unless too many wait.
   */
  take(deadline: number, go: () => void): "run" | "wait" | "full" {
    if (this.#running < RANGES_RUNNING_MAX) {
      this.#running++;
      return "run";
    }
    if (this.waiting >= WAITING_MAX) return "full";
    this.#waiting.push({ deadline, go });
    return "wait";
  }

  /** Runs a read that has the turn, and gives the turn back when it has answered. */
  hold(read: () => Promise<void> | undefined): void {
    let reading: Promise<void> | undefined;
    try {
      reading = read()?.finally(() => this.done());
    } finally {
      if (reading === undefined) this.done();
    }
  }

  /** A read has answered. */
  done(): void {
    this.#running--;
    // One that answers before its `go` returns: the loop that called it goes on.
    if (this.#isCalling) return;
    this.#isCalling = true;
    try {
      this.#callWaiting();
    } finally {
      this.#isCalling = false;
    }
  }

  /** Whoever is refused when its turn comes takes none, so that the next one is called. */
  #callWaiting(): void {
    while (this.#running < RANGES_RUNNING_MAX && this.#head < this.#waiting.length) {
      const { deadline, go } = this.#waiting[this.#head++]!;
      if (this.#head * 2 > this.#waiting.length) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
      if (deadline > this.#now()) go();
    }
  }
}
