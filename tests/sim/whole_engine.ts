// The database of a whole server, below write-behind: a sorted map that forgets like LevelDB. Batches since the last flush stand in
// two write-ahead segments of which a switch leaves the older one unsynced, so power loss may take older batches
// and leave newer ones (docs/protocol.md, §15). What survives is in EngineFiles, which outlives processes.

import type { Prng } from "../../src/base/prng.ts";
import {
  type BatchOp,
  type Engine,
  EngineError,
  type EngineIterator,
  type EngineSnapshot,
  type RangeOptions,
} from "../../storage/engine.ts";
import { MemoryEngine } from "./memory_engine.ts";
import { keyText } from "./model_engine.ts";
import type { CrashKind } from "./watched.ts";

interface Batch {
  readonly segment: number;
  readonly ops: readonly BatchOp[];
}

/** What one database leaves on disk. */
export class EngineFiles {
  /** Content at the last flush, and what was written since. */
  #flushed: BatchOp[] = [];
  #batches: Batch[] = [];
  #segment = 0;

  wrote(ops: readonly BatchOp[], switchSegment: boolean): void {
    if (switchSegment) this.#segment++;
    this.#batches.push({ segment: this.#segment, ops });
  }

  /** Number of batches; with it {@link flushed} knows what a flush that began earlier covers. */
  get batches(): number {
    return this.#batches.length;
  }

  /** The first `count` batches are durable. */
  flushed(count: number): void {
    this.#compact(this.#batches.splice(0, count));
  }

  crash(kind: CrashKind, chance: Prng): void {
    const kept: Batch[] = [];
    for (let segment = 0; segment <= this.#segment; segment++) {
      const batches = this.#batches.filter((batch) => batch.segment === segment);
      const count = kind === "process" ? batches.length : chance.below(batches.length + 1);
      kept.push(...batches.slice(0, count));
    }
    // Reopening replays the segments into a table, which is synced.
    this.#batches = [];
    this.#segment = 0;
    this.#compact(kept);
  }

  /** Everything, as one batch. */
  get content(): readonly BatchOp[] {
    return this.#flushed;
  }

  #compact(batches: readonly Batch[]): void {
    if (batches.length === 0) return;
    const rows = new Map<string, BatchOp>();
    for (const op of this.#flushed) rows.set(keyText(op.key), op);
    for (const { ops } of batches) {
      for (const op of ops) {
        const key = keyText(op.key);
        if (op.type === "put") rows.set(key, op);
        else rows.delete(key);
      }
    }
    this.#flushed = [...rows.values()];
  }
}

/** What a running engine asks of the world. */
export interface EngineWorld {
  /** Waits for the disk. */
  wait(what: "apply" | "flush"): Promise<void>;
  /** Whether the memtable is full. */
  switchesSegment(): boolean;
  /** Whether the next operation fails. */
  fails(): boolean;
}

/** One open database. */
export class WholeEngine implements Engine {
  readonly #memory = new MemoryEngine();
  readonly #files: EngineFiles;
  readonly #world: EngineWorld;
  /** Writes take effect in the order of their calls. */
  #last: Promise<void> = Promise.resolve();

  constructor(files: EngineFiles, world: EngineWorld) {
    this.#files = files;
    this.#world = world;
    this.#memory.writeNow(files.content);
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#memory.get(key);
  }

  write(ops: Iterable<BatchOp>): Promise<void> {
    const copy = Array.from(
      ops,
      (op): BatchOp =>
        op.type === "del"
          ? { type: "del", key: op.key.slice() }
          : { type: "put", key: op.key.slice(), value: op.value.slice() },
    );
    const before = this.#last;
    const done = (async () => {
      await this.#world.wait("apply");
      await before;
      if (this.#world.fails()) throw new EngineError("io", "Write failed: injected");
      this.#memory.writeNow(copy);
      this.#files.wrote(copy, this.#world.switchesSegment());
    })();
    this.#last = done.catch(() => {});
    return done;
  }

  apply(ops: Iterable<BatchOp>): Promise<void> {
    return this.write(ops);
  }

  exclusive(take: () => void): void {
    take();
  }

  async flush(): Promise<void> {
    await this.#last;
    const count = this.#files.batches;
    await this.#world.wait("flush");
    if (this.#world.fails()) throw new EngineError("io", "Flush failed: injected");
    this.#files.flushed(Math.min(count, this.#files.batches));
  }

  range(options: RangeOptions): EngineIterator {
    return this.#memory.range(options);
  }

  snapshot(): EngineSnapshot {
    return this.#memory.snapshot();
  }

  compact(start: Uint8Array, end: Uint8Array): Promise<void> {
    return this.#memory.compact(start, end);
  }

  approximateSize(start: Uint8Array, end: Uint8Array): Promise<number> {
    return this.#memory.approximateSize(start, end);
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#memory.close();
  }
}
