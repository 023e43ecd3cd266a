// Highest sequence per replica and generation: what a shared segment holds. Invariant: never less
// than what was written, because a segment may go only when all of it is safe elsewhere, and the
// table of the next segment is made of it. docs/log_format.md, "Segment" and "Collecting".

import type { PartitionId } from "../src/base/ids.ts";
import type { TableEntry } from "./log_format.ts";

interface Entry {
  readonly generation: number;
  sequence: number;
  /** Other generations of the partition; rare, hence a list. */
  readonly next: Entry | undefined;
}

/** Highest sequence by (partition, generation). */
export class HighSequences {
  readonly #entries = new Map<PartitionId, Entry>();

  /**
   * Records that (partition, generation) reached `sequence`. Called for every append: one map
   * lookup.
   */
  note(partition: PartitionId, generation: number, sequence: number): void {
    const first = this.#entries.get(partition);
    for (let entry = first; entry !== undefined; entry = entry.next) {
      if (entry.generation !== generation) continue;
      if (sequence > entry.sequence) entry.sequence = sequence;
      return;
    }
    this.#entries.set(partition, { generation, sequence, next: first });
  }

  /** Adds everything another one holds. */
  merge(other: HighSequences): void {
    for (const { partition, generation, sequence } of other.list()) {
      this.note(partition, generation, sequence);
    }
  }

  /** All entries. */
  list(): TableEntry[] {
    const list: TableEntry[] = [];
    for (const [partition, first] of this.#entries) {
      for (let entry: Entry | undefined = first; entry !== undefined; entry = entry.next) {
        list.push({ partition, generation: entry.generation, sequence: entry.sequence });
      }
    }
    return list;
  }

  /** Whether `covered` reaches every entry. */
  isCovered(covered: (partition: PartitionId, generation: number) => number): boolean {
    for (const { partition, generation, sequence } of this.list()) {
      if (covered(partition, generation) < sequence) return false;
    }
    return true;
  }
}
