// Which record an operation touches: uniformly, by Zipf's law, or mostly the newest. The Zipf numbers follow
// Gray et al., "Quickly Generating Billion-Record Synthetic Databases" (SIGMOD 1994), as YCSB does, with ranks
// scattered over the key space by a hash, so that hot records do not share a partition.

import type { Prng } from "../../src/base/prng.ts";

/** Names of the distributions. */
export const DISTRIBUTIONS = ["uniform", "zipfian", "latest"] as const;
export type DistributionName = (typeof DISTRIBUTIONS)[number];

/** Draws record numbers in [0, records()). */
export interface Distribution {
  next(): number;
}

/** YCSB's skew. */
const THETA = 0.99;

/**
 * Makes a distribution.
 *
 * @param records Number of records now; may grow while the benchmark inserts.
 */
export function makeDistribution(
  name: DistributionName,
  records: () => number,
  prng: Prng,
): Distribution {
  if (name === "uniform") return { next: () => prng.below(records()) };
  const zipf = new Zipf(Math.max(1, records()), prng);
  if (name === "latest") {
    return { next: () => Math.max(0, records() - 1 - (zipf.next() % records())) };
  }
  return { next: () => scatter(zipf.next(), records()) };
}

/** Ranks 0, 1, 2, … with probability proportional to 1 / (rank + 1)^THETA. */
class Zipf {
  readonly #count: number;
  readonly #prng: Prng;
  readonly #zetaN: number;
  readonly #alpha = 1 / (1 - THETA);
  readonly #eta: number;

  constructor(count: number, prng: Prng) {
    this.#count = count;
    this.#prng = prng;
    this.#zetaN = zeta(count);
    this.#eta = (1 - Math.pow(2 / count, 1 - THETA)) / (1 - zeta(2) / this.#zetaN);
  }

  next(): number {
    const u = this.#prng.float();
    const uz = u * this.#zetaN;
    if (uz < 1) return 0;
    if (uz < 1 + Math.pow(0.5, THETA)) return 1;
    const rank = Math.floor(this.#count * Math.pow(this.#eta * u - this.#eta + 1, this.#alpha));
    return Math.min(rank, this.#count - 1);
  }
}

function zeta(count: number): number {
  let sum = 0;
  for (let i = 1; i <= count; i++) sum += 1 / Math.pow(i, THETA);
  return sum;
}

/** A fixed pseudo-random permutation-like spread of ranks (FNV over four bytes). */
function scatter(rank: number, count: number): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < 4; i++) {
    hash = Math.imul(hash ^ ((rank >>> (8 * i)) & 0xff), 0x01000193) >>> 0;
  }
  return hash % count;
}
