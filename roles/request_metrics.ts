// Counts and times every request of a server: data operations by operation, table and partition, everything else
// by RPC, errors by name. Invariants: labels come from declarations and from tables this server serves, never
// from what a client sends, so no client can make series; counting allocates nothing after the first request of
// its kind. Page: docs/metrics.md, "Requests".

import { errorName } from "../src/base/errors.ts";
import { type PartitionId, tableOf } from "../src/base/ids.ts";
import type { CounterSeries, HistogramSeries } from "../src/observe/metric.ts";
import type { Metrics } from "../src/observe/metrics.ts";
import type { CallObserver } from "../src/rpc/options.ts";
import * as clientRpc from "../src/schema/client_rpc.ts";
import { rpcName } from "../src/schema/registry.ts";
import type { AnyRpc } from "../src/schema/rpc.ts";

/** Name of a table that this server knows. */
export type TableName = (tableId: number) => string | undefined;

const UNKNOWN_TABLE = "unknown";

/** Data operations, whose requests name a partition first, have the codes from here on. */
const CODE_FIRST = 100;
const SLOTS = 50;
/** Operations that write rows; the others read them, but for those that are free. */
const WRITES: ReadonlySet<number> = new Set(
  [
    clientRpc.Put,
    clientRpc.Remove,
    clientRpc.MultiPut,
    clientRpc.MultiRemove,
    clientRpc.Incr,
    clientRpc.CheckAndSet,
    clientRpc.CheckAndMutate,
  ].map(({ code }) => code),
);
const FREE: ReadonlySet<number> = new Set([
  clientRpc.OpenSession.code,
  clientRpc.ClearScanner.code,
]);

/** A capacity unit: requests are billed by what they move, at least one. */
const UNIT_BYTES = 4096;
/** A tag carries the units of a write, for its answer decides whether they count. */
const UNIT_BITS = 10;
const UNIT_MASK = (1 << UNIT_BITS) - 1;

/** Names of the data operations by slot, "" where there is none. */
export const OPERATIONS: readonly string[] = Array.from({ length: SLOTS }, (_, slot) => {
  const name = rpcName(CODE_FIRST + slot);
  return name.startsWith("rpc_") || CODE_FIRST + slot >= 150 ? "" : name;
});

/** What one partition was asked since it is here. */
export class PartitionCounts {
  /** By slot of {@link OPERATIONS}. */
  readonly requests: number[] = new Array(SLOTS).fill(0);
  writeBytes = 0;
  readBytes = 0;
  writeUnits = 0;
  readUnits = 0;
  errors = 0;

  /** Begins anew. */
  clear(): void {
    this.requests.fill(0);
    this.writeBytes = this.readBytes = 0;
    this.writeUnits = this.readUnits = 0;
    this.errors = 0;
  }
}

/** One partition, with the kinds of its operations. */
interface Place {
  readonly tableId: number;
  readonly counts: PartitionCounts;
  /** Number of the kind by slot; -1 = not asked yet. */
  readonly kinds: number[];
}

/** What a tag stands for: one operation on one partition, or one other RPC. */
interface Kind {
  readonly rpc: AnyRpc;
  readonly seconds: HistogramSeries;
  /** Absent for RPCs that are no data operation. */
  readonly data: DataKind | undefined;
}

interface DataKind {
  readonly requestBytes: CounterSeries;
  readonly responseBytes: CounterSeries;
  /** Absent: free. */
  readonly units: CounterSeries | undefined;
  readonly isWrite: boolean;
  readonly counts: PartitionCounts;
}

/** Sees the keys of requests while somebody looks for hot ones. */
export interface KeyWatch {
  /** Nobody looks: nothing is called. */
  readonly isIdle: boolean;
  see(partition: PartitionId, rpc: AnyRpc, request: unknown, isWrite: boolean): void;
}

/** See the file comment. */
export class RequestMetrics implements CallObserver {
  readonly #metrics: Metrics["requests"];
  readonly #kinds: Kind[] = [];
  readonly #places = new Map<PartitionId, Place>();
  /** Kinds of the RPCs that are no data operation, by code. */
  readonly #rpcs = new Map<number, number>();
  /** Names under which the kinds of a table were made. */
  readonly #names = new Map<number, string>();
  /** Requests for what is not here: one place, whatever a client makes up. */
  readonly #nowhere = newPlace(0);
  #tableName: TableName = () => undefined;
  #holds: (partition: PartitionId) => boolean = () => true;
  #watch: KeyWatch | undefined;

  constructor(metrics: Metrics["requests"]) {
    this.#metrics = metrics;
  }

  /** Where names of tables come from; before, every table is "unknown". */
  set tableName(tableName: TableName) {
    this.#tableName = tableName;
  }

  /** Which partitions are here; requests for others are counted without their partition. */
  set holds(holds: (partition: PartitionId) => boolean) {
    this.#holds = holds;
  }

  set watch(watch: KeyWatch) {
    this.#watch = watch;
  }

