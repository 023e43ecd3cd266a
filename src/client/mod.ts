// The public door of the client library, for Deno and Node. Everything an application may use is exported
// here; the rest of src/client may change without notice. Documentation: docs/client.md.

import { systemClock } from "../base/clock.ts";
import { TcpRpcClient } from "../rpc/rpc_client.ts";
import { Cluster, type ClusterOptions } from "./cluster.ts";

export { Cluster, type ClusterOptions, type TableOptions } from "./cluster.ts";
export { Table } from "./table.ts";
export { Scan } from "./scanner.ts";
export type { FullScanOptions, ScanOptions } from "./scan_plan.ts";
export type { Admin, ClusterDescription, CreateTableOptions, TableHealth } from "./admin.ts";
export type {
  CallOptions,
  Check,
  CheckOutcome,
  ClientLog,
  Data,
  KeyFilter,
  MultiGetRange,
  MultiGetResult,
  Mutate,
  ReadOptions,
  SetOptions,
  SortKeyRange,
  SortKeyRow,
  Staleness,
  TableRow,
  WriteOptions,
} from "./options.ts";
export { Err, errorName, StoreError } from "../base/errors.ts";
export type { CheckType } from "../schema/client_rpc.ts";
export type { FunctionLevel, NodeInfo } from "../schema/meta_rpc.ts";
export type { PartitionConfig, TableInfo, TableStatus } from "../schema/types.ts";

/** Options of {@link openCluster}. */
export interface OpenOptions extends ClusterOptions {
  /** Name the servers must have; servers of another cluster are refused. @default any */
  readonly cluster?: string;
  /** What the servers' logs call this program. @default "client" */
  readonly role?: string;
}

/**
 * Opens a cluster. Nothing is sent before the first operation.
 *
 * @example
 * ```ts
 * import { openCluster } from "./src/client/mod.ts";
 *
 * async function example(): Promise<void> {
 *   await using cluster = openCluster({ meta: ["127.0.0.1:34601"] });
 *   const users = cluster.table("users");
 *   await users.set("user:1", "name", "Ada", { ttl: 3600 });
 *   const name = await users.get("user:1", "name");
 *   console.log(name === undefined ? "nobody" : new TextDecoder().decode(name));
 *   for await (const row of users.scan("user:1")) console.log(row.sortKey, row.value);
 * }
 * ```
 *
 * @throws {StoreError} INVALID_ARGUMENT if an option is wrong
 */
export function openCluster(options: OpenOptions): Cluster {
  const { cluster = "", role = "client" } = options;
  const rpc = new TcpRpcClient({ identity: { cluster, node: "", role } });
  return new Cluster(rpc, options, systemClock);
}
