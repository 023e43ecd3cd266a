// Gives the space of expired rows back: on the primary, a few rows per tick are read in key order, and those that
// are expired are proposed as one `sweep` write, which every replica applies like any other. Invariants: the
// translator looks at each row again when the write is formed, so a row that was overwritten meanwhile stays; one
// step and one sweep are under way at most; busy partitions are left alone. docs/data_api.md, "Expiry".

import type { Clock, Now } from "../../src/base/clock.ts";
import { formatPartition, type PartitionId } from "../../src/base/ids.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { WriteRequest } from "../../src/replication/io.ts";
import { multiRemoveResult } from "../../src/schema/client_rpc.ts";
import { decode } from "../../src/schema/codec.ts";
import { USER_KEYS_END, USER_KEYS_START } from "../../src/schema/key_format.ts";
import { isExpired, secondsSince2016 } from "../../src/schema/value_format.ts";
import type { Engine } from "../../storage/engine.ts";
import type { ReplicaDriver } from "./replica_driver.ts";
import type { WriteCall } from "./write_calls.ts";

/** What a sweeper is made from. */
export interface SweeperOptions {
  /** Rows looked at per second, over all partitions of the shard; 0 = none ever. */
  readonly rowsPerSecond: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly drivers: ReadonlyMap<PartitionId, ReplicaDriver>;
  /** Whether writes may be proposed now: the lease holds, nothing stops. */
  readonly mayWrite: () => boolean;
  /** Hands a write to a replica, as a client's. */
  readonly submit: (driver: ReplicaDriver, request: WriteRequest) => void;
}

/** Since the start of the shard. */
export interface SweepCounters {
  examined: number;
  deleted: number;
  passes: number;
  compactions: number;
}

/** A walk over all rows of one partition. */
interface Pass {
  readonly engine: Engine;
  /** Rows after this key come next; `undefined` = from the beginning. */
  after: Uint8Array | undefined;
  /** When the next pass may begin, monotonic ms. */
  restUntil: number;
  /** Until when the answer to the last sweep is waited for, monotonic ms; 0 = none is. */
  waitUntil: number;
  /** Deleted since the last compaction, and from which key on. */
  uncompacted: number;
  compactFrom: Uint8Array;
}

/** Fewest rows worth an iterator, which costs as much as 50 rows; most rows of one step. */
const STEP_ROWS_MIN = 32;
const STEP_ROWS_MAX = 5000;
const STEP_BYTES_MAX = 1024 * 1024;
/** Bytes of keys in one sweep: a mutation among those of clients. */
const SWEEP_BYTES_MAX = 64 * 1024;
const KEY_OVERHEAD_BYTES = 16;
/** Pause of a partition after a pass: small tables would be read again and again. */
const PASS_PAUSE_MS = 60_000;
/** Mutations on their way from which on a partition counts as busy. */
const BUSY_MUTATIONS = 8;
/** An answer that does not come: the replica was closed. */
const ANSWER_MS_MAX = 10_000;
/** Pause before rows whose deletion failed are looked at again. */
const RETRY_MS = 1000;
/** Partitions looked at in one tick: with 256 idle ones, all of them each time were an eighth of what a server did. */
const LOOKS_MAX = 8;
/** Deleted rows worth rewriting their range. */
const COMPACT_ROWS = 5000;

/** See the file comment. */
export class Sweeper {
  readonly counters: SweepCounters = { examined: 0, deleted: 0, passes: 0, compactions: 0 };
  readonly #options: SweeperOptions;
  readonly #passes = new Map<PartitionId, Pass>();
  /** The partitions of this round that are still to be looked at. */
  #round: Iterator<PartitionId>;
  #last: PartitionId = 0;
  #credit = 0;
  #creditAt: number;
  #step: Promise<void> | undefined;
  #closed = false;

  constructor(options: SweeperOptions) {
    this.#options = options;
    this.#creditAt = options.clock.now().mono;
    this.#round = options.drivers.keys();
  }

