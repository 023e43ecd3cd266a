// An engine that knows a hash of the users' rows as reads see them, so that the judge can compare contents after
// every apply. It stands in front of everything else.

import { compareBytes } from "../../src/base/bytes.ts";
import {
  type BatchOp,
  type Engine,
  type EngineIterator,
  type EngineSnapshot,
  META_KEY_PREFIX,
  type RangeOptions,
} from "../../storage/engine.ts";
import { keyText, rowHash } from "./model_engine.ts";

/** See the file comment. */
export class HashedEngine implements Engine {
  readonly #inner: Engine;
  /** Hash of every row, by its key. */
  readonly #hashes = new Map<string, number>();
  #hash = 0;

  /** @param content What the engine holds. */
  constructor(inner: Engine, content: readonly BatchOp[]) {
    this.#inner = inner;
    this.#note(content);
  }

  /** Order-independent hash of the rows. */
  get contentHash(): number {
    return this.#hash >>> 0;
  }

  get failure() {
    return this.#inner.failure;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#inner.get(key);
  }
  async write(all: Iterable<BatchOp>): Promise<void> {
    const ops = [...all];
    await this.#inner.write(ops);
    this.#note(ops);
  }
  apply(ops: Iterable<BatchOp>): Promise<void> | undefined {
    const waiting = this.#inner.apply(ops);
    if (waiting === undefined) return this.#note(ops);
    return waiting.then(() => this.#note(ops));
  }
  exclusive(take: () => void): void {
    this.#inner.exclusive(take);
  }
  range(options: RangeOptions): EngineIterator {
    return this.#inner.range(options);
  }
  snapshot(): EngineSnapshot {
    return this.#inner.snapshot();
  }
  flush(): Promise<void> {
    return this.#inner.flush();
  }
  compact(start: Uint8Array, end: Uint8Array): Promise<void> {
    return this.#inner.compact(start, end);
  }
  approximateSize(start: Uint8Array, end: Uint8Array): Promise<number> {
    return this.#inner.approximateSize(start, end);
  }
  close(): Promise<void> {
    return this.#inner.close();
  }

  #note(ops: Iterable<BatchOp>): undefined {
    for (const op of ops) {
      if (compareBytes(op.key, META_KEY_PREFIX) >= 0) continue;
      const key = keyText(op.key);
      this.#hash ^= this.#hashes.get(key) ?? 0;
      if (op.type === "put") {
        const hash = rowHash(key, op.value);
        this.#hashes.set(key, hash);
        this.#hash ^= hash;
      } else this.#hashes.delete(key);
    }
  }
}
