// One target under fire. Guided by outcomes: an input that leads to a result not seen before joins the
// corpus, so that later ones begin where it ended. Deterministic: the same target and seed make the
// same inputs, whatever the machine does.

import { Prng } from "../../src/base/prng.ts";
import { mutate } from "./mutate.ts";
import type { FuzzTarget } from "./target.ts";

/** Kept inputs; beyond that the oldest found one gives way. */
const CORPUS_MAX = 1000;
const OUTCOMES_MAX = 20_000;
/** No single input may take longer, ms: parsers are linear, and the largest input has 64 KiB. */
const CASE_MS_MAX = 2000;

/** A broken rule, and what breaks it. */
export class FuzzFailure extends Error {
  override readonly name = "FuzzFailure";
  readonly input: Uint8Array;

  constructor(target: string, number: number, input: Uint8Array, cause: unknown) {
    const reason = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
    super(`Target ${target}, case ${number} (${input.length} bytes): ${reason}`, { cause });
    this.input = input;
  }
}

/** See the file comment. */
export class Fuzzer {
  readonly target: FuzzTarget;
  /** Cases that were run. */
  cases = 0;
  /** Told every input before it is run, for a watchdog. */
  onInput: (input: Uint8Array) => void = () => {};
  readonly #rng: Prng;
  readonly #corpus: Uint8Array[];
  readonly #seeds: number;
  readonly #outcomes = new Set<string>();

  readonly #caseMsMax: number;

  constructor(target: FuzzTarget, seed: string, caseMsMax = CASE_MS_MAX) {
    this.#caseMsMax = caseMsMax;
    this.target = target;
    this.#rng = new Prng(`${seed} ${target.name}`);
    this.#corpus = target.corpus();
    this.#seeds = this.#corpus.length;
  }

  /** Different results seen. */
  get outcomes(): number {
    return this.#outcomes.size;
  }

  /**
   * Runs one input of its own making: first the valid ones as they are.
   *
   * @returns A promise if the target is asynchronous.
   * @throws {FuzzFailure}
   */
  step(): void | Promise<void> {
    const rng = this.#rng;
    const isValid = this.cases < this.#seeds;
    let input = isValid
      ? this.#corpus[this.cases]!
      : mutate(rng.pick(this.#corpus), this.#corpus, rng);
    const { seal } = this.target;
    if (!isValid && seal !== undefined && rng.chance(0.7)) input = seal(input);
    return this.run(input);
  }

  /** Runs one input. @throws {FuzzFailure} */
  run(input: Uint8Array): void | Promise<void> {
    this.onInput(input);
    const number = this.cases++;
    const began = performance.now();
    const fail = (cause: unknown): never => {
      throw new FuzzFailure(this.target.name, number, input, cause);
    };
    let outcome: string | Promise<string>;
    try {
      outcome = this.target.run(input, this.#rng);
    } catch (cause) {
      return fail(cause);
    }
    const end = (seen: string) => {
      const ms = Math.round(performance.now() - began);
      if (ms > this.#caseMsMax) fail(new Error(`Took ${ms} ms`));
      this.#keep(input, seen);
    };
    return typeof outcome === "string" ? end(outcome) : outcome.then(end, fail);
  }

  #keep(input: Uint8Array, outcome: string): void {
    if (this.#outcomes.has(outcome) || this.#outcomes.size >= OUTCOMES_MAX) return;
    this.#outcomes.add(outcome);
    if (this.#corpus.length >= CORPUS_MAX) this.#corpus.splice(this.#seeds, 1);
    this.#corpus.push(input);
  }
}
