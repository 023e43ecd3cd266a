// Requests of the data operations from checked arguments. Everything a server would refuse for its shape is
// refused here, with a message that says what was expected.

import { EMPTY } from "../base/bytes.ts";
import { Err, StoreError } from "../base/errors.ts";
import { CHECK_TYPES } from "../schema/client_rpc.ts";
import type { Filter } from "../schema/types.ts";
import { sizeProblem, WRITE_BYTES_MAX } from "../schema/write_size.ts";
import type { Target } from "./call.ts";
import type { Slab } from "./slab.ts";
import type { Check, Data, KeyFilter, MultiGetRange, Mutate, ReadOptions } from "./options.ts";
import {
  type StaleHead,
  toBytes,
  toExpireTs,
  toGroupKey,
  toStaleHead,
  toWhole,
} from "./options.ts";

/** Where a read goes, and how old its answer may be. */
export interface ReadTarget extends Target {
  readonly head: StaleHead;
}

/** The partition of one row, and its raw key. */
export interface RowTarget extends ReadTarget {
  readonly key: Uint8Array;
}

/** Head of a write; the executor fills it in before each attempt. */
export function writeHead() {
  return { partition: 0, session: 0, sequence: 0, answeredBelow: 0 };
}

/** The partition of one row. */
export function rowTarget(
  slab: Slab,
  hash: Data,
  sort: Data,
  options?: ReadOptions,
): RowTarget {
  const { raw, hashKey, sortKey } = slab.rowKey(hash, sort);
  return { key: raw, hashKey, sortKey, head: toStaleHead(options?.stale) };
}

/** The partition of a hash key. */
export function groupTarget(hashKey: Data, options?: ReadOptions): ReadTarget {
  return { hashKey: toGroupKey(hashKey), sortKey: EMPTY, head: toStaleHead(options?.stale) };
}

/** A point read if there are sort keys, else a range read. */
export function multiGetRequest(
  head: StaleHead,
  hashKey: Uint8Array,
  sortKeys: Uint8Array[],
  range: MultiGetRange,
) {
  return {
    partition: 0,
    ...head,
    hashKey,
    sortKeys,
    countMax: toWhole("countMax", range.countMax ?? 0, 0),
    bytesMax: toWhole("bytesMax", range.bytesMax ?? 0, 0),
    noValue: range.noValue ?? false,
    startSortKey: toBytes(range.start ?? EMPTY),
    startInclusive: range.startInclusive ?? true,
    stopSortKey: toBytes(range.stop ?? EMPTY),
    stopInclusive: range.stopInclusive ?? false,
    sortKeyFilter: toFilter(range.filter),
    reverse: range.reverse ?? false,
  };
}

/** The condition of a conditional write. @throws {StoreError} If the check type is unknown */
export function checkHead(hashKey: Uint8Array, check: Check) {
  const checkType = CHECK_TYPES.indexOf(check.type);
  if (checkType < 0) {
    throw new StoreError(
      Err.INVALID_ARGUMENT,
      `Unknown check type "${check.type}", expected one of ${CHECK_TYPES.join(", ")}`,
    );
  }
  return {
    hashKey,
    checkSortKey: toBytes(check.sortKey),
    checkType,
    checkOperand: toBytes(check.operand ?? EMPTY),
    returnCheckValue: check.returnValue ?? false,
  };
}

/** One change of checkAndMutate. */
export function mutateOp(change: Mutate, wallMs: number) {
  if ("remove" in change) {
    return { kind: "remove" as const, sortKey: toBytes(change.remove), value: EMPTY, expireTs: 0 };
  }
  const expireTs = toExpireTs(change.ttl, wallMs);
  return {
    kind: "put" as const,
    sortKey: toBytes(change.put),
    value: toBytes(change.value),
    expireTs,
  };
}

/** Most elements of a list in one request. */
const LIST_MAX = 100_000;

/** @throws {StoreError} If the write is larger than a server takes */
export function checkSize(bytes: number): void {
  const problem = sizeProblem(bytes);
  if (problem !== undefined) throw new StoreError(Err.INVALID_DATA, problem);
}

/** Takes keys from the front of a list: at most `max` and what one write may have, but at least one. */
export function takeChunk(keys: Uint8Array[], max: number, extraBytes: number): Uint8Array[] {
  let count = 0;
  let bytes = 0;
  while (count < Math.min(max, keys.length)) {
    bytes += keys[count]!.length + extraBytes;
    if (count > 0 && bytes > WRITE_BYTES_MAX) break;
    count++;
  }
  return keys.splice(0, count);
}

/** @throws {StoreError} If the list is empty, or too long for one request */
export function needSome(list: readonly unknown[], what: string): void {
  if (list.length > LIST_MAX) {
    throw new StoreError(
      Err.INVALID_DATA,
      `The list of ${what} has ${list.length} elements, at most ${LIST_MAX} are allowed`,
    );
  }
  if (list.length === 0) {
    throw new StoreError(
      Err.INVALID_ARGUMENT,
      `The list of ${what} is empty, expected at least one`,
    );
  }
}

/** A signed 64-bit integer. @throws {StoreError} If it is none */
export function toInt64(value: bigint | number): bigint {
  if (typeof value === "bigint" || Number.isSafeInteger(value)) {
    const wide = BigInt(value);
    if (BigInt.asIntN(64, wide) === wide) return wide;
  }
  throw new StoreError(
    Err.INVALID_ARGUMENT,
    `The increment is ${value}, expected a signed 64-bit integer`,
  );
}

/** A filter as it travels; absent = everything passes. */
export function toFilter(filter: KeyFilter | undefined): Filter {
  if (filter === undefined) return { type: "none", pattern: EMPTY };
  return { type: filter.type, pattern: toBytes(filter.pattern) };
}
