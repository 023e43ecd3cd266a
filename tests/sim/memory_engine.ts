// The storage engine as a sorted array in memory: the twin of storage/level_engine.ts for tests and for the
// simulator. Both pass tests/conformance/engine_suite.ts. It knows what a power loss would leave behind
// (the content of the last flush), and hooks let a simulator delay or fail its operations.

import { compareBytes } from "../../src/base/bytes.ts";
import {
  type BatchOp,
  type Engine,
  EngineError,
  type EngineIterator,
  type EngineSnapshot,
  type Entry,
  type RangeOptions,
} from "../../storage/engine.ts";

/** Called before an operation takes effect: throw an EngineError to fail it, return a promise to delay it. */
export interface MemoryEngineHooks {
  write?(ops: readonly BatchOp[]): void | Promise<void>;
  flush?(): void | Promise<void>;
  get?(key: Uint8Array): void;
}

/** Sorted keys and their values. Shared contents are never changed again. */
interface Content {
  readonly keys: Uint8Array[];
  readonly values: Uint8Array[];
}

/** See the file comment. */
export class MemoryEngine implements Engine {
  readonly #hooks: MemoryEngineHooks;
  #content: Content;
  #flushed: Content;
  /** True while a snapshot, an iterator or `#flushed` holds `#content`: then the next write copies it. */
  #shared = true;
  #closed = false;

  constructor(
    hooks: MemoryEngineHooks = {},
    content?: { keys: Uint8Array[]; values: Uint8Array[] },
  ) {
    this.#hooks = hooks;
    this.#content = content ?? { keys: [], values: [] };
    this.#flushed = this.#content;
  }

  /** What a new process finds: everything after a process crash, the last flush after a power loss. */
  survivor(after: "process" | "power", hooks: MemoryEngineHooks = this.#hooks): MemoryEngine {
    this.#shared = true;
    const survivor = new MemoryEngine(hooks, after === "power" ? this.#flushed : this.#content);
    survivor.#flushed = this.#flushed;
    return survivor;
  }

  /** Number of rows, the replica's own included. */
  get size(): number {
    return this.#content.keys.length;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    this.#hooks.get?.(key);
    return lookup(this.#content, key);
  }

  /** Applies a batch at once, without hooks. */
  writeNow(ops: readonly BatchOp[]): void {
    this.#assertOpen();
    if (this.#shared) {
      this.#content = { keys: this.#content.keys.slice(), values: this.#content.values.slice() };
      this.#shared = false;
    }
    const { keys, values } = this.#content;
    for (const op of ops) {
      const at = lowerBound(keys, op.key);
      const found = at < keys.length && compareBytes(keys[at]!, op.key) === 0;
      if (op.type === "del") {
        if (found) {
          keys.splice(at, 1);
          values.splice(at, 1);
        }
      } else if (found) {
        values[at] = new Uint8Array(op.value);
      } else {
        keys.splice(at, 0, new Uint8Array(op.key));
        values.splice(at, 0, new Uint8Array(op.value));
      }
    }
  }

  async write(all: Iterable<BatchOp>): Promise<void> {
    this.#assertOpen();
    const ops = [...all];
    const wait = this.#hooks.write?.(ops);
    if (wait === undefined) return this.writeNow(ops);
    const copy = ops.map((op): BatchOp =>
      op.type === "del"
        ? { type: "del", key: new Uint8Array(op.key) }
        : { type: "put", key: new Uint8Array(op.key), value: new Uint8Array(op.value) }
    );
    await wait;
    this.writeNow(copy);
  }

  apply(ops: Iterable<BatchOp>): Promise<void> {
    return this.write(ops);
  }

  exclusive(take: () => void): void {
    take();
  }

  range(options: RangeOptions): EngineIterator {
    this.#assertOpen();
    this.#shared = true;
    return new MemoryIterator(this.#content, options, () => this.#assertOpen());
  }

  snapshot(): EngineSnapshot {
    this.#assertOpen();
    this.#shared = true;
    return new MemorySnapshot(this.#content, () => this.#assertOpen());
  }

  async flush(): Promise<void> {
    this.#assertOpen();
    // What counts is what was there when the call was made.
    this.#shared = true;
    const content = this.#content;
    await this.#hooks.flush?.();
    this.#flushed = content;
  }

  async compact(_start: Uint8Array, _end: Uint8Array): Promise<void> {
    this.#assertOpen();
  }

  async approximateSize(start: Uint8Array, end: Uint8Array): Promise<number> {
    this.#assertOpen();
    const { keys, values } = this.#content;
    const last = lowerBound(keys, end);
    let bytes = 0;
    for (let i = lowerBound(keys, start); i < last; i++) {
      bytes += keys[i]!.length + values[i]!.length;
    }
    return bytes;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #assertOpen(): void {
    if (this.#closed) throw new EngineError("closed", "The database is closed");
  }
}

class MemorySnapshot implements EngineSnapshot {
  readonly #content: Content;
  readonly #assertEngine: () => void;
  #closed = false;

  constructor(content: Content, assertEngine: () => void) {
    this.#content = content;
    this.#assertEngine = assertEngine;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    return lookup(this.#content, key);
  }

  range(options: RangeOptions): EngineIterator {
    this.#assertOpen();
    return new MemoryIterator(this.#content, options, this.#assertEngine);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #assertOpen(): void {
    this.#assertEngine();
    if (this.#closed) throw new EngineError("closed", "The snapshot is closed");
  }
}

class MemoryIterator implements EngineIterator {
  readonly #content: Content;
  readonly #assertEngine: () => void;
  readonly #reverse: boolean;
  readonly #values: boolean;
  /** Entries left: indices #first .. #end - 1. */
  #first: number;
  #end: number;
  #closed = false;

  constructor(content: Content, options: RangeOptions, assertEngine: () => void) {
    this.#content = content;
    this.#assertEngine = assertEngine;
    this.#reverse = options.reverse ?? false;
    this.#values = options.values ?? true;
    const { keys } = content;
    const { gte, gt, lt, lte } = options;
    this.#first = gte !== undefined
      ? lowerBound(keys, gte)
      : gt !== undefined
      ? upperBound(keys, gt)
      : 0;
    this.#end = lte !== undefined
      ? upperBound(keys, lte)
      : lt !== undefined
      ? lowerBound(keys, lt)
      : keys.length;
  }

  async next(count: number, bytesMax = Infinity): Promise<Entry[]> {
    this.#assertEngine();
    if (this.#closed) throw new EngineError("closed", "The iterator is closed");
    const entries: Entry[] = [];
    let bytes = 0;
    while (entries.length < count && bytes < bytesMax && this.#first < this.#end) {
      const at = this.#reverse ? --this.#end : this.#first++;
      const key = this.#content.keys[at]!;
      const value = this.#values ? this.#content.values[at]! : new Uint8Array(0);
      bytes += key.length + value.length;
      entries.push([key, value]);
    }
    return entries;
  }

  async close(): Promise<void> {
    this.#closed = true;
  }
}

function lookup(content: Content, key: Uint8Array): Uint8Array | undefined {
  const at = lowerBound(content.keys, key);
  const found = at < content.keys.length && compareBytes(content.keys[at]!, key) === 0;
  return found ? content.values[at] : undefined;
}

/** First index whose key is >= `key`. */
function lowerBound(keys: readonly Uint8Array[], key: Uint8Array): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes(keys[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** First index whose key is > `key`. */
function upperBound(keys: readonly Uint8Array[], key: Uint8Array): number {
  const at = lowerBound(keys, key);
  return at < keys.length && compareBytes(keys[at]!, key) === 0 ? at + 1 : at;
}
