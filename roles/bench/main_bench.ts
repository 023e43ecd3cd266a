// The bench role: loads records if the workload needs them, runs the workload, prints what it measured.
// docs/benchmark.md says how to repeat published numbers.

import { fileProblem } from "../file_problem.ts";
import { openPeer, type Peer } from "./against.ts";
import { EndSignals, Stopped, unlessStopped } from "./end_signals.ts";
import { benchHelp, type BenchOptions, readBenchFlags } from "./flags.ts";
import { openPegasus } from "./open_pegasus.ts";
import {
  describeMachine,
  ratiosOf,
  renderAgainst,
  renderComparison,
  renderReport,
  type Report,
} from "./report.ts";
import { load, Runner } from "./runner.ts";
import type { Progress, Target, Workload } from "./workload.ts";

/**
 * Runs the role.
 *
 * @returns 0 measured, 1 failed or operations failed, 2 wrong usage; 128 + its number, as 130 for Ctrl-C, if a signal
 *   came before anything was measured.
 */
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
    if (options.compare !== "") return compare(options.compare, options.json);
    return await measure(options, workload);
  } catch (cause) {
    console.error(cause instanceof Error ? cause.message : String(cause));
    return cause instanceof Stopped ? cause.exitCode : 1;
  }
}

function compare(files: string, asJson: boolean): number {
  const [before, after] = files.split(",").map((file) =>
    JSON.parse(Deno.readTextFileSync(file.trim())) as Report
  );
  if (before === undefined || after === undefined) {
    console.error('Flag "--compare": expected two files separated by a comma');
    return 2;
  }
  const whole = { before, after, ratio: ratiosOf(after, before) };
  console.log(asJson ? JSON.stringify(whole) : renderComparison(before, after));
  return 0;
}

type Show = (phase: string) => Progress;

async function measure(options: BenchOptions, workload: Workload): Promise<number> {
  const layout = { rowsPerHashKey: workload.rowsPerHashKey, valueBytes: options.valueSize };
  // A peer that was started ends with the run, however that ends.
  const ending = new EndSignals();
  const { signal } = ending;
  let peer: Peer | undefined;
  let target: Target | undefined;
  try {
    // First what may not be installed: nothing is loaded in vain.
    if (options.against !== "none") peer = await openPeer(options, workload, layout, signal);
    target = await unlessStopped(openPegasus(options, options, layout), signal);
    return await measureBoth(options, workload, target, peer, signal);
  } finally {
    await target?.close();
    await peer?.close();
    ending.release();
  }
}

/** One of the stores that are measured. */
interface Side {
  /** For the progress line. */
  readonly label: string;
  readonly target: Target;
  readonly records: number;
  readonly mustLoad: boolean;
  readonly runner: Runner;
}

function sideOf(
  label: string,
  target: Target,
  records: number,
  isEmpty: boolean,
  options: BenchOptions,
  workload: Workload,
): Side {
  // One that was started for this run is empty, whatever the flag says.
  const mustLoad = workload.load && (isEmpty || !options.skipLoad);
  const { distribution } = options;
  const runner = new Runner(target, {
    ...options,
    records,
    workload,
    distribution: distribution === "workload" ? workload.distribution : distribution,
  });
  return { label, target, records, mustLoad, runner };
}

async function measureBoth(
  options: BenchOptions,
  workload: Workload,
  target: Target,
  peer: Peer | undefined,
  signal: AbortSignal,
): Promise<number> {
  const show = progressLine(!options.json);
  const { records, againstRecords } = options;
  const rounds = peer === undefined ? 1 : options.rounds;
  const turnOptions = { ...options, durationMs: options.durationMs / rounds };
  const ours = sideOf(target.name, target, records, false, turnOptions, workload);
  const peerRecords = againstRecords === 0 ? records : againstRecords;
  const sides = peer === undefined
    ? [ours]
    : [ours, sideOf("peer", peer.target, peerRecords, peer.isEmpty, turnOptions, workload)];
  signal.addEventListener("abort", () => sides.forEach(({ runner }) => runner.stop()));
  const settled: boolean[] = [];
  for (const side of sides) {
    settled.push(await prepare(options, workload, side, show, signal));
  }
  const slice = Math.ceil(options.operations / rounds);
  for (let round = 0; round < rounds && !signal.aborted; round++) {
    const turn = rounds === 1 ? "" : ` ${round + 1}/${rounds}`;
    for (const { runner, label } of sides) await runner.run(slice, show(`${label}${turn}`));
  }
  if (signal.aborted && ours.runner.result().operations === 0) throw signal.reason;
  const report = reportOf(options, target.name, ours, settled[0]!);
  const against = peer === undefined
    ? undefined
    : reportOf(options, peer.description, sides[1]!, settled[1]!);
  print(options, report, against);
  return report.errors + (against?.errors ?? 0) === 0 ? 0 : 1;
}

/** Loads, settles, warms up. @returns Whether the table was compacted */
async function prepare(
  options: BenchOptions,
  workload: Workload,
  { label, target, records, mustLoad, runner }: Side,
  show: Show,
  signal: AbortSignal,
): Promise<boolean> {
  let settled = false;
  if (mustLoad) {
    await load(target, records, workload.rowsPerHashKey, show(`load ${label}`), signal);
    settled = options.settle && !signal.aborted &&
      await settle(target, show(`settle ${label}`), signal);
  }
  if (options.warmUp > 0 && !signal.aborted) await runner.warmUp(options.warmUp);
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
  { runner, records }: Side,
  settled: boolean,
): Report {
  return {
    target,
    workload: options.workload,
    at: new Date().toISOString(),
    records,
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
  if (options.json) console.log(json);
  else if (against === undefined) console.log(renderReport(report));
  else console.log(renderAgainst(report, against));
  // Last: what was measured is not lost if the file cannot be written.
  if (options.out === "") return;
  try {
    Deno.writeTextFileSync(options.out, `${json}\n`);
  } catch (error) {
    throw fileProblem("write", `"${options.out}"`, error);
  }
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
