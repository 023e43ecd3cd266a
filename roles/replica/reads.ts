// The reads a replica answers, as functions over its engine. The driver has checked lease and role before. Point
// reads are synchronous, between two bytes of the socket; ranges and long lists of keys wait. Invariant: no answer exceeds the
// limits, whatever was asked for, and rows of the replica itself are never shown. docs/data_api.md, "Reads".

import { compareBytes, EMPTY, equalBytes } from "../../src/base/bytes.ts";
import { Err, type ErrorCode } from "../../src/base/errors.ts";
import type {
  BatchGet,
  Get,
  GetRequest,
  MultiGet,
  MultiGetRequest,
  SortKeyCount,
  Ttl,
} from "../../src/schema/client_rpc.ts";
import {
  encodeKey,
  HASH_KEY_BYTES_MAX,
  isUserKey,
  nextHashKey,
  nextKey,
} from "../../src/schema/key_format.ts";
import { RowBlock } from "../../src/schema/row_block.ts";
import type { RequestOf, ResponseOf } from "../../src/schema/rpc.ts";
import type { Filter } from "../../src/schema/types.ts";
import { expireTsOf, isExpired, userDataOf } from "../../src/schema/value_format.ts";
import type { Engine, RangeOptions } from "../../storage/engine.ts";
import { containsBytes, endsWithBytes, startsWithBytes } from "../../storage/match.ts";
import { readPoints } from "./point_reads.ts";
import { RangeReader } from "./range_reader.ts";

/** Bounds of reads; a client's own limits can only be smaller. */
export interface ReadLimits {
  /** Rows of one multi_get answer. */
  readonly multiGetRowsMax: number;
  /** Rows a multi_get range looks at, expired and filtered ones included. */
  readonly multiGetExaminedMax: number;
  /** Bytes of keys and values in one multi_get or batch_get answer; the last row may exceed it. */
  readonly answerBytesMax: number;
  /** Rows a scan batch returns, and looks at. */
  readonly scanRowsMax: number;
  readonly scanExaminedMax: number;
  /** Bytes of keys and values in one scan batch; the last row may exceed it. */
  readonly scanBytesMax: number;
  /** Time one multi_get, sortkey_count or scan batch may take. */
  readonly rangeTimeMsMax: number;
  /** Scans a replica keeps open, and how long it keeps an idle one. */
  readonly scanContextsMax: number;
  readonly scanIdleMsMax: number;
}

/**
 * Defaults of {@link ReadLimits}: the original's, but for the bytes of an answer (there 30 MiB). An answer must
 * fit into a frame of 16 MiB together with its last row, and 8 MiB already hold the event loop for milliseconds.
 */
export const READ_DEFAULTS: ReadLimits = {
  multiGetRowsMax: 3000,
  multiGetExaminedMax: 3000,
  answerBytesMax: 8 * 1024 * 1024,
  scanRowsMax: 1000,
  scanExaminedMax: 1000,
  scanBytesMax: 1024 * 1024,
  rangeTimeMsMax: 30_000,
  scanContextsMax: 256,
  scanIdleMsMax: 300_000,
};

/** What reads share: the rows, the bounds and the moment. */
export interface ReadScope {
  readonly engine: Engine;
  readonly limits: ReadLimits;
  /** Seconds since 2016 (src/schema/value_format.ts); rows that expire now or earlier are gone. */
  readonly nowSeconds: number;
  /** Monotonic milliseconds, for time limits. */
  readonly now: () => number;
  /** Runs work at the end of the turn of the event loop. @default long reads do not wait for it */
  readonly endOfTurn?: ((work: () => void) => void) | undefined;
}

/** A response, or why there is none. */
export type Answer<R> = ResponseOf<R> | ErrorCode;

/** get: the value, or none if the row is missing or expired. */
export function readGet(scope: ReadScope, request: GetRequest): Answer<typeof Get> {
  if (!isUserKey(request.key)) return Err.INVALID_ARGUMENT;
  const stored = scope.engine.get(request.key);
  const lives = stored !== undefined && !isExpired(stored, scope.nowSeconds);
  return { value: lives ? userDataOf(stored) : undefined };
}

