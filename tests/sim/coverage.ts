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
    this.addAll(other.#counts);
  }

  /** Adds counts by name. */
  addAll(counts: Iterable<readonly [name: string, count: number]>): void {
    for (const [name, count] of counts) {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
    }
  }

  /** All counters, by name. */
  entries(): [string, number][] {
    return [...this.#counts].sort((a, b) => a[0] < b[0] ? -1 : 1);
  }
}

/** So many seeds reach everything that is required: the rarest counter was hit 6 times, most of them dozens. */
export const REQUIRED_SEEDS = 500;

/** What {@link REQUIRED_SEEDS} seeds must reach, by name of its counter. */
const REQUIRED: readonly string[] = [
  // Every edge of the status table (protocol.md, "Status machine"); "between" is inactive until meta's word.
  "edge.new>between",
  "edge.new>inactive",
  "edge.inactive>between",
  "edge.inactive>learner",
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
  // Two-phase commit, takeover, reconciliation.
  "ack.tryAgain",
  "note.gap",
  "note.rejoin",
  "note.truncate",
  "takeover.barrier",
  "takeover.reprepare2",
  "reconfigure.PRIMARY_FORCE_UPDATE_BALLOT",
  "reconfigure.DOWNGRADE_TO_SECONDARY",
  "reconfigure.REMOVE",
  "config.invalidVersion",
  // Learning.
  "learn.from.cache",
  "learn.from.log",
  "learn.from.image",
  "learn.severalRounds",
  "learn.image",
  "learn.log",
  "note.learned",
  "note.learnerForgotten",
  // Disks.
  "log.collected",
  "log.tornTail",
  "close.keep",
  "close.damaged",
  "log.sharedCollected",
  "fault.disk.engine",
  "fault.disk.fsync",
  "fault.disk.noSpace",
  "fault.rot.proven",
  "fault.rot.tail",
  "note.tail",
  "fault.lostReplica",
  "fault.harmMs",
  "fault.harmed",
  "close.harmed",
  "server.condemned",
  "fault.lostCopy",
  "liveness.onlyCopyLost",
  "server.aside.err",
  "server.aside.gar",
  // Faults in several steps.
  "plot.ghostTail",
  "plot.halfPrepared",
  "plot.sleepingLeader",
  "stop.handedOver",
  "stop.ended",
  // Lease and servers.
  "lease.lost",
  "lease.gained",
  "lease.readRefused",
  "server.missing",
  "server.garbage",
  // Clients.
  "op.done",
  "op.notDone",
  "op.unknown",
  "unknown.observed",
  "unknown.notObserved",
  "duplicate.window",
  "duplicate.flight",
  "write.busy",
  "write.notEnoughMember",
  "write.sessionExpired",
  // Meta and its store.
  "ddd.chosenOfTwo",
  "ddd.refused dead",
  "sync.busyInFlight",
  "meta.repeatedRequestOk",
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
  "store.leaderLostInChange",
  "fault.metaPause",
];

/** Required counters that are zero. */
export function unreached(total: Coverage, names: readonly string[] = REQUIRED): string[] {
  return names.filter((name) => total.get(name) === 0);
}
