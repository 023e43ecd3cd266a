// Client operations become physical puts and deletes, once, on the primary (§15.4): expiry is absolute,
// conditions are decided, counters are computed. Invariant: the result depends only on the engine, the writes
// in flight, the operations before in the same mutation, the mutation's timestamp and the table's default TTL.
// Semantics of every operation: docs/data_api.md.

import { ByteSlab } from "../src/base/byte_slab.ts";
import { utf8 } from "../src/base/bytes.ts";
import { Err } from "../src/base/errors.ts";
import type {
  PendingView,
  PhysicalOp,
  Translation,
  WriteTranslator,
} from "../src/replication/io.ts";
import type { PutRow, WriteOp } from "../src/replication/write_op.ts";
import { checkResult, incrResult, multiRemoveResult } from "../src/schema/client_rpc.ts";
import { encode } from "../src/schema/codec.ts";
import { isUserKey } from "../src/schema/key_format.ts";
import {
  encodeValue,
  EXPIRE_TS_MAX,
  expireTsOf,
  isExpired,
  secondsSince2016,
  userDataOf,
} from "../src/schema/value_format.ts";
import { checkCondition, isInt64, parseInt64 } from "./conditions.ts";
import type { Engine } from "./engine.ts";
import { OpsIndex } from "./ops_index.ts";

type Incr = Extract<WriteOp, { kind: "incr" }>;
type CheckedOp = Extract<WriteOp, { kind: "checkAndSet" | "checkAndMutate" }>;
type Sweep = Extract<WriteOp, { kind: "sweep" }>;

/** Where one translation reads and writes. */
interface Scope {
  readonly timestampUs: number;
  readonly nowSeconds: number;
  readonly pending: PendingView;
  readonly ops: PhysicalOp[];
}

/** What is stored under a key, as the application sees it. */
interface LiveRow {
  readonly userData: Uint8Array;
  readonly expireTs: number;
}

const DONE: Translation = { error: Err.OK, result: undefined };
const INVALID: Translation = { error: Err.INVALID_ARGUMENT, result: undefined };

/** See the file comment. One per replica. */
export class StorageTranslator implements WriteTranslator {
  /**
   * TTL in seconds of rows that are written without one; 0 = none. From the table's `default_ttl`.
   * Bounds: 0 .. 2^32-1.
   */
  defaultTtlSeconds: number;
  /** Origin of the rows, 1 .. 127; 0 without duplication. */
  readonly #clusterId: number;
  readonly #engine: Pick<Engine, "get">;
  readonly #index = new OpsIndex();
  readonly #slab = new ByteSlab();

  constructor(
    engine: Pick<Engine, "get">,
    options: { readonly defaultTtlSeconds?: number; readonly clusterId?: number } = {},
  ) {
    this.#engine = engine;
    this.defaultTtlSeconds = options.defaultTtlSeconds ?? 0;
    this.#clusterId = options.clusterId ?? 0;
  }

  /** @throws {EngineError} If a row cannot be read; nothing was appended then. */
  translate(
    op: WriteOp,
    timestampUs: number,
    pending: PendingView,
    ops: PhysicalOp[],
  ): Translation {
    const nowSeconds = secondsSince2016(timestampUs / 1000);
    const scope: Scope = { timestampUs, nowSeconds, pending, ops };
    switch (op.kind) {
      case "openSession":
      case "empty":
        return DONE;
      case "put":
        return this.#put(op.rows, scope);
      case "remove":
        return this.#remove(op.keys, op.returnCount, ops);
      case "incr":
        return this.#incr(op, scope);
      case "checkAndSet":
      case "checkAndMutate":
        return this.#checked(op, scope);
      case "sweep":
        return this.#sweep(op, scope);
    }
  }

