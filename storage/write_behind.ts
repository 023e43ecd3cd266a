// Committed rows are visible at once and reach the database a little later, many mutations in one batch: a write
// to LevelDB costs two thread hops whatever its size, and nobody waits for them any more: with 32 writers of 100-byte
// rows 0.37 context switches per set and server instead of 0.87, 178 us of CPU in all processes instead of 211, and
// 8.7 k set/s instead of 7.5 k (2 cores, others at work). Invariants: a read
// sees everything applied before it, in the newest version; batches reach the database in the order of their
// applies and each is atomic; what waits in memory is bounded, then applies wait; after a failed batch nothing is
// written any more and reads stay right. What waits here is in the logs: docs/storage_layout.md, "Engine".

import {
  type BatchOp,
  type Engine,
  EngineError,
  type EngineIterator,
  type EngineSnapshot,
  type Entry,
  isEngineFull,
  type RangeOptions,
} from "./engine.ts";
import { RowLayer } from "./row_layer.ts";

/** Bounds of what waits for the database. */
export interface WriteBehindOptions {
  /** A batch is written when it holds so many bytes of keys and values. @default 256 KiB */
  readonly batchBytes?: number;
  /** A batch is written when its oldest row has waited so long, ms (see {@link batchMsOf}). @default 1000 */
  readonly batchMs?: number;
  /** While so many bytes wait, applies wait too. @default 4 MiB */
  readonly waitingBytesMax?: number;
  /** Runs something later. @returns What calls it off. @default The runtime's timer */
  readonly later?: (run: () => void, ms: number) => () => void;
  /**
   * The disk: a batch for which there is no room waits until there is, readable by key all the while, and applies
   * wait behind it. Ranges and snapshots are refused meanwhile: whoever wants one holds a turn of others, and the
   * room may never come. @default A full disk is a failure like any other
   */
  readonly room?: {
    /** It refused a batch. */
    refused(): void;
    readonly isFull: boolean;
  };
  /** Sees every batch the database has taken. */
  readonly written?: (rows: number, ms: number) => void;
}

/** Waits of the databases of one process, ms. */
const BATCH_MS_MIN = 500;
const BATCH_MS_MAX = 1000;
const GOLDEN = 0.618;

/**
 * How long rows wait in the database that is opened as the n-th: in each for another time, for batches of several
 * databases that leave in the same turn of the event loop hold it up for longer than all of them one by one. With
 * 100 ms for all, 457 of 1913 looks at event loops found a delay above 10 ms under multi_set of 100 rows, where now 31 of
 * 1989 do. 100 to 200 ms would cost 5 % of the sets per second, in more batches.
 */
export function batchMsOf(n: number): number {
  return BATCH_MS_MIN + (n * GOLDEN % 1) * (BATCH_MS_MAX - BATCH_MS_MIN);
}

/** Pause between two looks whether a full disk has room again, ms. */
const ROOM_LOOK_MS = 100;

/** A caller that waits for its turn to apply. */
interface Held {
  readonly ops: Iterable<BatchOp>;
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/** See the file comment. */
export class WriteBehindEngine implements Engine {
  readonly #engine: Engine;
  readonly #batchBytes: number;
  readonly #batchMs: number;
  readonly #waitingBytesMax: number;
  readonly #later: (run: () => void, ms: number) => () => void;
  readonly #written: ((rows: number, ms: number) => void) | undefined;
  readonly #room: WriteBehindOptions["room"];
  /** Takes new rows. */
  #active = new RowLayer();
  /** On its way to the database; older than `#active`. */
  #leaving: RowLayer | undefined;
  /** The one before: empty, with room for as much. */
  #spare: RowLayer | undefined;
  /** Calls the planned batch off. */
  #cancel: (() => void) | undefined;
  /** Set while a batch waits for room; calls the next look off. */
  #cancelLook: (() => void) | undefined;
  /** Nobody waits for room any more. */
  #hasGivenUp = false;
  /** Applies that wait for room, or for the end of `exclusive`, in order. */
  #held: Held[] = [];
  #exclusive = 0;
  #failure: EngineError | undefined;
  #closing: Promise<void> | undefined;

