// How available the cluster is, seen by a client: every partition of the probe table is written and read every few
// seconds. Pure half: counts successes in windows. docs/monitoring.md, "Availability".

/** Lengths of the windows, seconds. */
export const WINDOWS = { minute: 60, hour: 3600, day: 86_400 } as const;

/** Name of a window. */
export type Window = keyof typeof WINDOWS;

/** What is remembered of one probe round: whole minutes are kept for a day. */
interface Minute {
  /** Unix minutes. */
  readonly at: number;
  tried: number;
  succeeded: number;
}

/** See the file comment. */
export class Availability {
  /** Newest last; at most one entry per minute of a day. */
  #minutes: Minute[] = [];

  /** A probe ended. `now` Unix ms. */
  add(succeeded: boolean, now: number): void {
    const at = Math.floor(now / 60_000);
    let last = this.#minutes.at(-1);
    if (last === undefined || last.at !== at) {
      this.#minutes.push(last = { at, tried: 0, succeeded: 0 });
    }
    if (this.#minutes.length > WINDOWS.day / 60) this.#minutes.shift();
    last.tried++;
    if (succeeded) last.succeeded++;
  }

  /** Share of probes that succeeded, 0 to 1, and how many there were; `null` = none. The minute may be up to two. */
  share(window: Window, now: number): number | null {
    const from = Math.floor(now / 60_000) - WINDOWS[window] / 60;
    let [tried, succeeded] = [0, 0];
    for (const minute of this.#minutes) {
      if (minute.at < from) continue;
      tried += minute.tried;
      succeeded += minute.succeeded;
    }
    return tried === 0 ? null : succeeded / tried;
  }
}
