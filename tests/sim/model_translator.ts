// Translates client writes to physical operations for simulated replicas, with the semantics of
// storage/translate.ts for the operations the workload uses and none of its encodings: values are the
// client's bytes. Every translation is reported, so that the order of all operations is known.

import { equalBytes, fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { Err } from "../../src/base/errors.ts";
import type {
  PendingView,
  PhysicalOp,
  Translation,
  WriteTranslator,
} from "../../src/replication/io.ts";
import type { WriteOp } from "../../src/replication/write_op.ts";
import { checkResult, incrResult } from "../../src/schema/client_rpc.ts";
import { encode } from "../../src/schema/codec.ts";
import { readBody } from "../../src/schema/mutation_body.ts";
import type { ModelEngine } from "./model_engine.ts";

const DONE: Translation = { error: Err.OK, result: undefined };

/** See the file comment. */
export class ModelTranslator implements WriteTranslator {
  readonly #engine: () => ModelEngine;
  readonly #onTranslated: (op: WriteOp, timestampUs: number, translation: Translation) => void;

  constructor(
    engine: () => ModelEngine,
    onTranslated: (op: WriteOp, timestampUs: number, translation: Translation) => void,
  ) {
    this.#engine = engine;
    this.#onTranslated = onTranslated;
  }

  translate(
    op: WriteOp,
    timestampUs: number,
    pending: PendingView,
    ops: PhysicalOp[],
  ): Translation {
    const translation = this.#translate(op, pending, ops);
    this.#onTranslated(op, timestampUs, translation);
    return translation;
  }

  #translate(op: WriteOp, pending: PendingView, ops: PhysicalOp[]): Translation {
    switch (op.kind) {
      case "put":
        for (const row of op.rows) ops.push({ key: row.key, value: row.value });
        return DONE;
      case "remove":
        for (const key of op.keys) ops.push({ key, value: undefined });
        return DONE;
      case "incr": {
        const old = this.#lookup(op.key, pending, ops);
        const newValue = BigInt(old === undefined ? "0" : fromUtf8(old)) + op.increment;
        ops.push({ key: op.key, value: utf8(String(newValue)) });
        return { error: Err.OK, result: encode(incrResult, { newValue }) };
      }
      case "checkAndSet": {
        const old = this.#lookup(op.checkKey, pending, ops);
        const passed = op.checkType === "not_exist"
          ? old === undefined
          : old !== undefined && equalBytes(old, op.checkOperand);
        if (passed) ops.push({ key: op.row.key, value: op.row.value });
        const result = { passed, checkExists: old !== undefined, checkValue: old };
        return { error: Err.OK, result: encode(checkResult, result) };
      }
      default:
        return DONE;
    }
  }

  /** The newest value: this mutation's, one in flight, or the engine's. */
  #lookup(key: Uint8Array, pending: PendingView, ops: PhysicalOp[]): Uint8Array | undefined {
    for (let i = ops.length - 1; i >= 0; i--) {
      if (equalBytes(ops[i]!.key, key)) return ops[i]!.value;
    }
    const held = pending.lookup(key);
    if (held !== undefined) return held ?? undefined;
    return this.#engine().get(key);
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
