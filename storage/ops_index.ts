// Finds the newest operation on a key among those already collected for a mutation, so that a conditional
// write sees the writes before it in the same mutation. Short lists are searched backwards; longer ones get an
// index that grows with the list, or a mutation of many small incr would cost quadratic time.

import { equalBytes } from "../src/base/bytes.ts";
import type { PhysicalOp } from "../src/replication/io.ts";

/** Lists up to this length are searched without an index. */
const SCAN_MAX = 16;

/** See the file comment. One instance serves one list after the other. */
export class OpsIndex {
  #ops: readonly PhysicalOp[] = [];
  /** Invariant: covers exactly the first #covered operations of #ops, the last of which is #last. */
  #covered = 0;
  #last: PhysicalOp | undefined;
  readonly #newest = new Map<string, number>();

  /** The newest operation on `key` in `ops`; `undefined` if there is none. */
  find(ops: readonly PhysicalOp[], key: Uint8Array): PhysicalOp | undefined {
    if (ops.length <= SCAN_MAX) {
      for (let i = ops.length - 1; i >= 0; i--) if (equalBytes(ops[i]!.key, key)) return ops[i];
      return undefined;
    }
    // The same array may have been emptied and filled again: its operations are then other objects.
    if (ops !== this.#ops || ops[this.#covered - 1] !== this.#last) {
      this.#ops = ops;
      this.#covered = 0;
      this.#newest.clear();
    }
    for (let i = this.#covered; i < ops.length; i++) this.#newest.set(nameOf(ops[i]!.key), i);
    this.#covered = ops.length;
    this.#last = ops[ops.length - 1];
    const at = this.#newest.get(nameOf(key));
    return at === undefined ? undefined : ops[at];
  }
}

const latin1 = new TextDecoder("latin1");

/**
 * A text that differs for different keys. The platform's "latin1" is windows-1252, which also maps every
 * byte to a character of its own.
 */
function nameOf(key: Uint8Array): string {
  return latin1.decode(key);
}
