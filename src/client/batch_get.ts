// batchGet: rows of many hash keys, one request per partition involved, all at once. Not a view of one moment.

import { Err, StoreError } from "../base/errors.ts";
import { EMPTY, equalBytes } from "../base/bytes.ts";
import { decodeKey, partitionIndexOfKey } from "../schema/key_format.ts";
import type { Row } from "../schema/types.ts";
import { BATCH_GET } from "./call_specs.ts";
import { Call, type TableState } from "./call.ts";
import type { Executor } from "./execute.ts";
import type { StaleHead, TableRow } from "./options.ts";
import { takeChunk } from "./requests.ts";
import type { RouteMap } from "./route_map.ts";

/** Keys of one request. */
const KEYS_MAX = 5000;

/** What to read. `keys` are raw keys. */
export interface BatchGetRequest {
  readonly keys: readonly Uint8Array[];
  readonly timeoutMs: number;
  readonly head: StaleHead;
}

/** The rows that exist, in no particular order; a key given twice has its row twice. @throws {StoreError} */
export async function batchGet(
  executor: Executor,
  state: TableState,
  request: BatchGetRequest,
): Promise<TableRow[]> {
  const deadline = executor.now() + request.timeoutMs;
  for (;;) {
    const map = await state.resolver.load(deadline);
    const groups = groupByPartition(request.keys, map.partitionCount);
    try {
      const parts = await Promise.all(
        [...groups].map(([index, keys]) =>
          readPartition(executor, state, map, { index, keys, deadline, head: request.head })
        ),
      );
      return parts.flat();
    } catch (error) {
      // The table changed its shape between grouping and sending: group again, by the new one.
      const isShape = error instanceof StoreError && error.code === Err.PARENT_PARTITION_MISUSED;
      if (!isShape || executor.now() >= deadline) throw error;
    }
  }
}

function groupByPartition(
  keys: readonly Uint8Array[],
  partitionCount: number,
): Map<number, Uint8Array[]> {
  const groups = new Map<number, Uint8Array[]>();
  for (const key of keys) {
    const index = partitionIndexOfKey(key, partitionCount)!;
    const group = groups.get(index);
    if (group === undefined) groups.set(index, [key]);
    else group.push(key);
  }
  return groups;
}

async function readPartition(
  executor: Executor,
  state: TableState,
  map: RouteMap,
  part: { index: number; keys: Uint8Array[]; deadline: number; head: StaleHead },
): Promise<TableRow[]> {
  const { tableId, partitionCount } = map;
  const { index, head } = part;
  const target = {
    hashKey: EMPTY,
    sortKey: EMPTY,
    pin: { tableId, partitionCount, index },
    head,
  };
  const rows: TableRow[] = [];
  const rest = part.keys;
  while (rest.length > 0) {
    const keys = takeChunk(rest, KEYS_MAX, 0);
    const startedAt = executor.now();
    const timing = { kind: "read" as const, startedAt, timeoutMs: part.deadline - startedAt };
    const request = { partition: 0, ...head, keys };
    const answer = await executor.run(new Call(state, BATCH_GET, request, target, timing));
    for (const row of answer.rows) {
      const key = decodeKey(row.key);
      if (key !== undefined) rows.push({ ...key, value: row.value ?? EMPTY });
    }
    if (answer.complete) continue;
    rest.unshift(...afterLast(keys, answer.rows));
  }
  return rows;
}

/**
 * What is left after an answer that a limit cut short: servers look keys up in the order given, so the rows belong to
 * some of the keys, in that order. A key given twice has its row twice.
 */
function afterLast(keys: Uint8Array[], rows: readonly Row[]): Uint8Array[] {
  if (rows.length === 0) {
    throw new StoreError(Err.CAPACITY_EXCEEDED, "The server's limits do not allow even one row");
  }
  let at = 0;
  for (const row of rows) {
    while (at < keys.length && !equalBytes(keys[at]!, row.key)) at++;
    if (at === keys.length) {
      throw new StoreError(Err.PROTOCOL_ERROR, "A server sent a row that was not asked for");
    }
    at++;
  }
  return keys.slice(at);
}
