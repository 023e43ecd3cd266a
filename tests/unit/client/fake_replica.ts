// The replica half of the fake cluster: rows in a map, sessions that remember results.

import { compareBytes, EMPTY, toHex, utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import * as rpc from "../../../src/schema/client_rpc.ts";
import { encode } from "../../../src/schema/codec.ts";
import { decodeKey, encodeKey } from "../../../src/schema/key_format.ts";
import { RowBlock } from "../../../src/schema/row_block.ts";
import { secondsSince2016 } from "../../../src/schema/value_format.ts";
import { checkCondition, parseInt64 } from "../../../storage/conditions.ts";
import {
  type FakeCluster,
  type FakePartition,
  type FakeRow,
  Refusal,
  type SeenCall,
} from "./fake_cluster.ts";

// deno-lint-ignore no-explicit-any
type Any = any;

const WRITES = new Map<string, (p: FakePartition, q: Any) => Uint8Array | undefined>([
  ["put", (p, q) => put(p, q.key, q.value, q.expireTs)],
  ["remove", (p, q) => remove(p, q.key)],
  ["multi_put", (p, q) => {
    for (const r of q.rows) put(p, encodeKey(q.hashKey, r.sortKey), r.value, q.expireTs);
    return undefined;
  }],
  ["multi_remove", (p, q) => {
    for (const sortKey of q.sortKeys) remove(p, encodeKey(q.hashKey, sortKey));
    return encode(rpc.multiRemoveResult, { count: q.sortKeys.length });
  }],
  ["incr", incr],
  ["check_and_set", (p, q) =>
    check(p, q, () => {
      put(p, encodeKey(q.hashKey, q.setSortKey ?? q.checkSortKey), q.setValue, q.expireTs);
    })],
  ["check_and_mutate", (p, q) =>
    check(p, q, () => {
      for (const m of q.mutations) {
        const key = encodeKey(q.hashKey, m.sortKey);
        if (m.kind === "put") put(p, key, m.value, m.expireTs);
        else remove(p, key);
      }
    })],
]);

/** Answers one data request. */
export function answerData(cluster: FakeCluster, { address, name, request }: SeenCall): unknown {
  const p = cluster.partition(request.partition);
  if (p === undefined) throw new Refusal(Err.OBJECT_NOT_FOUND);
  if (p.primary !== address && request.stale !== true) throw new Refusal(Err.INVALID_STATE);
  if (name === "open_session") {
    p.sessions.set(++p.decree, new Map());
    return { decree: p.decree, result: undefined };
  }
  const write = WRITES.get(name);
  if (write !== undefined) return applyWrite(p, request, write);
  return answerRead(cluster, p, name, request);
}

function applyWrite(
  p: FakePartition,
  request: Any,
  write: (p: FakePartition, q: Any) => Uint8Array | undefined,
): unknown {
  if (request.session === 0) return { decree: ++p.decree, result: write(p, request) };
  const session = p.sessions.get(request.session);
  if (session === undefined) throw new Refusal(Err.SESSION_EXPIRED);
  if (session.has(request.sequence)) {
    return { decree: p.decree, result: session.get(request.sequence) };
  }
  const result = write(p, request);
  session.set(request.sequence, result);
  for (const sequence of session.keys()) {
    if (sequence < request.answeredBelow) session.delete(sequence);
  }
  return { decree: ++p.decree, result };
}

function answerRead(cluster: FakeCluster, p: FakePartition, name: string, q: Any): unknown {
  switch (name) {
    case "get":
      return { value: p.find(q.key)?.value };
    case "ttl": {
      const row = p.find(q.key);
      if (row === undefined) return { exists: false, seconds: 0 };
      const now = secondsSince2016(Date.now());
      return { exists: true, seconds: row.expireTs === 0 ? -1 : row.expireTs - now };
    }
    case "multi_get": {
      const isWanted = wanted(q);
      const rows = p.sorted().map((r) => ({ ...r, ...decodeKey(r.key)! }))
        .filter((r) => compareBytes(r.hashKey, q.hashKey) === 0 && isWanted(r.sortKey));
      const max = q.countMax === 0 ? rows.length : q.countMax;
      return {
        rows: RowBlock.of(
          rows.slice(0, max).map((r) => ({
            key: r.sortKey,
            value: q.noValue ? undefined : r.value,
            expireTs: undefined,
          })),
        ),
        complete: rows.length <= max,
      };
    }
    case "sortkey_count":
      return {
        count:
          p.sorted().filter((r) => compareBytes(decodeKey(r.key)!.hashKey, q.hashKey) === 0).length,
      };
    case "batch_get": {
      const rows = q.keys.map((key: Uint8Array) => p.find(key)).filter((r: Any) => r !== undefined);
      const cut = rows.slice(0, cluster.scanBatch);
      return { rows: RowBlock.of(cut), complete: cut.length === rows.length };
    }
    case "get_scanner": {
      const rows = p.sorted().filter((r) => inRange(r.key, q) && passes(r, q));
      return batch(cluster, p, q, rows);
    }
    case "scan": {
      const held = p.scans.get(q.context);
      if (held === undefined) throw new Refusal(Err.SCAN_CONTEXT_LOST);
      p.scans.delete(q.context);
      return batch(cluster, p, (held as Any).request, held);
    }
    case "clear_scanner":
      return { released: p.scans.delete(q.context) };
  }
  throw new Refusal(Err.HANDLER_NOT_FOUND, name);
}

function batch(cluster: FakeCluster, p: FakePartition, q: Any, rows: FakeRow[]): unknown {
  const size = Math.min(cluster.scanBatch, q.batchSize);
  const rest = rows.slice(size);
  let context = 0;
  if (rest.length > 0) {
    context = cluster.nextContext++;
    p.scans.set(context, Object.assign(rest, { request: q }));
  }
  const now = rows.slice(0, size);
  const shown = q.countOnly ? [] : now.map((r) => ({
    key: r.key,
    value: q.noValue ? undefined : r.value,
    expireTs: q.returnExpireTs ? r.expireTs : undefined,
  }));
  return { context, rows: RowBlock.of(shown), count: q.countOnly ? now.length : 0 };
}

function wanted(q: Any): (sortKey: Uint8Array) => boolean {
  if (q.sortKeys.length > 0) {
    const set = new Set(q.sortKeys.map(toHex));
    return (sortKey) => set.has(toHex(sortKey));
  }
  return (sortKey) => {
    const low = compareBytes(sortKey, q.startSortKey);
    const high = q.stopSortKey.length === 0 ? -1 : compareBytes(sortKey, q.stopSortKey);
    return (low > 0 || (low === 0 && q.startInclusive)) &&
      (high < 0 || (high === 0 && q.stopInclusive)) && matches(sortKey, q.sortKeyFilter);
  };
}

function inRange(key: Uint8Array, q: Any): boolean {
  const low = compareBytes(key, q.startKey);
  const high = compareBytes(key, q.stopKey);
  return (low > 0 || (low === 0 && q.startInclusive)) &&
    (high < 0 || (high === 0 && q.stopInclusive));
}

function passes(row: FakeRow, q: Any): boolean {
  const { hashKey, sortKey } = decodeKey(row.key)!;
  return matches(hashKey, q.hashKeyFilter) && matches(sortKey, q.sortKeyFilter);
}

function matches(key: Uint8Array, filter: { type: string; pattern: Uint8Array }): boolean {
  const text = toHex(key);
  const pattern = toHex(filter.pattern);
  switch (filter.type) {
    case "prefix":
      return text.startsWith(pattern);
    case "postfix":
      return text.endsWith(pattern);
    case "anywhere":
      return text.includes(pattern);
    case "exact":
      return text === pattern;
  }
  return true;
}

function put(p: FakePartition, key: Uint8Array, value: Uint8Array, expireTs: number): undefined {
  p.rows.set(toHex(key), { key: key.slice(), value: value.slice(), expireTs });
}

function remove(p: FakePartition, key: Uint8Array): undefined {
  p.rows.delete(toHex(key));
}

function incr(p: FakePartition, q: Any): Uint8Array {
  const old = p.find(q.key);
  const before = old === undefined || old.value.length === 0 ? 0n : parseInt64(old.value);
  if (before === undefined) throw new Refusal(Err.INVALID_ARGUMENT, "The value is no integer");
  const expireTs = q.expireTs === 0 ? old?.expireTs ?? 0 : Math.max(0, q.expireTs);
  put(p, q.key, utf8(String(before + q.increment)), expireTs);
  return encode(rpc.incrResult, { newValue: before + q.increment });
}

function check(p: FakePartition, q: Any, apply: () => void): Uint8Array {
  const value = p.find(encodeKey(q.hashKey, q.checkSortKey))?.value;
  const outcome = checkCondition(rpc.CHECK_TYPES[q.checkType]!, value, q.checkOperand);
  if (outcome === "invalid") throw new Refusal(Err.INVALID_ARGUMENT, "The operand is no integer");
  if (outcome === "passed") apply();
  return encode(rpc.checkResult, {
    passed: outcome === "passed",
    checkExists: q.returnCheckValue ? value !== undefined : undefined,
    checkValue: q.returnCheckValue ? value ?? EMPTY : undefined,
  });
}
