// Range reads take turns: each holds rows in memory until it answers, and what LevelDB's threads have read for all of
// them is made into objects by the event loop, in one turn if it comes back in one. So only so many run at a time, and
// the others wait as the requests they are, until the turn in which one of them answers is over: if the next began at
// once, what it reads would come back into the same turn, which then would not end. Invariant: at most
// RANGES_RUNNING_MAX run and WAITING_MAX wait; a read is checked again in full when its turn comes. docs/limits.md.

/** Range reads that run at the same time, per shard. With 8 MiB each they hold 32 MiB at most. */
export const RANGES_RUNNING_MAX = 4;
/**
 * And if several came back in one turn: they wait for this thread, not for the disk. Of scans of 100 rows, 32
 * outstanding, on three servers that share two busy cores, 5 to 9 % of the delays of the event loop are above 10 ms
 * with two that begin at the end of a turn, 11 % with four, 20 % with four that begin at once, and at as many scans
 * per second. Above 25 ms were 1 to 2 %, 2 %, 2 to 5 %, and 9 to 12 % with 64.
 */
const RUNNING_WHILE_BUSY = 2;
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
  readonly #endOfTurn: (work: () => void) => void;
  /** Runs once per turn in which reads have answered. */
  readonly #onTurnEnd = () => this.#turnEnds();
  #running = 0;
  #runningMax = RANGES_RUNNING_MAX;
  /** In this turn of the event loop; above 0, its end is awaited. */
  #answered = 0;
  #isCalling = false;
  // Taken from `#head` on; the rest is dropped when half of the list is taken.
  #waiting: Waiting[] = [];
  #head = 0;

  /**
   * @param now Monotonic ms.
   * @param endOfTurn Runs work at the end of the turn of the event loop; absent: at once.
   */
  constructor(now: () => number, endOfTurn: (work: () => void) => void = (work) => work()) {
    this.#now = now;
    this.#endOfTurn = endOfTurn;
  }

  get running(): number {
    return this.#running;
  }

  get waiting(): number {
    return this.#waiting.length - this.#head;
  }

  /**
   * Whether a read may run now; it then has the turn until {@link done}. Otherwise `go` is called when it
   * may ask again, unless too many wait. Nobody overtakes those who wait.
   */
  take(deadline: number, go: () => void): "run" | "wait" | "full" {
    if (this.#running < this.#runningMax && (this.#isCalling || this.waiting === 0)) {
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
    if (this.#answered++ === 0) this.#endOfTurn(this.#onTurnEnd);
  }

  #turnEnds(): void {
    const isBusy = this.#answered > 1;
    this.#runningMax = isBusy
      ? RUNNING_WHILE_BUSY
      : Math.min(RANGES_RUNNING_MAX, this.#runningMax + 1);
    this.#isCalling = true;
    try {
      this.#callWaiting();
    } finally {
      this.#isCalling = false;
      this.#answered = 0;
    }
  }

  /** Whoever is refused when its turn comes takes none, so that the next one is called. */
  #callWaiting(): void {
    while (this.#running < this.#runningMax && this.#head < this.#waiting.length) {
      const { deadline, go } = this.#waiting[this.#head++]!;
      if (this.#head * 2 > this.#waiting.length) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
      if (deadline > this.#now()) go();
    }
  }
}
