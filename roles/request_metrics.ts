// Counts and times every request of a server: data operations by operation and table, everything else by
// RPC, errors by name. Invariant: labels come from declarations and from tables this server serves, never
// from what a client sends, so no client can make series. Page: docs/metrics.md, "Requests".

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
/** Codes are 16 bits (schema/rpc.ts). */
const CODE_END = 65_536;

/** What one tag stands for. */
interface Kind {
  readonly rpc: AnyRpc;
  readonly seconds: HistogramSeries;
  readonly requestBytes: CounterSeries | undefined;
  readonly responseBytes: CounterSeries | undefined;
}

/** Codes of requests that name a partition first: the data operations. */
const DATA_CODES: ReadonlySet<number> = new Set(
  Object.values<unknown>(clientRpc).filter(isRpc).map(({ code }) => code)
    .filter((code) => code !== clientRpc.ServerInfo.code),
);

function isRpc(value: unknown): value is AnyRpc {
  return typeof value === "object" && value !== null && "code" in value && "request" in value;
}

/** See the file comment. */
export class RequestMetrics implements CallObserver {
  readonly #metrics: Metrics["requests"];
  readonly #kinds: Kind[] = [];
  /** Tags by table and code, and by code for the rest. */
  readonly #tags = new Map<number, number>();
  /** Names under which the tags of a table were made. */
  readonly #names = new Map<number, string>();
  #tableName: TableName = () => undefined;

  constructor(metrics: Metrics["requests"]) {
    this.#metrics = metrics;
  }

  /** Where names of tables come from; before, every table is "unknown". */
  set tableName(tableName: TableName) {
    this.#tableName = tableName;
  }

  /** A table was renamed: its next request gets series of the new name. */
  tablesChanged(): void {
    for (const [tableId, name] of this.#names) {
      if (this.#tableName(tableId) === name) continue;
      this.#names.delete(tableId);
      for (const code of DATA_CODES) this.#tags.delete(tableId * CODE_END + code);
    }
  }

  started(rpc: AnyRpc, request: unknown, bytes: number): number {
    const { code } = rpc;
    if (!DATA_CODES.has(code)) return this.#tags.get(code) ?? this.#addRpc(rpc);
    const tableId = tableOf((request as { readonly partition: PartitionId }).partition);
    const tag = this.#tags.get(tableId * CODE_END + code) ?? this.#addOperation(rpc, tableId);
    this.#kinds[tag]!.requestBytes!.value += bytes;
    return tag;
  }

  answered(tag: number, error: number, bytes: number): void {
    const kind = this.#kinds[tag]!;
    if (error !== 0) this.#metrics.errors.child(kind.rpc.name, errorName(error)).add();
    else if (kind.responseBytes !== undefined) kind.responseBytes.value += bytes;
  }

  took(tag: number, ms: number): void {
    this.#kinds[tag]!.seconds.record(ms / 1000);
  }

  refused(rpcCode: number, error: number): void {
    // A code nobody declared is the client's invention.
    const name = rpcName(rpcCode);
    const label = name === `rpc_${rpcCode}` ? "unknown" : name;
    this.#metrics.errors.child(label, errorName(error)).add();
  }

  #addRpc(rpc: AnyRpc): number {
    const seconds = this.#metrics.rpcSeconds.child(rpc.name);
    const tag = this.#kinds.length;
    this.#kinds.push({ rpc, seconds, requestBytes: undefined, responseBytes: undefined });
    // Table 0 does not exist, so a bare code collides with no operation.
    this.#tags.set(rpc.code, tag);
    return tag;
  }

  #addOperation(rpc: AnyRpc, tableId: number): number {
    const name = this.#tableName(tableId);
    // Whatever table a client made up, there is one tag for it.
    const key = (name === undefined ? -1 : tableId) * CODE_END + rpc.code;
    const known = this.#tags.get(key);
    if (known !== undefined) return known;
    const labels = [rpc.name, name ?? UNKNOWN_TABLE] as const;
    const tag = this.#kinds.length;
    this.#kinds.push({
      rpc,
      seconds: this.#metrics.operationSeconds.child(...labels),
      requestBytes: this.#metrics.operationRequestBytes.child(...labels),
      responseBytes: this.#metrics.operationResponseBytes.child(...labels),
    });
    this.#tags.set(key, tag);
    if (name !== undefined) this.#names.set(tableId, name);
    return tag;
  }
}