/** ttl: whether the row exists, and its remaining seconds; -1 without TTL. */
export function readTtl(scope: ReadScope, request: RequestOf<typeof Ttl>): Answer<typeof Ttl> {
  if (!isUserKey(request.key)) return Err.INVALID_ARGUMENT;
  const stored = scope.engine.get(request.key);
  if (stored === undefined || isExpired(stored, scope.nowSeconds)) {
    return { exists: false, seconds: 0 };
  }
  const expireTs = expireTsOf(stored);
  return { exists: true, seconds: expireTs === 0 ? -1 : expireTs - scope.nowSeconds };
}

/** batch_get: the living rows among the keys, in their order, up to the bytes of an answer. */
export function readBatchGet(
  scope: ReadScope,
  request: RequestOf<typeof BatchGet>,
): Answer<typeof BatchGet> | Promise<Answer<typeof BatchGet>> {
  const { keys } = request;
  if (keys.length === 0 || !keys.every(isUserKey)) return Err.INVALID_ARGUMENT;
  const rows = new RowBlock();
  return withRows(
    rows,
    readPoints({
      ...scope,
      count: keys.length,
      keyAt: (i) => keys[i]!,
      rowsMax: Infinity,
      bytesMax: scope.limits.answerBytesMax,
      add: (i, value) => {
        const key = keys[i]!;
        rows.add(key, value);
        return key.length + value.length;
      },
    }),
  );
}

/** multi_get with sort keys. The range fields of the request are ignored. */
export function readMultiGetKeys(
  scope: ReadScope,
  request: MultiGetRequest,
): Answer<typeof MultiGet> | Promise<Answer<typeof MultiGet>> {
  const { hashKey, sortKeys, noValue } = request;
  if (hashKey.length > HASH_KEY_BYTES_MAX) return Err.INVALID_ARGUMENT;
  const rows = new RowBlock();
  return withRows(
    rows,
    readPoints({
      ...scope,
      ...multiGetBounds(scope.limits, request),
      count: sortKeys.length,
      keyAt: (i) => encodeKey(hashKey, sortKeys[i]!),
      add: (i, value) => {
        const key = sortKeys[i]!;
        rows.add(key, noValue ? undefined : value);
        return key.length + (noValue ? 0 : value.length);
      },
    }),
  );
}

type Rows = { readonly rows: RowBlock; readonly complete: boolean };

function withRows(rows: RowBlock, complete: boolean | Promise<boolean>): Rows | Promise<Rows> {
  if (typeof complete === "boolean") return { rows, complete };
  return complete.then((complete) => ({ rows, complete }));
}

/** multi_get of a range. Call {@link readMultiGetKeys} instead if the request names sort keys. */
export async function readMultiGetRange(
  scope: ReadScope,
  request: MultiGetRequest,
): Promise<Answer<typeof MultiGet>> {
  const { hashKey, noValue, reverse, sortKeyFilter } = request;
  if (hashKey.length > HASH_KEY_BYTES_MAX) return Err.INVALID_ARGUMENT;
  const range = multiGetRange(request);
  if (range === undefined) return { rows: new RowBlock(), complete: true };
  const { rowsMax, bytesMax } = multiGetBounds(scope.limits, request);
  const deadline = scope.now() + scope.limits.rangeTimeMsMax;
  const rows = new RowBlock();
  let examined = 0;
  let stopped = false;
  let complete = false;
  const reader = new RangeReader(scope.engine.range({ ...range, reverse }), scope);
  try {
    // One row more than wanted: only a row behind the limit makes the answer incomplete.
    while (!stopped && await reader.fill(rowsMax - rows.count + 1)) {
      for (let entry = reader.take(); entry !== undefined; entry = reader.take()) {
        examined++;
        const sortKey = entry[0].subarray(2 + hashKey.length);
        if (!isExpired(entry[1], scope.nowSeconds) && matchesFilter(sortKey, sortKeyFilter)) {
          rows.add(sortKey, noValue ? undefined : userDataOf(entry[1]));
        }
        stopped = rows.count >= rowsMax || rows.dataBytes >= bytesMax ||
          examined >= scope.limits.multiGetExaminedMax;
        if (stopped) break;
      }
      stopped ||= scope.now() > deadline;
    }
    complete = !(await reader.fill(1));
  } finally {
    await reader.close();
  }
  if (reverse) rows.reverse();
  return { rows, complete };
}

