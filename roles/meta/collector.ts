// The leader's eyes on load: asks every shard of every replica server for its sums, makes rates of them, watches for
// partitions that stand out, and starts the search for hot keys there if it is told to. A standby asks nobody. What
// it knows is told at /meta/load, in the dashboard, by metrics and to `hotspots` of the shell.

import { formatPartition, indexOf, type PartitionId, tableOf } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { RpcClient } from "../../src/rpc/contract.ts";
import { DetectHotkey, ReplicaLoad } from "../../src/schema/load_rpc.ts";
import {
  type LoadAnswer,
  type LoadPair,
  type Rates,
  ratesByPartition,
  requestRate,
} from "../load_rates.ts";
import { type Hotspot, type HotspotSettings, HotspotWatch } from "./hotspots.ts";
import {
  bytesByTable,
  LoadHistory,
  type LoadPoint,
  numbersOf,
  type ServerNumbers,
} from "./load_history.ts";
import { shardAddresses } from "../shard_addresses.ts";
import type { MetaAsk } from "./meta_ask.ts";

/** Settings of the collector; names and bounds in src/config/meta_settings.ts. */
export interface CollectorSettings extends HotspotSettings {
  readonly loadIntervalMs: number;
  readonly hotkeyAuto: boolean;
}

/** What the collector is made from. */
export interface CollectorOptions {
  readonly ask: MetaAsk;
  readonly client: RpcClient;
  /** Looked at for every round: changes count from then on. */
  readonly settings: CollectorSettings;
  readonly logger: Logger;
}

const ANSWER_MS_MAX = 2000;
/** While somebody looks at the dashboard, load is collected this often. */
const WATCHED_EVERY_MS = 2000;
/** Nobody looks any more after a page was silent for so long. */
const WATCHED_MS = 10_000;
/** A little early is on time: timers are not exact. */
const EARLY = 0.9;

/** A hot partition with the address that serves it. */
export interface KnownHotspot extends Hotspot {
  /** "host:port" of the shard that leads the partition; "" = nobody. */
  readonly address: string;
}

/** See the file comment. */
export class Collector {
  readonly #options: CollectorOptions;
  /** Last answers by address of the shard. */
  #answers = new Map<string, LoadAnswer>();
  /** The answers of the last round, by server. */
  #pairs = new Map<string, LoadPair[]>();
  readonly #history = new LoadHistory();
  readonly #numbers = new Map<string, ServerNumbers>();
  #bytes: ReadonlyMap<number, number> = new Map();
  #watchedUntil = -Infinity;
  #lookedAt = -Infinity;
  readonly #watches = new Map<string, HotspotWatch>();
  #rates: ReadonlyMap<PartitionId, Rates> = new Map();
  #hotspots: readonly KnownHotspot[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isBusy = false;
  #closed = false;

  constructor(options: CollectorOptions) {
    this.#options = options;
    this.#plan();
  }

  /** Rates by partition as of the last round; empty on a standby. */
  get rates(): ReadonlyMap<PartitionId, Rates> {
    return this.#rates;
  }

