// Results for people and for programs, and the comparison of two result files.

import type { Latency, RunResult } from "./runner.ts";

/** Ours divided by the peer's: throughput (more is better), latencies (less is better). */
export type Ratios = Readonly<Record<"throughput" | "p50" | "p90" | "p99" | "p999", number>>;

/** A result with everything needed to repeat it. */
export interface Report extends RunResult {
  readonly target: string;
  readonly workload: string;
  /** Records of the data set. */
  readonly records: number;
  /** Whether the table was compacted between the load and the measuring. */
  readonly settled: boolean;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly machine: Readonly<Record<string, unknown>>;
  /** ISO date. */
  readonly at: string;
}

/** The machine a number was measured on. */
export function describeMachine(): Record<string, unknown> {
  return {
    cpu: cpuModel(),
    cores: navigator.hardwareConcurrency,
    memoryGiB: Math.round(Deno.systemMemoryInfo().total / 2 ** 30),
    deno: Deno.version.deno,
    target: Deno.build.target,
  };
}

/** Deno itself reads /proc only for processes that may do everything. */
function cpuModel(): string {
  try {
    const { stdout } = new Deno.Command("cat", { args: ["/proc/cpuinfo"] }).outputSync();
    return /model name\s*:\s*(.*)/.exec(new TextDecoder().decode(stdout))?.[1] ?? "unknown";
  } catch {
    // Not Linux, or no permission to run programs: the rest still tells something.
    return "unknown";
  }
}

/** One result as text. */
export function renderReport(report: Report): string {
  const rows = [
    ["operation", "count", "mean", "p50", "p90", "p99", "p999", "max"],
    ...Object.entries(report.byOperation).map(([name, own]) => latencyRow(name, own)),
  ];
  if (Object.keys(report.byOperation).length > 1) rows.push(latencyRow("all", report.latency));
  const lines = [
    `${report.target}, workload ${report.workload}: ${format(report.throughput)} operations/s` +
    (report.rowsPerSecond > report.throughput * 1.01
      ? ` (${format(report.rowsPerSecond)} rows/s)`
      : "") +
    `, ${report.operations} in ${report.seconds.toFixed(2)} s, ${report.errors} errors` +
    (report.misses > 0 ? `, ${report.misses} reads found nothing` : ""),
    "latency in microseconds:",
    ...columns(rows),
    ...report.errorSamples.map((sample) => `error: ${sample}`),
  ];
  return lines.join("\n");
}

/** Two results side by side: the second against the first. */
export function renderComparison(before: Report, after: Report): string {
  const row = (name: string, a: number, b: number) => [
    name,
    format(a),
    format(b),
    a === 0 ? "-" : `${(b / a).toFixed(2)}x`,
  ];
  const keys = ["p50", "p90", "p99", "p999", "max"] as const;
  return columns([
    ["", `${before.target} ${before.workload}`, `${after.target} ${after.workload}`, "ratio"],
    row("operations/s", before.throughput, after.throughput),
    ...keys.map((key) => row(`${key} us`, before.latency[key], after.latency[key])),
    row("errors", before.errors, after.errors),
  ]).join("\n");
}

/** Ratios of one run on two stores. */
export function ratiosOf(ours: Report, theirs: Report): Ratios {
  const ratio = (a: number, b: number) => b === 0 ? 0 : Math.round((a / b) * 1000) / 1000;
  const of = (key: "p50" | "p90" | "p99" | "p999") => ratio(ours.latency[key], theirs.latency[key]);
  return {
    throughput: ratio(ours.throughput, theirs.throughput),
    p50: of("p50"),
    p90: of("p90"),
    p99: of("p99"),
    p999: of("p999"),
  };
}

/** One run on two stores: both, and how many times the peer's this store's numbers are. */
export function renderAgainst(ours: Report, theirs: Report): string {
  const ratios = ratiosOf(ours, theirs);
  const row = (name: string, a: number, b: number, ratio: number | undefined) => [
    name,
    format(a),
    format(b),
    ratio === undefined ? "" : `${ratio.toFixed(2)}x`,
  ];
  const latencies = (["p50", "p90", "p99", "p999"] as const).map((key) =>
    row(`${key} us`, ours.latency[key], theirs.latency[key], ratios[key])
  );
  return [
    `Workload ${ours.workload}, in turns; the peer: ${theirs.target}`,
    ...columns([
      ["", ours.target, "peer", "ratio"],
      row("records", ours.records, theirs.records, undefined),
      row("operations/s", ours.throughput, theirs.throughput, ratios.throughput),
      ...latencies,
      row("client cpu us/op", ours.clientCpu, theirs.clientCpu, undefined),
      row("reads without a row", ours.misses, theirs.misses, undefined),
      row("errors", ours.errors, theirs.errors, undefined),
    ]),
    ...[...ours.errorSamples, ...theirs.errorSamples].map((sample) => `error: ${sample}`),
  ].join("\n");
}

function latencyRow(name: string, own: Latency): string[] {
  const { count, mean, p50, p90, p99, p999, max } = own;
  return [name, ...[count, mean, p50, p90, p99, p999, max].map(format)];
}

function format(value: number): string {
  return value >= 100 ? String(Math.round(value)) : String(Math.round(value * 100) / 100);
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ")
  );
}
