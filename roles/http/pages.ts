// docs/metrics.md and docs/http.md, made from the declarations they describe.

import { markdownTable } from "../../src/config/help.ts";
import type { Declared } from "../../src/observe/metric.ts";
import { METRICS } from "../../src/observe/metrics.ts";
import type { Route, Routes } from "./route.ts";
import { COMMON_ROUTES, DASHBOARD_ROUTES, META_ROUTES, REPLICA_ROUTES } from "./routes.ts";

const METRIC_GROUPS: Readonly<Record<keyof typeof METRICS, string>> = {
  requests: "Requests",
  replication: "Replicas",
  log: "Shared log",
  engine: "Engines",
  disk: "Data directories",
  lease: "Contact with meta (replica servers)",
  meta: "Meta servers",
  process: "Process",
};

/** docs/metrics.md. */
export function metricsPage(): string {
  const lines = [
    "# Metrics",
    "",
    "Generated from `src/observe/metrics.ts` by `deno task docs`; do not edit.",
    "",
    "Every server tells its metrics at `/metrics` ([http.md](http.md)) in the Prometheus text format. A",
    "metric appears when it has a value: meta servers have none of replicas. Counters start at 0 with the",
    "process. Rates come from counters and from the `_count` of histograms, percentiles from buckets:",
    "",
    "```",
    "sum by (operation, table) (rate(pegasus_operation_seconds_count[1m]))",
    "histogram_quantile(0.99, sum by (operation, le) (rate(pegasus_operation_seconds_bucket[5m])))",
    "```",
  ];
  for (const [group, title] of Object.entries(METRIC_GROUPS)) {
    const metrics: readonly Declared[] = Object.values(METRICS[group as keyof typeof METRICS]);
    const rows = metrics.map(({ name, kind, labels, doc }) => [
      `\`${name}\``,
      kind,
      labels.map((label) => `\`${label}\``).join(", "),
      doc,
    ]);
    lines.push(
      "",
      `## ${title}`,
      "",
      ...markdownTable(["name", "kind", "labels", "meaning"], rows),
    );
  }
  return lines.join("\n") + "\n";
}

const SECTIONS: readonly (readonly [string, Routes])[] = [
  ["Every server", COMMON_ROUTES],
  ["Meta servers", META_ROUTES],
  ["Dashboard of meta servers", DASHBOARD_ROUTES],
  ["Replica servers", REPLICA_ROUTES],
];

/** docs/http.md. */
export function httpPage(): string {
  const lines = [
    "# HTTP",
    "",
    "Generated from `roles/http/routes.ts` by `deno task docs`; do not edit.",
    "",
    "Every server answers HTTP at the address of `--http` ([config.md](config.md)); with port 0 it takes",
    "a free port, which it logs and tells meta (`nodes -d` in the shell, `/meta/nodes?detail`). Answers",
    "are JSON unless stated. An unknown path is 404, an unknown, missing or repeated argument 400, each",
    'with the reason: `{"error": "..."}`. A standby meta server sends `/meta/*` to the leader (307), or',
    "answers 503 if it knows none.",
    "",
    "Paths marked _admin_ change something or are expensive. They are refused (403) unless the server was",
    "started with `--admin-token-file`, and need `Authorization: Bearer TOKEN`; GET and POST both do:",
    "",
    "```",
    'curl -H "Authorization: Bearer $(cat token)" "http://127.0.0.1:34901/updateConfig?log-level=debug"',
    "```",
  ];
  for (const [title, routes] of SECTIONS) {
    const rows = Object.entries(routes).map(([path, route]) => [
      `\`${path}\``,
      argumentsOf(route),
      route.brief + (route.admin ? " _(admin)_" : ""),
    ]);
    lines.push("", `## ${title}`, "", ...markdownTable(["path", "arguments", "answer"], rows));
  }
  return lines.join("\n") + "\n";
}

function argumentsOf({ args = {}, anyArgs }: Route): string {
  if (anyArgs !== undefined) return anyArgs;
  return Object.entries(args).map(([name, { doc, required }]) =>
    `\`${name}\`${required ? "" : " (optional)"}: ${doc}`
  ).join("; ");
}
