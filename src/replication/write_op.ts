// The logical writes a primary accepts, before translation into physical operations.

import type { CheckType } from "../schema/client_rpc.ts";

/** A key and its new value; `expireTs` in seconds since 2016, 0 = never. */
export interface PutRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly expireTs: number;
}

interface Check {
  /** Raw key of the checked row. */
  readonly checkKey: Uint8Array;
  readonly checkType: CheckType;
  readonly checkOperand: Uint8Array;
  readonly returnCheckValue: boolean;
}

export type WriteOp =
  /** Answers with the decree, which names the session. */
  | { readonly kind: "openSession" }
  /** Moves decrees along without effect: reconciliation barrier, idle heartbeat. */
  | { readonly kind: "empty" }
  | { readonly kind: "put"; readonly rows: readonly PutRow[] }
  | { readonly kind: "remove"; readonly keys: readonly Uint8Array[]; readonly returnCount: boolean }
  /** `expireTs`: 0 keeps, > 0 sets, -1 clears. */
  | {
    readonly kind: "incr";
    readonly key: Uint8Array;
    readonly increment: bigint;
    readonly expireTs: number;
  }
  | ({ readonly kind: "checkAndSet"; readonly row: PutRow } & Check)
  | ({
    readonly kind: "checkAndMutate";
    readonly mutations: readonly (PutRow | { readonly key: Uint8Array; readonly remove: true })[];
  } & Check)
  /** Deletes rows that are expired at `nowSeconds` (since 2016) and still so when translated. */
  | { readonly kind: "sweep"; readonly keys: readonly Uint8Array[]; readonly nowSeconds: number };
