// Judges a recorded history, object by object, and says where one stops having an order: the earliest answer
// that no order of the operations before it explains. Knows nothing but the history.

import { type HistoryEntry, operationsByObject } from "./history.ts";
import { checkLinearizable, keysOf, type Operation, type Verdict } from "./linearizability.ts";

/** An object whose history is not known to be linearizable. */
export interface Finding {
  readonly object: string;
  readonly verdict: Exclude<Verdict, "linearizable">;
  readonly operations: number;
  /** Whose answer cannot be explained; undefined when undecided. */
  readonly culprit: Operation | undefined;
  /** What touched its rows last, in order of their calls, the culprit included. */
  readonly context: readonly Operation[];
}

/** Verdict of a whole history. */
export interface Judgement {
  readonly objects: number;
  readonly operations: number;
  readonly ok: number;
  readonly notDone: number;
  readonly unknown: number;
  readonly findings: readonly Finding[];
}

/** Remembered states of the search per object before it gives up. */
export const MEMO_MAX = 2_000_000;

const CONTEXT_MAX = 20;

/** Judges every object of a history. */
export function judge(entries: readonly HistoryEntry[], memoMax = MEMO_MAX): Judgement {
  const objects = operationsByObject(entries);
  const findings: Finding[] = [];
  for (const [object, operations] of objects) {
    const verdict = checkLinearizable(operations, memoMax);
    if (verdict === "linearizable") continue;
    const culprit = verdict === "violation" ? findCulprit(operations, memoMax) : undefined;
    const context = culprit === undefined ? [] : around(operations, culprit);
    findings.push({ object, verdict, operations: operations.length, culprit, context });
  }
  const count = (outcome: HistoryEntry["outcome"]) =>
    entries.filter((entry) => entry.outcome === outcome).length;
  return {
    objects: objects.size,
    operations: entries.length,
    ok: count("ok"),
    notDone: count("not done"),
    unknown: count("unknown"),
    findings,
  };
}

/** The earliest answer with which the history has no order any more. */
function findCulprit(operations: readonly Operation[], memoMax: number): Operation | undefined {
  const answered = operations.filter(({ result }) => result !== undefined)
    .sort((a, b) => a.return - b.return);
  let low = 0;
  let high = answered.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    const verdict = checkLinearizable(until(operations, answered[middle]!.return), memoMax);
    if (verdict === "violation") high = middle;
    else low = middle + 1;
  }
  return answered[low];
}

/** What was known at a moment: later calls did not happen, later answers are unknown. */
function until(operations: readonly Operation[], time: number): Operation[] {
  return operations.filter(({ invoke }) => invoke <= time).map((operation) => {
    const isKnown = operation.result !== undefined && operation.return <= time;
    return isKnown ? operation : { ...operation, result: undefined };
  });
}

function around(operations: readonly Operation[], culprit: Operation): Operation[] {
  const keys = new Set(keysOf(culprit.op));
  return operations
    .filter(({ op, invoke }) => invoke <= culprit.return && keysOf(op).some((key) => keys.has(key)))
    .sort((a, b) => a.invoke - b.invoke)
    .slice(-CONTEXT_MAX);
}
