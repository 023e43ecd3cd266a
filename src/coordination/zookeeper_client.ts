// One ZooKeeper session with promises: the only file that knows node-zookeeper-client. Invariants: a session
// that ended stays ended; every call settles, at the latest when the session ends; no answer of a server can
// throw into the event loop. It repairs what the library does wrong; each place says so. See docs/meta.md,
// "ZooKeeper".

import { Buffer } from "node:buffer";
// @ts-types="./zookeeper_library.d.ts"
import library from "node-zookeeper-client";
import type { StoredNode, StoreOp } from "./coordinator.ts";
import type {
  Client,
  ConnectionManager,
  Exception,
  Server,
  TransactionResult,
} from "./zookeeper_library.d.ts";

/**
 * Why a call failed: a condition did not hold; the store does not accept it (`refused`, nothing changed); or
 * nobody knows whether it happened (`lost`).
 */
export type ZkErrorCode =
  | "noNode"
  | "nodeExists"
  | "badVersion"
  | "notEmpty"
  | "refused"
  | "lost";

/** A failed call. */
export class ZkError extends Error {
  override readonly name = "ZkError";
  readonly code: ZkErrorCode;
  /** The operation of a group that failed; -1 if unknown or no group. */
  readonly opIndex: number;

  constructor(code: ZkErrorCode, message: string, opIndex = -1) {
    super(message);
    this.code = code;
    this.opIndex = opIndex;
  }
}

/** What a session is opened with. */
export interface ZkClientOptions {
  readonly servers: readonly Server[];
  /** Asked of the store, which may give another one: see {@link ZkClient.sessionMs}. */
  readonly sessionMs: number;
  /** The connection stands, for the first time or again. */
  readonly onConnected: () => void;
  readonly onDisconnected: () => void;
  /** The session is over; every call fails from now on. Not called after `end`. */
  readonly onEnd: (reason: string) => void;
}

const CODES: Readonly<Record<number, ZkErrorCode>> = {
  [-101]: "noNode",
  [-103]: "badVersion",
  [-110]: "nodeExists",
  [-111]: "notEmpty",
  // Malformed, unsupported, not permitted, below an ephemeral node, bad access list, bad credentials.
  [-5]: "refused",
  [-6]: "refused",
  [-8]: "refused",
  [-102]: "refused",
  [-108]: "refused",
  [-114]: "refused",
  [-115]: "refused",
};

/** The library's number of a connection that is established. */
const CONNECTED = 2;
/** A packet of 1 MiB makes a server drop the connection (jute.maxbuffer); the overhead is counted high. */
const GROUP_BYTES_MAX = 1_000_000;
const OP_OVERHEAD_BYTES = 96;
/** Pauses between rounds over all servers while none can be reached. */
const DIAL_PAUSE_MIN_MS = 50;
const DIAL_PAUSE_MAX_MS = 1000;
/** A server gets this part of a session's length, within bounds, to connect and confirm the session. */
const HANDSHAKE_PART = 1 / 6;
const HANDSHAKE_MIN_MS = 500;
const HANDSHAKE_MAX_MS = 2000;
/** A server gets so long to confirm the end of a session. */
const CLOSE_MS = 1000;

/** See the file comment. */
export class ZkClient {
  readonly #options: ZkClientOptions;
  readonly #client: Client;
  /** Rejects one call that is under way. */
  readonly #waiting = new Set<(error: ZkError) => void>();
  #endReason: string | undefined;
  #dialTimer: ReturnType<typeof setTimeout> | undefined;
  #handshakeTimer: ReturnType<typeof setTimeout> | undefined;
  /** Dials since the last connection. */
  #dials = 0;
  /** Index of the next server to dial. */
  #next: number;

