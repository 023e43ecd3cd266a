// One hand-over run: meta servers over a real ZooKeeper, replica servers under load, faults of the leading meta
// server one after the other with health in between, a verdict. Page: docs/testing.md, "Hand-over".

import { fromUtf8 } from "../../src/base/bytes.ts";
import { openCluster } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { readWritten } from "../chaos/verify.ts";
import { SORT, Workload } from "../chaos/workload.ts";
import { checkLinearizable } from "../sim/linearizability.ts";
import { HandoverCluster, type HandoverClusterOptions, TABLE } from "./cluster.ts";
import { type FaultOutcome, FAULTS } from "./faults.ts";
import { Watch } from "./watch.ts";

/** What to run. */
export interface HandoverOptions extends Omit<HandoverClusterOptions, "dir" | "settings"> {
  readonly seed: string;
  /** Names of {@link FAULTS} in their order. */
  readonly faults: readonly string[];
  readonly sessionMs: number;
  /** Further settings by their keys in the file. */
  readonly settings: Readonly<Record<string, string>>;
  /** Hears one line per fault. */
  readonly print: (line: string) => void;
}

/** How a run ended. Without violations the directory is gone. */
export interface HandoverResult {
  readonly handoverMs: ReadonlyMap<string, readonly number[]>;
  readonly violations: readonly string[];
  readonly summary: readonly string[];
  readonly dir: string;
}

const CLIENT_TIMEOUT_MS = 10_000;
const WARM_UP_ROWS = 50;
const PROGRESS_MS = 60_000;

/** Runs it. @throws {Error} If a fault cannot be done or nobody follows; names the directory. */
export async function runHandover(options: HandoverOptions): Promise<HandoverResult> {
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-handover-" }));
  const settings = { ...options.settings, "zookeeper-session": `${options.sessionMs}ms` };
  const cluster = await HandoverCluster.start({ ...options, settings, dir });
  const client = openCluster({ meta: cluster.metaAddresses, timeoutMs: CLIENT_TIMEOUT_MS });
  const workload = new Workload(client, options.seed);
  const tableId = Math.floor((await cluster.configs())[0]!.partition / 65536);
  const watch = new Watch(cluster, client.table(TABLE), tableId);
  try {
    workload.start();
    watch.start();
    await progress(workload);
    const handoverMs = await runFaults(cluster, watch, workload, options);
    await watch.stop();
    await workload.stop();
    const { violations, summary } = await judge(workload, watch);
    await client.close();
    await cluster.end();
    if (violations.length === 0) Deno.removeSync(dir, { recursive: true });
    return { handoverMs, violations, summary, dir };
  } catch (cause) {
    await Promise.all([watch.stop(), workload.stop()]).catch(() => {});
    await client.close();
    await cluster.destroy();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`${reason}\nThe servers' logs are below ${dir}`, { cause });
  }
}

async function runFaults(
  cluster: HandoverCluster,
  watch: Watch,
  workload: Workload,
  { faults, sessionMs, print }: HandoverOptions,
): Promise<Map<string, number[]>> {
  const times = new Map<string, number[]>();
  for (const name of faults) {
    watch.longestSilenceMs = 0;
    const { what, handoverMs }: FaultOutcome = await FAULTS[name]!({ cluster, watch, sessionMs });
    await cluster.waitForHealth();
    await progress(workload);
    const took = handoverMs === undefined ? "" : ` after ${handoverMs} ms`;
    const silence = Math.round(watch.longestSilenceMs);
    print(`${name}: ${what}${took}; a partition without a write for at most ${silence} ms`);
    if (handoverMs !== undefined) times.set(name, [...times.get(name) ?? [], handoverMs]);
    if (watch.violations.length + workload.violations.length > 0) break;
  }
  return times;
}

/** Some more rows are acknowledged. */
async function progress(workload: Workload): Promise<void> {
  const goal = workload.written.length + WARM_UP_ROWS;
  if (await waitFor(() => workload.written.length >= goal, PROGRESS_MS)) return;
  throw new Error(`Writes do not go on: ${workload.written.length} of ${goal} rows`);
}

async function judge(
  workload: Workload,
  watch: Watch,
): Promise<{ violations: string[]; summary: string[] }> {
  const violations = [...watch.violations, ...workload.violations];
  const summary = [`Reads that a server answered as primary: ${watch.reads}`];
  let operations = 0;
  for (const [key, history] of workload.histories) {
    operations += history.length;
    const verdict = checkLinearizable(history);
    if (verdict !== "linearizable") violations.push(`The history of "${key}" is ${verdict}`);
  }
  summary.push(`Registers: ${workload.histories.size}, ${operations} operations linearizable`);
  await readWritten(workload, violations, summary);
  for (const counter of workload.counters) {
    const value = await workload.table.get(counter.key, SORT, { timeoutMs: 30_000 });
    workload.checkCounter(counter, Number(value === undefined ? "0" : fromUtf8(value)));
  }
  if (watch.reads === 0 || operations === 0) violations.push("Nothing was read: no proof");
  return { violations: [...new Set([...violations, ...workload.violations])], summary };
}
