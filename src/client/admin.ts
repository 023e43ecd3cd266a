// Administration: tables, nodes and the cluster, as asked of the meta leader. A change whose fate is unknown is
// reported as such (StoreError.outcome) and never silently repeated. See docs/client.md, "Administration".

import type { Clock } from "../base/clock.ts";
import { Err, StoreError } from "../base/errors.ts";
import type { TableId } from "../base/ids.ts";
import { ServerInfo } from "../schema/client_rpc.ts";
import { DetectHotkey, ReplicaLoad } from "../schema/load_rpc.ts";
import * as rpc from "../schema/meta_rpc.ts";
import * as operator from "../schema/operator_rpc.ts";
import type { RequestOf, ResponseOf, Rpc } from "../schema/rpc.ts";
import type { ConfigChange, TableInfo, TableStatus } from "../schema/types.ts";
import { type MetaClient, pause } from "./meta_client.ts";
import { toTimeoutMs } from "./options.ts";
import type { RpcClient } from "../rpc/contract.ts";
import { readyCount, type RouteAnswer, updateRoutes } from "./route_map.ts";
import { Users } from "./users.ts";

/** How often a table that is being created is looked at, ms. */
const POLL_MS = 100;
const CREATE_MS = 60_000;

/** Options of {@link Admin.createTable}. */
export interface CreateTableOptions {
  /** @default 8 */
  readonly partitionCount?: number;
  /** @default 3 */
  readonly replicaCount?: number;
  /** Table environment variables. */
  readonly envs?: Readonly<Record<string, string>>;
  /** Fail if the table exists, even with the same options. @default false */
  readonly failIfExists?: boolean;
  /** Time for all partitions to get a primary. @default 60000 */
  readonly timeoutMs?: number;
  /** Hears how many of how many partitions are ready, whenever it changes. */
  readonly onProgress?: (ready: number, total: number) => void;
}

/** Health of a table's partitions; see docs/client.md. */
export type TableHealth = ResponseOf<typeof rpc.ListTables>["health"][number];

/** What the cluster says about itself. */
export type ClusterDescription = ResponseOf<typeof rpc.ClusterInfo>;

/** What a server says about itself; `startedAt` in Unix milliseconds. */
export type ServerDescription = ResponseOf<typeof ServerInfo>;

/** How a recovery of meta's store goes. */
export type RecoveryState = ResponseOf<typeof operator.Recover>;

/** Options of {@link Admin.recover}. */
export interface RecoverOptions {
  /** Servers to ask, "host:port". @default all that have shown themselves */
  readonly nodes?: readonly string[];
  /** Go on without servers that do not answer. @default false */
  readonly skipBadNodes?: boolean;
  /** Partitions that no server holds become empty. @default false */
  readonly skipLostPartitions?: boolean;
  /** Hears every change of state or detail. */
  readonly onProgress?: (state: RecoveryState) => void;
}

/** What the balancer does and would do next. */
export type BalanceState = ResponseOf<typeof rpc.Balance>;

/** The administration of a cluster: `cluster.admin`. All methods throw {@link StoreError}. */
export class Admin {
  /** Users and their rights. */
  readonly users: Users;
  readonly #meta: MetaClient;
  readonly #rpc: RpcClient;
  readonly #clock: Clock;
  readonly #timeoutMs: number;

  constructor(meta: MetaClient, rpcClient: RpcClient, clock: Clock, timeoutMs: number) {
    this.#meta = meta;
    this.#rpc = rpcClient;
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.users = new Users(meta, timeoutMs);
  }

  /** Address of the meta leader as far as known. */
  get leader(): string {
    return this.#meta.leader;
  }

