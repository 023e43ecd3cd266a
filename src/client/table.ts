// The data operations of one table. Each method checks its arguments, names the partition by its key and
// hands one call to the executor; what an operation does is specified in docs/data_api.md, how it is
// repeated in docs/client.md. Keys and values may be bytes or text, results are always bytes.

import { encodeKey } from "../schema/key_format.ts";
import { batchGet } from "./batch_get.ts";
import * as specs from "./call_specs.ts";
import { Call, type CallSpec, type TableState, type Target } from "./call.ts";
import type { Executor } from "./execute.ts";
import { ANY_AGE, type Data, type MultiGetResult, type StaleHead } from "./options.ts";
import { toBytes, toExpireTs, toGroupKey, toHashKey, toStaleHead, toTimeoutMs } from "./options.ts";
import type {
  CallOptions,
  Check,
  CheckOutcome,
  MultiGetRange,
  Mutate,
  ReadOptions,
  SetOptions,
  SortKeyRange,
  TableRow,
  WriteOptions,
} from "./options.ts";
import * as requests from "./requests.ts";
import {
  checkFullScan,
  type FullScanOptions,
  fullScanParts,
  hashScanPart,
  type ScanOptions,
} from "./scan_plan.ts";
import { Scan } from "./scanner.ts";

/** Defaults of a table's operations. */
export interface TableDefaults {
  readonly timeoutMs: number;
  readonly exactlyOnce: boolean;
  /** After this many ms without an answer a single read also asks another replica; 0 = never. */
  readonly hedgeAfterMs: number;
}

/** Most sort keys removed by one request of multiDelRange. */
const DELETE_CHUNK = 100;
const CLEAR_TTL = -1;
/** Partitions that a scan of the whole table reads at the same time, by default. */
const PARALLEL = 4;

/** A table. Get one from `cluster.table(name)`; it costs nothing until it is used. */
export class Table {
  readonly name: string;
  readonly #executor: Executor;
  readonly #state: TableState;
  readonly #defaults: TableDefaults;

  constructor(executor: Executor, state: TableState, defaults: TableDefaults) {
    this.name = state.name;
    this.#executor = executor;
    this.#state = state;
    this.#defaults = defaults;
  }

  // ---- one row --------------------------------------------------------------------------------------

  /** Value of a row; `undefined` if there is none. @throws {StoreError} */
  get(hashKey: Data, sortKey: Data, options?: ReadOptions): Promise<Uint8Array | undefined> {
    const target = requests.rowTarget(this.#executor.slab, hashKey, sortKey, options);
    const { key } = target;
    return this.#read(
      specs.GET,
      ({ stale, stalenessMaxMs }) => ({ partition: 0, stale, key, stalenessMaxMs }),
      target,
      options,
    );
  }

