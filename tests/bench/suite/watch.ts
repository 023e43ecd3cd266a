// What servers need while they are under load: memory and delays of their event loops, looked at every few seconds.

import type { SuiteCluster } from "./cluster.ts";
import { between, type Buckets, quantileOf, sumOf } from "./samples.ts";

const LOOK_MS = 3000;

/** Memory at one moment: the largest of the replica servers. */
export interface Look {
  readonly atMs: number;
  readonly residentMb: number;
}

/** Bytes as MB. */
export const megabytes = (bytes: number): number => bytes / 1e6;

/** Watches the replica servers of a cluster until it is ended. */
export class Watch {
  readonly looks: Look[] = [];
  readonly #cluster: SuiteCluster;
  #before: readonly Buckets[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  private constructor(cluster: SuiteCluster) {
    this.#cluster = cluster;
  }

  static async start(cluster: SuiteCluster): Promise<Watch> {
    const watch = new Watch(cluster);
    watch.#before = (await cluster.samples("replica")).map(({ delays }) => delays);
    watch.#again();
    return watch;
  }

  /** The most memory a server had, MB. */
  get highestMb(): number {
    return Math.max(...this.looks.map(({ residentMb }) => residentMb));
  }

  /** How late timers fired since the start, all servers together, seconds. */
  async delayOf(q: number): Promise<number> {
    const after = await this.#look();
    return quantileOf(sumOf(after.map((delays, i) => between(this.#before[i]!, delays))), q);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #again(): void {
    this.#timer = setTimeout(async () => {
      await this.#look().catch(() => {});
      if (this.#timer !== undefined) this.#again();
    }, LOOK_MS);
  }

  async #look(): Promise<readonly Buckets[]> {
    const samples = await this.#cluster.samples("replica");
    const residentMb = Math.max(...samples.map((each) => megabytes(each.residentBytes)));
    this.looks.push({ atMs: performance.now(), residentMb });
    return samples.map(({ delays }) => delays);
  }
}