  /** Does what the rate allows, in the background. Call it every 20 to 100 ms. */
  tick(): void {
    const { rowsPerSecond, clock, mayWrite } = this.#options;
    if (rowsPerSecond === 0 || this.#closed) return;
    const now = clock.now();
    const earned = Math.max(0, now.mono - this.#creditAt) * rowsPerSecond / 1000;
    this.#credit = Math.min(rowsPerSecond, this.#credit + earned);
    this.#creditAt = now.mono;
    if (this.#step !== undefined || !mayWrite()) return;
    const rows = Math.min(Math.floor(this.#credit), STEP_ROWS_MAX);
    if (rows < Math.min(STEP_ROWS_MIN, rowsPerSecond)) return;
    const driver = this.#next(now);
    if (driver === undefined) return;
    this.#last = driver.partition;
    this.#step = this.#take(driver, rows, now).catch((error) => {
      // An engine that was closed or replaced meanwhile; a broken one shows with the next write.
      const partition = formatPartition(driver.partition);
      this.#options.logger.debug("Sweep given up", { partition, error: String(error) });
      this.#passes.delete(driver.partition);
    }).finally(() => this.#step = undefined);
  }

  /** Begins nothing more; resolves when nothing runs. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#step;
  }

  /** The next partition in turn that is led here, has rows left in its pass, and is not busy. */
  #next(now: Now): ReplicaDriver | undefined {
    const { drivers } = this.#options;
    for (let looks = Math.min(LOOKS_MAX, drivers.size); looks > 0; looks--) {
      const driver = drivers.get(this.#nextInRound());
      if (driver !== undefined && this.#isDue(driver, now)) return driver;
    }
    // The others will be looked at; until then it goes on with the one that is known to have work.
    const last = drivers.get(this.#last);
    return last !== undefined && this.#isDue(last, now) ? last : undefined;
  }

  /** 0, which is no partition, if there is none. */
  #nextInRound(): PartitionId {
    const { drivers } = this.#options;
    const next = this.#round.next();
    if (next.done !== true) return next.value;
    for (const partition of this.#passes.keys()) {
      if (!drivers.has(partition)) this.#passes.delete(partition);
    }
    this.#round = drivers.keys();
    return this.#round.next().value ?? 0;
  }

  #isDue(driver: ReplicaDriver, now: Now): boolean {
    const { core, engine, partition } = driver;
    const pass = this.#passes.get(partition);
    if (!core.readable || engine === undefined || (pass !== undefined && pass.engine !== engine)) {
      this.#passes.delete(partition);
      return false;
    }
    if (pass !== undefined && Math.max(pass.restUntil, pass.waitUntil) > now.mono) return false;
    const { maxPrepared, applied } = core.report();
    return maxPrepared - applied < BUSY_MUTATIONS;
  }

  async #take(driver: ReplicaDriver, rows: number, now: Now): Promise<void> {
    let pass = this.#passes.get(driver.partition);
    if (pass === undefined) {
      pass = {
        engine: driver.engine!,
        after: undefined,
        restUntil: 0,
        waitUntil: 0,
        uncompacted: 0,
        compactFrom: USER_KEYS_START,
      };
      this.#passes.set(driver.partition, pass);
    }
    if (pass.uncompacted >= COMPACT_ROWS) return await this.#compact(pass);
    const { after } = pass;
    const start = after === undefined ? { gte: USER_KEYS_START } : { gt: after };
    const iterator = pass.engine.range({ ...start, lt: USER_KEYS_END });
    let entries;
    try {
      entries = await iterator.next(rows, STEP_BYTES_MAX);
    } finally {
      await iterator.close();
    }
    if (entries.length === 0) return this.#endPass(pass, now);
    const nowSeconds = secondsSince2016(now.wall);
    const keys: Uint8Array[] = [];
    let bytes = 0;
    for (const [key, stored] of entries) {
      this.#credit--;
      this.counters.examined++;
      pass.after = key;
      if (!isExpired(stored, nowSeconds)) continue;
      keys.push(key);
      bytes += key.length + KEY_OVERHEAD_BYTES;
      if (bytes >= SWEEP_BYTES_MAX) break;
    }
    if (keys.length > 0 && !driver.closed && !this.#closed) {
      pass.waitUntil = now.mono + ANSWER_MS_MAX;
      this.#propose(driver, pass, { keys, nowSeconds, bytes }, after);
    }
  }

  #propose(
    driver: ReplicaDriver,
    pass: Pass,
    { keys, nowSeconds, bytes }: { keys: Uint8Array[]; nowSeconds: number; bytes: number },
    from: Uint8Array | undefined,
  ): void {
    const end = pass.after;
    const token: Pick<WriteCall, "reply" | "fail"> = {
      reply: ({ result }) => {
        pass.waitUntil = 0;
        if (result === undefined) return;
        const { count } = decode(multiRemoveResult, result, "multiRemoveResult");
        this.counters.deleted += count;
        pass.uncompacted += count;
      },
      // The rows may still be there, as when the group changes: the pass looks again, unless it has gone on.
      fail: () => {
        if (pass.after !== end) return;
        pass.after = from;
        pass.waitUntil = this.#options.clock.now().mono + RETRY_MS;
      },
    };
    const op = { kind: "sweep" as const, keys, nowSeconds };
    const head = { session: 0, sequence: 0, answeredBelow: 0 };
    this.#options.submit(driver, { token, op, ...head, bytes });
  }

  #endPass(pass: Pass, now: Now): void {
    this.counters.passes++;
    pass.after = undefined;
    pass.uncompacted = 0;
    pass.compactFrom = USER_KEYS_START;
    pass.restUntil = now.mono + PASS_PAUSE_MS;
  }

  /** One stretch at a time: rewriting everything at once would hold up the engine, and the end of the server. */
  async #compact(pass: Pass): Promise<void> {
    const start = pass.compactFrom;
    const end = pass.after ?? USER_KEYS_END;
    pass.uncompacted = 0;
    pass.compactFrom = end;
    this.counters.compactions++;
    await pass.engine.compact(start, end);
  }
}