  /** The answers the rates are made of. */
  get pairs(): readonly LoadPair[] {
    return [...this.#pairs.values()].flat();
  }

  /** The last minutes, oldest first. */
  get points(): readonly LoadPoint[] {
    return this.#history.points;
  }

  /** What a server uses; `undefined` if it did not answer in the last round. */
  numbersOf(node: string): ServerNumbers | undefined {
    return this.#numbers.get(node);
  }

  /** Bytes of all replicas of a table. */
  bytesOf(tableId: number): number {
    return this.#bytes.get(tableId) ?? 0;
  }

  /** Somebody looks: for a while rounds come faster. */
  watch(): void {
    if (this.#closed) return;
    const isNew = performance.now() >= this.#watchedUntil;
    this.#watchedUntil = performance.now() + WATCHED_MS;
    if (!isNew || this.#isBusy) return;
    clearTimeout(this.#timer);
    this.#begin();
  }

  /** Partitions that stand out. */
  get hotspots(): readonly KnownHotspot[] {
    return this.#hotspots;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #plan(): void {
    if (this.#closed) return;
    const { loadIntervalMs } = this.#options.settings;
    const isWatched = performance.now() < this.#watchedUntil;
    const pauseMs = isWatched ? Math.min(WATCHED_EVERY_MS, loadIntervalMs) : loadIntervalMs;
    this.#timer = setTimeout(() => this.#begin(), pauseMs);
  }

  #begin(): void {
    this.#isBusy = true;
    this.#round().catch((error) => {
      this.#options.logger.error("Collecting the load failed", { error });
    }).finally(() => {
      this.#isBusy = false;
      this.#plan();
    });
  }

  async #round(): Promise<void> {
    const { answer: listed } = await this.#options.ask("listNodes", {});
    if (listed === undefined) return this.#forget();
    const alive = listed.nodes.filter((node) => node.alive);
    const asked = await Promise.all(
      alive.flatMap((node) =>
        shardAddresses(node).map(async (address) => ({
          ...{ node: node.node, address },
          answer: await this.#askShard(address),
        }))
      ),
    );
    if (this.#closed) return;
    const answers = new Map<string, LoadAnswer>();
    const pairs = new Map<string, LoadPair[]>(alive.map(({ node }) => [node, []]));
    for (const { node, address, answer } of asked) {
      if (answer === undefined) continue;
      answers.set(address, answer);
      pairs.get(node)!.push({ before: this.#answers.get(address), after: answer });
    }
    this.#answers = answers;
    this.#pairs = pairs;
    this.#digest();
    this.#history.add(Date.now(), this.pairs, this.#rates);
    // Looks of the watch come at its own pace, however often somebody else wants to see numbers.
    const now = performance.now();
    if (now - this.#lookedAt < this.#options.settings.loadIntervalMs * EARLY) return;
    this.#lookedAt = now;
    this.#findHotspots(answers);
  }

  /** Once for each round, however often somebody looks. */
  #digest(): void {
    this.#rates = ratesByPartition(this.pairs);
    this.#bytes = bytesByTable(this.pairs);
    this.#numbers.clear();
    for (const [node, pairs] of this.#pairs) {
      const numbers = numbersOf(pairs);
      if (numbers !== undefined) this.#numbers.set(node, numbers);
    }
  }

  async #askShard(address: string): Promise<LoadAnswer | undefined> {
    try {
      return await this.#options.client.call(address, ReplicaLoad, {}, ANSWER_MS_MAX);
    } catch {
      // It is dying or young; the next round asks again.
      return undefined;
    }
  }

  #forget(): void {
    this.#answers.clear();
    this.#watches.clear();
    this.#pairs.clear();
    this.#history.clear();
    this.#digest();
    this.#hotspots = [];
  }

  #findHotspots(answers: ReadonlyMap<string, LoadAnswer>): void {
    const leaders = new Map<PartitionId, string>();
    for (const [address, { partitions }] of answers) {
      for (const { partition, status } of partitions) {
        if (status === "primary") leaders.set(partition, address);
      }
    }
    const tables = Map.groupBy(this.#rates, ([partition]) => tableOf(partition));
    const before = new Set(this.#hotspots.map(nameOf));
    const hotspots: KnownHotspot[] = [];
    for (const [tableId, rows] of tables) {
      for (const kind of ["read", "write"] as const) {
        const rates = rows.map(([partition, rate]) => ({
          partition,
          rate: requestRate(rate, kind),
        }));
        for (const hotspot of this.#watchOf(tableId, kind).look(rates)) {
          hotspots.push({ ...hotspot, address: leaders.get(hotspot.partition) ?? "" });
        }
      }
    }
    for (const name of this.#watches.keys()) {
      if (!tables.has(Number(name.split(" ")[0]))) this.#watches.delete(name);
    }
    this.#hotspots = hotspots;
    for (const hotspot of hotspots) if (!before.has(nameOf(hotspot))) this.#onHotspot(hotspot);
  }

  #watchOf(tableId: number, kind: "read" | "write"): HotspotWatch {
    const name = `${tableId} ${kind}`;
    let watch = this.#watches.get(name);
    if (watch === undefined) {
      this.#watches.set(name, watch = new HotspotWatch(kind, this.#options.settings));
    }
    return watch;
  }

  #onHotspot({ partition, kind, rate, score, address }: KnownHotspot): void {
    const { logger, client, settings } = this.#options;
    const name = formatPartition(partition);
    const details = { partition: name, kind, rate: Math.round(rate), score: Math.round(score) };
    logger.warn("Hot partition", details);
    if (!settings.hotkeyAuto || address === "") return;
    client.call(address, DetectHotkey, { partition, kind, action: "start" }, ANSWER_MS_MAX).then(
      () => logger.info("Search for a hot key started", { partition: name, kind, address }),
      // Somebody searches there already, or the partition has just moved.
      (error) =>
        logger.info("Search for a hot key did not start", {
          partition: name,
          error: String(error),
        }),
    );
  }
}

function nameOf({ partition, kind }: Hotspot): string {
  return `${partition} ${kind}`;
}

/** A hot partition for people and JSON. */
export function hotspotRow(
  { partition, kind, rate, score, looks, address }: KnownHotspot,
  tableName: string,
): Readonly<Record<string, string | number>> {
  return {
    app_name: tableName,
    gpid: formatPartition(partition),
    partition_index: indexOf(partition),
    kind,
    rate: Math.round(rate),
    score: Math.round(score * 10) / 10,
    looks,
    primary: address,
  };
}
