// The end of a turn of the event loop: after everything that several sockets delivered at once was handled. Work that
// is cheaper once for all of it is put there, if this runtime ends turns at once: older ones take 1 ms.

import { setImmediate } from "node:timers";

/** A turn that ends later than this is no place to gather anything, ms. */
const TURN_MS_MAX = 0.3;
const PROBES = 5;

/** Finds out whether this runtime ends its turns at once. */
export async function turnsAreFast(): Promise<boolean> {
  let fastest = Infinity;
  for (let i = 0; i < PROBES; i++) {
    const startedAt = performance.now();
    await new Promise<void>((resolve) => atEndOfTurn(resolve));
    fastest = Math.min(fastest, performance.now() - startedAt);
  }
  return fastest < TURN_MS_MAX;
}

/** Runs `work` at the end of the turn, in the order of the calls; the microtasks of each run before the next. */
export function atEndOfTurn(work: () => void): void {
  setImmediate(work);
}
