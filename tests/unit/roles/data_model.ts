// What a table should do, written down a second time as simply as possible: rows in a sorted list, no bytes of
// any format, no engine. Written from docs/data_api.md, not from the code it judges.

import { compareBytes, fromUtf8, toHex, utf8 } from "../../../src/base/bytes.ts";
import type { CheckType } from "../../../src/schema/client_rpc.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import type { Filter } from "../../../src/schema/types.ts";

/** A row that is stored, perhaps expired. */
export interface ModelRow {
  readonly raw: Uint8Array;
  readonly hashKey: Uint8Array;
  readonly sortKey: Uint8Array;
  readonly value: Uint8Array;
  /** Seconds since 2016; 0 = never. */
  readonly expireTs: number;
}

/** What a refused or failed operation of the model gives. */
export const REFUSED = "refused";

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;

/** See the file comment. */
export class DataModel {
  /** Seconds since 2016. */
  now = 0;
  defaultTtl = 0;
  readonly #rows = new Map<string, ModelRow>();

  /** Living rows in the order of their raw keys. */
  living(): ModelRow[] {
    return [...this.#rows.values()].filter((row) => this.#lives(row))
      .sort((a, b) => compareBytes(a.raw, b.raw));
  }

  /** Living rows of one hash key, by sort key. */
  group(hashKey: Uint8Array): ModelRow[] {
    return this.living().filter((row) => toHex(row.hashKey) === toHex(hashKey));
  }

  get(hashKey: Uint8Array, sortKey: Uint8Array): ModelRow | undefined {
    const row = this.#rows.get(toHex(encodeKey(hashKey, sortKey)));
    return row !== undefined && this.#lives(row) ? row : undefined;
  }

  put(hashKey: Uint8Array, sortKey: Uint8Array, value: Uint8Array, expireTs: number): void {
    const raw = encodeKey(hashKey, sortKey);
    let expiry = expireTs;
    if (expiry === 0 && this.defaultTtl > 0) expiry = this.now + this.defaultTtl;
    this.#rows.set(toHex(raw), { raw, hashKey, sortKey, value, expireTs: expiry });
  }

  remove(hashKey: Uint8Array, sortKey: Uint8Array): void {
    this.#rows.delete(toHex(encodeKey(hashKey, sortKey)));
  }

  /** The new value, or REFUSED. */
  incr(
    hashKey: Uint8Array,
    sortKey: Uint8Array,
    by: bigint,
    expireTs: number,
  ): bigint | typeof REFUSED {
    const row = this.get(hashKey, sortKey);
    const old = row === undefined || row.value.length === 0 ? 0n : integerOf(row.value);
    if (old === undefined || old + by > INT64_MAX || old + by < INT64_MIN) return REFUSED;
    const expiry = expireTs > 0 ? expireTs : expireTs < 0 ? 0 : row?.expireTs ?? 0;
    this.put(hashKey, sortKey, utf8(String(old + by)), expiry);
    return old + by;
  }

  /** Whether the check holds; REFUSED if it cannot be decided. */
  check(
    hashKey: Uint8Array,
    sortKey: Uint8Array,
    type: CheckType,
    operand: Uint8Array,
  ): boolean | typeof REFUSED {
    const value = this.get(hashKey, sortKey)?.value;
    if (type === "no_check") return true;
    if (type === "not_exist") return value === undefined;
    if (type === "not_exist_or_empty") return value === undefined || value.length === 0;
    if (value === undefined) return false;
    if (type === "exist") return true;
    if (type === "not_empty") return value.length > 0;
    if (type.startsWith("match_")) {
      const how = { match_anywhere: "anywhere", match_prefix: "prefix", match_postfix: "postfix" }[
        type as "match_anywhere"
      ];
      return matches(value, { type: how as Filter["type"], pattern: operand });
    }
    let order: number;
    if (type.startsWith("bytes_")) order = compareBytes(value, operand);
    else {
      const a = integerOf(value);
      const b = integerOf(operand);
      if (a === undefined || b === undefined) return REFUSED;
      order = a < b ? -1 : a > b ? 1 : 0;
    }
    const relation = type.slice(type.indexOf("_") + 1);
    if (order === 0) return relation.endsWith("equal");
    return relation.startsWith(order < 0 ? "less" : "greater");
  }

  #lives(row: ModelRow): boolean {
    return row.expireTs === 0 || row.expireTs > this.now;
  }
}

/** Whether a key passes a filter, over hexadecimal text. */
export function matches(key: Uint8Array, filter: Filter): boolean {
  const text = toHex(key);
  const pattern = toHex(filter.pattern);
  if (filter.type === "none" || pattern === "") return true;
  if (filter.type === "prefix") return text.startsWith(pattern);
  if (filter.type === "postfix") return text.endsWith(pattern);
  if (filter.type === "exact") return text === pattern;
  for (let at = 0; at < text.length; at += 2) if (text.startsWith(pattern, at)) return true;
  return false;
}

function integerOf(value: Uint8Array): bigint | undefined {
  const match = /^[ \t\n\v\f\r]*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(
    fromUtf8(value),
  );
  if (match === null) return undefined;
  const digits = match[2]!;
  const octal = digits.length > 1 && digits[0] === "0" && !/x/i.test(digits);
  const size = BigInt(octal ? `0o${digits.slice(1)}` : digits);
  const number = match[1] === "-" ? -size : size;
  return number >= INT64_MIN && number <= INT64_MAX ? number : undefined;
}
