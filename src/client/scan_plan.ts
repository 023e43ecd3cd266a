// What a scan reads: its options, and the ranges of raw keys they mean, one part per partition. Pure.

import { compareBytes, EMPTY } from "../base/bytes.ts";
import { Err, StoreError } from "../base/errors.ts";
import { encodeKey, nextHashKey, nextKey } from "../schema/key_format.ts";
import { USER_KEYS_END, USER_KEYS_START } from "../schema/key_format.ts";
import type { Filter } from "../schema/types.ts";
import type { KeyFilter, SortKeyRange, Staleness } from "./options.ts";
import { toBytes, toWhole } from "./options.ts";
import { toFilter } from "./requests.ts";

/** How a scan reads. */
export interface ScanOptions {
  /** Rows per request, from 1; servers give 1000 at most. @default 500 */
  readonly batchSize?: number;
  /** Only keys. @default false */
  readonly noValue?: boolean;
  /** Report when rows expire. @default false */
  readonly returnExpireTs?: boolean;
  /** Any replica may answer, possibly with old data: see ReadOptions. @default false */
  readonly stale?: Staleness;
  /**
   * Patience with one partition: how long a scan that lost its server tries to go on after the last row.
   *
   * @default 30000
   */
  readonly timeoutMs?: number;
}

/** How a scan over the whole table reads. */
export interface FullScanOptions extends ScanOptions {
  /** Partitions read at the same time. Bounds: from 1. @default 4 */
  readonly parallel?: number;
  readonly hashKeyFilter?: KeyFilter;
  readonly sortKeyFilter?: KeyFilter;
  /** Only these partitions, by index. Bounds: 0 .. partition count - 1. @default all */
  readonly partitions?: readonly number[];
}

/** One range of raw keys inside one partition. */
export interface ScanPart {
  /** Partition index; absent = the partition of `hashKey`. */
  readonly index?: number;
  readonly hashKey: Uint8Array;
  readonly startKey: Uint8Array;
  readonly startInclusive: boolean;
  readonly stopKey: Uint8Array;
  readonly stopInclusive: boolean;
  readonly hashKeyFilter: Filter;
  readonly sortKeyFilter: Filter;
}

/** The range of one hash key. A prefix filter narrows it, so that the server need not walk over the rest. */
export function hashScanPart(hashKey: Uint8Array, range: SortKeyRange): ScanPart {
  const sortKeyFilter = toFilter(range.filter);
  const stop = toBytes(range.stop ?? EMPTY);
  let startKey = encodeKey(hashKey, toBytes(range.start ?? EMPTY));
  let startInclusive = range.startInclusive ?? true;
  let stopKey = stop.length === 0 ? nextHashKey(hashKey) : encodeKey(hashKey, stop);
  let stopInclusive = stop.length > 0 && (range.stopInclusive ?? false);
  if (sortKeyFilter.type === "prefix" && sortKeyFilter.pattern.length > 0) {
    const low = encodeKey(hashKey, sortKeyFilter.pattern);
    const high = nextKey(low);
    if (compareBytes(low, startKey) > 0) [startKey, startInclusive] = [low, true];
    if (compareBytes(high, stopKey) <= 0) [stopKey, stopInclusive] = [high, false];
  }
  const hashKeyFilter = toFilter(undefined);
  return {
    hashKey,
    startKey,
    startInclusive,
    stopKey,
    stopInclusive,
    hashKeyFilter,
    sortKeyFilter,
  };
}

/** @throws {StoreError} INVALID_ARGUMENT if a number cannot be what it is for, whatever the table is like */
export function checkFullScan({ parallel = 1, partitions = [] }: FullScanOptions): void {
  toWhole("parallel", parallel, 1);
  for (const index of partitions) toWhole("The index of a partition", index, 0);
}

/**
 * One part for every partition, or for those asked for.
 *
 * @throws {StoreError} INVALID_ARGUMENT if there is no such partition
 */
export function fullScanParts(partitionCount: number, options: FullScanOptions): ScanPart[] {
  const indices = options.partitions ??
    Array.from({ length: partitionCount }, (_, index) => index);
  const stranger = indices.find((index) => index >= partitionCount);
  if (stranger !== undefined) {
    throw new StoreError(
      Err.INVALID_ARGUMENT,
      `There is no partition ${stranger}: the table has partitions 0..${partitionCount - 1}`,
    );
  }
  const hashKeyFilter = toFilter(options.hashKeyFilter);
  const sortKeyFilter = toFilter(options.sortKeyFilter);
  return indices.map((index) => ({
    index,
    hashKey: EMPTY,
    startKey: USER_KEYS_START,
    startInclusive: true,
    stopKey: USER_KEYS_END,
    stopInclusive: false,
    hashKeyFilter,
    sortKeyFilter,
  }));
}

/** Whether no key can be in the range. */
export function isEmptyPart(part: ScanPart): boolean {
  const order = compareBytes(part.startKey, part.stopKey);
  return order > 0 || (order === 0 && !(part.startInclusive && part.stopInclusive));
}
