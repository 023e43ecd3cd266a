// What is fuzzed: something that takes foreign bytes, valid examples of them, and what must hold.
// docs/testing.md, "Fuzzing".

import type { Prng } from "../../src/base/prng.ts";

/** See the file comment. */
export interface FuzzTarget {
  readonly name: string;
  readonly about: string;
  /** Valid inputs to begin with; made anew for every run. */
  corpus(): Uint8Array[];
  /** Makes checksums right again, so that what lies behind them is reached. */
  seal?(input: Uint8Array): Uint8Array;
  /**
   * Gives the input to what is tested and checks what must hold.
   *
   * @param rng For choices that are no part of the input, such as where it is cut.
   * @returns What came of it, roughly: inputs that lead somewhere new are kept and mutated further.
   * @throws {Error} If a rule is broken.
   */
  run(input: Uint8Array, rng: Prng): string | Promise<string>;
}

/** The kind of an error: its class and text without what varies. */
export function kindOf(error: unknown): string {
  if (!(error instanceof Error)) return `thrown ${typeof error}`;
  const text = error.message.replace(/"[^"]*"?/g, "Q").replace(/[0-9]+/g, "N");
  return `${error.name} ${text.slice(0, 40)}`;
}

/** Runs something that may refuse its input by one of these errors; any other one is a bug. */
export function refusing(allowed: readonly (new (...args: never[]) => Error)[], act: () => string) {
  try {
    return act();
  } catch (error) {
    if (allowed.some((kind) => error instanceof kind)) return kindOf(error);
    throw error;
  }
}

/** Fails with a rule and what was seen. */
export function must(holds: boolean, rule: string): void {
  if (!holds) throw new Error(`Broken rule: ${rule}`);
}
