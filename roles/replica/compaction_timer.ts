// Compaction by table variables: once at a given time, or daily. Pure: it is asked from time to time and says which
// tables are due. A time that lay before the start of the process has passed: nobody knows whether it was obeyed, and a
// restart must not rewrite everything again. docs/data_api.md, "Table variables".

import type { TableId } from "../../src/base/ids.ts";
import type { CompactionRule } from "../../src/schema/table_envs.ts";

/** Wall clock ms, and minutes after midnight in the server's time zone. */
export interface WallTime {
  readonly ms: number;
  readonly minuteOfDay: number;
}

const LOOK_MS = 5000;

/** Reads a wall clock as people do. */
export function wallTime(ms: number): WallTime {
  const date = new Date(ms);
  return { ms, minuteOfDay: 60 * date.getHours() + date.getMinutes() };
}

/** See the file comment. */
export class CompactionTimer {
  #looked: WallTime;
  readonly #begun: number;
  /** What was obeyed last, Unix seconds by table. */
  readonly #obeyed = new Map<TableId, number>();

  constructor(now: WallTime) {
    this.#looked = now;
    this.#begun = now.ms;
  }

  /** Whether it is worth asking again: times are told by the minute. A clock that was set back counts. */
  isLookDue(ms: number): boolean {
    return Math.abs(ms - this.#looked.ms) >= LOOK_MS;
  }

  /** Tables whose time has come since the last question. */
  due(tables: Iterable<readonly [TableId, CompactionRule]>, now: WallTime): TableId[] {
    const before = this.#looked;
    this.#looked = now;
    const due: TableId[] = [];
    for (const [table, { disabled, onceAt, minutes }] of tables) {
      const isOnce = onceAt * 1000 > this.#begun && onceAt * 1000 <= now.ms &&
        this.#obeyed.get(table) !== onceAt;
      // A disabled one is not made up for later.
      if (isOnce) this.#obeyed.set(table, onceAt);
      const isDaily = minutes.some((minute) => hasCome(minute, before, now));
      if (!disabled && (isOnce || isDaily)) due.push(table);
    }
    return due;
  }
}

/** Whether a minute of the day began after `before`, up to `now`, which is less than a day later. */
function hasCome(minute: number, before: WallTime, now: WallTime): boolean {
  if (now.minuteOfDay === before.minuteOfDay) return false;
  const since = (minute - before.minuteOfDay + 1440) % 1440;
  return since > 0 && since <= (now.minuteOfDay - before.minuteOfDay + 1440) % 1440;
}
