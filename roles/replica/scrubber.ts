// Looks for damage in what the engines of a shard store: all tables of all members are read again at a low rate,
// from the start of the shard on and then at intervals, so that rows nobody asks for are not found to be damaged
// only when their last good copy is gone. Also tells a replica what its reads ran into. What follows from damage the
// core decides. Invariant: a table is judged only while the database has it in use: an unfinished or removed one is
// no damage. docs/storage_layout.md, "Damage".

import type { Clock } from "../../src/base/clock.ts";
import { formatPartition, type PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { Engine } from "../../storage/engine.ts";
import { isTableDamage, tableCheck } from "../../storage/level_tables.ts";
import type { ReplicaDriver } from "./replica_driver.ts";

/** How fast and how often. */
export interface ScrubSettings {
  /** Bytes read per second; 0 = none. */
  readonly bytesPerSecond: number;
  /** From the start of one pass over everything to the start of the next, ms. */
  readonly intervalMs: number;
}

/** Nobody looks. */
export const NO_SCRUB: ScrubSettings = { bytesPerSecond: 0, intervalMs: 0 };

/** What a scrubber is made from. */
export interface ScrubberOptions extends ScrubSettings {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly drivers: ReadonlyMap<PartitionId, ReplicaDriver>;
  /** 32 random bits: where the first pass begins, so that short lives of a process reach everything. */
  readonly chance: number;
}

/** Since the start of the shard. */
export interface ScrubCounters {
  bytes: number;
  passes: number;
  /** Replicas that are known to be damaged and go on, now. */
  damaged: number;
}

/** Bytes checked in one turn of the event loop: 0.2 ms. */
const PIECE_BYTES = 128 * 1024;
/** Replicas are asked for damage that was found so often: all of them each time. */
const TELL_MS = 1000;
/** An unused rate is saved up for so long. */
const CREDIT_SECONDS_MAX = 0.5;
/** EIO: the disk does not give the bytes back, whoever asks. */
const UNREADABLE = /\(os error 5\)/;

/** See the file comment. */
export class Scrubber {
  readonly counters: ScrubCounters = { bytes: 0, passes: 0, damaged: 0 };
  readonly #options: ScrubberOptions;
  readonly #found = new WeakMap<Engine, string>();
  /** Damaged engines that were spoken of. */
  readonly #told = new WeakSet<Engine>();
  #credit = 0;
  #creditAt: number;
  #restUntil = 0;
  #tellAt = 0;
  /** Lets the pass go on. */
  #wake: (() => void) | undefined;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: ScrubberOptions) {
    this.#options = options;
    this.#creditAt = options.clock.now().mono;
  }

  /** Call it every 20 to 100 ms. */
  tick(): void {
    const { bytesPerSecond: rate, clock } = this.#options;
    const now = clock.now().mono;
    if (now >= this.#tellAt) {
      this.#tell();
      this.#tellAt = now + TELL_MS;
    }
    if (rate === 0 || this.#closed) return;
    const earned = Math.max(0, now - this.#creditAt) * rate / 1000;
    this.#credit = Math.min(rate * CREDIT_SECONDS_MAX, this.#credit + earned);
    this.#creditAt = now;
    this.#running ??= this.#run();
    if (this.#credit < 0 || now < this.#restUntil) return;
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Reads nothing more; resolves when nothing runs. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    await this.#running;
  }

  /** Replicas hear of their damage until they are closed, or are not the last copy any more. */
  #tell(): void {
    const { drivers, logger } = this.#options;
    let damaged = 0;
    // A replica that closes when it hears of it leaves the map, which a loop over one allows.
    for (const driver of drivers.values()) {
      const { engine, partition } = driver;
      if (engine === undefined) continue;
      const reason = engine.damage ?? this.#found.get(engine);
      if (reason === undefined) continue;
      if (!this.#told.has(engine)) {
        this.#told.add(engine);
        logger.error("Damaged data", { partition: formatPartition(partition), reason });
      }
      driver.deliver({ kind: "damaged", reason });
      if (drivers.has(partition)) damaged++;
    }
    this.counters.damaged = damaged;
  }

  async #run(): Promise<void> {
    const { clock, drivers, chance, logger, intervalMs } = this.#options;
    let turn = chance;
    while (!this.#closed) {
      const startedAt = clock.now().mono;
      const partitions = [...drivers.keys()].sort((a, b) => a - b);
      const first = partitions.length === 0 ? 0 : turn % partitions.length;
      turn = 0;
      for (const partition of [...partitions.slice(first), ...partitions.slice(0, first)]) {
        await this.#scrub(partition).catch((error) => {
          // Too many open files, or closed under our feet: the next pass looks again.
          const details = { partition: formatPartition(partition), error: String(error) };
          logger.warn("A replica cannot be checked for damage", details);
        });
      }
      if (!this.#closed) this.counters.passes++;
      this.#restUntil = startedAt + intervalMs;
      await this.#pace(0);
    }
  }

  /** Waits until so many bytes more may be read. */
  async #pace(bytes: number): Promise<void> {
    this.#credit -= bytes;
    if (!this.#closed) await new Promise<void>((resolve) => this.#wake = resolve);
  }

  async #scrub(partition: PartitionId): Promise<void> {
    const driver = this.#options.drivers.get(partition);
    const engine = driver?.engine;
    if (driver === undefined || engine?.tableFiles === undefined) return;
    const isCurrent = () => !this.#closed && driver.engine === engine && isMember(driver);
    for (const path of isCurrent() ? engine.tableFiles() : []) {
      if (!isCurrent()) return;
      const damage = await this.#check(path, isCurrent);
      // A table that was merged into others and removed meanwhile is none of ours.
      if (damage === undefined || !isCurrent() || !engine.tableFiles().includes(path)) continue;
      this.#found.set(engine, `Table ${path.slice(path.lastIndexOf("/") + 1)}: ${damage}`);
      return;
    }
  }

  /** @returns What is wrong with the table, if it was read to its end. */
  async #check(path: string, isCurrent: () => boolean): Promise<string | undefined> {
    try {
      using file = await Deno.open(path);
      const check = tableCheck((await file.stat()).size, PIECE_BYTES);
      let step = check.next();
      while (!step.done && isCurrent()) {
        const { offset, length } = step.value;
        const bytes = await readAt(file, offset, length);
        this.counters.bytes += bytes.length;
        step = check.next(bytes);
        await this.#pace(length);
      }
      return undefined;
    } catch (error) {
      if (isTableDamage(error)) return error.message;
      if (error instanceof Deno.errors.NotFound) return "it is gone";
      if (error instanceof Error && UNREADABLE.test(error.message)) return error.message;
      throw error;
    }
  }
}

/** Others have the data of a member, and meta counts on it; what is stored besides may be somebody's last hope. */
function isMember({ core }: ReplicaDriver): boolean {
  return core.status === "primary" || core.status === "secondary";
}

/** Up to `length` bytes; fewer at the end of the file. */
async function readAt(file: Deno.FsFile, offset: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  await file.seek(offset, Deno.SeekMode.Start);
  let at = 0;
  while (at < length) {
    const got = await file.read(bytes.subarray(at));
    if (got === null) break;
    at += got;
  }
  return bytes.subarray(0, at);
}
