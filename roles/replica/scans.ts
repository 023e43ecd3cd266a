// Scans that last longer than one answer: the iterators a replica keeps open between batches, so that a scan
// sees one moment. Invariant: every context is either in the map or in the hands of exactly one running
// batch; its name is used once, so a repeated request never skips rows. docs/data_api.md, "Scans".

import { EMPTY } from "../../src/base/bytes.ts";
import { Err } from "../../src/base/errors.ts";
import type { GetScanner, GetScannerRequest, Scan } from "../../src/schema/client_rpc.ts";
import {
  decodeKey,
  encodeKey,
  HASH_KEY_BYTES_MAX,
  nextHashKey,
  USER_KEYS_END,
  USER_KEYS_START,
} from "../../src/schema/key_format.ts";
import { RowBlock } from "../../src/schema/row_block.ts";
import type { RequestOf, ResponseOf } from "../../src/schema/rpc.ts";
import { expireTsOf, isExpired, userDataOf } from "../../src/schema/value_format.ts";
import type { Entry, RangeOptions } from "../../storage/engine.ts";
import { RangeReader } from "./range_reader.ts";
import {
  type Answer,
  type Bound,
  earlierBound,
  laterBound,
  matchesFilter,
  narrow,
  type ReadScope,
} from "./reads.ts";

interface OpenScan {
  readonly reader: RangeReader;
  readonly request: GetScannerRequest;
  /** Monotonic ms from which on the scan may be given up. */
  idleUntil: number;
}

type Batch = ResponseOf<typeof Scan>;

/** See the file comment. One per replica and engine. */
export class ScanContexts {
  readonly #idle = new Map<number, OpenScan>();
  readonly #running = new Set<Promise<unknown>>();
  readonly #prefix: number;
  #counter = 0;
  #closed = false;

  /**
   * @param chance 32 random bits that tell the contexts of this object from those of its predecessors, whose names
   * clients may still hold.
   */
  constructor(chance: number) {
    // A name is 21 random bits, not all 0, and a 32-bit counter: a safe integer.
    this.#prefix = (1 + (chance >>> 0) % 0x1f_ffff) * 0x1_0000_0000;
  }

  /** Scans that are open, between or inside batches. */
  get size(): number {
    return this.#idle.size + this.#running.size;
  }