  /** Creates a table and waits until every partition has a primary. @returns The table's id */
  async createTable(name: string, options: CreateTableOptions = {}): Promise<TableId> {
    const deadline = this.#clock.now().mono + toTimeoutMs(options.timeoutMs ?? CREATE_MS);
    const partitionCount = options.partitionCount ?? 8;
    const { tableId } = await this.#change(rpc.CreateTable, {
      name,
      partitionCount,
      maxReplicaCount: options.replicaCount ?? 3,
      envs: new Map(Object.entries(options.envs ?? {})),
      successIfExists: options.failIfExists !== true,
    });
    await this.#becomesReady({ name, partitionCount }, "created", deadline, options.onProgress);
    return tableId;
  }

  /** Waits until every partition of a table has a primary. */
  async #becomesReady(
    { name, partitionCount: total }: Pick<TableInfo, "name" | "partitionCount">,
    what: string,
    deadline: number,
    onProgress: CreateTableOptions["onProgress"],
  ): Promise<void> {
    let known = -1;
    for (;;) {
      const ready = await this.#readyPartitions(name);
      if (ready !== known) onProgress?.(ready, total);
      known = ready;
      if (ready >= total) return;
      if (this.#clock.now().mono >= deadline) {
        throw new StoreError(
          Err.TIMEOUT,
          `Table "${name}" was ${what}, but only ${ready} of ${total} partitions have a primary so ` +
            `far; check with "nodes" that enough servers are alive, and with "ddd_diagnose" what they wait for`,
        );
      }
      await pause(POLL_MS);
    }
  }

  async #readyPartitions(name: string): Promise<number> {
    try {
      return readyCount(updateRoutes(undefined, await this.tableConfig(name)));
    } catch (error) {
      const isEarly = error instanceof StoreError && error.code === Err.BUSY_CREATING;
      if (isEarly) return 0;
      throw error;
    }
  }

  /**
   * Drops a table; it can be recalled until its data is removed.
   *
   * @param options `reserveSeconds`: how long the data stays, 0 = the cluster's default.
   * @returns Unix seconds at which the data goes.
   */
  async dropTable(
    name: string,
    options: { readonly reserveSeconds?: number; readonly ignoreMissing?: boolean } = {},
  ): Promise<number> {
    const { expiresAt } = await this.#change(rpc.DropTable, {
      name,
      reserveSeconds: options.reserveSeconds ?? 0,
      successIfNotExists: options.ignoreMissing ?? false,
    });
    return expiresAt;
  }

  /** Brings a dropped table back and waits until every partition has a primary. `newName` absent = its old name. */
  async recallTable(
    tableId: TableId,
    newName = "",
    options: Pick<CreateTableOptions, "timeoutMs" | "onProgress"> = {},
  ): Promise<TableInfo> {
    const deadline = this.#clock.now().mono + toTimeoutMs(options.timeoutMs ?? CREATE_MS);
    const { table } = await this.#change(rpc.RecallTable, { tableId, newName });
    await this.#becomesReady(table, "recalled", deadline, options.onProgress);
    return table;
  }

  async renameTable(oldName: string, newName: string): Promise<void> {
    await this.#change(rpc.RenameTable, { oldName, newName });
  }

  /** Tables, those of one status if given, and the health of their partitions. */
  async listTables(
    status?: TableStatus,
  ): Promise<{ tables: TableInfo[]; health: Map<TableId, TableHealth> }> {
    const { tables, health } = await this.#ask(rpc.ListTables, { status });
    return { tables, health: new Map(health.map((row) => [row.tableId, row])) };
  }

  /** Configuration of every partition of a table. */
  tableConfig(name: string): Promise<RouteAnswer> {
    return this.#ask(rpc.QueryConfig, { table: name, indices: [] });
  }

  /** Changes table environment variables. @returns All of them afterwards */
  async updateEnvs(
    table: string,
    change:
      | { readonly set: Readonly<Record<string, string>> }
      | { readonly delete: readonly string[] }
      | { readonly clear: readonly string[] },
  ): Promise<Map<string, string>> {
    const none = new Map<string, string>();
    const request: RequestOf<typeof rpc.UpdateTableEnvs> = "set" in change
      ? { table, action: "set", set: new Map(Object.entries(change.set)), keys: [] }
      : "delete" in change
      ? { table, action: "delete", set: none, keys: [...change.delete] }
      : { table, action: "clear", set: none, keys: [...change.clear] };
    return (await this.#change(rpc.UpdateTableEnvs, request)).envs;
  }

  /** @returns The replica count before the change */
  async setReplicaCount(table: string, maxReplicaCount: number): Promise<number> {
    return (await this.#change(rpc.SetMaxReplicaCount, { table, maxReplicaCount })).previous;
  }

  async listNodes(): Promise<rpc.NodeInfo[]> {
    return (await this.#ask(rpc.ListNodes, {})).nodes;
  }

  clusterInfo(): Promise<ClusterDescription> {
    return this.#ask(rpc.ClusterInfo, {});
  }

  /** How much meta may do by itself. */
  async metaLevel(): Promise<rpc.FunctionLevel> {
    return (await this.#ask(rpc.ControlMeta, { level: undefined })).level;
  }

  /** @returns The level before the change */
  async setMetaLevel(level: rpc.FunctionLevel): Promise<rpc.FunctionLevel> {
    return (await this.#change(rpc.ControlMeta, { level })).previous;
  }

  /** An operator's own configuration change of one partition. */
  async propose(
    partition: number,
    change: ConfigChange,
    nodes: {
      readonly target: string;
      readonly node: string;
      readonly force?: boolean;
      /** With ASSIGN_PRIMARY: the rows are given up, the server begins with nothing. */
      readonly empty?: boolean;
    },
  ): Promise<void> {
    const { target, node, force = false, empty = false } = nodes;
    await this.#change(rpc.Propose, { partition, change, target, node, force, empty });
  }

  /** Reads what the balancer does, "plan" with all moves to come; "start" runs it until shares are equal, "stop" ends the run. */
  async balance(action: "status" | "plan" | "start" | "stop"): Promise<BalanceState> {
    if (action === "status" || action === "plan") return await this.#ask(rpc.Balance, { action });
    return await this.#change(rpc.Balance, { action });
  }

  /**
   * Marks a server: everything moves away from it and nothing comes to it; or takes the mark away.
   *
   * @returns All marked servers
   */
  async drain(node: string, drained: boolean): Promise<string[]> {
    return (await this.#change(rpc.Drain, { node, drained })).drained;
  }

  /**
   * Rebuilds the tables of an empty store of meta from what the replica servers hold, and waits for the end.
   *
   * @returns How it ended: "done", or "failed" with the reasons in `lines`; then nothing was stored.
   */
  async recover(options: RecoverOptions = {}): Promise<RecoveryState> {
    const { nodes = [], skipBadNodes = false, skipLostPartitions = false, onProgress } = options;
    const request = { nodes: [...nodes], skipBadNodes, skipLostPartitions };
    let state = await this.#change(operator.Recover, { action: "start", ...request });
    let known = "";
    for (;;) {
      const text = `${state.state} ${state.detail}`;
      if (text !== known) onProgress?.(state);
      known = text;
      if (state.state === "done" || state.state === "failed") return state;
      if (state.state === "idle") {
        throw new StoreError(Err.OUTCOME_UNKNOWN, "Another meta server leads now; start it again");
      }
      await pause(POLL_MS);
      state = await this.#ask(operator.Recover, { action: "status", ...request });
    }
  }

  /** How the recovery that was started last goes. */
  recoveryState(): Promise<RecoveryState> {
    const request = { nodes: [], skipBadNodes: false, skipLostPartitions: false };
    return this.#ask(operator.Recover, { action: "status", ...request });
  }

  /**
   * Shows or changes the servers that get no new replica.
   *
   * @returns All of them
   */
  async blackList(action: "show" | "add" | "remove", node = ""): Promise<string[]> {
    if (action === "show") return (await this.#ask(operator.BlackList, { action, node })).nodes;
    return (await this.#change(operator.BlackList, { action, node })).nodes;
  }

  /** Partitions that have no primary and get none by themselves. `tableId` 0 = of all tables. */
  async dddDiagnose(tableId: TableId = 0): Promise<operator.LostPartition[]> {
    return (await this.#ask(operator.DddDiagnose, { tableId })).partitions;
  }

  /** The whole state of meta as text, for `pegasus meta --import`. */
  async exportState(): Promise<string> {
    return (await this.#ask(operator.ExportState, {})).text;
  }

  /** Begins one move of a replica or a leadership. */
  async moveReplica(move: rpc.BalanceMove): Promise<void> {
    await this.#change(rpc.MoveReplica, { move });
  }

  /** Forgets a dead replica server that holds no member of any partition. */
  async forgetNode(node: string): Promise<void> {
    await this.#change(rpc.ForgetNode, { node });
  }

  /** What a server, meta or replica, says about itself. */
  serverInfo(address: string): Promise<ServerDescription> {
    return this.#rpc.call(address, ServerInfo, {}, this.#timeoutMs);
  }

  /** Runs a maintenance command on one server and returns what it printed. */
  async remoteCommand(address: string, command: string, args: readonly string[]): Promise<string> {
    const request = { command, args: [...args] };
    return (await this.#rpc.call(address, rpc.RemoteCommand, request, this.#timeoutMs)).output;
  }

  /** What one shard of a replica server tells of its load; `address` is the shard's. */
  replicaLoad(address: string): Promise<ResponseOf<typeof ReplicaLoad>> {
    return this.#rpc.call(address, ReplicaLoad, {}, this.#timeoutMs);
  }

  /** Starts, stops or looks at the search for a hot key; `address` is the shard's that has the partition. */
  detectHotkey(
    address: string,
    request: RequestOf<typeof DetectHotkey>,
  ): Promise<ResponseOf<typeof DetectHotkey>> {
    return this.#rpc.call(address, DetectHotkey, request, this.#timeoutMs);
  }

  #ask<Q, A>(declared: Rpc<Q, A>, request: Q): Promise<A> {
    return this.#meta.call(declared, request, { timeoutMs: this.#timeoutMs, isRead: true });
  }

  #change<Q, A>(declared: Rpc<Q, A>, request: Q): Promise<A> {
    return this.#meta.call(declared, request, { timeoutMs: this.#timeoutMs });
  }
}
