// One chaos run: a cluster, clients, faults one after the other with health in between, a verdict. A run that
// finds something keeps the directory with the servers' logs. Page: docs/testing.md, "Chaos".

import { Prng } from "../../src/base/prng.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { formatHeader, formatHistoryEntry } from "../sim/history.ts";
import { ChaosCluster } from "./cluster.ts";
import { type FaultContext, FAULTS } from "./faults.ts";
import { type Timing, TIMINGS } from "./timing.ts";
import { readWritten, verify } from "./verify.ts";
import { Workload } from "./workload.ts";

/** What to run. */
export interface ChaosOptions {
  readonly seed: string;
  readonly replicas: number;
  /** @default 1 */
  readonly metas?: number;
  /** @default fast */
  readonly timing?: Timing;
  /** Directory for the histories of registers (docs/testing.md, "Histories"). @default none are written */
  readonly histories?: string;
  /** Names of {@link FAULTS} in their order. */
  readonly faults: readonly string[];
  /** Rounds go on until the time is over; at least one is complete. @default one round */
  readonly minutes?: number;
  /** Bounds count so many times, for machines with other things to do; planned changes may then fail a write. @default 1 */
  readonly patience?: number;
  /** Hears one line per fault and per finding. @default nothing */
  readonly print?: (line: string) => void;
}

/** What one fault cost. */
export interface FaultResult {
  readonly fault: string;
  /** What was done. */
  readonly what: string;
  /** Longest time a client waited for an acknowledgement, from the fault until health, ms. */
  readonly unavailableMs: number;
  /** What may be; absent = nothing is promised. */
  readonly writeMsMax: number | undefined;
  readonly p99MsMax: number | undefined;
  /** 99 of 100 acknowledgements took no longer, ms. */
  readonly p99Ms: number;
  /** Writes that a client which retries was told had failed or may have. */
  readonly failed: number;
  /** Longest time in which this process itself stood still, ms: the machine had other things to do. */
  readonly stalledMs: number;
  /** From the fault until every partition had all members, ms. */
  readonly healthyMs: number;
  /** New configurations. */
  readonly ballots: number;
  /** Replicas that servers gave up as damaged, although nothing was ever damaged. */
  readonly givenUp: number;
}

/** How a run ended. Without violations the directory is gone. */
export interface ChaosResult {
  readonly results: readonly FaultResult[];
  readonly violations: readonly string[];
  readonly summary: readonly string[];
  readonly dir: string;
}

const WARM_UP_ROWS = 100;
const PROGRESS_MS = 60_000;
/** Below it the driver does not count as having stood still. */
const STALL_MS = 50;
/** What stands still for a while makes others late by more than that. */
const STALL_FACTOR = 4;

/** Runs it. @throws {Error} If a fault cannot be done or the cluster does not recover; names the directory. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-chaos-" }));
  const { replicas, metas = 1, timing = TIMINGS.fast! } = options;
  const clocks = options.faults.some((fault) => FAULTS[fault]!.needs === "clocks");
  const cluster = await ChaosCluster.start(dir, { replicas, metas, timing, clocks });
  const client = cluster.openClient(timing.clientMs);
  const workload = new Workload(client, options.seed);
  try {
    workload.start();
    await progress(workload, WARM_UP_ROWS);
    const results = await runFaults(cluster, workload, { ...options, timing });
    await progress(workload, WARM_UP_ROWS);
    await workload.stop();
    writeHistories(workload, options);
    const { violations, summary } = await verify(cluster, workload);
    await client.close();
    await cluster.end();
    const all = [
      ...violations,
      ...results.flatMap((result) => broken(result, options.patience ?? 1)),
      ...givenUpForNothing(results),
    ];
    if (all.length === 0) Deno.removeSync(dir, { recursive: true });
    return { results, violations: all, summary, dir };
  } catch (cause) {
    await workload.stop();
    await client.close();
    await cluster.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    const found = workload.violations.map((line) => `\n${line}`).join("");
    throw new Error(`${reason}${found}\nSeed ${options.seed}; the servers' logs are below ${dir}`, {
      cause,
    });
  }
}

async function runFaults(
  cluster: ChaosCluster,
  workload: Workload,
  { seed, faults, timing, minutes = 0, print = () => {} }: ChaosOptions & { timing: Timing },
): Promise<FaultResult[]> {
  const chance = new Prng(`${seed}/faults`);
  const results: FaultResult[] = [];
  const end = performance.now() + minutes * 60_000;
  do {
    for (const fault of faults) {
      if (!isPossible(fault, cluster)) continue;
      const result = await runFault(fault, { cluster, workload, chance, timing });
      results.push(result);
      print(
        `${fault}: ${result.what}; no write for ${result.unavailableMs} ms, ` +
          `p99 ${result.p99Ms} ms, ${result.failed} failed, healthy after ${result.healthyMs} ms, ` +
          `${result.ballots} configurations, driver stood still for ${result.stalledMs} ms`,
      );
      if (workload.violations.length > 0) return results;
      if (minutes > 0 && performance.now() >= end && results.length >= faults.length) break;
    }
    const violations: string[] = [];
    await readWritten(workload, violations, []);
    workload.violations.push(...violations);
  } while (performance.now() < end && workload.violations.length === 0);
  return results;
}

async function runFault(
  fault: string,
  context: FaultContext,
): Promise<FaultResult> {
  const { cluster, workload, timing } = context;
  const givenUp = cluster.givenUp();
  const ballots = await ballotSum(cluster);
  workload.waits = [];
  const failedBefore = workload.once.notDone + workload.once.unknown;
  const stalls = new Stalls();
  const startedAt = performance.now();
  try {
    const what = await FAULTS[fault]!.run(context);
    await cluster.waitForHealth();
    const healthyAt = performance.now();
    const healthyMs = Math.round(healthyAt - startedAt);
    await progress(workload, WARM_UP_ROWS);
    // Whoever still waits has waited for this fault, and not for the next one.
    if (!(await waitFor(() => workload.isSettled(healthyAt), PROGRESS_MS))) {
      throw new Error(`A row waits for ${Math.round(workload.waitingMs)} ms after ${what}`);
    }
    const waits = workload.waits.toSorted((a, b) => a - b);
    return {
      fault,
      what,
      ...boundsOf(fault, timing),
      unavailableMs: Math.round(Math.max(waits.at(-1) ?? 0, workload.waitingMs)),
      p99Ms: Math.round(waits[Math.floor(waits.length * 0.99)] ?? 0),
      failed: workload.once.notDone + workload.once.unknown - failedBefore,
      stalledMs: stalls.longestMs,
      healthyMs,
      ballots: await ballotSum(cluster) - ballots,
      givenUp: cluster.givenUp() - givenUp,
    };
  } finally {
    stalls.end();
  }
}

/** Whether the cluster has what the fault needs. */
function isPossible(fault: string, cluster: ChaosCluster): boolean {
  const { needs } = FAULTS[fault]!;
  if (needs === "disks") return cluster.disks.size > 0;
  if (needs === "clocks") return cluster.clocks.size > 0;
  return needs !== "store" || cluster.hasStore;
}

