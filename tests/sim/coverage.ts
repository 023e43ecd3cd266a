// "Sometimes" counters: what the runs reached. A counter that stays at zero over a whole run of many seeds
// means that the generator is too weak to find bugs behind it (docs/testing.md, "Coverage").

/** Named counters. */
export class Coverage {
  readonly #counts = new Map<string, number>();

  /** Counts one occurrence. */
  hit(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  get(name: string): number {
    return this.#counts.get(name) ?? 0;
  }

  /** Adds the counters of another run. */
  add(other: Coverage): void {
    for (const [name, count] of other.#counts) {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
    }
  }

  /** All counters, by name. */
  entries(): [string, number][] {
    return [...this.#counts].sort((a, b) => a[0] < b[0] ? -1 : 1);
  }
}
