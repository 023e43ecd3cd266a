// What an application says to the client and hears from it: option and result types, and the conversion of
// keys, values and times at the border. Everything wrong is refused here, before anything is sent.

import { utf8 } from "../base/bytes.ts";
import { Err, StoreError } from "../base/errors.ts";
import type { CheckType } from "../schema/client_rpc.ts";
import { HASH_KEY_BYTES_MAX } from "../schema/key_format.ts";
import { EXPIRE_TS_MAX, secondsSince2016 } from "../schema/value_format.ts";

/** A key or value; text stands for its UTF-8 bytes. */
export type Data = Uint8Array | string;

/** Receives what the client has to say; the default says nothing. */
export type ClientLog = (
  level: "debug" | "info" | "warn",
  message: string,
  details: Readonly<Record<string, unknown>>,
) => void;

/** Options of every operation. */
export interface CallOptions {
  /** Deadline of the whole operation, retries included. @default the cluster's timeoutMs */
  readonly timeoutMs?: number;
}

/** Options of reads. */
export interface ReadOptions extends CallOptions {
  /**
   * Any replica may answer, possibly with old data; the primary is spared if it can be. With `maxStalenessMs` the data
   * is at most so old, the time messages travel apart: a replica that cannot promise it leaves the answer to the primary.
   *
   * @default false: the newest committed data
   */
  readonly stale?: Staleness;
  /**
   * A read without an answer after so many ms is also sent to another replica, as a stale read of any age, and the
   * first success counts. 0 = never.
   *
   * @default the table's hedgeAfterMs
   */
  readonly hedgeAfterMs?: number;
}

/** How old data may be: the newest, any age, or at most so many ms old (1 .. 2^31-1). */
export type Staleness = boolean | { readonly maxStalenessMs: number };

/** A {@link Staleness} as it travels. */
export interface StaleHead {
  readonly stale: boolean;
  /** 0 = any age. */
  readonly stalenessMaxMs: number;
}

const NEWEST: StaleHead = { stale: false, stalenessMaxMs: 0 };

/** Any age. */
export const ANY_AGE: StaleHead = { stale: true, stalenessMaxMs: 0 };

/** @throws {StoreError} INVALID_ARGUMENT if it is no such age */
export function toStaleHead(staleness: Staleness | undefined): StaleHead {
  if (staleness === undefined || staleness === false) return NEWEST;
  if (staleness === true) return ANY_AGE;
  const { maxStalenessMs } = staleness;
  if (!Number.isInteger(maxStalenessMs) || maxStalenessMs < 1 || maxStalenessMs > 0x7fffffff) {
    throw new StoreError(
      Err.INVALID_ARGUMENT,
      `maxStalenessMs is ${maxStalenessMs}, expected whole milliseconds in 1..2147483647`,
    );
  }
  return { stale: true, stalenessMaxMs: maxStalenessMs };
}

/** Options of writes. */
export interface WriteOptions extends CallOptions {
  /** Apply at most once however often it is repeated. @default the table's, which is true */
  readonly exactlyOnce?: boolean;
}

/** Options of writes that store a value. */
export interface SetOptions extends WriteOptions {
  /** Life of the row in seconds; 0 = for ever. Bounds: 0 .. 2^31-1. */
  readonly ttl?: number;
}

/** Which keys pass: an empty pattern matches everything. */
export interface KeyFilter {
  readonly type: "anywhere" | "prefix" | "postfix" | "exact";
  readonly pattern: Data;
}

/** A range of sort keys of one hash key. */
export interface SortKeyRange {
  /** @default the first sort key */
  readonly start?: Data;
  /** @default true */
  readonly startInclusive?: boolean;
  /** Empty = to the end. @default "" */
  readonly stop?: Data;
  /** @default false */
  readonly stopInclusive?: boolean;
  readonly filter?: KeyFilter;
}

/** A range read in one request. */
export interface MultiGetRange extends SortKeyRange, ReadOptions {
  /** Most rows of the answer; 0 = the server's limit. @default 0 */
  readonly countMax?: number;
  /** Most bytes of the answer; 0 = the server's limit. @default 0 */
  readonly bytesMax?: number;
  /** Limits count from the stop side. Rows come in ascending order all the same. @default false */
  readonly reverse?: boolean;
  /** Only keys. @default false */
  readonly noValue?: boolean;
}