  /** Begins to connect at once, and again whenever the connection breaks, until the session ends. */
  constructor(options: ZkClientOptions) {
    this.#options = options;
    this.#next = Math.floor(Math.random() * options.servers.length);
    const servers = options.servers.map(({ host, port }) => `${host}:${port}`).join(",");
    this.#client = library.createClient(servers, {
      sessionTimeout: options.sessionMs,
      retries: 0,
    });
    this.#repair(this.#client.connectionManager);
    this.#client.on("connected", () => this.#onConnected());
    this.#client.on("disconnected", () => this.#onDisconnected());
    this.#client.on("expired", () => this.#fail("The store ended the session"));
    this.#client.on("authenticationFailed", () => this.#fail("The store refused the credentials"));
    this.#client.connect();
  }

  /** Session timeout the store gave, ms. The store ends the session after so long without a word. */
  get sessionMs(): number {
    return this.#client.getSessionTimeout();
  }

  /** Creates a node; an ephemeral one gets a sequence number appended. @returns Its path. */
  create(path: string, value: Uint8Array, isEphemeral: boolean): Promise<string> {
    const { EPHEMERAL_SEQUENTIAL, PERSISTENT } = library.CreateMode;
    const mode = isEphemeral ? EPHEMERAL_SEQUENTIAL : PERSISTENT;
    return this.#call((done) => this.#client.create(path, bufferOf(value), mode, done));
  }

  /** Removes a node, whatever its version. */
  remove(path: string): Promise<void> {
    return this.#call<void>((done) => this.#client.remove(path, -1, done));
  }

  /** The node, or `undefined`. */
  async get(path: string): Promise<StoredNode | undefined> {
    try {
      return await this.#call<StoredNode>((done) =>
        this.#client.getData(path, (error, data, stat) => {
          if (error) return done(error);
          // An empty value may come as none. A copy: the library hands out views of its read buffer.
          done(null, { path, value: new Uint8Array(data ?? []), version: stat.version });
        })
      );
    } catch (error) {
      if (error instanceof ZkError && error.code === "noNode") return undefined;
      throw error;
    }
  }

  /** Whether the node exists. `onChange` is called at most once, when it is made, changed or removed. */
  exists(path: string, onChange?: () => void): Promise<boolean> {
    return this.#call<boolean>((done) =>
      this.#client.exists(path, onChange, (error, stat) => {
        if (error) done(error);
        else done(null, stat !== null);
      })
    );
  }

  /** Names of the children, sorted; empty if there is no such node. */
  async children(path: string): Promise<string[]> {
    try {
      const names = await this.#call<string[]>((done) => this.#client.getChildren(path, done));
      return names.sort();
    } catch (error) {
      if (error instanceof ZkError && error.code === "noNode") return [];
      throw error;
    }
  }

  /** Applies all operations or none. @returns The version of each node afterwards, -1 for a removed one. */
  multi(ops: readonly StoreOp[]): Promise<number[]> {
    return this.#call<number[]>((done) => {
      const transaction = this.#client.transaction();
      let size = 0;
      for (const op of ops) {
        size += Buffer.byteLength(op.path) + ("value" in op ? op.value.length : 0);
        size += OP_OVERHEAD_BYTES;
        if (op.op === "create") {
          transaction.create(op.path, bufferOf(op.value), library.CreateMode.PERSISTENT);
          continue;
        }
        if (op.op === "set") transaction.setData(op.path, bufferOf(op.value), op.version);
        else if (op.op === "delete") transaction.remove(op.path, op.version);
        else transaction.check(op.path, op.version);
        // The library takes version 0 for "not given" and would send -1, any version.
        transaction.ops.at(-1)!.version = op.version;
      }
      if (size > GROUP_BYTES_MAX) {
        const text = `Cannot write a group of ${size} bytes: ZooKeeper takes ${GROUP_BYTES_MAX}; ` +
          "write less at once";
        return done(new ZkError("refused", text));
      }
      transaction.commit((error, results) => {
        if (error) done(groupError(error, results));
        else done(null, results!.map((result, i) => versionAfter(ops[i]!, result)));
      });
    });
  }

  /** Drops the connection; the session goes on with the next server that answers. */
  redial(): void {
    this.#client.connectionManager.socket?.destroy();
  }

  /**
   * Ends the session, politely if the connection stands: then the store removes its ephemeral nodes at once.
   *
   * @returns When the connection is closed.
   */
  end(reason: string): Promise<void> {
    const manager = this.#client.connectionManager;
    if (this.#endReason === undefined) {
      this.#endReason = reason;
      clearTimeout(this.#dialTimer);
      clearTimeout(this.#handshakeTimer);
      for (const reject of this.#waiting) reject(new ZkError("lost", reason));
      this.#waiting.clear();
      // The library would dial again after a close that comes while it is connecting.
      manager.connect = () => {};
      if (manager.connectTimeoutHandler) clearTimeout(manager.connectTimeoutHandler);
      if (manager.state === CONNECTED) this.#client.close();
      else manager.socket?.destroy();
    }
    const { socket } = manager;
    if (socket === undefined || socket.closed) return Promise.resolve();
    const timer = setTimeout(() => socket.destroy(), CLOSE_MS);
    return new Promise((resolve) =>
      socket.once("close", () => {
        clearTimeout(timer);
        resolve();
      })
    );
  }

  #call<T>(run: (done: (error?: Error | null, value?: T) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#endReason !== undefined) return reject(new ZkError("lost", this.#endReason));
      this.#waiting.add(reject);
      try {
        run((error, value) => {
          if (!this.#waiting.delete(reject)) return;
          if (error) reject(error instanceof ZkError ? error : zkError(error as Exception));
          else resolve(value as T);
        });
      } catch (error) {
        // The library checks paths and sizes with assertions, before it sends anything.
        this.#waiting.delete(reject);
        reject(new ZkError("refused", `Cannot ask ZooKeeper: ${textOf(error)}`));
      }
    });
  }

  #repair(manager: ConnectionManager): void {
    // Dialing: growing pauses, and a timer that can be stopped; the library's own cannot.
    manager.findNextServer = (callback) => {
      clearTimeout(this.#handshakeTimer);
      // Half an answer of the last connection would be read as the beginning of the next one's first.
      manager.pendingBuffer = null;
      const { servers } = this.#options;
      const server = servers[this.#next++ % servers.length]!;
      const round = Math.floor(this.#dials++ / servers.length);
      const pauseMs = Math.min(DIAL_PAUSE_MAX_MS, DIAL_PAUSE_MIN_MS * 2 ** Math.min(round, 10));
      const delayMs = round === 0 ? 0 : pauseMs * (0.5 + Math.random() / 2);
      this.#dialTimer = setTimeout(() => {
        callback(server);
        this.#watchHandshake();
      }, delayMs);
    };
    // Parsing: the library throws on error codes and answers it does not know.
    const parse = manager.onSocketData;
    manager.onSocketData = (chunk) => {
      try {
        parse.call(manager, chunk);
      } catch (error) {
        this.#fail(`The store sent what cannot be read: ${textOf(error)}`);
      }
    };
  }

  /** A server that is just starting may accept and never answer; the library would wait for ever. */
  #watchHandshake(): void {
    const limitMs = Math.min(HANDSHAKE_MAX_MS, this.#options.sessionMs * HANDSHAKE_PART);
    this.#handshakeTimer = setTimeout(
      () => this.redial(),
      Math.max(HANDSHAKE_MIN_MS, limitMs),
    );
  }

  #onConnected(): void {
    clearTimeout(this.#handshakeTimer);
    this.#dials = 0;
    if (this.#endReason === undefined) this.#options.onConnected();
  }

  #onDisconnected(): void {
    if (this.#endReason === undefined) this.#options.onDisconnected();
  }

  #fail(reason: string): void {
    if (this.#endReason !== undefined) return;
    void this.end(reason);
    this.#options.onEnd(reason);
  }
}

function bufferOf(value: Uint8Array): Buffer {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** After an expiry the library reports lost connections: both mean that nobody knows. */
function zkError(error: Exception): ZkError {
  return new ZkError(CODES[error.code] ?? "lost", `ZooKeeper answered: ${error.message}`);
}

function groupError(error: Exception, results: readonly TransactionResult[] | undefined): ZkError {
  const { code, message } = zkError(error);
  const index = results?.findIndex(({ err }) => err !== undefined && err !== 0) ?? -1;
  return new ZkError(code, message, index);
}

/** A check has no answer; its version is what was asked for. */
function versionAfter(op: StoreOp, result: TransactionResult): number {
  if (op.op === "set") return result.stat!.version;
  if (op.op === "check") return op.version;
  return op.op === "create" ? 0 : -1;
}
