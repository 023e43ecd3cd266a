// The public door of the client library, for Deno and Node. Everything an application may use is exported
// here; the rest of src/client may change without notice. Documentation: docs/client.md.

import { systemClock } from "../base/clock.ts";
import { Err, StoreError } from "../base/errors.ts";
import { TcpRpcClient } from "../rpc/rpc_client.ts";
import { clientDialSecurity } from "../rpc/security.ts";
import { tlsProblem } from "../rpc/tcp_transport.ts";
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
export type { RightName } from "../schema/access.ts";
export type { UserInfo } from "../schema/access_rpc.ts";
export type { FunctionLevel, NodeInfo } from "../schema/meta_rpc.ts";
export type { PartitionConfig, TableInfo, TableStatus } from "../schema/types.ts";

/** How a client shows who it is and what it trusts. Texts, not files: the library reads none. */
export interface ClientSecurityOptions {
  /** Logs in with a password, which never leaves this process. @default nobody in particular */
  readonly auth?: { readonly user: string; readonly password: string };
  /**
   * Encrypts connections; {} trusts the authorities of the system.
   *
   * @default plain TCP
   */
  readonly tls?: {
    /** PEM text: the authority of the servers. */
    readonly ca?: string;
    /** PEM texts: a certificate that says who we are, and its key. */
    readonly cert?: string;
    readonly key?: string;
  };
}

/** Options of {@link openCluster}. */
export interface OpenOptions extends ClusterOptions, ClientSecurityOptions {
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
  const { cluster = "", role = "client", auth } = options;
  const tls = options.tls && { cert: "", key: "", ca: "", ...options.tls };
  if (tls !== undefined) {
    const problem = tlsProblem(tls, Date.now());
    if (problem !== undefined) {
      throw new StoreError(Err.INVALID_ARGUMENT, `The certificates cannot be used: ${problem}`);
    }
  }
  const dial = clientDialSecurity(auth, tls);
  const rpc = new TcpRpcClient({ identity: { cluster, node: "", role }, dial });
  return new Cluster(rpc, options, systemClock);
}
