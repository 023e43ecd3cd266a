// The bench role: loads records if the workload needs them, runs the workload, prints what it measured.
// docs/benchmark.md says how to repeat published numbers.

import { type Cluster, Err, openCluster, StoreError } from "../../src/client/mod.ts";
import { readClientSecurity } from "../client_security.ts";
import { openPeer, type Peer } from "./against.ts";
import { benchHelp, type BenchOptions, readBenchFlags } from "./flags.ts";
import { PegasusTarget } from "./pegasus_target.ts";
import {
  describeMachine,
  ratiosOf,
  renderAgainst,
  renderComparison,
  renderReport,
  type Report,
} from "./report.ts";
import type { RowLayout } from "./row_layout.ts";
import { load, Runner } from "./runner.ts";
import type { Progress, Target, Workload } from "./workload.ts";

/** Exit code of a run that a signal ended before it measured anything: 128 + SIGINT. */
const INTERRUPTED = 130;

/** Runs the role. @returns 0 measured, 1 failed or operations failed, 2 wrong usage, 130 interrupted */
export async function runBench(args: readonly string[]): Promise<number> {
  const request = readBenchFlags(args);
  if (request.kind === "help") {
    console.log(benchHelp());
    return 0;
  }
  if (request.kind === "invalid") {
    for (const problem of request.problems) console.error(problem);
    return 2;
  }
  const { options, workload } = request;
  try {
    if (options.compare !== "") return compare(options.compare);
    return await measure(options, workload);
  } catch (cause) {
    console.error(cause instanceof Error ? cause.message : String(cause));
    return 1;
  }
}

function compare(files: string): number {
  const [before, after] = files.split(",").map((file) =>
    JSON.parse(Deno.readTextFileSync(file.trim())) as Report
  );
  if (before === undefined || after === undefined) {
    console.error('Flag "--compare": expected two files separated by a comma');
    return 2;
  }
  console.log(renderComparison(before, after));
  return 0;
}

type Show = (phase: string) => Progress;

async function measure(options: BenchOptions, workload: Workload): Promise<number> {
  const layout = { rowsPerHashKey: workload.rowsPerHashKey, valueBytes: options.valueSize };
  // First what may not be installed: nothing is loaded in vain.
  const peer = options.against === "none" ? undefined : await openPeer(options, workload, layout);
  let target: Target | undefined;
  try {
    target = await openTarget(options, layout);
    return await measureBoth(options, workload, target, peer);
  } finally {
    await target?.close();
    await peer?.close();
  }
}

async function measureBoth(
  options: BenchOptions,
  workload: Workload,
  target: Target,
  peer: Peer | undefined,
): Promise<number> {
  const show = progressLine(!options.json);
  const ours = new Runner(target, runOptions(options, workload));
  const theirs = peer === undefined
    ? undefined
    : new Runner(peer.target, runOptions(options, workload));
  const interrupt = new AbortController();
  const { signal } = interrupt;
  let settled = false;
  const onInterrupt = () => {
    interrupt.abort();
    ours.stop();
    theirs?.stop();
  };
  Deno.addSignalListener("SIGINT", onInterrupt);
  try {
    settled = await prepare(options, workload, ours, target, show, signal);
    if (peer !== undefined) await prepare(options, workload, theirs!, peer.target, show, signal);
    const rounds = theirs === undefined ? 1 : options.rounds;
    const slice = Math.ceil(options.operations / rounds);
    for (let round = 0; round < rounds && !signal.aborted; round++) {
      const turn = rounds === 1 ? "" : ` ${round + 1}/${rounds}`;
      await ours.run(slice, show(`${target.name}${turn}`));
      await theirs?.run(slice, show(`${peer!.target.name}${turn}`));
    }
  } finally {
    Deno.removeSignalListener("SIGINT", onInterrupt);
  }
  if (signal.aborted && ours.result().operations === 0) {
    console.error("Stopped before anything was measured");
    return INTERRUPTED;
  }
  const report = reportOf(options, target.name, ours, settled);
  const against = peer === undefined
    ? undefined
    : reportOf(options, peer.description, theirs!, false);
  print(options, report, against);
  return report.errors + (against?.errors ?? 0) === 0 ? 0 : 1;
}

