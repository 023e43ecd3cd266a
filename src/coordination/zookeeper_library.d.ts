// Types of the part of node-zookeeper-client that is used; the package ships none. Beside its public
// functions they name what zookeeper_client.ts replaces or repairs inside: the connection manager's dialing
// and parsing, and the list of operations of a transaction.

import type { Buffer } from "node:buffer";
import type { Socket } from "node:net";

/** An error of the library; `code` is ZooKeeper's. */
export interface Exception extends Error {
  readonly code: number;
}

/** What the store knows about a node. */
export interface Stat {
  readonly version: number;
}

/** One outcome of a transaction: of an operation that was done, or an error (`err` 0 = fine itself). */
export interface TransactionResult {
  readonly stat?: Stat;
  readonly err?: number;
}

/** An atomic group. */
export interface Transaction {
  readonly ops: { version?: number }[];
  create(path: string, data: Buffer, mode: number): this;
  setData(path: string, data: Buffer, version: number): this;
  remove(path: string, version: number): this;
  check(path: string, version: number): this;
  commit(callback: (error?: Exception | null, results?: TransactionResult[]) => void): void;
}

/** One server of the ensemble. */
export interface Server {
  readonly host: string;
  readonly port: number;
}

/** The connection behind a client. */
export interface ConnectionManager {
  readonly state: number;
  readonly socket?: Socket;
  readonly connectTimeoutHandler?: ReturnType<typeof setTimeout> | null;
  pendingBuffer: Buffer | null;
  connect(): void;
  findNextServer(callback: (server: Server) => void): void;
  onSocketData(chunk: Buffer): void;
}

type Done<T extends unknown[] = []> = (error?: Exception | null, ...results: T) => void;

/** One session. */
export interface Client {
  readonly connectionManager: ConnectionManager;
  connect(): void;
  close(): void;
  getSessionTimeout(): number;
  on(
    event: "connected" | "disconnected" | "expired" | "authenticationFailed",
    listener: () => void,
  ): this;
  create(path: string, data: Buffer, mode: number, callback: Done<[string]>): void;
  remove(path: string, version: number, callback: Done): void;
  getData(path: string, callback: Done<[Buffer | null | undefined, Stat]>): void;
  exists(path: string, watcher: (() => void) | undefined, callback: Done<[Stat | null]>): void;
  getChildren(path: string, callback: Done<[string[]]>): void;
  transaction(): Transaction;
}

declare const library: {
  createClient(
    servers: string,
    options: { sessionTimeout: number; retries: number },
  ): Client;
  readonly CreateMode: { readonly PERSISTENT: number; readonly EPHEMERAL_SEQUENTIAL: number };
};
export default library;