  /** get_scanner: opens a scan and reads its first batch. @throws {EngineError} */
  async open(scope: ReadScope, request: GetScannerRequest): Promise<Answer<typeof GetScanner>> {
    if (this.#closed) return Err.INVALID_STATE;
    const { type, pattern } = request.hashKeyFilter;
    if (pattern.length > HASH_KEY_BYTES_MAX && type !== "none") return Err.INVALID_ARGUMENT;
    this.expire(scope.now());
    if (this.size >= scope.limits.scanContextsMax) return Err.BUSY;
    const range = scanRange(request);
    if (range === undefined) return { context: 0, rows: new RowBlock(), count: 0 };
    const { endOfTurn } = scope;
    const reader = new RangeReader(scope.engine.range(range), { readsAhead: true, endOfTurn });
    return await this.#run(scope, { reader, request, idleUntil: 0 });
  }

  /** scan: the next batch. @throws {EngineError} */
  async next(scope: ReadScope, request: RequestOf<typeof Scan>): Promise<Answer<typeof Scan>> {
    this.expire(scope.now());
    const scan = this.#idle.get(request.context);
    if (scan === undefined) return Err.SCAN_CONTEXT_LOST;
    this.#idle.delete(request.context);
    return await this.#run(scope, scan);
  }

  /** clear_scanner: whether the context was held. */
  clear(context: number): boolean {
    const scan = this.#idle.get(context);
    if (scan === undefined) return false;
    this.#idle.delete(context);
    this.#release(scan);
    return true;
  }

  /** Gives up scans nobody continued; call it from time to time with the monotonic clock. */
  expire(now: number): void {
    // Oldest first: every batch puts its scan at the end, and all have the same patience.
    for (const [context, scan] of this.#idle) {
      if (scan.idleUntil > now) return;
      this.clear(context);
    }
  }

  /** Gives up every scan, for good; waits for running batches. Call it before the engine closes. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const context of [...this.#idle.keys()]) this.clear(context);
    // A batch that ends adds the closing of its iterator.
    while (this.#running.size > 0) await Promise.allSettled([...this.#running]);
  }

  async #run(scope: ReadScope, scan: OpenScan): Promise<Batch> {
    const reading = readBatch(scope, scan);
    this.#running.add(reading);
    let more = false;
    try {
      const batch = await reading;
      more = batch.more && !this.#closed;
      const context = more ? this.#keep(scope, scan) : 0;
      // A scan that was cut short by closing must not look finished.
      if (batch.more && !more) {
        return { context: this.#newName(), rows: batch.rows, count: batch.count };
      }
      return { context, rows: batch.rows, count: batch.count };
    } finally {
      this.#running.delete(reading);
      if (!more) this.#release(scan);
    }
  }

  #keep(scope: ReadScope, scan: OpenScan): number {
    const context = this.#newName();
    scan.idleUntil = scope.now() + scope.limits.scanIdleMsMax;
    this.#idle.set(context, scan);
    return context;
  }

  #newName(): number {
    this.#counter = (this.#counter + 1) >>> 0;
    return this.#prefix + this.#counter;
  }

  #release(scan: OpenScan): void {
    const closing = scan.reader.close().catch(() => {
      // Closing an iterator frees memory; a closed engine has done so already.
    });
    this.#running.add(closing);
    closing.finally(() => this.#running.delete(closing));
  }
}

async function readBatch(
  scope: ReadScope,
  scan: OpenScan,
): Promise<{ rows: RowBlock; count: number; more: boolean }> {
  const { limits, nowSeconds } = scope;
  const { reader, request } = scan;
  const rowsMax = Math.min(
    request.batchSize === 0 ? Infinity : request.batchSize,
    limits.scanRowsMax,
  );
  const deadline = scope.now() + limits.rangeTimeMsMax;
  const rows = new RowBlock();
  let matched = 0;
  let examined = 0;
  let stopped = false;
  while (!stopped && await reader.fill(limits.scanExaminedMax - examined)) {
    for (let entry = reader.take(); entry !== undefined; entry = reader.take()) {
      examined++;
      if (matches(entry, request, nowSeconds)) {
        matched++;
        if (!request.countOnly) addRow(rows, entry, request);
      }
      stopped = rows.count >= rowsMax || rows.dataBytes >= limits.scanBytesMax ||
        examined >= limits.scanExaminedMax;
      if (stopped) break;
    }
    stopped ||= scope.now() > deadline;
  }
  return { rows, count: request.countOnly ? matched : 0, more: await reader.fill() };
}

/** Whether a row lives, and passes the filters. */
function matches([key, stored]: Entry, request: GetScannerRequest, nowSeconds: number): boolean {
  if (isExpired(stored, nowSeconds)) return false;
  const { hashKeyFilter, sortKeyFilter } = request;
  if (hashKeyFilter.type === "none" && sortKeyFilter.type === "none") return true;
  const parts = decodeKey(key);
  return parts !== undefined && matchesFilter(parts.hashKey, hashKeyFilter) &&
    matchesFilter(parts.sortKey, sortKeyFilter);
}

function addRow(rows: RowBlock, [key, stored]: Entry, request: GetScannerRequest): void {
  const value = request.noValue ? undefined : userDataOf(stored);
  rows.add(key, value, request.returnExpireTs ? expireTsOf(stored) : undefined);
}

/** The raw keys to read; `undefined` if there are none. Rows of the replica itself are never inside. */
function scanRange(request: GetScannerRequest): RangeOptions | undefined {
  const { startKey, stopKey, hashKeyFilter } = request;
  let low: Bound = { key: USER_KEYS_START, inclusive: true };
  let high: Bound = { key: USER_KEYS_END, inclusive: false };
  if (startKey.length > 0) {
    low = laterBound(low, { key: startKey, inclusive: request.startInclusive });
  }
  if (stopKey.length > 0) {
    high = earlierBound(high, { key: stopKey, inclusive: request.stopInclusive });
  }
  const { type, pattern } = hashKeyFilter;
  if ((type === "prefix" || type === "exact") && pattern.length > 0) {
    // Keys sort by the length of their hash key first: a prefix bounds them only from below.
    low = laterBound(low, { key: encodeKey(pattern, EMPTY), inclusive: true });
    if (type === "exact") {
      high = earlierBound(high, { key: nextHashKey(pattern), inclusive: false });
    }
  }
  return narrow(low, high);
}
