// Runs a workload: a number of loops, each with one operation outstanding (closed), or operations started at a fixed
// rate whatever the answers do (open). In the open loop latency counts from the intended start, so a stall is not
// hidden by the operations it kept from starting. A run may come in slices, so that two stores take turns.

import nodeProcess from "node:process";
import { Prng } from "../../src/base/prng.ts";
import { type DistributionName, makeDistribution } from "./distribution.ts";
import { LatencyHistogram } from "./latency_histogram.ts";
import type { OperationName, Progress, Target, Workload } from "./workload.ts";

/** How to run. */
export interface RunOptions {
  readonly workload: Workload;
  readonly distribution: DistributionName;
  readonly records: number;
  /** Operations outstanding at a time, at most. */
  readonly concurrency: number;
  /** Operations per second to start; 0 = as many as the answers allow. */
  readonly rate: number;
  /** Stop a measured slice after so long, ms; 0 = no limit. */
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
  /** Single-row reads that found nothing. */
  readonly misses: number;
  readonly seconds: number;
  /** Operations per second. */
  readonly throughput: number;
  /** Rows read or written per second; equals throughput for single-row operations. */
  readonly rowsPerSecond: number;
  /** Processor time of this process per operation, microseconds. */
  readonly clientCpu: number;
  readonly latency: Latency;
  readonly byOperation: Readonly<Record<string, Latency>>;
}

/** Operations that tell how many rows they had. */
const ROWS: ReadonlySet<OperationName> = new Set(["scan", "multiSet", "multiGet"]);
const PROGRESS_MS = 500;
const ERROR_SAMPLES_MAX = 5;
/** A run ends when so many operations in a row failed, times those outstanding: nobody serves it. */
const FAILED_TURNS_MAX = 3;

/** One run of a workload against a target. */
export class Runner {
  readonly #target: Target;
  readonly #options: RunOptions;
  readonly #byOperation = new Map<OperationName, LatencyHistogram>();
  readonly #all = new LatencyHistogram();
  readonly #prng: Prng;
  readonly #pickRecord: () => number;
  readonly #mix: { readonly name: OperationName; readonly upTo: number }[] = [];
  readonly #errorSamples = new Set<string>();
  /** Records that exist or are being inserted, and those below which all were acknowledged: only they are read. */
  #records: number;
  #known: number;
  readonly #insertedAbove = new Set<number>();
  /** Of the running slice. */
  #started = 0;
  #done = 0;
  #stopped = false;
  /** Operations that failed since the last that did not. */
  #failedInARow = 0;
  // Sums over all measured slices.
  #rows = 0;
  #misses = 0;
  #errors = 0;
  #seconds = 0;
  #cpuMicros = 0;

