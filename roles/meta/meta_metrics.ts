// What a meta server tells to /metrics. Events are counted when they happen, the cluster is looked at when
// somebody asks; only the leader knows it, so a standby has none of its gauges. List: docs/metrics.md.

import type { MetaCore } from "../../src/placement/meta.ts";
import type { MetaNote } from "../../src/placement/io.ts";
import type { Metrics } from "../../src/observe/metrics.ts";
import type { MetaAsk } from "./meta_ask.ts";

const ROLES: readonly MetaCore["role"][] = ["standby", "loading", "leading"];
/** Alerts are built on these: they are there with 0 before the first one. */
const COUNTED: readonly MetaNote[] = [
  "nodeDead",
  "config",
  "cureGivenUp",
  "noCandidate",
  "foreignServer",
];

/** See the file comment. */
export class MetaMetrics {
  readonly #metrics: Metrics["meta"];

  constructor(metrics: Metrics["meta"]) {
    this.#metrics = metrics;
    for (const event of COUNTED) metrics.events.child(event);
  }

  /** Something happened inside the core. */
  noted(event: MetaNote): void {
    this.#metrics.events.child(event).add();
  }

  /** Looks at the cluster. */
  async collect(core: MetaCore, ask: MetaAsk): Promise<void> {
    const { role, nodes, partitions, pendingActions } = this.#metrics;
    for (const name of ROLES) role.child(name).set(name === core.role ? 1 : 0);
    for (const family of [nodes, partitions, pendingActions]) family.clear();
    const { reign } = core;
    if (reign === undefined || !reign.started) return;
    const { aliveCount, knownCount } = reign.detector;
    nodes.child("alive").set(aliveCount);
    nodes.child("dead").set(knownCount - aliveCount);
    const pending = pendingActions.child();
    for (const table of reign.cluster.tables.values()) {
      for (const { actions, inFlight } of table.partitions) {
        if (actions.length > 0 || inFlight !== undefined) pending.value++;
      }
    }
    await this.#collectHealth(ask);
  }

  async #collectHealth(ask: MetaAsk): Promise<void> {
    const { partitions } = this.#metrics;
    const { answer } = await ask("listTables", { status: "available" });
    const names = new Map(answer?.tables.map(({ tableId, name }) => [tableId, name]));
    for (const health of answer?.health ?? []) {
      const table = names.get(health.tableId) ?? "unknown";
      const { healthy, unhealthy, writeUnhealthy, readUnhealthy } = health;
      // Each partition counts once: what cannot be read cannot be written, and is not healthy.
      partitions.child(table, "healthy").set(healthy);
      partitions.child(table, "degraded").set(unhealthy - writeUnhealthy);
      partitions.child(table, "unwritable").set(writeUnhealthy - readUnhealthy);
      partitions.child(table, "unreadable").set(readUnhealthy);
    }
  }
}