  /** @param engine Belongs to this object from now on. */
  constructor(engine: Engine, options: WriteBehindOptions = {}) {
    this.#engine = engine;
    this.#batchBytes = options.batchBytes ?? 256 * 1024;
    this.#batchMs = options.batchMs ?? 1000;
    this.#waitingBytesMax = options.waitingBytesMax ?? 4 * 1024 * 1024;
    this.#later = options.later ?? later;
    this.#written = options.written;
    this.#room = options.room;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    let value = this.#active.find(key);
    if (value === undefined) value = this.#leaving?.find(key);
    if (value === undefined) return this.#engine.get(key);
    if (this.#closing !== undefined) throw closedError();
    return value ?? undefined;
  }

  apply(ops: Iterable<BatchOp>): Promise<void> | undefined {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    if (this.#mustWait()) {
      return new Promise((done, failed) => this.#held.push({ ops, done, failed }));
    }
    this.#take(ops);
    return undefined;
  }

  async write(ops: Iterable<BatchOp>): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    // With nothing before it, a batch goes straight to the database, which copies it: images are loaded so.
    if (this.#isEmpty && this.#held.length === 0) return await this.#engine.write(ops);
    await this.apply(Array.from(ops, copyOf));
    await this.#settled();
  }

  range(options: RangeOptions): EngineIterator {
    if (this.#closing !== undefined) throw closedError();
    if (this.#isEmpty) return this.#engine.range(options);
    return new LateIterator(this.#settled(true).then(() => this.#engine.range(options)));
  }

  snapshot(): EngineSnapshot {
    if (this.#isEmpty) return this.#engine.snapshot();
    throw new EngineError("other", "Rows wait for the database: take snapshots in exclusive()");
  }

  exclusive(take: () => void): void {
    if (this.#isEmpty && this.#exclusive === 0) return take();
    this.#exclusive++;
    const run = () => {
      this.#exclusive--;
      take();
      this.#release();
    };
    this.#settled(true).then(run, run);
  }

  async flush(): Promise<void> {
    await this.#settled();
    await this.#engine.flush();
  }

  async compact(start: Uint8Array, end: Uint8Array): Promise<void> {
    await this.#settled();
    await this.#engine.compact(start, end);
  }

  approximateSize(start: Uint8Array, end: Uint8Array): Promise<number> {
    return this.#engine.approximateSize(start, end);
  }

  get failure(): EngineError | undefined {
    return this.#failure;
  }

  get damage(): string | undefined {
    return this.#engine.damage;
  }

  tableFiles(): string[] {
    return this.#engine.tableFiles?.() ?? [];
  }

  stopWaiting(): void {
    this.#giveUp(fullError());
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#giveUp(closedError());
      try {
        await this.#settled();
      } catch {
        // What did not reach the database is in the logs.
      }
      this.#cancel?.();
      for (const { failed } of this.#held.splice(0)) failed(closedError());
      await this.#engine.close();
    })();
    return this.#closing;
  }

  get #isEmpty(): boolean {
    return this.#leaving === undefined && this.#active.size === 0;
  }

  get #waitingBytes(): number {
    return this.#active.bytes + (this.#leaving?.bytes ?? 0);
  }

  #refusal(): EngineError | undefined {
    return this.#closing === undefined ? this.#failure : closedError();
  }

  #mustWait(): boolean {
    return this.#exclusive > 0 || this.#held.length > 0 ||
      this.#waitingBytes >= this.#waitingBytesMax;
  }

  #take(ops: Iterable<BatchOp>): void {
    const layer = this.#active;
    layer.add(ops);
    if (this.#leaving !== undefined) return;
    if (layer.bytes >= this.#batchBytes) this.#startBatch();
    else this.#planBatch();
  }

  #planBatch(): void {
    this.#cancel ??= this.#later(() => this.#startBatch(), this.#batchMs);
  }

  /**
   * Resolves when what waits now is in the database, before anything applied later can be.
   *
   * @param isRead It does not wait for room.
   */
  #settled(isRead = false): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (this.#isEmpty) return Promise.resolve();
    if (isRead && this.#cancelLook !== undefined) return Promise.reject(fullError());
    const layer = this.#active.size > 0 ? this.#active : this.#leaving!;
    const settled = new Promise<void>((done, failed) => {
      layer.waiters.push({ done, failed, isRead });
    });
    this.#startBatch();
    return settled;
  }

  #startBatch(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    const layer = this.#active;
    if (this.#leaving !== undefined || layer.size === 0) return;
    this.#leaving = layer;
    this.#active = this.#spare ?? new RowLayer();
    this.#spare = undefined;
    this.#writeBatch(layer, (error) => {
      if (this.#room === undefined || !isEngineFull(error)) return this.#fail(error);
      this.#awaitRoom(layer, error);
    });
  }

  #writeBatch(layer: RowLayer, failed: (error: unknown) => void): void {
    const startedAt = this.#written === undefined ? 0 : performance.now();
    this.#engine.write(layer.ops()).then(() => {
      this.#written?.(layer.size, performance.now() - startedAt);
      this.#leaving = undefined;
      for (const { done } of layer.waiters) done();
      layer.clear();
      this.#spare = layer;
      // A microtask later, so that whoever waited finds the database as it was promised.
      queueMicrotask(() => this.#onBatch());
    }, failed);
  }

