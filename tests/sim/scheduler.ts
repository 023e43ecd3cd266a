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
  /** The node it happens at, for orders of priority; "" = none. */
  readonly at: string;
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

/** Happenings looked at for the one of highest priority. */
const CANDIDATES = 8;

/**
 * An order of nodes with few changes at random points: schedules that random delays almost never give, and that find
 * bugs of small depth (PCT: Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of Finding Bugs").
 */
export class Priorities {
  readonly windowMs: number;
  readonly #ranks = new Map<string, number>();
  readonly #changes: number[];
  readonly #chance: Prng;
  #lowest = 0;

  /** @param changes Numbers of happenings at which a node falls to the lowest place, ascending. */
  constructor(nodes: readonly string[], windowMs: number, changes: number[], chance: Prng) {
    this.windowMs = windowMs;
    this.#changes = changes;
    this.#chance = chance;
    for (const node of nodes) this.#ranks.set(node, 1 + chance.float());
  }

  /** Larger goes first; what happens at no node goes before all. */
  of(node: string): number {
    return this.#ranks.get(node) ?? Infinity;
  }

  /** Takes the changes that are due after so many happenings. */
  advance(events: number): void {
    while (events >= (this.#changes[0] ?? Infinity)) {
      this.#changes.shift();
      this.#ranks.set(this.#chance.pick([...this.#ranks.keys()]), --this.#lowest);
    }
  }
}

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
  readonly #nodes = new WeakMap<object, string>();
  #priorities: Priorities | undefined;

  constructor(seed: string) {
    this.#ties = new Prng(`${seed}/ties`);
  }

  /** Plans `run` after `delayMs` (at least 0); `at`: at which node, if no owner tells. */
  after(
    delayMs: number,
    label: string,
    owner: object | undefined,
    run: () => void,
    at = owner === undefined ? "" : this.#nodes.get(owner) ?? "",
  ): Planned {
    const planned: Planned = {
      time: this.now + Math.max(0, delayMs),
      tie: this.#ties.uint32(),
      sequence: this.#sequence++,
      label,
      owner,
      at,
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

  /** Says at which node an owner lives. */
  name(owner: object, node: string): void {
    this.#nodes.set(owner, node);
  }

  /** From now on what is close in time happens in an order of priority of its nodes; undefined ends that. */
  prioritize(priorities: Priorities | undefined): void {
    this.#priorities = priorities;
  }

  /** The next happening; with priorities the first of those within the window whose node has the highest one. */
  #take(): Planned | undefined {
    const first = this.#pop();
    const priorities = this.#priorities;
    if (first === undefined || priorities === undefined) return first;
    priorities.advance(this.events);
    let best = first;
    const others: Planned[] = [];
    while (others.length < CANDIDATES && this.nextTime <= first.time + priorities.windowMs) {
      const other = this.#pop()!;
      if (other.run === undefined) continue;
      const isHigher = priorities.of(other.at) > priorities.of(best.at);
      others.push(isHigher ? best : other);
      if (isHigher) best = other;
    }
    for (const other of others) this.#push(other);
    return best;
  }

  /** Runs the next happening and returns it; undefined when nothing is planned. */
  next(): Planned | undefined {
    for (;;) {
      const planned = this.#take();
      if (planned === undefined) return undefined;
      if (planned.run === undefined) continue;
      if (planned.owner !== undefined) {
        const pile = this.#held.get(planned.owner);
        if (pile !== undefined) {
          pile.push(planned);
          continue;
        }
      }
      this.now = Math.max(this.now, planned.time);
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
