// Chance of a simulated world. Each purpose has its own stream, derived from the seed and a name, so that
// taking one kind of fault away does not reshuffle the others (docs/testing.md, "Simulator").

import { Prng } from "../../src/base/prng.ts";

/** Independent streams of one seed. */
export class Chance {
  readonly seed: string;
  readonly #streams = new Map<string, Prng>();

  constructor(seed: string) {
    this.seed = seed;
  }

  /** The stream of a purpose; the same object for the same name. */
  stream(name: string): Prng {
    let stream = this.#streams.get(name);
    if (stream === undefined) {
      this.#streams.set(name, stream = new Prng(`${this.seed}/${name}`));
    }
    return stream;
  }
}

/** Uniform in [min, max). */
export function between(chance: Prng, min: number, max: number): number {
  return min + chance.float() * (max - min);
}

/** Uniform integer in [min, max]. */
export function integerBetween(chance: Prng, min: number, max: number): number {
  return min + chance.below(max - min + 1);
}

/** Log-uniform in [min, max): each order of magnitude is equally likely. */
export function logUniform(chance: Prng, min: number, max: number): number {
  return min * Math.pow(max / min, chance.float());
}

/** Mostly near `typical`, sometimes far above, at most `max`. */
export function heavyTail(chance: Prng, typical: number, max: number): number {
  // A Pareto tail with exponent 1.3: one in 20 is above 10 x typical.
  return Math.min(max, typical * (0.5 + 0.5 * Math.pow(1 - chance.float(), -1 / 1.3)));
}