  /** Once there is room the batch is tried once more: a database that still refuses must be opened anew. */
  #awaitRoom(layer: RowLayer, error: unknown): void {
    this.#room!.refused();
    if (this.#hasGivenUp) return this.#fail(error);
    const look = () => {
      this.#cancelLook = undefined;
      if (!this.#room!.isFull) return this.#writeBatch(layer, (again) => this.#fail(again));
      this.#cancelLook = this.#later(look, ROOM_LOOK_MS);
    };
    this.#cancelLook = this.#later(look, ROOM_LOOK_MS);
    for (const { waiters } of [layer, this.#active]) {
      const all = waiters.splice(0);
      waiters.push(...all.filter(({ isRead }) => !isRead));
      for (const { isRead, failed } of all) if (isRead) failed(fullError());
    }
  }

  /** Lets go whoever waits for room, now and from now on: what waits is in the logs. */
  #giveUp(reason: EngineError): void {
    this.#hasGivenUp = true;
    if (this.#cancelLook === undefined) return;
    this.#cancelLook();
    this.#cancelLook = undefined;
    this.#fail(reason);
  }

  #onBatch(): void {
    this.#release();
    const { size, bytes, waiters } = this.#active;
    if (size === 0) return;
    if (bytes >= this.#batchBytes || waiters.length > 0) this.#startBatch();
    else this.#planBatch();
  }

  /** Applies what was held, as far as there is room. */
  #release(): void {
    while (this.#held.length > 0 && this.#exclusive === 0) {
      if (this.#waitingBytes >= this.#waitingBytesMax) return;
      const { ops, done } = this.#held.shift()!;
      this.#take(ops);
      done();
    }
  }

  /** The rows that wait stay readable: they are committed. */
  #fail(cause: unknown): void {
    this.#failure = cause instanceof EngineError
      ? cause
      : new EngineError("other", `Cannot write a batch: ${String(cause)}`, { cause });
    const waiters = [...this.#leaving!.waiters.splice(0), ...this.#active.waiters.splice(0)];
    for (const { failed } of [...waiters, ...this.#held.splice(0)]) failed(this.#failure);
  }
}

/** A range of a database that is not yet where it was when the range was asked for. */
class LateIterator implements EngineIterator {
  readonly #inner: Promise<EngineIterator>;

  constructor(inner: Promise<EngineIterator>) {
    this.#inner = inner;
    inner.catch(() => {
      // Reported by `next`.
    });
  }

  async next(count: number, bytesMax?: number): Promise<Entry[]> {
    return await (await this.#inner).next(count, bytesMax);
  }

  async close(): Promise<void> {
    const inner = await this.#inner.catch(() => undefined);
    await inner?.close();
  }
}

function later(run: () => void, ms: number): () => void {
  const timer = setTimeout(run, ms);
  return () => clearTimeout(timer);
}

function copyOf(op: BatchOp): BatchOp {
  const key = new Uint8Array(op.key);
  return op.type === "del" ? { type: "del", key } : { ...op, key, value: new Uint8Array(op.value) };
}

function fullError(): EngineError {
  return new EngineError("noSpace", "Rows wait for room on a full disk");
}

function closedError(): EngineError {
  return new EngineError("closed", "The database is closed");
}
