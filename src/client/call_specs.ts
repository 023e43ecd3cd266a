// Every data operation that is one request, declared once: which RPC carries it and what the application gets
// from the answer. Invariant: bytes in a result are copies, because those in an answer are views into a
// received frame that the RPC layer may reuse.

import { EMPTY } from "../base/bytes.ts";
import * as rpc from "../schema/client_rpc.ts";
import { decode } from "../schema/codec.ts";
import type { Field } from "../schema/field.ts";
import type { ResponseOf } from "../schema/rpc.ts";
import type { Row } from "../schema/types.ts";
import {
  checkAndMutateBytes,
  checkAndSetBytes,
  multiPutBytes,
  multiRemoveBytes,
} from "../schema/write_size.ts";
import type { CallSpec } from "./call.ts";
import type { CheckOutcome, MultiGetResult, SortKeyRow } from "./options.ts";

type WriteAnswer = ResponseOf<typeof rpc.Put>;

/** A copy of a view. */
export function copyOf(view: Uint8Array | undefined): Uint8Array | undefined {
  return view === undefined ? undefined : new Uint8Array(view);
}

function nothing(_answer: WriteAnswer): void {}

function resultOf<T>(field: Field<T>, answer: WriteAnswer, name: string): T {
  return decode(field, answer.result ?? EMPTY, name);
}

function checkOutcome(answer: WriteAnswer): CheckOutcome {
  const { passed, checkExists, checkValue } = resultOf(rpc.checkResult, answer, "checkResult");
  return { passed, value: checkExists === true ? copyOf(checkValue ?? EMPTY) : undefined };
}

/** Rows by sort key. Those of one answer share memory that is theirs alone (row_block.ts). */
function sortKeyRows(rows: readonly Row[]): SortKeyRow[] {
  return rows.map(({ key, value }) => ({ sortKey: key, value: value ?? EMPTY }));
}

function spec<Q, A, T>(of: CallSpec<Q, A, T>): CallSpec<Q, A, T> {
  return of;
}

export const GET = spec({ rpc: rpc.Get, result: (answer) => copyOf(answer.value) });

export const TTL = spec({
  rpc: rpc.Ttl,
  result: (answer) => answer.exists ? answer.seconds : undefined,
});

export const MULTI_GET = spec({
  rpc: rpc.MultiGet,
  result: (answer): MultiGetResult => ({
    rows: sortKeyRows(answer.rows.toArray()),
    complete: answer.complete,
  }),
});

export const SORT_KEY_COUNT = spec({
  rpc: rpc.SortKeyCount,
  result: (answer) => answer.count,
});

export const BATCH_GET = spec({
  rpc: rpc.BatchGet,
  result: ({ rows, complete }) => ({ rows: rows.toArray(), complete }),
});

export const PUT = spec({
  rpc: rpc.Put,
  result: nothing,
  bytes: ({ key, value }) => key.length + value.length,
});
export const REMOVE = spec({ rpc: rpc.Remove, result: nothing, bytes: ({ key }) => key.length });
export const MULTI_PUT = spec({ rpc: rpc.MultiPut, result: nothing, bytes: multiPutBytes });

export const MULTI_REMOVE = spec({
  rpc: rpc.MultiRemove,
  result: (answer) => resultOf(rpc.multiRemoveResult, answer, "multiRemoveResult").count,
  bytes: multiRemoveBytes,
});

export const INCR = spec({
  rpc: rpc.Incr,
  result: (answer) => resultOf(rpc.incrResult, answer, "incrResult").newValue,
  bytes: ({ key }) => key.length,
});

export const CHECK_AND_SET = spec({
  rpc: rpc.CheckAndSet,
  result: checkOutcome,
  bytes: checkAndSetBytes,
});
export const CHECK_AND_MUTATE = spec({
  rpc: rpc.CheckAndMutate,
  result: checkOutcome,
  bytes: checkAndMutateBytes,
});

/** Scan answers are handed to the scanner as they are. */
export const GET_SCANNER = spec({ rpc: rpc.GetScanner, result: (answer) => answer });
