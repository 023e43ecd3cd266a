// Runs a workload: a number of loops, each with one operation outstanding (closed), or operations started at a fixed
// rate whatever the answers do (open). In the open loop latency counts from the intended start, so a stall is not
// hidden by the operations it kept from starting.

import { Prng } from "../../src/base/prng.ts";
import { type DistributionName, makeDistribution } from "./distribution.ts";
import { LatencyHistogram } from "./latency_histogram.ts";
import type { OperationName, Target, Workload } from "./workload.ts";

/** How to run. */
export interface RunOptions {
  readonly workload: Workload;
  readonly distribution: DistributionName;
  readonly records: number;
  readonly operations: number;
  /** Operations outstanding at a time, at most. */
  readonly concurrency: number;
  /** Operations per second to start; 0 = as many as the answers allow. */
  readonly rate: number;
  /** Operations before the measurement begins. */
  readonly warmUp: number;
  /** Stop after so long, ms; 0 = no limit. */
  readonly durationMs: number;
  readonly seed: string;
}

/** Latency of one kind of operation, in microseconds. */
export interface Latency {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What was measured. */
export interface RunResult {
  readonly operations: number;
  readonly errors: number;
  readonly errorSamples: string[];
  readonly seconds: number;
  /** Operations per second. */
  readonly throughput: number;
  /** Rows read or written per second; equals throughput for single-row operations. */
  readonly rowsPerSecond: number;
  readonly latency: Latency;
  readonly byOperation: Readonly<Record<string, Latency>>;
}

/** Progress while it runs: operations done, of how many, seconds since the start. */
export type Progress = (done: number, total: number, seconds: number) => void;

/** One run of a workload against a target. */
export class Runner {
  readonly #target: Target;
  readonly #options: RunOptions;
  readonly #byOperation = new Map<OperationName, LatencyHistogram>();
  readonly #all = new LatencyHistogram();
  readonly #prng: Prng;
  readonly #pickRecord: () => number;
  readonly #mix: { readonly name: OperationName; readonly upTo: number }[] = [];
  #records: number;
  #started = 0;
  #done = 0;
  #rows = 0;
  #errors = 0;
  #stopped = false;
  readonly #errorSamples = new Set<string>();
  #measureFrom = 0;

  constructor(target: Target, options: RunOptions) {
    this.#target = target;
    this.#options = options;
    this.#prng = new Prng(options.seed);
    const inserts = options.workload.mix.insert ?? 0;
    this.#records = inserts === 1 ? 0 : options.records;
    const distribution = makeDistribution(
      options.distribution,
      () => Math.max(1, this.#records),
      this.#prng,
    );
    this.#pickRecord = () => distribution.next();
    let upTo = 0;
    for (const [name, share] of Object.entries(options.workload.mix)) {
      upTo += share;
      this.#mix.push({ name: name as OperationName, upTo });
    }
  }

  /** Ends the run early; what is outstanding is waited for. */
  stop(): void {
    this.#stopped = true;
  }

  async run(progress: Progress): Promise<RunResult> {
    const { concurrency, rate, durationMs } = this.#options;
    const begin = performance.now();
    this.#measureFrom = begin;
    const timer = setInterval(
      () => progress(this.#done, this.#options.operations, (performance.now() - begin) / 1000),
      500,
    );
    const limit = durationMs > 0 ? setTimeout(() => this.stop(), durationMs) : undefined;
    try {
      if (rate > 0) await this.#openLoop(begin);
      else await Promise.all(Array.from({ length: concurrency }, () => this.#closedLoop()));
    } finally {
      clearInterval(timer);
      clearTimeout(limit);
    }
    return this.#result(performance.now());
  }

  async #closedLoop(): Promise<void> {
    while (this.#started < this.#options.operations && !this.#stopped) {
      this.#started++;
      await this.#one(performance.now());
    }
  }

  async #openLoop(begin: number): Promise<void> {
    const { operations, rate, concurrency } = this.#options;
    const outstanding = new Set<Promise<void>>();
    while (this.#started < operations && !this.#stopped) {
      const intended = begin + (this.#started * 1000) / rate;
      const wait = intended - performance.now();
      if (wait > 1) await new Promise((resolve) => setTimeout(resolve, wait));
      if (outstanding.size >= concurrency) await Promise.race(outstanding);
      this.#started++;
      const one = this.#one(intended).finally(() => outstanding.delete(one));
      outstanding.add(one);
    }
    await Promise.all(outstanding);
  }

  async #one(startedAt: number): Promise<void> {
    const name = this.#pickOperation();
    try {
      const rows = await this.#perform(name);
      this.#rows += rows;
      const now = performance.now();
      const us = Math.max(1, Math.round((now - startedAt) * 1000));
      let own = this.#byOperation.get(name);
      if (own === undefined) this.#byOperation.set(name, own = new LatencyHistogram());
      own.record(us);
      this.#all.record(us);
    } catch (cause) {
      this.#errors++;
      if (this.#errorSamples.size < 5) this.#errorSamples.add(String(cause));
    }
    if (++this.#done === this.#options.warmUp) this.#beginMeasuring();
  }

  #beginMeasuring(): void {
    this.#measureFrom = performance.now();
    this.#all.reset();
    this.#byOperation.clear();
    this.#rows = 0;
  }

  #pickOperation(): OperationName {
    if (this.#mix.length === 1) return this.#mix[0]!.name;
    const draw = this.#prng.float();
    return (this.#mix.find(({ upTo }) => draw < upTo) ?? this.#mix.at(-1)!).name;
  }

  async #perform(name: OperationName): Promise<number> {
    if (name === "insert") {
      await this.#target.set(this.#records++);
      return 1;
    }
    const result = await this.#target[name](this.#pickRecord());
    return name === "scan" || name === "multiSet" || name === "multiGet" ? result as number : 1;
  }

  #result(end: number): RunResult {
    const seconds = (end - this.#measureFrom) / 1000;
    const measured = this.#all.count;
    return {
      operations: measured,
      errors: this.#errors,
      errorSamples: [...this.#errorSamples],
      seconds,
      throughput: measured / seconds,
      rowsPerSecond: this.#rows / seconds,
      latency: summarize(this.#all),
      byOperation: Object.fromEntries(
        [...this.#byOperation].map(([name, own]) => [name, summarize(own)]),
      ),
    };
  }
}

function summarize(own: LatencyHistogram): Latency {
  const count = own.count;
  if (count === 0) return { count, mean: 0, p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };
  return {
    count,
    mean: Math.round(own.mean),
    p50: own.percentile(50),
    p90: own.percentile(90),
    p99: own.percentile(99),
    p999: own.percentile(99.9),
    max: own.max,
  };
}

/** Writes every record once, as the state a reading workload starts from. */
export async function load(
  target: Target,
  records: number,
  rowsPerHashKey: number,
  progress: Progress,
): Promise<void> {
  const step = rowsPerHashKey;
  const begin = performance.now();
  let next = 0;
  let done = 0;
  const timer = setInterval(
    () => progress(done, records, (performance.now() - begin) / 1000),
    500,
  );
  const loop = async () => {
    while (next < records) {
      const record = next;
      next += step;
      if (rowsPerHashKey > 1) await target.multiSet(record);
      else await target.set(record);
      done += step;
    }
  };
  try {
    await Promise.all(Array.from({ length: 64 }, loop));
  } finally {
    clearInterval(timer);
  }
}
