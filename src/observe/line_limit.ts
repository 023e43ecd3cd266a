// Bounds how often one and the same line is logged: a fault that repeats a thousand times a second must
// neither fill the disk nor hide the other lines. Pure: time is passed in. Lines are counted by category,
// level and message; the first `burst` of a window pass, the rest are counted, and the count goes out
// with the next line that passes.

/** Limits repeated lines. */
export class LineLimit {
  readonly #burst: number;
  readonly #windowMs: number;
  // Invariant: at most LINES_MAX entries; messages are constant texts, so a program has few of them.
  readonly #lines = new Map<string, { since: number; count: number; held: number }>();

  constructor(burst: number, windowMs: number) {
    this.#burst = burst;
    this.#windowMs = windowMs;
  }

  /**
   * Asks whether a line may go out.
   *
   * @param now Monotonic ms.
   * @returns -1 to hold it back; otherwise how many equal lines were held back before it.
   */
  admit(line: string, now: number): number {
    let state = this.#lines.get(line);
    if (state === undefined) {
      if (this.#lines.size >= LINES_MAX) this.#lines.clear();
      state = { since: now, count: 0, held: 0 };
      this.#lines.set(line, state);
    }
    if (now - state.since >= this.#windowMs) {
      state.since = now;
      state.count = 0;
    }
    state.count++;
    if (state.count > this.#burst) {
      state.held++;
      return -1;
    }
    const held = state.held;
    state.held = 0;
    return held;
  }
}

const LINES_MAX = 10_000;
