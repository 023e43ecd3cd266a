// Finds partitions that are asked for much more than the others of their table. A partition stands out by its score:
// how many standard deviations its rate lies above the mean of the OTHER partitions over the last looks. With the
// partition itself among the others, as the original has it, no partition of a table of ten or fewer could ever
// reach a score of 3. Pure. docs/monitoring.md, "Hot partitions".

import type { PartitionId } from "../../src/base/ids.ts";

/** Looks that are remembered. */
const HISTORY = 10;
/** A table in which nothing varies: differences below this share of the mean are noise. */
const NOISE = 0.1;

/** Settings; names and bounds in src/config/meta_settings.ts. */
export interface HotspotSettings {
  readonly hotspotScore: number;
  readonly hotspotRateMin: number;
  readonly hotspotLooks: number;
}

/** Requests per second of one partition. */
export interface PartitionRate {
  readonly partition: PartitionId;
  readonly rate: number;
}

/** A partition that stands out. */
export interface Hotspot {
  readonly partition: PartitionId;
  readonly kind: "read" | "write";
  /** Requests per second at the last look. */
  readonly rate: number;
  readonly score: number;
  /** Looks in a row at which it stood out. */
  readonly looks: number;
}

/** See the file comment. One for each table and kind of request. */
export class HotspotWatch {
  readonly #kind: "read" | "write";
  readonly #settings: HotspotSettings;
  #history: ReadonlyMap<PartitionId, number>[] = [];
  #looks = new Map<PartitionId, number>();

  constructor(kind: "read" | "write", settings: HotspotSettings) {
    this.#kind = kind;
    this.#settings = settings;
  }

  /** Takes a look. @returns Partitions that stood out often enough, worst first. */
  look(rates: readonly PartitionRate[]): Hotspot[] {
    const { hotspotScore, hotspotRateMin, hotspotLooks } = this.#settings;
    this.#history.push(new Map(rates.map(({ partition, rate }) => [partition, rate])));
    if (this.#history.length > HISTORY) this.#history.shift();
    const looks = new Map<PartitionId, number>();
    const hot: Hotspot[] = [];
    for (const { partition, rate } of rates) {
      if (rate < hotspotRateMin) continue;
      const score = this.#score(partition, rate);
      if (score < hotspotScore) continue;
      const count = (this.#looks.get(partition) ?? 0) + 1;
      looks.set(partition, count);
      if (count < hotspotLooks) continue;
      hot.push({ partition, kind: this.#kind, rate, score, looks: count });
    }
    this.#looks = looks;
    return hot.sort((a, b) => b.score - a.score);
  }

  #score(partition: PartitionId, rate: number): number {
    let [count, sum, squares] = [0, 0, 0];
    for (const rates of this.#history) {
      for (const [other, value] of rates) {
        if (other === partition) continue;
        count++;
        sum += value;
        squares += value * value;
      }
    }
    if (count === 0) return 0;
    const mean = sum / count;
    const deviation = Math.sqrt(Math.max(0, squares / count - mean * mean));
    return (rate - mean) / Math.max(deviation, NOISE * mean, 1);
  }
}