/** One row inside a hash key. */
export interface SortKeyRow {
  readonly sortKey: Uint8Array;
  /** Empty if only keys were asked for. */
  readonly value: Uint8Array;
}

/** Rows of a {@link MultiGetRange} or of a list of sort keys. */
export interface MultiGetResult {
  readonly rows: SortKeyRow[];
  /** False if a limit stopped the read: go on after the last row, exclusive. */
  readonly complete: boolean;
}

/** One row of a table. */
export interface TableRow extends SortKeyRow {
  readonly hashKey: Uint8Array;
  /** Seconds since 2016 at which the row expires, 0 = never; only if asked for. */
  readonly expireTs?: number;
}

/** The condition of a conditional write: value of `sortKey` compared with `operand`. */
export interface Check {
  readonly sortKey: Data;
  readonly type: CheckType;
  /** @default "" */
  readonly operand?: Data;
  /** Report the checked row's value. @default false */
  readonly returnValue?: boolean;
}

/** Outcome of a conditional write. */
export interface CheckOutcome {
  /** Whether the condition held and the write happened. */
  readonly passed: boolean;
  /** The checked row's value if asked for; `undefined` = no such row, or not asked for. */
  readonly value: Uint8Array | undefined;
}

/** One change of checkAndMutate. */
export type Mutate =
  | { readonly put: Data; readonly value: Data; readonly ttl?: number }
  | { readonly remove: Data };

/** A deadline as a number of ms. @throws {StoreError} INVALID_ARGUMENT if it is not above 0; NaN would never pass */
export function toTimeoutMs(timeoutMs: number): number {
  if (timeoutMs > 0) return timeoutMs;
  throw new StoreError(
    Err.INVALID_ARGUMENT,
    `timeoutMs is ${timeoutMs}, expected a positive number of milliseconds`,
  );
}

/** A number that may leave as 32 bits. @throws {StoreError} INVALID_ARGUMENT if it is not whole, or below `min` */
export function toWhole(what: string, value: number, min: number): number {
  if (Number.isInteger(value) && value >= min) return Math.min(value, 0xffff_ffff);
  throw new StoreError(
    Err.INVALID_ARGUMENT,
    `${what} is ${value}, expected a whole number from ${min}`,
  );
}

/** Bytes of a key or value. @throws {StoreError} INVALID_ARGUMENT if it is neither bytes nor text */
export function toBytes(data: Data): Uint8Array {
  if (typeof data === "string") return utf8(data);
  if (data instanceof Uint8Array) return data;
  throw new StoreError(
    Err.INVALID_ARGUMENT,
    `Expected a Uint8Array or a string, got ${data === null ? "null" : typeof data}`,
  );
}

/** Bytes of a hash key. @throws {StoreError} INVALID_DATA if it is too long */
export function toHashKey(data: Data): Uint8Array {
  const bytes = toBytes(data);
  if (bytes.length > HASH_KEY_BYTES_MAX) {
    throw new StoreError(
      Err.INVALID_DATA,
      `The hash key has ${bytes.length} bytes, at most ${HASH_KEY_BYTES_MAX} are allowed`,
    );
  }
  return bytes;
}

/**
 * Bytes of a hash key of an operation on a whole hash key.
 *
 * @throws {StoreError} If it is empty: rows without hash key are spread over partitions by sort key.
 */
export function toGroupKey(data: Data): Uint8Array {
  const bytes = toHashKey(data);
  if (bytes.length === 0) {
    throw new StoreError(
      Err.INVALID_ARGUMENT,
      "The hash key is empty, but this operation works on all rows of one hash key",
    );
  }
  return bytes;
}

/** Absolute expiry of a life of `ttl` seconds, 0 = never. @throws {StoreError} If it is no such life */
export function toExpireTs(ttl: number | undefined, wallMs: number): number {
  if (ttl === undefined || ttl === 0) return 0;
  if (!Number.isInteger(ttl) || ttl < 0 || ttl > 0x7fffffff) {
    throw new StoreError(
      Err.INVALID_ARGUMENT,
      `The TTL is ${ttl}, expected whole seconds in 0..2147483647 (0 = for ever)`,
    );
  }
  return Math.min(secondsSince2016(wallMs) + ttl, EXPIRE_TS_MAX);
}
