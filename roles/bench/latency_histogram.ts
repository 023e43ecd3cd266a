// A histogram of latencies: exact below 256, in steps of under 0.8 % above. Invariant: a percentile is
// never smaller than the recorded value it stands for, and never larger than the largest one. Our own,
// because not every runtime the program is compiled with has the one of node:perf_hooks; recording takes
// a shift and an increment.

/** Values below this have a counter each; above, every power of two is cut into 128 steps. */
const EXACT_BELOW = 256;
const STEPS = 128;
const STEP_BITS = 7;
/** Larger values count as this one: 35 minutes in microseconds. */
const VALUE_MAX = 2 ** 31 - 1;
const COUNTERS = EXACT_BELOW + STEPS * (31 - 8);

/** See the file comment. Values are whole numbers from 0, here microseconds. */
export class LatencyHistogram {
  readonly #counters = new Float64Array(COUNTERS);
  #count = 0;
  #sum = 0;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  /** Largest recorded value, 0 if there is none. */
  get max(): number {
    return this.#max;
  }

  /** 0 if nothing was recorded. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /** Counts one value. */
  record(value: number): void {
    const bounded = Math.min(value, VALUE_MAX);
    this.#counters[counterOf(bounded)]!++;
    this.#count++;
    this.#sum += bounded;
    if (bounded > this.#max) this.#max = bounded;
  }

  /** The value that `percent` of the recorded values do not exceed; 0 if nothing was recorded. */
  percentile(percent: number): number {
    const wanted = Math.max(1, Math.ceil((this.#count * percent) / 100));
    let seen = 0;
    for (let i = 0; i < COUNTERS; i++) {
      seen += this.#counters[i]!;
      if (seen >= wanted) return Math.min(highestOf(i), this.#max);
    }
    return this.#max;
  }

  /** Forgets everything. */
  reset(): void {
    this.#counters.fill(0);
    this.#count = 0;
    this.#sum = 0;
    this.#max = 0;
  }
}

function counterOf(value: number): number {
  if (value < EXACT_BELOW) return value;
  const shift = 31 - Math.clz32(value) - STEP_BITS;
  return EXACT_BELOW + (shift - 1) * STEPS + ((value >>> shift) - STEPS);
}

/** Highest value a counter stands for. */
function highestOf(counter: number): number {
  if (counter < EXACT_BELOW) return counter;
  const above = counter - EXACT_BELOW;
  const shift = Math.floor(above / STEPS) + 1;
  return ((above % STEPS) + STEPS + 1) * 2 ** shift - 1;
}
