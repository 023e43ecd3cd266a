// A replica's engine as far as crashes go: a map, and the batches written since the last flush in two
// write-ahead segments. Like LevelDB, a switch of segments leaves the older one unsynced, so power loss may
// drop the end of the older segment while keeping later batches: the reopened map then has holes below a
// plausible applied decree (docs/protocol.md, §15). Only `flush` is a barrier.

import type { Prng } from "../../src/base/prng.ts";
import type { PhysicalOp } from "../../src/replication/io.ts";

interface Batch {
  readonly segment: number;
  readonly ops: readonly PhysicalOp[];
  readonly applied: number;
  readonly sessions: SessionsRow;
}

/** Rows the engine keeps beside the user's: the sessions image and the decree it stands for. */
export interface SessionsRow {
  readonly decree: number;
  readonly image: Uint8Array;
}

/** See the file comment. */
export class ModelEngine {
  #rows = new Map<string, Uint8Array>();
  #applied = 0;
  #sessions: SessionsRow = { decree: 0, image: new Uint8Array(0) };
  #flushedRows = new Map<string, Uint8Array>();
  #flushedApplied = 0;
  #flushedSessions: SessionsRow = this.#sessions;
  #batches: Batch[] = [];
  #segment = 0;
  #hash = 0;

  /** The value of a key. */
  get(key: Uint8Array): Uint8Array | undefined {
    return this.#rows.get(keyText(key));
  }

  /** Highest applied decree the engine's own row names. */
  get applied(): number {
    return this.#applied;
  }

  get sessions(): SessionsRow {
    return this.#sessions;
  }

  /** Order-independent hash of all rows. */
  get contentHash(): number {
    return this.#hash >>> 0;
  }

  get rows(): ReadonlyMap<string, Uint8Array> {
    return this.#rows;
  }

  /** Writes one batch atomically, with the applied row. */
  write(ops: readonly PhysicalOp[], applied: number): void {
    this.#write(ops, applied, this.#sessions);
  }

  /** Writes the sessions row; like any batch it is lost with the power until `flush`. */
  writeSessions(row: SessionsRow): void {
    this.#write([], this.#applied, row);
  }

  #write(ops: readonly PhysicalOp[], applied: number, sessions: SessionsRow): void {
    this.#batches.push({ segment: this.#segment, ops, applied, sessions });
    this.#perform(ops);
    this.#applied = applied;
    this.#sessions = sessions;
  }

  /** The memtable is full: later batches go to a new segment, the older one stays unsynced. */
  switchSegment(): void {
    this.#segment++;
  }

  /** Everything written so far survives power loss. */
  flush(): void {
    this.#flushedRows = new Map(this.#rows);
    this.#flushedApplied = this.#applied;
    this.#flushedSessions = this.#sessions;
    this.#batches = [];
    this.#segment = 0;
  }

  /** Power was lost: of each unsynced segment a random prefix is left. */
  powerLoss(chance: Prng): void {
    const kept: Batch[] = [];
    for (let segment = 0; segment <= this.#segment; segment++) {
      const batches = this.#batches.filter((batch) => batch.segment === segment);
      kept.push(...batches.slice(0, chance.below(batches.length + 1)));
    }
    this.#rows = new Map();
    this.#hash = 0;
    for (const [key, value] of this.#flushedRows) this.#put(key, value);
    this.#applied = this.#flushedApplied;
    this.#sessions = this.#flushedSessions;
    for (const batch of kept) {
      this.#perform(batch.ops);
      this.#applied = batch.applied;
      this.#sessions = batch.sessions;
    }
    this.flush();
  }

  /** Replaces everything by an image, durably. */
  install(rows: Iterable<readonly [string, Uint8Array]>, applied: number, row: SessionsRow): void {
    this.#rows = new Map();
    this.#hash = 0;
    for (const [key, value] of rows) this.#put(key, value);
    this.#applied = applied;
    this.#sessions = row;
    this.flush();
  }

  #perform(ops: readonly PhysicalOp[]): void {
    for (const op of ops) {
      const key = keyText(op.key);
      if (op.value !== undefined) this.#put(key, op.value);
      else this.#delete(key);
    }
  }

  #put(key: string, value: Uint8Array): void {
    this.#delete(key);
    this.#rows.set(key, value);
    this.#hash ^= rowHash(key, value);
  }

  #delete(key: string): void {
    const old = this.#rows.get(key);
    if (old === undefined) return;
    this.#hash ^= rowHash(key, old);
    this.#rows.delete(key);
  }
}

/** A key as a text usable as a map key; one character per byte. */
export function keyText(key: Uint8Array): string {
  return String.fromCharCode(...key);
}

/** The inverse of {@link keyText}. */
export function keyBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Hash of bytes, for comparing contents. */
export function bytesHash(bytes: Uint8Array, seed = 0x811c9dc5): number {
  let hash = seed;
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d) ^ (hash >>> 13);
}

/** Hash of one row. */
export function rowHash(key: string, value: Uint8Array): number {
  let hash = 0x9e3779b9;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  return bytesHash(value, hash);
}