  /** Sums of a partition; `undefined` if it was never asked. */
  countsOf(partition: PartitionId): PartitionCounts | undefined {
    return this.#places.get(partition)?.counts;
  }

  /** Sums of all other partitions begin anew: they left, and if one comes back, it counts from zero. */
  keepOnly(partitions: ReadonlySet<PartitionId>): void {
    for (const [partition, { counts }] of this.#places) {
      if (!partitions.has(partition)) counts.clear();
    }
  }

  /** How long data operations took, by table name and operation. */
  *latencies(): Generator<{ operation: string; table: string; counts: readonly number[] }> {
    for (const { values: [operation, table], series } of this.#metrics.operationSeconds.entries()) {
      yield { operation: operation!, table: table!, counts: series.counts };
    }
  }

  /** A table was renamed: its next request gets series of the new name. */
  tablesChanged(): void {
    for (const [tableId, name] of this.#names) {
      if (this.#tableName(tableId) === name) continue;
      this.#names.delete(tableId);
      for (const place of this.#places.values()) {
        if (place.tableId === tableId) place.kinds.fill(-1);
      }
    }
  }

  /** With `answered` and `took` 72 ns, 20 of them because partitions are counted, too. */
  started(rpc: AnyRpc, request: unknown, bytes: number): number {
    const slot = rpc.code - CODE_FIRST;
    if (slot < 0 || slot >= SLOTS) {
      return (this.#rpcs.get(rpc.code) ?? this.#addRpc(rpc)) << UNIT_BITS;
    }
    const { partition } = request as { readonly partition: PartitionId };
    const place = this.#places.get(partition) ?? this.#placeOf(partition);
    let index = place.kinds[slot]!;
    if (index < 0) index = place.kinds[slot] = this.#addOperation(rpc, place);
    const data = this.#kinds[index]!.data!;
    data.requestBytes.value += bytes;
    place.counts.requests[slot]!++;
    const watch = this.#watch;
    if (watch !== undefined && !watch.isIdle) watch.see(partition, rpc, request, data.isWrite);
    if (!data.isWrite) return index << UNIT_BITS;
    place.counts.writeBytes += bytes;
    return (index << UNIT_BITS) | Math.min(UNIT_MASK, unitsOf(bytes));
  }

  answered(tag: number, error: number, bytes: number): void {
    const { data, rpc } = this.#kinds[tag >>> UNIT_BITS]!;
    if (error !== 0) {
      this.#metrics.errors.child(rpc.name, errorName(error)).add();
      if (data !== undefined) data.counts.errors++;
      return;
    }
    if (data === undefined) return;
    data.responseBytes.value += bytes;
    const { units, counts } = data;
    if (units === undefined) return;
    const amount = data.isWrite ? tag & UNIT_MASK : unitsOf(bytes);
    units.value += amount;
    if (data.isWrite) {
      counts.writeUnits += amount;
      return;
    }
    counts.readUnits += amount;
    counts.readBytes += bytes;
  }

  took(tag: number, ms: number): void {
    this.#kinds[tag >>> UNIT_BITS]!.seconds.record(ms / 1000);
  }

  refused(rpcCode: number, error: number): void {
    // A code nobody declared is the client's invention.
    const name = rpcName(rpcCode);
    const label = name === `rpc_${rpcCode}` ? "unknown" : name;
    this.#metrics.errors.child(label, errorName(error)).add();
  }

  #addRpc(rpc: AnyRpc): number {
    const seconds = this.#metrics.rpcSeconds.child(rpc.name);
    const index = this.#kinds.push({ rpc, seconds, data: undefined }) - 1;
    this.#rpcs.set(rpc.code, index);
    return index;
  }

  #placeOf(partition: PartitionId): Place {
    const tableId = tableOf(partition);
    if (this.#tableName(tableId) === undefined || !this.#holds(partition)) return this.#nowhere;
    const place = newPlace(tableId);
    this.#places.set(partition, place);
    return place;
  }

  #addOperation(rpc: AnyRpc, { tableId, counts }: Place): number {
    const name = this.#tableName(tableId);
    const labels = [rpc.name, name ?? UNKNOWN_TABLE] as const;
    const isWrite = WRITES.has(rpc.code);
    const units = FREE.has(rpc.code)
      ? undefined
      : this.#metrics.capacityUnits.child(isWrite ? "write" : "read", labels[1]);
    const index = this.#kinds.push({
      rpc,
      seconds: this.#metrics.operationSeconds.child(...labels),
      data: {
        requestBytes: this.#metrics.operationRequestBytes.child(...labels),
        responseBytes: this.#metrics.operationResponseBytes.child(...labels),
        ...{ units, isWrite, counts },
      },
    }) - 1;
    if (name !== undefined) this.#names.set(tableId, name);
    return index;
  }
}

function newPlace(tableId: number): Place {
  return { tableId, counts: new PartitionCounts(), kinds: new Array(SLOTS).fill(-1) };
}

function unitsOf(bytes: number): number {
  return bytes <= UNIT_BYTES ? 1 : Math.ceil(bytes / UNIT_BYTES);
}