function runOptions(options: BenchOptions, workload: Workload) {
  const { distribution } = options;
  return {
    ...options,
    workload,
    distribution: distribution === "workload" ? workload.distribution : distribution,
  };
}

/** Loads, settles, warms up. @returns Whether the table was compacted */
async function prepare(
  options: BenchOptions,
  workload: Workload,
  runner: Runner,
  target: Target,
  show: Show,
  signal: AbortSignal,
): Promise<boolean> {
  const { records, warmUp } = options;
  // A peer that was started for this run is empty, whatever the flag says.
  const isEmpty = target.name !== "pegasus" && options.againstAddress === "";
  let settled = false;
  if (workload.load && (isEmpty || !options.skipLoad)) {
    await load(target, records, workload.rowsPerHashKey, show(`load ${target.name}`), signal);
    settled = options.settle && await settle(target, show(`settle ${target.name}`), signal);
  }
  if (warmUp > 0 && !signal.aborted) await runner.warmUp(warmUp);
  return settled;
}

async function settle(target: Target, progress: Progress, signal: AbortSignal): Promise<boolean> {
  if (target.settle === undefined) return false;
  try {
    await target.settle(progress, signal);
    return !signal.aborted;
  } catch (cause) {
    // As by a user who may use tables and not servers: what is measured then includes the debt of the load.
    const reason = cause instanceof Error ? cause.message : String(cause);
    console.error(`The table was not compacted after the load: ${reason}`);
    return false;
  }
}

function reportOf(
  options: BenchOptions,
  target: string,
  runner: Runner,
  settled: boolean,
): Report {
  return {
    target,
    workload: options.workload,
    at: new Date().toISOString(),
    ...runner.result(),
    settled,
    settings: options,
    machine: describeMachine(),
  };
}

function print(options: BenchOptions, report: Report, against: Report | undefined): void {
  const whole = against === undefined
    ? report
    : { ...report, against, ratio: ratiosOf(report, against) };
  const json = JSON.stringify(whole);
  if (options.out !== "") Deno.writeTextFileSync(options.out, `${json}\n`);
  if (options.json) console.log(json);
  else if (against === undefined) console.log(renderReport(report));
  else console.log(renderAgainst(report, against));
}

async function openTarget(options: BenchOptions, layout: RowLayout): Promise<Target> {
  const security = await readClientSecurity(options);
  const cluster = await openCluster({
    meta: [...options.meta],
    timeoutMs: 10_000,
    role: "bench",
    ...security,
  });
  try {
    await ensureTable(cluster, options);
  } catch (cause) {
    await cluster.close();
    throw cause;
  }
  return new PegasusTarget(cluster, options.table, layout);
}

async function ensureTable(cluster: Cluster, options: BenchOptions): Promise<void> {
  const { tables } = await cluster.admin.listTables("available");
  if (tables.some(({ name }) => name === options.table)) return;
  const alive = (await cluster.admin.listNodes()).filter((node) => node.alive).length;
  if (alive === 0) {
    throw new StoreError(Err.NOT_ENOUGH_MEMBER, "The cluster has no live replica server");
  }
  await cluster.admin.createTable(options.table, {
    partitionCount: options.partitions,
    replicaCount: Math.min(3, alive),
  });
}

/** One line on a terminal's stderr that is written over; nothing elsewhere. */
function progressLine(wanted: boolean): Show {
  const encoder = new TextEncoder();
  if (!wanted || !Deno.stderr.isTerminal()) return () => () => {};
  return (phase) => (done, total, seconds) => {
    const rate = Math.round(done / Math.max(seconds, 0.001));
    const left = Math.round((total - done) / Math.max(rate, 1));
    const line = `\r${phase}: ${done}/${total} (${rate}/s, ${left} s left)\x1b[K`;
    Deno.stderr.writeSync(encoder.encode(done >= total ? `${line}\n` : line));
  };
}