  /** Remaining life of a row in seconds; -1 = for ever; `undefined` if there is no such row. */
  ttl(hashKey: Data, sortKey: Data, options?: ReadOptions): Promise<number | undefined> {
    const target = requests.rowTarget(this.#executor.slab, hashKey, sortKey, options);
    const { key } = target;
    return this.#read(specs.TTL, (head) => ({ partition: 0, ...head, key }), target, options);
  }

  /** Whether a row exists. */
  async exist(hashKey: Data, sortKey: Data, options?: ReadOptions): Promise<boolean> {
    return await this.ttl(hashKey, sortKey, options) !== undefined;
  }

  /**
   * Stores a row, replacing value and TTL.
   *
   * @param value Bytes are not copied, here and in every other write: they must not change before the promise settles.
   * @throws {StoreError}
   */
  set(hashKey: Data, sortKey: Data, value: Data, options?: SetOptions): Promise<void> {
    const target = requests.rowTarget(this.#executor.slab, hashKey, sortKey);
    return this.#write(
      specs.PUT,
      {
        ...requests.writeHead(),
        key: target.key,
        value: this.#executor.slab.bytes(value),
        expireTs: this.#expireTs(options?.ttl),
      },
      target,
      options,
    );
  }

  /** Removes a row, whether it exists or not. */
  del(hashKey: Data, sortKey: Data, options?: WriteOptions): Promise<void> {
    const target = requests.rowTarget(this.#executor.slab, hashKey, sortKey);
    const { key } = target;
    return this.#write(specs.REMOVE, { ...requests.writeHead(), key }, target, options);
  }

  /**
   * Adds to an integer stored as decimal text and returns the new value. A missing or empty row counts as 0.
   *
   * @param options `ttl`: absent or 0 keeps the row's life, > 0 sets it, -1 makes it endless.
   * @throws {StoreError} INVALID_ARGUMENT if the value is no integer, or the sum exceeds 64 bits.
   */
  incr(
    hashKey: Data,
    sortKey: Data,
    increment: bigint | number = 1n,
    options?: SetOptions,
  ): Promise<bigint> {
    const target = requests.rowTarget(this.#executor.slab, hashKey, sortKey);
    const amount = requests.toInt64(increment);
    const ttl = options?.ttl;
    const expireTs = ttl === CLEAR_TTL ? -1 : this.#expireTs(ttl);
    const { key } = target;
    const request = { ...requests.writeHead(), key, increment: amount, expireTs };
    return this.#write(specs.INCR, request, target, options);
  }

  // ---- many rows of one hash key ----------------------------------------------------------------------

  /** Rows by a list of sort keys, or by a range of them. The rows come in ascending order. */
  multiGet(
    hashKey: Data,
    which: readonly Data[] | MultiGetRange = {},
    options?: ReadOptions,
  ): Promise<MultiGetResult> {
    const isList = Array.isArray(which);
    const range: MultiGetRange = isList ? {} : which as MultiGetRange;
    const sortKeys = isList ? (which as readonly Data[]).map(toBytes) : [];
    // On the wire an empty list means "the range".
    if (isList && sortKeys.length === 0) return Promise.resolve({ rows: [], complete: true });
    const how = isList ? options : range;
    if (isList) requests.needSome(sortKeys, "sort keys");
    const target = requests.groupTarget(hashKey, how);
    return this.#read(
      specs.MULTI_GET,
      (head) => requests.multiGetRequest(head, target.hashKey, sortKeys, range),
      target,
      how,
    );
  }

  /** Sort keys of a hash key, in ascending order. `complete` as in {@link multiGet}. */
  async multiGetSortKeys(
    hashKey: Data,
    range: MultiGetRange = {},
  ): Promise<{ sortKeys: Uint8Array[]; complete: boolean }> {
    const { rows, complete } = await this.multiGet(hashKey, { ...range, noValue: true });
    return { sortKeys: rows.map((row) => row.sortKey), complete };
  }

  /** Number of rows of a hash key; -1 if counting took too long for the server. */
  sortKeyCount(hashKey: Data, options?: ReadOptions): Promise<number> {
    const target = requests.groupTarget(hashKey, options);
    return this.#read(
      specs.SORT_KEY_COUNT,
      (head) => ({ partition: 0, ...head, hashKey: target.hashKey }),
      target,
      options,
    );
  }

  /** Stores several rows of a hash key atomically, with one TTL. */
  multiSet(
    hashKey: Data,
    rows: readonly { readonly sortKey: Data; readonly value: Data }[],
    options?: SetOptions,
  ): Promise<void> {
    const target = requests.groupTarget(hashKey);
    requests.needSome(rows, "rows");
    const { slab } = this.#executor;
    return this.#write(
      specs.MULTI_PUT,
      {
        ...requests.writeHead(),
        hashKey: target.hashKey,
        rows: rows.map((r) => ({ sortKey: slab.bytes(r.sortKey), value: slab.bytes(r.value) })),
        expireTs: this.#expireTs(options?.ttl),
      },
      target,
      options,
    );
  }

  /** Removes several rows of a hash key atomically. @returns How many sort keys were named. */
  multiDel(hashKey: Data, sortKeys: readonly Data[], options?: WriteOptions): Promise<number> {
    const target = requests.groupTarget(hashKey);
    requests.needSome(sortKeys, "sort keys");
    const request = {
      ...requests.writeHead(),
      hashKey: target.hashKey,
      sortKeys: sortKeys.map(toBytes),
    };
    return this.#write(specs.MULTI_REMOVE, request, target, options);
  }

  /**
   * Removes a range of sort keys by scanning it, 100 rows per write. Not atomic: rows that appear meanwhile
   * may stay, and after an error an unknown part is gone.
   *
   * @returns How many rows were removed.
   */
  async multiDelRange(
    hashKey: Data,
    range: SortKeyRange = {},
    options?: WriteOptions & { readonly onChunk?: (sortKeys: readonly Uint8Array[]) => void },
  ): Promise<number> {
    let removed = 0;
    const scan = this.scan(hashKey, { ...range, noValue: true, batchSize: DELETE_CHUNK });
    for await (const rows of scan.batches()) {
      const all = rows.map((row) => row.sortKey);
      while (all.length > 0) {
        const sortKeys = requests.takeChunk(all, DELETE_CHUNK, rows[0]!.hashKey.length);
        removed += await this.multiDel(hashKey, sortKeys, options);
        options?.onChunk?.(sortKeys);
      }
    }
    return removed;
  }

  /** Stores a row if a check on a row of the same hash key holds. `set` absent = the checked row. */
  checkAndSet(
    hashKey: Data,
    check: Check,
    set: { readonly sortKey?: Data; readonly value: Data; readonly ttl?: number },
    options?: WriteOptions,
  ): Promise<CheckOutcome> {
    const target = requests.groupTarget(hashKey);
    const request = {
      ...requests.writeHead(),
      ...requests.checkHead(target.hashKey, check),
      setSortKey: set.sortKey === undefined ? undefined : toBytes(set.sortKey),
      setValue: toBytes(set.value),
      expireTs: this.#expireTs(set.ttl),
    };
    return this.#write(specs.CHECK_AND_SET, request, target, options);
  }

