// Requests that a throttle makes wait: one coarse timer for all of them, which runs only while somebody
// waits. Invariant: at most WAITING_MAX wait; whoever comes then is told to come back later. Late by up to
// STEP_MS, never early. docs/data_api.md, "Throttling".

/** Distance of two looks at the waiting ones, ms. */
const STEP_MS = 5;
/** Requests that wait at the same time, per shard. */
const WAITING_MAX = 10_000;

interface Waiting {
  /** Monotonic ms. */
  readonly at: number;
  readonly go: () => void;
}

/** See the file comment. */
export class DelayLine {
  readonly #now: () => number;
  readonly #after: () => void;
  #waiting: Waiting[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;

  /**
   * @param now Monotonic ms.
   * @param after Called after each round that let somebody go.
   */
  constructor(now: () => number, after: () => void) {
    this.#now = now;
    this.#after = after;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** Calls `go` in `ms`. @returns False if too many wait already. */
  add(ms: number, go: () => void): boolean {
    if (this.#waiting.length >= WAITING_MAX) return false;
    this.#waiting.push({ at: this.#now() + ms, go });
    this.#timer ??= setInterval(() => this.step(), STEP_MS);
    return true;
  }

  /** Lets everybody go whose time has come. */
  step(): void {
    const now = this.#now();
    const due = this.#waiting.filter((one) => one.at <= now);
    if (due.length > 0) {
      this.#waiting = this.#waiting.filter((one) => one.at > now);
      for (const one of due) one.go();
      this.#after();
    }
    if (this.#waiting.length === 0) this.#stop();
  }

  /** Lets everybody go at once: whoever refuses requests by now refuses these. */
  close(): void {
    const all = this.#waiting;
    this.#waiting = [];
    this.#stop();
    for (const one of all) one.go();
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