/** sortkey_count: living rows of a hash key; -1 if counting takes too long. */
export async function readSortKeyCount(
  scope: ReadScope,
  request: RequestOf<typeof SortKeyCount>,
): Promise<Answer<typeof SortKeyCount>> {
  const { hashKey } = request;
  if (hashKey.length > HASH_KEY_BYTES_MAX) return Err.INVALID_ARGUMENT;
  const deadline = scope.now() + scope.limits.rangeTimeMsMax;
  const range = { gte: encodeKey(hashKey, EMPTY), lt: nextHashKey(hashKey) };
  const reader = new RangeReader(scope.engine.range(range), scope);
  let count = 0;
  try {
    while (await reader.fill()) {
      if (scope.now() > deadline) return { count: -1 };
      for (let entry = reader.take(); entry !== undefined; entry = reader.take()) {
        if (!isExpired(entry[1], scope.nowSeconds)) count++;
      }
    }
  } finally {
    await reader.close();
  }
  return { count };
}

/** Whether a key passes a filter; the empty pattern passes everything. */
export function matchesFilter(key: Uint8Array, filter: Filter): boolean {
  const { type, pattern } = filter;
  if (type === "none" || pattern.length === 0) return true;
  switch (type) {
    case "anywhere":
      return containsBytes(key, pattern);
    case "prefix":
      return startsWithBytes(key, pattern);
    case "postfix":
      return endsWithBytes(key, pattern);
    case "exact":
      return equalBytes(key, pattern);
  }
}

/** The later of two lower bounds, the earlier of two upper bounds; `undefined` if nothing lies between. */
export function narrow(low: Bound, high: Bound): RangeOptions | undefined {
  const order = compareBytes(low.key, high.key);
  if (order > 0 || (order === 0 && !(low.inclusive && high.inclusive))) return undefined;
  return {
    ...(low.inclusive ? { gte: low.key } : { gt: low.key }),
    ...(high.inclusive ? { lte: high.key } : { lt: high.key }),
  };
}

/** One end of a range. */
export interface Bound {
  readonly key: Uint8Array;
  readonly inclusive: boolean;
}

/** The tighter of two lower bounds. */
export function laterBound(a: Bound, b: Bound): Bound {
  const order = compareBytes(a.key, b.key);
  return order > 0 || (order === 0 && !a.inclusive) ? a : b;
}

/** The tighter of two upper bounds. */
export function earlierBound(a: Bound, b: Bound): Bound {
  const order = compareBytes(a.key, b.key);
  return order < 0 || (order === 0 && !a.inclusive) ? a : b;
}

function multiGetBounds(limits: ReadLimits, request: MultiGetRequest) {
  const { countMax, bytesMax } = request;
  return {
    rowsMax: Math.min(countMax === 0 ? Infinity : countMax, limits.multiGetRowsMax),
    bytesMax: Math.min(bytesMax === 0 ? Infinity : bytesMax, limits.answerBytesMax),
  };
}

function multiGetRange(request: MultiGetRequest): RangeOptions | undefined {
  const { hashKey, startSortKey, stopSortKey } = request;
  let low: Bound = { key: encodeKey(hashKey, startSortKey), inclusive: request.startInclusive };
  let high: Bound = stopSortKey.length === 0
    ? { key: nextHashKey(hashKey), inclusive: false }
    : { key: encodeKey(hashKey, stopSortKey), inclusive: request.stopInclusive };
  const { type, pattern } = request.sortKeyFilter;
  if ((type === "prefix" || type === "exact") && pattern.length > 0) {
    const first = encodeKey(hashKey, pattern);
    low = laterBound(low, { key: first, inclusive: true });
    const last = type === "exact"
      ? { key: first, inclusive: true }
      : { key: nextKey(first), inclusive: false };
    high = earlierBound(high, last);
  }
  return narrow(low, high);
}