  #put(rows: readonly PutRow[], scope: Scope): Translation {
    if (rows.length === 0 || !rows.every(isPut)) return INVALID;
    for (const row of rows) this.#pushPut(row.key, row.value, row.expireTs, scope);
    return DONE;
  }

  #remove(keys: readonly Uint8Array[], returnCount: boolean, ops: PhysicalOp[]): Translation {
    if (keys.length === 0 || !keys.every(isUserKey)) return INVALID;
    for (const key of keys) ops.push({ key, value: undefined });
    if (!returnCount) return DONE;
    // How many were asked for, not how many existed: a delete does not read.
    return { error: Err.OK, result: encode(multiRemoveResult, { count: keys.length }) };
  }

  #incr(op: Incr, scope: Scope): Translation {
    if (!isUserKey(op.key) || !isInt64(op.increment) || op.expireTs > EXPIRE_TS_MAX) return INVALID;
    const row = this.#live(op.key, scope);
    const old = row === undefined || row.userData.length === 0 ? 0n : parseInt64(row.userData);
    if (old === undefined) return refusedIncr(0n);
    const newValue = old + op.increment;
    if (!isInt64(newValue)) return refusedIncr(old);
    const expireTs = op.expireTs === 0 ? row?.expireTs ?? 0 : Math.max(0, op.expireTs);
    this.#pushPut(op.key, utf8(String(newValue)), expireTs, scope);
    return { error: Err.OK, result: encode(incrResult, { newValue }) };
  }

  #checked(op: CheckedOp, scope: Scope): Translation {
    const mutations = op.kind === "checkAndSet" ? [op.row] : op.mutations;
    if (mutations.length === 0 || !isUserKey(op.checkKey)) return INVALID;
    for (const m of mutations) if ("remove" in m ? !isUserKey(m.key) : !isPut(m)) return INVALID;
    const row = this.#live(op.checkKey, scope);
    const outcome = checkCondition(op.checkType, row?.userData, op.checkOperand);
    if (outcome === "passed") {
      for (const m of mutations) {
        if ("remove" in m) scope.ops.push({ key: m.key, value: undefined });
        else this.#pushPut(m.key, m.value, m.expireTs, scope);
      }
    }
    const result = encode(checkResult, {
      passed: outcome === "passed",
      checkExists: op.returnCheckValue ? row !== undefined : undefined,
      checkValue: op.returnCheckValue ? row?.userData : undefined,
    });
    return { error: outcome === "invalid" ? Err.INVALID_ARGUMENT : Err.OK, result };
  }

  #sweep(op: Sweep, scope: Scope): Translation {
    // Both clocks must agree, so that a sweeper whose clock is ahead cannot delete a living row.
    const now = Math.min(op.nowSeconds, scope.nowSeconds);
    const expired = op.keys.filter((key) => {
      const stored = isUserKey(key) ? this.#stored(key, scope) : undefined;
      return stored !== undefined && isExpired(stored, now);
    });
    for (const key of expired) scope.ops.push({ key, value: undefined });
    return { error: Err.OK, result: encode(multiRemoveResult, { count: expired.length }) };
  }

  #pushPut(key: Uint8Array, userData: Uint8Array, expireTs: number, scope: Scope): void {
    let expiry = expireTs;
    if (expiry === 0 && this.defaultTtlSeconds > 0) {
      expiry = Math.min(scope.nowSeconds + this.defaultTtlSeconds, EXPIRE_TS_MAX);
    }
    // Copied into the mutation's body in the same turn.
    const value = encodeValue(
      userData,
      expiry,
      scope.timestampUs,
      this.#clusterId,
      this.#slab,
    );
    scope.ops.push({ key, value });
  }

  /** The row the application would read right now; `undefined` if there is none or it is expired. */
  #live(key: Uint8Array, scope: Scope): LiveRow | undefined {
    const stored = this.#stored(key, scope);
    if (stored === undefined || isExpired(stored, scope.nowSeconds)) return undefined;
    return { userData: userDataOf(stored), expireTs: expireTsOf(stored) };
  }

  /** Newest stored bytes: this mutation, then what is in flight, then the engine. */
  #stored(key: Uint8Array, scope: Scope): Uint8Array | undefined {
    const earlier = this.#index.find(scope.ops, key);
    if (earlier !== undefined) return earlier.value;
    const inFlight = scope.pending.lookup(key);
    return inFlight === undefined ? this.#engine.get(key) : inFlight ?? undefined;
  }
}

function isPut(row: PutRow): boolean {
  return isUserKey(row.key) && row.expireTs >= 0 && row.expireTs <= EXPIRE_TS_MAX;
}

/** A counter that cannot be changed; the answer still says what it holds, 0 if it is no integer. */
function refusedIncr(newValue: bigint): Translation {
  return { error: Err.INVALID_ARGUMENT, result: encode(incrResult, { newValue }) };
}

/** A view onto nothing in flight. */
export const NOTHING_PENDING: PendingView = { lookup: () => undefined };
