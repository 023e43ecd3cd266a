// What is aimed for, and whether a measured number reaches it. Pure. Rates and times are aimed for on a machine where
// redis-benchmark makes so many gets per second (PACE_GETS); on a slower one an aim that is missed as it stands is
// looked at again at that machine's pace, and the verdict says so. Ratios and bytes know no pace.

/** Of a machine: over 50 connections, which counts for many operations outstanding, and over a single one. */
export interface Pace {
  readonly many: number;
  readonly one: number;
}

/** GET/s of `redis-benchmark -c 50` and `-c 1` where the aims were set: 105 to 116 and 20 thousand. */
export const PACE_GETS: Pace = { many: 105_000, one: 20_000 };

/** Whether more is better, or less; and whether a slower machine excuses a miss. */
type Kind = "rate" | "time" | "at least" | "at most";

/** One aim. */
export interface Aim {
  readonly kind: Kind;
  readonly bound: number;
  /** What the bound counts: "op/s", "us P99", "MB". */
  readonly unit: string;
}

/** How a number stands to its aim. */
export type Verdict = "held" | "held at pace" | "missed";

/** A measured number with its aim. */
export interface Judged {
  readonly aim: Aim;
  readonly measured: number;
  readonly verdict: Verdict;
}

/** At least so much per second. */
export const rate = (bound: number, unit: string): Aim => ({ kind: "rate", bound, unit });
/** No longer than that. */
export const time = (bound: number, unit: string): Aim => ({ kind: "time", bound, unit });
/** No less, on any machine. */
export const atLeast = (bound: number, unit: string): Aim => ({ kind: "at least", bound, unit });
/** No more, on any machine. */
export const atMost = (bound: number, unit: string): Aim => ({ kind: "at most", bound, unit });

/** The speed of this machine as a share of the one the aims were set on; 1 at most. @param gets GET/s; 0 = not known. */
export function paceOf(gets: Pace): Pace {
  const share = (here: number, there: number) => here > 0 ? Math.min(1, here / there) : 1;
  return { many: share(gets.many, PACE_GETS.many), one: share(gets.one, PACE_GETS.one) };
}

/** @param pace The one of {@link paceOf} that fits. */
export function judge(aim: Aim, measured: number, pace: number): Judged {
  const isMore = aim.kind === "rate" || aim.kind === "at least";
  const reaches = (bound: number) => isMore ? measured >= bound : measured <= bound;
  if (reaches(aim.bound)) return { aim, measured, verdict: "held" };
  const paced = aim.kind === "rate"
    ? aim.bound * pace
    : aim.kind === "time"
    ? aim.bound / pace
    : aim.bound;
  return { aim, measured, verdict: reaches(paced) ? "held at pace" : "missed" };
}

/** The aim in words. */
export function wordsOf({ kind, bound, unit }: Aim): string {
  const sign = kind === "rate" || kind === "at least" ? ">=" : "<=";
  return `${sign} ${bound >= 1000 ? bound.toLocaleString("en-US") : bound} ${unit}`;
}
