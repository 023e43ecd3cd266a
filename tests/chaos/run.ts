// One chaos run: a cluster, clients, faults one after the other with health in between, a verdict. A run that
// finds something keeps the directory with the servers' logs. Page: docs/testing.md, "Chaos".

import { Prng } from "../../src/base/prng.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { ChaosCluster } from "./cluster.ts";
import { FAULTS } from "./faults.ts";
import { readWritten, verify } from "./verify.ts";
import { Workload } from "./workload.ts";

/** What to run. */
export interface ChaosOptions {
  readonly seed: string;
  readonly replicas: number;
  /** Names of {@link FAULTS} in their order. */
  readonly faults: readonly string[];
  /** Rounds go on until the time is over; at least one is complete. @default one round */
  readonly minutes?: number;
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
  /** From the fault until every partition had all members, ms. */
  readonly healthyMs: number;
  /** New configurations. */
  readonly ballots: number;
}

/** How a run ended. Without violations the directory is gone. */
export interface ChaosResult {
  readonly results: readonly FaultResult[];
  readonly violations: readonly string[];
  readonly summary: readonly string[];
  readonly dir: string;
}

const CLIENT_TIMEOUT_MS = 3000;
const WARM_UP_ROWS = 100;
const PROGRESS_MS = 60_000;
/** Two thirds of it is a beacon, the failure check and three seconds; the rest is for busy machines. */
const KILL_UNAVAILABLE_MS_MAX = 10_000;

/** Runs it. @throws {Error} If a fault cannot be done or the cluster does not recover; names the directory. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-chaos-" }));
  const cluster = await ChaosCluster.start(dir, options.replicas);
  const client = cluster.openClient(CLIENT_TIMEOUT_MS);
  const workload = new Workload(client, options.seed);
  try {
    workload.start();
    await progress(workload, WARM_UP_ROWS);
    const results = await runFaults(cluster, workload, options);
    await progress(workload, WARM_UP_ROWS);
    await workload.stop();
    const { violations, summary } = await verify(cluster, workload);
    const late = results.filter(({ fault, unavailableMs }) =>
      fault === "kill" && unavailableMs > KILL_UNAVAILABLE_MS_MAX
    ).map(({ what, unavailableMs }) => `kill of ${what}: no write for ${unavailableMs} ms`);
    await client.close();
    await cluster.end();
    const all = [...violations, ...late];
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
  { seed, faults, minutes = 0, print = () => {} }: ChaosOptions,
): Promise<FaultResult[]> {
  const chance = new Prng(`${seed}/faults`);
  const results: FaultResult[] = [];
  const end = performance.now() + minutes * 60_000;
  do {
    for (const fault of faults) {
      const result = await runFault(fault, { cluster, workload, chance });
      results.push(result);
      print(
        `${fault}: ${result.what}; no write for ${result.unavailableMs} ms, ` +
          `healthy after ${result.healthyMs} ms, ${result.ballots} configurations`,
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
  context: { cluster: ChaosCluster; workload: Workload; chance: Prng },
): Promise<FaultResult> {
  const { cluster, workload } = context;
  const ballots = await ballotSum(cluster);
  workload.longestWaitMs = 0;
  const startedAt = performance.now();
  const what = await FAULTS[fault]!(context);
  await cluster.waitForHealth();
  const healthyMs = Math.round(performance.now() - startedAt);
  // The last one that waits may have begun before the health.
  await progress(workload, WARM_UP_ROWS);
  return {
    fault,
    what,
    unavailableMs: Math.round(Math.max(workload.longestWaitMs, workload.waitingMs)),
    healthyMs,
    ballots: await ballotSum(cluster) - ballots,
  };
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
  const head = ["fault", "times", "no write for ms", "healthy after ms", "configurations"];
  const rows = [...new Set(results.map(({ fault }) => fault))].map((fault) => {
    const own = results.filter((result) => result.fault === fault);
    const worst = (value: (result: FaultResult) => number) => String(Math.max(...own.map(value)));
    return [
      fault,
      String(own.length),
      worst(({ unavailableMs }) => unavailableMs),
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
