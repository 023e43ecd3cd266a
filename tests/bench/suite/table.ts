// The results of a suite as Markdown, in the shape of docs/benchmark.md. Pure.

import type { Report } from "../../../roles/bench/report.ts";
import { type Judged, wordsOf } from "./aims.ts";

/** A workload that was measured, with its peer if it had one. */
export interface WorkloadRow {
  readonly name: string;
  readonly peerName: string;
  readonly report: Report & { readonly against?: Report };
  readonly judged: readonly Judged[];
}

/** Any other number. */
export interface FigureRow {
  readonly name: string;
  readonly text: string;
  readonly judged: readonly Judged[];
}

const COLUMNS = [
  "workload",
  "peer",
  "op/s",
  "peer op/s",
  "ratio",
  "P50 us",
  "P99 us",
  "P999 us",
  "peer P50",
  "peer P99",
  "aimed for",
];

/** Workloads, a line each. */
export function workloadTable(rows: readonly WorkloadRow[]): string {
  return markdown(
    COLUMNS,
    rows.map(({ name, peerName, report, judged }) => {
      const { against } = report;
      const { p50, p99, p999 } = report.latency;
      const peer = against === undefined ? ["", "", "", ""] : [
        whole(against.throughput),
        (report.throughput / against.throughput).toFixed(2),
        whole(against.latency.p50),
        whole(against.latency.p99),
      ];
      const [rate, ratio, peerP50, peerP99] = peer;
      const rows = report.rowsPerSecond > 1.01 * report.throughput
        ? ` (${whole(report.rowsPerSecond)} rows/s)`
        : "";
      return [
        name,
        peerName,
        whole(report.throughput) + rows,
        rate!,
        ratio!,
        whole(p50),
        whole(p99),
        whole(p999),
        peerP50!,
        peerP99!,
        verdicts(judged),
      ];
    }),
  );
}

/** Other numbers, a line each. */
export function figureTable(rows: readonly FigureRow[]): string {
  return markdown(
    ["what", "measured", "aimed for"],
    rows.map(({ name, text, judged }) => [name, text, verdicts(judged)]),
  );
}

function verdicts(judged: readonly Judged[]): string {
  return judged.map(({ aim, verdict }) => `${wordsOf(aim)}: ${verdict}`).join("; ");
}

/** With thousands apart. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString("en-US").replaceAll(",", " ");
}

function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
