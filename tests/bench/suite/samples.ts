// What a scrape of a server's metrics tells a benchmark. Pure.

/** Cumulative counts of a histogram by upper bound, seconds, ascending. */
export type Buckets = ReadonlyMap<number, number>;

const DELAY = "pegasus_event_loop_delay_seconds_bucket";

/** What one scrape of a server says. */
export interface Sample {
  readonly residentBytes: number;
  readonly cpuSeconds: number;
  /** How late timers fired since the server started. */
  readonly delays: Buckets;
}

/** Reads a scrape in the text format of Prometheus. @throws {Error} If a number is missing. */
export function parseSample(text: string): Sample {
  const delays = new Map<number, number>();
  for (const [, bound, count] of text.matchAll(new RegExp(`^${DELAY}{le="(.*?)"} (\\d+)$`, "gm"))) {
    delays.set(bound === "+Inf" ? Infinity : Number(bound), Number(count));
  }
  return {
    residentBytes: numberOf(text, "process_resident_memory_bytes"),
    cpuSeconds: numberOf(text, "process_cpu_seconds_total"),
    delays,
  };
}

function numberOf(text: string, name: string): number {
  const value = new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1];
  if (value === undefined) throw new Error(`The metrics of the server have no ${name}`);
  return Number(value);
}

/** What was counted between two scrapes. */
export function between(before: Buckets, after: Buckets): Buckets {
  return new Map([...after].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]));
}

/** Several servers as one. */
export function sumOf(all: readonly Buckets[]): Buckets {
  const sum = new Map<number, number>();
  for (const buckets of all) {
    for (const [bound, count] of buckets) sum.set(bound, (sum.get(bound) ?? 0) + count);
  }
  return sum;
}

/** A quantile, linear within its bucket as Prometheus reads histograms; NaN of nothing. @param q 0 to 1. */
export function quantileOf(buckets: Buckets, q: number): number {
  const total = buckets.get(Infinity) ?? 0;
  let lowerBound = 0;
  let below = 0;
  for (const [bound, count] of buckets) {
    if (count >= q * total && count > below) {
      if (bound === Infinity) return lowerBound;
      return lowerBound + (bound - lowerBound) * (q * total - below) / (count - below);
    }
    lowerBound = bound;
    below = count;
  }
  return NaN;
}