/** Notices when this process gets no turn. */
class Stalls {
  longestMs = 0;
  #lookedAt = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    const lateMs = now - this.#lookedAt - STALL_MS / 2;
    this.#lookedAt = now;
    if (lateMs > STALL_MS) this.longestMs = Math.max(this.longestMs, Math.round(lateMs));
  }, STALL_MS / 2);

  end(): void {
    clearInterval(this.#timer);
  }
}

function boundsOf(fault: string, timing: Timing) {
  const { writeMsMax, p99MsMax } = FAULTS[fault]!;
  return {
    writeMsMax: typeof writeMsMax === "function" ? writeMsMax(timing) : writeMsMax,
    p99MsMax,
  };
}

/** What a fault cost more than it may. */
function broken(result: FaultResult, patience: number): string[] {
  const { fault, what, unavailableMs, p99Ms, failed, stalledMs, writeMsMax, p99MsMax } = result;
  const allowedMs = STALL_FACTOR * stalledMs;
  const found: string[] = [];
  if (writeMsMax !== undefined && unavailableMs > patience * writeMsMax + allowedMs) {
    found.push(`${fault} of ${what}: no write for ${unavailableMs} ms, at most ${writeMsMax}`);
  }
  if (p99MsMax !== undefined && p99Ms > patience * p99MsMax + allowedMs) {
    found.push(`${fault} of ${what}: p99 ${p99Ms} ms, at most ${p99MsMax}`);
  }
  if (p99MsMax !== undefined && failed > 0 && patience === 1) {
    found.push(`${fault} of ${what}: ${failed} writes failed, expected none`);
  }
  return found;
}

/** Bits that were flipped may be found any time later: it counts until then. */
function givenUpForNothing(results: readonly FaultResult[]): string[] {
  const end = results.findIndex(({ fault }) => fault === "corrupt");
  return results.slice(0, end < 0 ? results.length : end)
    .filter(({ givenUp }) => givenUp > 0)
    .map(({ fault, what, givenUp }) => `${fault} of ${what}: ${givenUp} replicas were given up`);
}

/** For judges of their own: `deno task linearize FILE`. */
function writeHistories(workload: Workload, { histories, seed }: ChaosOptions): void {
  if (histories === undefined) return;
  Deno.mkdirSync(histories, { recursive: true });
  const lines = [formatHeader(`chaos, seed ${seed}`), ...workload.entries.map(formatHistoryEntry)];
  Deno.writeTextFileSync(`${histories}/registers.jsonl`, `${lines.join("\n")}\n`);
}

async function ballotSum(cluster: ChaosCluster): Promise<number> {
  return (await cluster.configs()).reduce((sum, { ballot }) => sum + ballot, 0);
}

/** Waits until so many more rows are acknowledged. @throws {Error} If writing does not go on. */
async function progress(workload: Workload, rows: number): Promise<void> {
  const goal = workload.written.length + rows;
  if (await waitFor(() => workload.written.length >= goal, PROGRESS_MS)) return;
  throw new Error(`Only ${workload.written.length} of ${goal} rows after ${PROGRESS_MS} ms`);
}

/** The results as a table, worst of each fault. */
export function resultTable(results: readonly FaultResult[]): string {
  const head = ["fault", "times", "no write, ms", "at most", "p99, ms", "at most", "failed"];
  head.push("healthy, ms", "configurations");
  const rows = [...new Set(results.map(({ fault }) => fault))].map((fault) => {
    const own = results.filter((result) => result.fault === fault);
    const worst = (value: (result: FaultResult) => number) => String(Math.max(...own.map(value)));
    const { writeMsMax, p99MsMax } = own[0]!;
    return [
      fault,
      String(own.length),
      worst(({ unavailableMs }) => unavailableMs),
      String(writeMsMax ?? "-"),
      worst(({ p99Ms }) => p99Ms),
      String(p99MsMax ?? "-"),
      worst(({ failed }) => failed),
      worst(({ healthyMs }) => healthyMs),
      worst(({ ballots }) => ballots),
    ];
  });
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]!.length))
  );
  return [head, ...rows].map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ")
  ).join("\n");
}
