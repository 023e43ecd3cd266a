// Rows, requests and scopes for the tests of reads and scans.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import type { GetScannerRequest, MultiGetRequest } from "../../../src/schema/client_rpc.ts";
import { decodeKey, encodeKey } from "../../../src/schema/key_format.ts";
import type { Filter } from "../../../src/schema/types.ts";
import type { RowBlock } from "../../../src/schema/row_block.ts";
import { encodeValue } from "../../../src/schema/value_format.ts";
import { READ_DEFAULTS, type ReadLimits, type ReadScope } from "../../../roles/replica/reads.ts";
import { appliedOp, sessionsOp } from "../../../storage/apply.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";

/** Seconds since 2016 of every read here. */
export const NOW = 1000;

const NO_FILTER: Filter = { type: "none", pattern: new Uint8Array(0) };

export const key = (hashKey: string, sortKey = "") => encodeKey(utf8(hashKey), utf8(sortKey));

/** An engine of rows "hash/sort=value@expireTs"; the replica's own rows are there too. */
export function engineOf(...rows: string[]): MemoryEngine {
  const engine = new MemoryEngine();
  for (const row of rows) {
    const match = /^(.*)\/(.*)=(.*?)(?:@(\d+))?$/.exec(row)!;
    engine.writeNow([{
      type: "put",
      key: key(match[1]!, match[2]!),
      value: encodeValue(utf8(match[3]!), Number(match[4] ?? 0), 1),
    }]);
  }
  engine.writeNow([appliedOp(7), sessionsOp(7, utf8("image"))]);
  return engine;
}

/** A scope whose clock stands still unless a test moves it. */
export function scopeOf(
  engine: MemoryEngine,
  limits: Partial<ReadLimits> = {},
  now: () => number = () => 0,
): ReadScope {
  return { engine, limits: { ...READ_DEFAULTS, ...limits }, nowSeconds: NOW, now };
}

/** A multi_get over the whole hash key "h". */
export function multiGet(changes: Partial<MultiGetRequest> = {}): MultiGetRequest {
  return {
    partition: 65536,
    stale: false,
    hashKey: utf8("h"),
    sortKeys: [],
    countMax: 0,
    bytesMax: 0,
    noValue: false,
    startSortKey: utf8(""),
    startInclusive: true,
    stopSortKey: utf8(""),
    stopInclusive: false,
    sortKeyFilter: NO_FILTER,
    reverse: false,
    stalenessMaxMs: 0,
    ...changes,
  };
}

/** A scan over everything. */
export function scanRequest(changes: Partial<GetScannerRequest> = {}): GetScannerRequest {
  return {
    partition: 65536,
    stale: false,
    startKey: utf8(""),
    startInclusive: true,
    stopKey: utf8(""),
    stopInclusive: false,
    batchSize: 0,
    noValue: false,
    hashKeyFilter: NO_FILTER,
    sortKeyFilter: NO_FILTER,
    countOnly: false,
    returnExpireTs: false,
    stalenessMaxMs: 0,
    ...changes,
  };
}

/** Fails on an error code, and on an answer that is not there yet. */
export function ok<T extends object>(answer: T | number | Promise<T | number>): T {
  assert(!(answer instanceof Promise), "Not answered at once");
  if (typeof answer === "number") assert.fail(`Answered error ${answer}`);
  return answer;
}

/** "key=value" of rows whose key is a sort key. */
export function texts(rows: RowBlock): string {
  return rows.toArray().map((row) => {
    const name = fromUtf8(row.key);
    return row.value === undefined ? name : `${name}=${fromUtf8(row.value)}`;
  }).join(" ");
}

/** "hash/sort=value" of rows whose key is a raw key. */
export function rawTexts(rows: RowBlock): string {
  return rows.toArray().map((row) => {
    const parts = decodeKey(row.key)!;
    const name = `${fromUtf8(parts.hashKey)}/${fromUtf8(parts.sortKey)}`;
    const value = row.value === undefined ? "" : `=${fromUtf8(row.value)}`;
    return name + value + (row.expireTs === undefined ? "" : `@${row.expireTs}`);
  }).join(" ");
}
