// Manual compaction: rewrites the tables of an engine to give back the space of deleted rows. LevelDB does this by
// itself only where new rows arrive. Invariant: one engine of the shard at a time, so that reads of the others keep
// their disk; a replica that is closed or replaced meanwhile is skipped.

import { formatPartition, type PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import { USER_KEYS_END, USER_KEYS_START } from "../../src/schema/key_format.ts";
import type { Engine } from "../../storage/engine.ts";

/** What is compacted: open replicas by partition. */
export interface Compactable {
  readonly engine: Engine | undefined;
}

/** How far one replica is. */
interface Job {
  readonly partition: PartitionId;
  state: "queued" | "running" | "finished" | "failed" | "skipped";
  bytesBefore: number;
  bytesAfter: number;
  ms: number;
}

/** See the file comment. */
export class Compactor {
  readonly #replicas: ReadonlyMap<PartitionId, Compactable>;
  readonly #logger: Logger;
  readonly #jobs = new Map<PartitionId, Job>();
  #isRunning = false;

  constructor(replicas: ReadonlyMap<PartitionId, Compactable>, logger: Logger) {
    this.#replicas = replicas;
    this.#logger = logger;
  }

  /** Queues replicas, but for those that wait or run already. @returns How many */
  start(partitions: Iterable<PartitionId>): number {
    let queued = 0;
    for (const partition of partitions) {
      const state = this.#jobs.get(partition)?.state;
      if (state === "queued" || state === "running") continue;
      // At the end of the order again.
      this.#jobs.delete(partition);
      this.#jobs.set(partition, {
        partition,
        state: "queued",
        bytesBefore: 0,
        bytesAfter: 0,
        ms: 0,
      });
      queued++;
    }
    if (!this.#isRunning) void this.#run();
    return queued;
  }

  /** One line per replica that was ever asked for since the start of the process. */
  report(): string {
    return [...this.#jobs.values()].map(({ partition, state, bytesBefore, bytesAfter, ms }) => {
      const sizes = state === "finished"
        ? ` ${bytesBefore} -> ${bytesAfter} bytes in ${ms} ms`
        : "";
      return `${formatPartition(partition)} ${state}${sizes}`;
    }).join("\n");
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (;;) {
      const job = [...this.#jobs.values()].find(({ state }) => state === "queued");
      if (job === undefined) break;
      await this.#compact(job);
    }
    this.#isRunning = false;
  }

  async #compact(job: Job): Promise<void> {
    const engine = this.#replicas.get(job.partition)?.engine;
    if (engine === undefined) {
      job.state = "skipped";
      return;
    }
    job.state = "running";
    const began = performance.now();
    try {
      // What is still in memory has no size on disk yet.
      await engine.flush();
      job.bytesBefore = await engine.approximateSize(USER_KEYS_START, USER_KEYS_END);
      await engine.compact(USER_KEYS_START, USER_KEYS_END);
      job.bytesAfter = await engine.approximateSize(USER_KEYS_START, USER_KEYS_END);
      job.ms = Math.round(performance.now() - began);
      job.state = "finished";
    } catch (error) {
      // Closed under our feet, or a failing disk, which the next write will tell to whom it concerns.
      job.state = "failed";
      const partition = formatPartition(job.partition);
      this.#logger.warn("Compaction failed", { partition, error: String(error) });
    }
  }
}
