// What a meta server watches while it leads: load and hot partitions (collector.ts), availability (prober.ts); and
// how it is told to metrics, HTTP and the shell.

import { formatPartition, tableOf } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { Metrics } from "../../src/observe/metrics.ts";
import type { RpcClient } from "../../src/rpc/contract.ts";
import {
  type Latencies,
  latenciesOf,
  noRates,
  percentileMs,
  type Rates,
  ratesByTable,
  requestRate,
} from "../load_rates.ts";
import type { RemoteCommands } from "../remote_commands.ts";
import { Collector, type CollectorSettings, hotspotRow } from "./collector.ts";
import type { LoadPoint, ServerNumbers } from "./load_history.ts";
import type { MetaAsk } from "./meta_ask.ts";
import { type AvailabilityShares, Prober, type ProberSettings } from "./prober.ts";

/** What the watch is made from. */
export interface WatchingOptions {
  readonly ask: MetaAsk;
  readonly address: string;
  /** Dials other servers; each is closed by the watch. */
  readonly openClient: () => RpcClient;
  /** Looked at for every round: changes count from then on. */
  readonly settings: CollectorSettings & ProberSettings;
  readonly metrics: Metrics["meta"];
  readonly logger: Logger;
}

/** A hot partition as it is told. */
export type HotspotRow = ReturnType<typeof hotspotRow>;

/** What pages show of the watch. */
export type WatchedLoad = Pick<
  Watching,
  | "availability"
  | "points"
  | "watch"
  | "hotspots"
  | "load"
  | "numbersOf"
  | "bytesOf"
  | "rateOf"
>;

/** See the file comment. */
export class Watching {
  readonly #ask: MetaAsk;
  readonly #metrics: Metrics["meta"];
  readonly #client: RpcClient;
  readonly #collector: Collector;
  readonly #prober: Prober;

  constructor({ ask, address, openClient, settings, metrics, logger }: WatchingOptions) {
    this.#ask = ask;
    this.#metrics = metrics;
    this.#client = openClient();
    this.#collector = new Collector({ ask, client: this.#client, settings, logger });
    this.#prober = new Prober({
      ...{ ask, settings, metrics, logger },
      client: openClient(),
      meta: address,
    });
  }

  /** Shares of successful probes. */
  get availability(): AvailabilityShares {
    return this.#prober.shares;
  }

  /** Somebody looks at the dashboard: for a while load is collected faster. */
  watch(): void {
    this.#collector.watch();
  }

  /** The last minutes of load, oldest first. */
  get points(): readonly LoadPoint[] {
    return this.#collector.points;
  }

  /** What a server uses; `undefined` if it did not answer. */
  numbersOf(node: string): ServerNumbers | undefined {
    return this.#collector.numbersOf(node);
  }

  /** Bytes of all replicas of a table. */
  bytesOf(tableId: number): number {
    return this.#collector.bytesOf(tableId);
  }

  /** Requests per second of a partition, both kinds; `undefined` before the second round. */
  rateOf(partition: number): { read: number; write: number } | undefined {
    const rates = this.#collector.rates.get(partition);
    if (rates === undefined) return undefined;
    return { read: requestRate(rates, "read"), write: requestRate(rates, "write") };
  }

  /** Partitions that stand out, worst first. */
  async hotspots(): Promise<HotspotRow[]> {
    const names = await this.#tableNames();
    return this.#collector.hotspots.toSorted((a, b) => b.score - a.score).map((hotspot) =>
      hotspotRow(hotspot, names.get(tableOf(hotspot.partition)) ?? "")
    );
  }

  /** Load by table, and by partition of the table that is named. */
  async load(table: string | undefined): Promise<Record<string, unknown>> {
    const names = await this.#tableNames();
    const tables = ratesByTable(this.#collector.rates);
    const latencies = latenciesOf(this.#collector.pairs);
    const shown: Record<string, unknown> = {};
    for (const [tableId, name] of names) {
      if (table !== undefined && name !== table) continue;
      shown[name] = {
        app_id: tableId,
        ...shownRates(tables.get(tableId) ?? noRates()),
        latencies: shownLatencies(latencies, tableId),
        ...(table === undefined ? {} : { partitions: this.#partitionsOf(tableId) }),
      };
    }
    return shown;
  }

  /** Measures for /metrics. */
  async collect(): Promise<void> {
    this.#prober.collect();
    const { hotPartitions } = this.#metrics;
    hotPartitions.clear();
    for (const { app_name: name, kind } of await this.hotspots()) {
      hotPartitions.child(String(name), String(kind)).value++;
    }
  }

  /** Commands that tell the same to the shell. */
  get commands(): RemoteCommands {
    return {
      hotspots: {
        brief: "Partitions that are asked for much more than the others, as JSON",
        run: async () => JSON.stringify(await this.hotspots()),
      },
      availability: {
        brief: "Share of the probes that succeeded, as JSON",
        run: () => JSON.stringify(this.availability),
      },
    };
  }

  async close(): Promise<void> {
    this.#collector.close();
    await this.#prober.close();
    await this.#client.close();
  }

  async #tableNames(): Promise<Map<number, string>> {
    const { answer } = await this.#ask("listTables", { status: "available" });
    return new Map(answer?.tables.map(({ tableId, name }) => [tableId, name]));
  }

  #partitionsOf(tableId: number): Record<string, unknown> {
    const own = [...this.#collector.rates].filter(([partition]) => tableOf(partition) === tableId)
      .sort(([a], [b]) => a - b);
    return Object.fromEntries(
      own.map(([partition, rates]) => [formatPartition(partition), shownRates(rates)]),
    );
  }
}

function shownLatencies({ bounds, tables }: Latencies, tableId: number): Record<string, unknown> {
  const shown: Record<string, unknown> = {};
  const operations = [...tables.get(tableId) ?? []].sort(([a], [b]) => a < b ? -1 : 1);
  for (const [operation, counts] of operations) {
    const p50 = percentileMs({ bounds, counts }, 0.5);
    if (p50 === null) continue;
    const p99 = percentileMs({ bounds, counts }, 0.99)!;
    shown[operation] = { p50_ms: round(p50), p99_ms: round(p99) };
  }
  return shown;
}

function shownRates(rates: Rates): Record<string, unknown> {
  const operations = [...rates.operations].sort(([a], [b]) => a < b ? -1 : 1);
  return {
    reads: round(requestRate(rates, "read")),
    writes: round(requestRate(rates, "write")),
    read_units: round(rates.readUnits),
    write_units: round(rates.writeUnits),
    read_bytes: round(rates.readBytes),
    write_bytes: round(rates.writeBytes),
    errors: round(rates.errors),
    operations: Object.fromEntries(operations.map(([name, rate]) => [name, round(rate)])),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
