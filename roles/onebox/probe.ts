// What a onebox asks its cluster: is everybody there, and does a table serve? Used after a start and by
// `status`; tests use the same waits.

import { systemClock } from "../../src/base/clock.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import { MetaClient } from "../../src/client/meta_client.ts";
import type { RpcClient } from "../../src/rpc/contract.ts";
import type { DialSecurity } from "../../src/rpc/security.ts";
import { TcpRpcClient } from "../../src/rpc/rpc_client.ts";
import { ServerInfo } from "../../src/schema/client_rpc.ts";
import {
  ClusterInfo,
  CreateTable,
  ListNodes,
  ListTables,
  QueryConfig,
} from "../../src/schema/meta_rpc.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import { waitFor } from "./processes.ts";

/** One look at the cluster. */
export interface ClusterView {
  readonly nodesAlive: number;
  readonly nodesKnown: number;
  readonly tables: readonly {
    readonly name: string;
    readonly partitionCount: number;
    readonly healthy: number;
  }[];
}

const CALL_MS = 2000;

/** Questions to the meta servers of one cluster. Close it always. */
export class Probe {
  readonly #rpc: RpcClient;
  readonly #meta: MetaClient;

  /**
   * @param metas Addresses of the meta servers.
   * @param dial How they are talked to. @default plain TCP, nobody in particular
   */
  constructor(cluster: string, metas: readonly string[], dial?: DialSecurity) {
    const identity = { cluster, node: "", role: "onebox" };
    this.#rpc = new TcpRpcClient({ identity, ...(dial === undefined ? {} : { dial }) });
    this.#meta = new MetaClient(this.#rpc, metas, systemClock, () => {});
  }

  /** Servers and tables as meta sees them. @throws {StoreError} If no meta server answers. */
  async look(): Promise<ClusterView> {
    const options = { timeoutMs: CALL_MS, isRead: true };
    const { nodes } = await this.#meta.call(ListNodes, {}, options);
    const { tables, health } = await this.#meta.call(ListTables, { status: "available" }, options);
    return {
      nodesAlive: nodes.filter(({ alive }) => alive).length,
      nodesKnown: nodes.length,
      tables: tables.map(({ tableId, name, partitionCount }) => ({
        name,
        partitionCount,
        healthy: health.find((entry) => entry.tableId === tableId)?.healthy ?? 0,
      })),
    };
  }

  /** Port at which a server answers HTTP; 0 = it does not. @throws {StoreError} If it does not answer. */
  async httpPort(address: string): Promise<number> {
    return (await this.#rpc.call(address, ServerInfo, {}, CALL_MS)).httpPort;
  }

  /** What meta says an operator must act on; "" = nothing. @throws {StoreError} If nobody answers. */
  async warning(): Promise<string> {
    const options = { timeoutMs: CALL_MS, isRead: true };
    const { details } = await this.#meta.call(ClusterInfo, {}, options);
    return details.get("warning") ?? "";
  }

  /** Waits until `count` replica servers are alive. @returns False after `timeoutMs`. */
  waitForNodes(count: number, timeoutMs: number): Promise<boolean> {
    return waitFor(() => tolerant(async () => (await this.look()).nodesAlive >= count), timeoutMs);
  }

  /** Creates a table unless it exists. @throws {StoreError} If meta refuses. */
  async createTable(name: string, partitionCount: number, replicas: number): Promise<void> {
    try {
      await this.#meta.call(CreateTable, {
        name,
        partitionCount,
        maxReplicaCount: replicas,
        envs: new Map(),
        successIfExists: true,
      }, { timeoutMs: CALL_MS * 5 });
    } catch (error) {
      // It exists with other options: somebody made it to their own liking.
      if (!(error instanceof StoreError) || error.code !== Err.APP_EXIST) throw error;
    }
  }

  /**
   * Waits until every partition of a table has a primary and at least `members` members.
   *
   * @param isGivenUp Asked all the time: whether to wait no longer. @default never
   * @returns False after `timeoutMs`, or if it was given up.
   */
  async waitForTable(
    name: string,
    members: number,
    timeoutMs: number,
    isGivenUp = () => false,
  ): Promise<boolean> {
    const isWhole = async () => {
      const partitions = await this.configs(name);
      return partitions.length > 0 &&
        partitions.every(({ primary, secondaries }) =>
          primary !== "" && 1 + secondaries.length >= members
        );
    };
    const isOver = async () => isGivenUp() || await tolerant(isWhole);
    return await waitFor(isOver, timeoutMs) && !isGivenUp();
  }

  /** Configurations of a table's partitions. @throws {StoreError} If no meta server tells. */
  async configs(table: string): Promise<readonly PartitionConfig[]> {
    const options = { timeoutMs: CALL_MS, isRead: true };
    return (await this.#meta.call(QueryConfig, { table, indices: [] }, options)).partitions;
  }

  async close(): Promise<void> {
    this.#meta.close();
    await this.#rpc.close();
  }
}

/** False while the cluster cannot be asked; a waiting loop asks again. */
async function tolerant(question: () => Promise<boolean>): Promise<boolean> {
  try {
    return await question();
  } catch (error) {
    if (error instanceof StoreError) return false;
    throw error;
  }
}