  /** Applies puts and removals in order, all or none, if a check on a row of the hash key holds. */
  checkAndMutate(
    hashKey: Data,
    check: Check,
    mutations: readonly Mutate[],
    options?: WriteOptions,
  ): Promise<CheckOutcome> {
    const target = requests.groupTarget(hashKey);
    requests.needSome(mutations, "mutations");
    const wall = this.#executor.wall();
    const request = {
      ...requests.writeHead(),
      ...requests.checkHead(target.hashKey, check),
      mutations: mutations.map((change) => requests.mutateOp(change, wall)),
    };
    return this.#write(specs.CHECK_AND_MUTATE, request, target, options);
  }

  /**
   * Replaces a value if it is the expected one.
   *
   * @param expected The value that must be there; `undefined` = the row must not exist.
   * @returns Whether it was replaced, and what was there before.
   */
  async compareExchange(
    hashKey: Data,
    sortKey: Data,
    expected: Data | undefined,
    desired: Data,
    options?: SetOptions,
  ): Promise<{ exchanged: boolean; actual: Uint8Array | undefined }> {
    const check: Check = expected === undefined
      ? { sortKey, type: "not_exist", returnValue: true }
      : { sortKey, type: "bytes_equal", operand: expected, returnValue: true };
    const set = { value: desired, ...(options?.ttl === undefined ? {} : { ttl: options.ttl }) };
    const { passed, value } = await this.checkAndSet(hashKey, check, set, options);
    return { exchanged: passed, actual: value };
  }

  // ---- many hash keys ---------------------------------------------------------------------------------

  /**
   * Rows by (hash key, sort key), one request per partition involved, in no particular order. Missing rows are left
   * out; a key given twice has its row twice.
   */
  batchGet(
    keys: readonly { readonly hashKey: Data; readonly sortKey: Data }[],
    options?: ReadOptions,
  ): Promise<TableRow[]> {
    return batchGet(this.#executor, this.#state, {
      keys: keys.map((k) => encodeKey(toHashKey(k.hashKey), toBytes(k.sortKey))),
      timeoutMs: this.#timeoutMs(options),
      head: toStaleHead(options?.stale),
    });
  }

  /** Rows of one hash key, in order, without an upper limit. */
  scan(hashKey: Data, options: SortKeyRange & ScanOptions = {}): Scan {
    const key = toGroupKey(hashKey);
    return new Scan(this.#executor, this.#state, options, () => [hashScanPart(key, options)], 0);
  }

  /** All rows of the table, partition by partition, several partitions at a time; in no overall order. */
  fullScan(options: FullScanOptions = {}): Scan {
    checkFullScan(options);
    return new Scan(
      this.#executor,
      this.#state,
      options,
      (partitionCount) => fullScanParts(partitionCount, options),
      options.parallel ?? PARALLEL,
    );
  }

  // ---- inside -----------------------------------------------------------------------------------------

  #timeoutMs(options: CallOptions | undefined): number {
    const own = options?.timeoutMs;
    return own === undefined ? this.#defaults.timeoutMs : toTimeoutMs(own);
  }

  #expireTs(ttl: number | undefined): number {
    // Most rows have no TTL, and the clock costs 200 ns.
    return ttl === undefined || ttl === 0 ? 0 : toExpireTs(ttl, this.#executor.wall());
  }

  #read<Q, A, T>(
    spec: CallSpec<Q, A, T>,
    request: (head: StaleHead) => Q,
    target: requests.ReadTarget,
    options: ReadOptions | undefined,
  ): Promise<T> {
    const executor = this.#executor;
    const timing = {
      kind: "read" as const,
      startedAt: executor.now(),
      timeoutMs: this.#timeoutMs(options),
    };
    const call = new Call(this.#state, spec, request(target.head), target, timing);
    const first = executor.run(call);
    const hedgeAfterMs = options?.hedgeAfterMs ?? this.#defaults.hedgeAfterMs;
    if (target.head.stale || hedgeAfterMs === 0) return first;
    return executor.hedges.run(first, timing.startedAt + hedgeAfterMs, () => {
      if (!executor.hasFollower(call)) return undefined;
      const elsewhere = { ...target, head: ANY_AGE };
      const again = new Call(this.#state, spec, request(ANY_AGE), elsewhere, timing);
      return executor.run(again, executor.now());
    });
  }

  #write<Q, A, T>(
    spec: CallSpec<Q, A, T>,
    request: Q,
    target: Target,
    options: WriteOptions | undefined,
  ): Promise<T> {
    requests.checkSize(spec.bytes?.(request) ?? 0);
    const isOnce = options?.exactlyOnce ?? this.#defaults.exactlyOnce;
    const timing = {
      kind: isOnce ? "once" as const : "bare" as const,
      startedAt: this.#executor.now(),
      timeoutMs: this.#timeoutMs(options),
    };
    return this.#executor.run(new Call(this.#state, spec, request, target, timing));
  }
}
