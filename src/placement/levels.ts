// What meta may do by itself: the function level an operator chose, lowered while too few servers
// are alive. Rules: docs/meta.md, "Function levels". One death of three must fail over.

import type { FunctionLevel } from "../schema/meta_rpc.ts";

const ORDER: readonly FunctionLevel[] = ["stopped", "blind", "freezed", "steady", "lively"];

/** Whether `level` allows what needs `needed`. */
export function allows(level: FunctionLevel, needed: FunctionLevel): boolean {
  return ORDER.indexOf(level) >= ORDER.indexOf(needed);
}

/**
 * Alive servers below which the cluster freezes: 1, 1, 2, 2, ... for 1, 2, 3, 4, ... known ones.
 */
export function aliveCountMin(known: number): number {
  return Math.max(1, Math.min(3, known) - 1);
}

/** The chosen level, or "freezed" while too few of the known servers are alive. */
export function effectiveLevel(
  chosen: FunctionLevel,
  alive: number,
  known: number,
  alivePercentMin: number,
): FunctionLevel {
  const frozen = alive < aliveCountMin(known) || alive * 100 < alivePercentMin * known;
  return frozen && allows(chosen, "freezed") ? "freezed" : chosen;
}