  constructor(target: Target, options: RunOptions) {
    this.#target = target;
    this.#options = options;
    this.#prng = new Prng(options.seed);
    const inserts = options.workload.mix.insert ?? 0;
    this.#known = this.#records = inserts === 1 ? 0 : options.records;
    const distribution = makeDistribution(
      options.distribution,
      () => Math.max(1, this.#known),
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

  /** Operations that are not counted, so that what follows finds everything warm. */
  async warmUp(operations: number): Promise<void> {
    await this.#slice(operations, 0, () => {});
    this.#all.reset();
    this.#byOperation.clear();
    this.#rows = this.#misses = 0;
    // If nothing but failures came nothing will be measured: then they are the result.
    if (this.#stopped) return;
    this.#errors = this.#failedInARow = 0;
    this.#errorSamples.clear();
  }

  /** Measures. May be called again: results add up. */
  async run(operations: number, progress: Progress): Promise<void> {
    const before = nodeProcess.cpuUsage();
    const begin = performance.now();
    await this.#slice(operations, this.#options.durationMs, progress);
    this.#seconds += (performance.now() - begin) / 1000;
    const { user, system } = nodeProcess.cpuUsage(before);
    this.#cpuMicros += user + system;
  }

  async #slice(operations: number, durationMs: number, progress: Progress): Promise<void> {
    const { concurrency, rate } = this.#options;
    const begin = performance.now();
    this.#started = this.#done = 0;
    const timer = setInterval(
      () => progress(this.#done, operations, (performance.now() - begin) / 1000),
      PROGRESS_MS,
    );
    let isLate = false;
    const limit = durationMs > 0 ? setTimeout(() => isLate = true, durationMs) : undefined;
    const goesOn = () => this.#started < operations && !this.#stopped && !isLate;
    try {
      if (rate > 0) await this.#openLoop(begin, goesOn);
      else await Promise.all(Array.from({ length: concurrency }, () => this.#closedLoop(goesOn)));
    } finally {
      clearInterval(timer);
      clearTimeout(limit);
    }
    progress(this.#done, this.#done, (performance.now() - begin) / 1000);
  }

  async #closedLoop(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      this.#started++;
      const name = this.#pickOperation();
      const startedAt = performance.now();
      // Written out, not a call of #one: an async function less per operation.
      try {
        this.#count(name, await this.#perform(name), startedAt);
      } catch (cause) {
        this.#fail(cause);
      }
    }
  }

  async #openLoop(begin: number, goesOn: () => boolean): Promise<void> {
    const { rate, concurrency } = this.#options;
    const outstanding = new Set<Promise<void>>();
    while (goesOn()) {
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
      this.#count(name, await this.#perform(name), startedAt);
    } catch (cause) {
      this.#fail(cause);
    }
  }

  #count(name: OperationName, result: unknown, startedAt: number): void {
    const us = Math.max(1, Math.round((performance.now() - startedAt) * 1000));
    this.#rows += ROWS.has(name) ? result as number : 1;
    if (name === "get" && (result === undefined || result === null)) this.#misses++;
    let own = this.#byOperation.get(name);
    if (own === undefined) this.#byOperation.set(name, own = new LatencyHistogram());
    own.record(us);
    this.#all.record(us);
    this.#failedInARow = 0;
    this.#done++;
  }

  #fail(cause: unknown): void {
    this.#done++;
    this.#errors++;
    if (this.#errorSamples.size < ERROR_SAMPLES_MAX) this.#errorSamples.add(String(cause));
    if (++this.#failedInARow < FAILED_TURNS_MAX * this.#options.concurrency || this.#stopped) {
      return;
    }
    this.#errorSamples.add(`Ended early: the last ${this.#failedInARow} operations failed`);
    this.#stopped = true;
  }

  #pickOperation(): OperationName {
    if (this.#mix.length === 1) return this.#mix[0]!.name;
    const draw = this.#prng.float();
    return (this.#mix.find(({ upTo }) => draw < upTo) ?? this.#mix.at(-1)!).name;
  }

  #perform(name: OperationName): Promise<unknown> {
    if (name === "insert") return this.#insert(this.#records++);
    return this.#target[name](this.#pickRecord());
  }

  async #insert(record: number): Promise<void> {
    await this.#target.set(record);
    this.#insertedAbove.add(record);
    while (this.#insertedAbove.delete(this.#known)) this.#known++;
  }

  /** Everything measured so far. */
  result(): RunResult {
    const measured = this.#all.count;
    const seconds = Math.max(this.#seconds, 1e-9);
    return {
      operations: measured,
      errors: this.#errors,
      errorSamples: [...this.#errorSamples],
      misses: this.#misses,
      seconds,
      throughput: measured / seconds,
      rowsPerSecond: this.#rows / seconds,
      clientCpu: measured === 0 ? 0 : this.#cpuMicros / measured,
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

/** Writes every record once, as the state a reading workload starts from; stops early when `signal` fires. */
export async function load(
  target: Target,
  records: number,
  rowsPerHashKey: number,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const step = rowsPerHashKey;
  const begin = performance.now();
  let next = 0;
  let done = 0;
  const seconds = () => (performance.now() - begin) / 1000;
  const timer = setInterval(() => progress(done, records, seconds()), PROGRESS_MS);
  const loop = async () => {
    while (next < records && !signal.aborted) {
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
  // The last hash key may have more rows than were asked for.
  const written = Math.min(done, records);
  progress(written, written, seconds());
}
