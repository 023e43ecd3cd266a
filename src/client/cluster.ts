// One cluster as seen by an application: hands out tables and the administration, owns what they share.
// It works with any RpcClient; mod.ts gives it the real one.

import { type Clock, systemClock } from "../base/clock.ts";
import { Err, StoreError } from "../base/errors.ts";
import type { RpcClient } from "../rpc/contract.ts";
import { Admin } from "./admin.ts";
import { TableState } from "./call.ts";
import { Executor } from "./execute.ts";
import { MetaClient } from "./meta_client.ts";
import { type ClientLog, toTimeoutMs } from "./options.ts";
import { Resolver } from "./resolver.ts";
import { Table } from "./table.ts";

const TIMEOUT_MS = 5000;

/** Options of a cluster, all but how to reach it. */
export interface ClusterOptions {
  /** Meta servers as "host:port"; one is enough to find the others. */
  readonly meta: readonly string[];
  /** Deadline of an operation, retries included. @default 5000 */
  readonly timeoutMs?: number;
  /** Writes are applied at most once, however often they are repeated. @default true */
  readonly exactlyOnce?: boolean;
  /** Hears what the client does; silent by default. */
  readonly log?: ClientLog;
}

/** Options of one table. */
export interface TableOptions {
  /** @default the cluster's */
  readonly timeoutMs?: number;
  /** @default the cluster's */
  readonly exactlyOnce?: boolean;
  /**
   * A get, ttl, multiGet or sortKeyCount without an answer after so many ms is also sent to another replica, and
   * the first success counts; it may then be old data. 0 = never.
   *
   * @default 0
   */
  readonly hedgeAfterMs?: number;
}

/** An open cluster. Close it when done. */
export class Cluster {
  /** Tables, nodes, the cluster itself. */
  readonly admin: Admin;
  readonly #rpc: RpcClient;
  readonly #options: ClusterOptions;
  readonly #clock: Clock;
  readonly #log: ClientLog;
  readonly #meta: MetaClient;
  readonly #executor: Executor;
  readonly #tables = new Map<string, TableState>();
  #closed = false;

  /** @throws {StoreError} INVALID_ARGUMENT if an option is wrong */
  constructor(rpc: RpcClient, options: ClusterOptions, clock: Clock = systemClock) {
    const timeoutMs = toTimeoutMs(options.timeoutMs ?? TIMEOUT_MS);
    this.#rpc = rpc;
    this.#options = options;
    this.#clock = clock;
    this.#log = harmless(options.log ?? (() => {}));
    this.#meta = new MetaClient(rpc, options.meta, clock, this.#log);
    this.#executor = new Executor(rpc, clock, this.#log);
    this.admin = new Admin(this.#meta, rpc, clock, Math.max(timeoutMs, TIMEOUT_MS));
  }

  /**
   * A table by name. Nothing is sent: a missing table shows with its first operation.
   *
   * @throws {StoreError} INVALID_ARGUMENT if an option is wrong
   */
  table(name: string, options: TableOptions = {}): Table {
    if (this.#closed) throw new StoreError(Err.CLOSED, "The cluster is closed");
    const timeoutMs = toTimeoutMs(options.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS);
    let state = this.#tables.get(name);
    if (state === undefined) {
      state = new TableState(name, new Resolver(name, this.#meta, this.#clock, this.#log));
      this.#tables.set(name, state);
    }
    return new Table(this.#executor, state, {
      timeoutMs,
      exactlyOnce: options.exactlyOnce ?? this.#options.exactlyOnce ?? true,
      hedgeAfterMs: options.hedgeAfterMs ?? 0,
    });
  }

  /** Ends everything: operations on their way fail, and say whether they may have been done. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#meta.close();
    this.#executor.close();
    await this.#rpc.close();
  }

  /** `await using cluster = openCluster(...)` closes it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** A log that throws must not end what it was told about: operations would wait for ever. */
function harmless(log: ClientLog): ClientLog {
  return (level, message, details) => {
    try {
      log(level, message, details);
    } catch {
      // There is nobody to tell.
    }
  };
}
