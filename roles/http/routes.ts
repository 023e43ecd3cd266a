// Every HTTP path, once; docs/http.md and the list at "/" are made from here. Paths and keys of answers
// follow the original's where it has them, so that its users and their scripts find their way.

import type { Route, Routes } from "./route.ts";

/** Declares paths and keeps their names. */
function routes<const Declared extends Routes>(declared: Declared): {
  readonly [Path in keyof Declared]: Route;
} {
  return declared;
}

/** Paths of every server. */
export const COMMON_ROUTES = routes({
  "/": { brief: "This list; a browser gets the dashboard where there is one" },
  "/healthz": { brief: "200 while the process is alive" },
  "/readyz": {
    brief:
      "200 if the server does its work, 503 with the reason if not; a replica server needs meta " +
      "and the lease, a meta server leads or knows the leader",
  },
  "/version": { brief: "Versions, role, cluster, and when the process started" },
  "/recentStartTime": { brief: "When the process started, Unix milliseconds and UTC" },
  "/config": {
    brief: "One setting, or all of them: value, default, allowed values, whether it is mutable",
    args: { name: { doc: "name of the setting, as in docs/config.md; all if left out" } },
  },
  "/configs": { brief: "All settings" },
  "/updateConfig": {
    brief: "Changes one mutable setting until the next start",
    anyArgs: "exactly one NAME=VALUE",
    admin: true,
  },
  "/metrics": { brief: "Metrics in the Prometheus text format, listed in docs/metrics.md" },
  "/pprof/cmdline": { brief: "The command line of the process, a word on each line", admin: true },
  "/pprof/heap": {
    brief:
      "Snapshot of the JavaScript heap for the memory panel of Chrome; the server stands still " +
      "while it is taken, and it contains user data",
    admin: true,
  },
  "/pprof/profile": {
    brief: "Profile of the processor for the performance panel of Chrome (.cpuprofile)",
    args: { seconds: { doc: "how long to watch, 1 to 300; 10 if left out" } },
    admin: true,
  },
});

const DETAIL = { doc: "also with details; the value does not matter" };
const TABLE = { doc: "name of the table", required: true };

/** Paths of meta servers. A standby sends the caller to the leader (307). */
export const META_ROUTES = routes({
  "/meta/cluster": { brief: "The cluster: meta servers, leader, function level, counts" },
  "/meta/nodes": { brief: "Replica servers and how many are alive", args: { detail: DETAIL } },
  "/meta/apps": { brief: "Tables; with detail also their health", args: { detail: DETAIL } },
  "/meta/app": {
    brief: "One table; with detail its partitions and where they are",
    args: { name: TABLE, detail: DETAIL },
  },
  "/meta/app_envs": { brief: "Variables of a table", args: { name: TABLE } },
  "/meta/balance": { brief: "What the balancer does, and would move next" },
  "/meta/load": {
    brief: "Requests, capacity units (4 KiB) and bytes per second by table, and latencies",
    args: { name: { doc: "one table, with its partitions" } },
  },
  "/meta/hotspots": {
    brief: "Partitions that are asked for much more than the others of their table",
  },
  "/meta/availability": {
    brief: "Share of the probes of the last minute, hour and day that succeeded; null = none",
  },
  "/meta/app/start_compaction": {
    brief: "Lets every server rewrite a table's files to give back the space of deleted rows",
    args: { app_name: TABLE },
    admin: true,
  },
  "/envs/list": { brief: "Variables that tables may have, and their allowed values" },
});

const FILE = "Part of the dashboard";

/** The dashboard of meta servers and what it is made of. */
export const DASHBOARD_ROUTES = routes({
  "/dashboard": {
    brief: "The cluster in a browser (HTML): what is wrong, servers, tables, partitions, changes",
  },
  "/dashboard/dashboard.css": { brief: FILE },
  "/dashboard/dashboard.js": { brief: FILE },
  "/dashboard/views.js": { brief: FILE },
  "/dashboard/charts.js": { brief: FILE },
  "/dashboard/uplot.js": { brief: FILE },
  "/dashboard/uplot.css": { brief: FILE },
  "/meta/overview": {
    brief:
      "Everything the dashboard shows: problems in words, servers, tables with partitions and " +
      "rates, recent changes, history of rates",
    args: { table: { doc: "history of this table instead of all together" } },
  },
});

/** Paths of replica servers. */
export const REPLICA_ROUTES = routes({
  "/replica/replicas": { brief: "Replicas stored here: status, ballot, decrees, bytes" },
  "/replica/manual_compaction": {
    brief: "Replicas of a table that were asked to compact, by state",
    args: { app_id: { doc: "id of the table", required: true } },
  },
  "/replica/data_version": {
    brief: "Version of the stored values, by partition",
    args: { app_id: { doc: "id of the table", required: true } },
  },
});
