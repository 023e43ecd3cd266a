// How large a write is, and how large it may be: the same count at both ends, so that a client refuses what a
// server would. Keys and values count, with the hash key once per row. See docs/data_api.md, "Writes".

import type { CheckAndMutate, CheckAndSet, MultiPut, MultiRemove } from "./client_rpc.ts";
import type { RequestOf } from "./rpc.ts";

/** Largest sum of keys and values of one write, bytes; a value alone cannot be larger either. */
export const WRITE_BYTES_MAX: number = 1024 * 1024;

type Fields<Request, Names extends keyof Request> = Pick<Request, Names>;

/** Bytes of a multi_put. */
export function multiPutBytes(
  { hashKey, rows }: Fields<RequestOf<typeof MultiPut>, "hashKey" | "rows">,
): number {
  let bytes = 0;
  for (const row of rows) bytes += row.sortKey.length + row.value.length + hashKey.length;
  return bytes;
}

/** Bytes of a multi_remove. */
export function multiRemoveBytes(
  { hashKey, sortKeys }: Fields<RequestOf<typeof MultiRemove>, "hashKey" | "sortKeys">,
): number {
  let bytes = 0;
  for (const sortKey of sortKeys) bytes += sortKey.length + hashKey.length;
  return bytes;
}

/** Bytes of a check_and_set. */
export function checkAndSetBytes(
  request: Fields<
    RequestOf<typeof CheckAndSet>,
    "hashKey" | "checkSortKey" | "checkOperand" | "setSortKey" | "setValue"
  >,
): number {
  const { hashKey, checkSortKey, setSortKey = checkSortKey } = request;
  return 2 * hashKey.length + checkSortKey.length + request.checkOperand.length +
    setSortKey.length + request.setValue.length;
}

/** Bytes of a check_and_mutate. */
export function checkAndMutateBytes(
  request: Fields<
    RequestOf<typeof CheckAndMutate>,
    "hashKey" | "checkSortKey" | "checkOperand" | "mutations"
  >,
): number {
  const { hashKey } = request;
  let bytes = hashKey.length + request.checkSortKey.length + request.checkOperand.length;
  for (const { sortKey, value } of request.mutations) {
    bytes += sortKey.length + value.length + hashKey.length;
  }
  return bytes;
}

/** Why a write of so many bytes is refused; `undefined` if it is not. */
export function sizeProblem(bytes: number): string | undefined {
  if (bytes <= WRITE_BYTES_MAX) return undefined;
  return `Write of ${bytes} bytes: keys and values may have ${WRITE_BYTES_MAX} together`;
}
