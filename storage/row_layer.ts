// Rows in memory, the newest operation per key, in front of an engine. Keys are found by a hash of their bytes: a
// text per key, as the key of a plain map, costs 250 ns where the hash of 24 bytes costs 30. Invariant: one operation
// per key; two keys of one hash share a list.

import { equalBytes } from "../src/base/bytes.ts";
import type { BatchOp } from "./engine.ts";

/** Bytes that a row costs beyond its key and value, roughly. */
const ROW_BYTES = 64;

/** Starts every hash, so that nobody outside knows which keys collide. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0]!;

/** Somebody who waits until the layer is in the engine. */
export interface LayerWaiter {
  readonly done: () => void;
  readonly failed: (error: unknown) => void;
}

/** See the file comment. */
export class RowLayer {
  readonly waiters: LayerWaiter[] = [];
  readonly #rows = new Map<number, BatchOp | BatchOp[]>();
  readonly #hash: (key: Uint8Array) => number;
  #size = 0;
  #bytes = 0;

  /** @param hash For tests of equal hashes. @default FNV-1a with a random start */
  constructor(hash: (key: Uint8Array) => number = hashOf) {
    this.#hash = hash;
  }

  /** Keys held. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of keys and values, and what it costs to hold them. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The operation on a key; `undefined` if there is none. */
  find(key: Uint8Array): BatchOp | undefined {
    if (this.#size === 0) return undefined;
    const held = this.#rows.get(this.#hash(key));
    if (held === undefined) return undefined;
    if (!Array.isArray(held)) return equalBytes(held.key, key) ? held : undefined;
    return held.find((op) => equalBytes(op.key, key));
  }

  /** Adds an operation, in place of an earlier one on the same key. Its bytes must not change any more. */
  add(op: BatchOp): void {
    const hash = this.#hash(op.key);
    const held = this.#rows.get(hash);
    this.#size++;
    this.#bytes += bytesOf(op);
    if (held === undefined) this.#rows.set(hash, op);
    else if (Array.isArray(held)) {
      const at = held.findIndex((other) => equalBytes(other.key, op.key));
      if (at < 0) held.push(op);
      else {
        this.#forget(held[at]!);
        held[at] = op;
      }
    } else if (equalBytes(held.key, op.key)) {
      this.#forget(held);
      this.#rows.set(hash, op);
    } else this.#rows.set(hash, [held, op]);
  }

  /** All operations, in no particular order: there is one per key. */
  ops(): BatchOp[] {
    const ops: BatchOp[] = [];
    for (const held of this.#rows.values()) {
      if (Array.isArray(held)) ops.push(...held);
      else ops.push(held);
    }
    return ops;
  }

  #forget(op: BatchOp): void {
    this.#size--;
    this.#bytes -= bytesOf(op);
  }
}

function bytesOf(op: BatchOp): number {
  return ROW_BYTES + op.key.length + (op.type === "put" ? op.value.length : 0);
}

/** FNV-1a over all bytes. */
function hashOf(key: Uint8Array): number {
  let hash = SEED;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key[i]!, 0x01000193);
  return hash;
}
