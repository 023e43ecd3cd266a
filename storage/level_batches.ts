// Native batches that are written more than once. The addon frees what a written batch holds when a full collection
// finds the object, and the next one grows from nothing by doubling; so a database keeps the batch it wrote last, empty
// and with its memory. The library's public methods end a batch with its first write. Those they call in turn do not,
// and are used here; what the public ones check before is checked by the engine.
// Under multi_set of 100 rows servers take 4 to 9 % less processor time (six runs, two clusters beside each other:
// 1.00x to 1.11x the operations/s). Invariants: a kept batch is empty; one that failed or is large is not kept; at most
// KEPT_MAX are kept per thread.

/** Idle batches kept per thread, those of the databases that wrote last; with rows in flight each has 0.5 MiB. */
export const KEPT_MAX = 16;

/** A batch that took more is given up: images are written in larger ones, and not again soon. */
export const KEPT_BYTES_MAX = 1024 * 1024;

/** What the addon's chained batch does below its public methods. */
export interface NativeBatch {
  /** Copies key and value. */
  _put(key: Uint8Array, value: Uint8Array): void;
  _del(key: Uint8Array): void;
  /** Forgets the operations, and keeps the memory. */
  _clear(): void;
  /** Writes all operations or none; touch nothing until it has ended. */
  _write(options: Record<never, never>): Promise<void>;
  /** Its database forgets it. */
  close(): Promise<void>;
}

/** A batch with what it holds. */
export interface FilledBatch {
  readonly native: NativeBatch;
  /** The most that its memory can be, bytes. */
  readonly grown: number;
}

/** The idle batches of all databases of a thread. See the file comment. */
export class KeptBatches {
  readonly #abandon: (bytes: number) => void;
  /** By database; who wrote last is the last. */
  readonly #kept = new Map<object, FilledBatch>();

  /** @param abandon Hears of bytes that wait for the garbage collector now. */
  constructor(abandon: (bytes: number) => void) {
    this.#abandon = abandon;
  }

  /**
   * Fills the batch of a database.
   *
   * @param make A new one, if none is kept.
   * @param add Adds operations; returns the most memory they need, bytes.
   * @throws What `add` throws; the batch is given up then.
   */
  fill(
    database: object,
    make: () => NativeBatch,
    add: (native: NativeBatch) => number,
  ): FilledBatch {
    const kept = this.#take(database);
    const native = kept?.native ?? make();
    const before = kept?.grown ?? 0;
    try {
      return { native, grown: Math.max(before, add(native)) };
    } catch (error) {
      this.#giveUp({ native, grown: before });
      throw error;
    }
  }

  /** Writes a batch, and keeps it if that succeeds. */
  async write(database: object, batch: FilledBatch): Promise<void> {
    try {
      await batch.native._write({});
    } catch (error) {
      this.#giveUp(batch);
      throw error;
    }
    this.#keep(database, batch);
  }

  /** Gives up what is kept of a database that closes. */
  drop(database: object): void {
    const batch = this.#take(database);
    if (batch !== undefined) this.#giveUp(batch);
  }

  #take(database: object): FilledBatch | undefined {
    const batch = this.#kept.get(database);
    this.#kept.delete(database);
    return batch;
  }

  #keep(database: object, batch: FilledBatch): void {
    if (batch.grown > KEPT_BYTES_MAX || this.#kept.has(database)) return this.#giveUp(batch);
    batch.native._clear();
    this.#kept.set(database, batch);
    if (this.#kept.size <= KEPT_MAX) return;
    const [longestIdle] = this.#kept.keys();
    this.drop(longestIdle!);
  }

  #giveUp({ native, grown }: FilledBatch): void {
    this.#abandon(grown);
    // Takes it off a list of its database; there is nothing that could fail.
    native.close().catch(() => {});
  }
}
