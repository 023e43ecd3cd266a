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

/** What some run of a few hundred seeds must reach, by name of its counter. */
export const REQUIRED: readonly string[] = [
  "edge.between>primary",
  "edge.between>secondary",
  "edge.between>learner",
  "edge.between>inactive",
  "edge.primary>between",
  "edge.secondary>between",
  "edge.secondary>learner",
  "edge.secondary>inactive",
  "edge.learner>secondary",
  "edge.learner>inactive",
  "edge.primary>error",
  "edge.secondary>error",
  "note.truncate",
  "note.gap",
  "note.duplicate",
  "note.rejoin",
  "note.learned",
  "note.learnerForgotten",
  "learn.image",
  "learn.log",
  "log.collected",
  "lease.lost",
  "lease.gained",
  "server.missing",
  "server.garbage",
  "close.keep",
  "close.damaged",
  "meta.cureGivenUp",
  "meta.detectorPaused",
  "meta.nodeDead",
  "meta.nodeRestarted",
  "meta.primaryDead",
  "meta.refusedChange",
  "meta.storeUnknown",
  "meta.stopped",
  "store.expired",
  "store.fenced",
  "store.lostReply",
  "fault.metaPause",
  "op.done",
  "op.notDone",
  "op.unknown",
];
