// The last changes of configurations and of servers, as this meta server made or saw them, for people who
// ask what just happened. Kept in memory: a new leader starts with none. Page: docs/http.md.

import type { MetaNote } from "../../../src/placement/io.ts";

/** One change. */
export interface RecentChange {
  /** Unix milliseconds. */
  readonly at: number;
  readonly event: MetaNote;
  readonly details: Readonly<Record<string, unknown>>;
}

const CHANGES_MAX = 200;

const KEPT: ReadonlySet<MetaNote> = new Set<MetaNote>([
  ...["leading", "nodeAlive", "nodeDead", "nodeRestarted"] as const,
  ...["config", "table", "level", "noCandidate"] as const,
]);

/** See the file comment. */
export class RecentChanges {
  readonly #changes: RecentChange[] = [];

  /** Something happened inside the core. */
  noted(event: MetaNote, details: Readonly<Record<string, unknown>>): void {
    if (!KEPT.has(event)) return;
    this.#changes.push({ at: Date.now(), event, details });
    if (this.#changes.length > CHANGES_MAX) this.#changes.shift();
  }

  /** Newest first. */
  list(): RecentChange[] {
    return this.#changes.toReversed();
  }
}
