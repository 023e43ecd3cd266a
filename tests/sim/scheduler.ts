// The one queue of a simulated world: virtual time, a seeded order for what happens at one instant, and a
// hash over everything that happened. Equal seeds must give equal hashes: whatever runs here may look at
// nothing but its arguments and the seeded streams (docs/testing.md, "Simulator").

import { Prng } from "../../src/base/prng.ts";

/** A planned happening. `owner` groups what dies together: see {@link Scheduler.cancelOwner}. */
export interface Planned {
  time: number;
  tie: number;
  readonly sequence: number;
  readonly label: string;
  readonly owner: object | undefined;
  run: (() => void) | undefined;
}

/** How a pile is worked off: as it was planned, what waited for time at the end, or by chance. */
export type PileOrder = "planned" | "timersLast" | Prng;

/** Happenings that only time brings. */
const TIMERS = new Set([
  "tick",
  "meta tick",
  "ping",
  "rpc timeout",
  "store timeout",
  "private sync",
  "backoff",
]);

/** Virtual milliseconds and a binary heap of planned happenings. */
export class Scheduler {
  /** Virtual time, ms. */
  now = 0;
  /** Happenings run so far. */
  events = 0;
  readonly #heap: Planned[] = [];
  readonly #ties: Prng;
  #sequence = 0;
  /** Owners that may not act now (paused nodes): their happenings are kept aside. */
  readonly #held = new Map<object, Planned[]>();

  constructor(seed: string) {
    this.#ties = new Prng(`${seed}/ties`);
  }

  /** Plans `run` after `delayMs` (at least 0). */
  after(delayMs: number, label: string, owner: object | undefined, run: () => void): Planned {
    const planned: Planned = {
      time: this.now + Math.max(0, delayMs),
      tie: this.#ties.uint32(),
      sequence: this.#sequence++,
      label,
      owner,
      run,
    };
    this.#push(planned);
    return planned;
  }

  /** Forgets one happening. */
  cancel(planned: Planned): void {
    planned.run = undefined;
  }

  /** Forgets everything planned for an owner: its process died. */
  cancelOwner(owner: object): void {
    for (const planned of this.#heap) if (planned.owner === owner) planned.run = undefined;
    this.#held.delete(owner);
  }

  /** Keeps everything of an owner aside from now on: its process is stopped. */
  hold(owner: object): void {
    if (!this.#held.has(owner)) this.#held.set(owner, []);
  }

  /** Lets an owner act again. What piled up runs now. */
  release(owner: object, order: PileOrder): void {
    const pile = this.#held.get(owner) ?? [];
    this.#held.delete(owner);
    pile.forEach((planned, index) => {
      planned.time = this.now;
      const late = order === "timersLast" && TIMERS.has(planned.label) ? pile.length : 0;
      planned.tie = typeof order === "string" ? late + index : order.uint32();
      this.#push(planned);
    });
  }

  /** Whether an owner is kept aside. */
  isHeld(owner: object): boolean {
    return this.#held.has(owner);
  }

  /** Runs the next happening and returns it; undefined when nothing is planned. */
  next(): Planned | undefined {
    for (;;) {
      const planned = this.#pop();
      if (planned === undefined) return undefined;
      if (planned.run === undefined) continue;
      if (planned.owner !== undefined) {
        const pile = this.#held.get(planned.owner);
        if (pile !== undefined) {
          pile.push(planned);
          continue;
        }
      }
      this.now = planned.time;
      this.events++;
      planned.run();
      return planned;
    }
  }

  /** Time of the next happening; Infinity when nothing is planned. */
  get nextTime(): number {
    return this.#heap[0]?.time ?? Infinity;
  }

  #push(planned: Planned): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(planned);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!before(planned, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = planned;
  }

  #pop(): Planned | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++;
      if (!before(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function before(a: Planned, b: Planned): boolean {
  if (a.time !== b.time) return a.time < b.time;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}
