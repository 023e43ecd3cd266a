// The client that watches the cluster from the leader: writes and reads a row in every partition of the probe table
// and counts how often that succeeds (availability.ts). Without a table of that name it does nothing; to switch the
// watch on one creates the table. A standby is silent, and forgets what it saw as leader: it is not what the cluster
// is like since. docs/monitoring.md, "Availability".

import { utf8 } from "../../src/base/bytes.ts";
import { Err } from "../../src/base/errors.ts";
import { Cluster } from "../../src/client/cluster.ts";
import type { Table } from "../../src/client/table.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { Metrics } from "../../src/observe/metrics.ts";
import type { RpcClient } from "../../src/rpc/contract.ts";
import { partitionIndexOf } from "../../src/schema/key_format.ts";
import { Availability, type Window, WINDOWS } from "./availability.ts";
import type { MetaAsk } from "./meta_ask.ts";

/** Settings; names and bounds in src/config/meta_settings.ts. */
export interface ProberSettings {
  readonly probeTable: string;
  readonly probeIntervalMs: number;
  readonly probeTimeoutMs: number;
}

/** What the prober is made from. */
export interface ProberOptions {
  readonly ask: MetaAsk;
  /** Closed by the prober. */
  readonly client: RpcClient;
  /** The own address. */
  readonly meta: string;
  readonly settings: ProberSettings;
  readonly metrics: Metrics["meta"];
  readonly logger: Logger;
}

/** So many failed rounds of a partition in a row are worth a line. */
const FAILURES_TOLD = 3;

/** Shares of successful probes; `null` = none in that time. */
export type AvailabilityShares = Readonly<Record<Window, number | null>>;

/** See the file comment. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #cluster: Cluster;
  #availability = new Availability();
  /** Failed rounds in a row, by partition index. */
  readonly #failures = new Map<number, number>();
  #keys: { readonly table: string; readonly keys: Uint8Array[] } = { table: "", keys: [] };
  #timer: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
    this.#cluster = new Cluster(options.client, { meta: [options.meta], exactlyOnce: false });
    this.#plan();
  }

  /** What was seen; all `null` where nothing is probed. */
  get shares(): AvailabilityShares {
    const now = Date.now();
    const share = (window: Window) => this.#availability.share(window, now);
    return { minute: share("minute"), hour: share("hour"), day: share("day") };
  }

  /** Measures for /metrics. */
  collect(): void {
    const { availability } = this.#options.metrics;
    availability.clear();
    for (const window of Object.keys(WINDOWS) as Window[]) {
      const share = this.shares[window];
      if (share !== null) availability.child(window).set(share);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#cluster.close();
  }

  #plan(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => {
      this.#round().catch((error) => {
        if (!this.#closed) this.#options.logger.error("Probing failed", { error });
      }).finally(() => this.#plan());
    }, this.#options.settings.probeIntervalMs);
  }

  async #round(): Promise<void> {
    const { ask, settings: { probeTable, probeTimeoutMs } } = this.#options;
    const { error, answer } = await ask("listTables", { status: "available" });
    if (error === Err.FORWARD_TO_OTHERS) this.#availability = new Availability();
    const known = answer?.tables.find(({ name }) => name === probeTable);
    if (known === undefined) return this.#failures.clear();
    const table = this.#cluster.table(probeTable, { timeoutMs: probeTimeoutMs });
    const keys = this.#keysOf(`${known.tableId} ${known.partitionCount}`, known.partitionCount);
    await Promise.all(keys.map((key, index) => this.#probe(table, key, index)));
  }

  async #probe(table: Table, key: Uint8Array, index: number): Promise<void> {
    const value = utf8(String(Date.now()));
    let reason: unknown;
    try {
      await table.set(key, "", value);
      const read = await table.get(key, "");
      if (read === undefined) reason = "The row that was just written is missing";
    } catch (error) {
      if (this.#closed) return;
      reason = error;
    }
    const succeeded = reason === undefined;
    this.#availability.add(succeeded, Date.now());
    this.#options.metrics.probes.child(succeeded ? "ok" : "failed").add();
    const failures = succeeded ? 0 : (this.#failures.get(index) ?? 0) + 1;
    this.#failures.set(index, failures);
    if (failures !== FAILURES_TOLD) return;
    const { probeTable } = this.#options.settings;
    const details = { table: probeTable, partition: index, reason: String(reason) };
    this.#options.logger.warn("A partition does not serve the probe", details);
  }

  /** A hash key for every partition. */
  #keysOf(table: string, partitionCount: number): readonly Uint8Array[] {
    if (this.#keys.table === table) return this.#keys.keys;
    const keys: Uint8Array[] = [];
    for (let n = 0, found = 0; found < partitionCount; n++) {
      const key = utf8(`probe_${n}`);
      const index = partitionIndexOf(key, utf8(""), partitionCount);
      if (keys[index] !== undefined) continue;
      keys[index] = key;
      found++;
    }
    this.#keys = { table, keys };
    return keys;
  }
}
