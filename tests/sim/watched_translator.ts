// The production translator with somebody looking over its shoulder, so that the order of all client writes is
// known.

import type {
  PendingView,
  PhysicalOp,
  Translation,
  WriteTranslator,
} from "../../src/replication/io.ts";
import type { WriteOp } from "../../src/replication/write_op.ts";
import { readBody } from "../../src/schema/mutation_body.ts";

/** See the file comment. */
export class WatchedTranslator implements WriteTranslator {
  readonly #inner: WriteTranslator;
  readonly #onTranslated: (op: WriteOp, timestampUs: number, translation: Translation) => void;

  constructor(
    inner: WriteTranslator,
    onTranslated: (op: WriteOp, timestampUs: number, translation: Translation) => void,
  ) {
    this.#inner = inner;
    this.#onTranslated = onTranslated;
  }

  translate(
    op: WriteOp,
    timestampUs: number,
    pending: PendingView,
    ops: PhysicalOp[],
  ): Translation {
    const translation = this.#inner.translate(op, timestampUs, pending, ops);
    this.#onTranslated(op, timestampUs, translation);
    return translation;
  }
}

/** The physical operations of a mutation's body. */
export function bodyOps(body: Uint8Array): PhysicalOp[] {
  const ops: PhysicalOp[] = [];
  readBody(body, {
    put: (key, value) => ops.push({ key, value }),
    remove: (key) => ops.push({ key, value: undefined }),
  });
  return ops;
}
