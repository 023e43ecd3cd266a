// The listening end: accepts connections, keeps them apart, and closes in order.
// Invariants: whatever one connection sends, others do not notice; there are at most `connectionsMax`
// of them, and the listener goes last. What happens on one of them: server_connection.ts.
// docs/protocol.md, "Frames".

import { Err } from "../base/errors.ts";
import type { Rpc } from "../schema/rpc.ts";
import type { Handler, RpcServer } from "./contract.ts";
import { type RpcContext, rpcContext, type RpcOptions, TICK_MS } from "./options.ts";
import { type ConnectionServer, type Route, ServerConnection } from "./server_connection.ts";
import { listen, type Listening, type Wire } from "./tcp_transport.ts";

/** So many refused connections a second are told why; more are just closed. */
const TOLD_MAX = 50;

/** RpcServer over TCP. */
export class TcpRpcServer implements RpcServer, ConnectionServer {
  onBatchEnd: () => void = () => {};
  onDisconnect: (peer: string) => void = () => {};
  /** Handlers by code; read by the connections. */
  readonly routes = new Map<number, Route>();
  /** True once `close` was called: nothing new starts. */
  isClosing = false;

  readonly #context: RpcContext;
  readonly #connections = new Set<ServerConnection>();
  /** Those in their handshake, the one that has waited longest first. */
  readonly #pending = new Set<ServerConnection>();
  /** Refused ones that were told why since then. */
  #told = 0;
  #toldSince = -Infinity;
  #listening: Listening | undefined;
  #stopTicks: (() => void) | undefined;
  #forgetBook: (() => void) | undefined;
  // The time of the running turn of the event loop, -1 before it was asked for.
  #turnNow = -1;
  readonly #endTurn = () => {
    this.#turnNow = -1;
  };
  // Set while `close` waits for running calls.
  #closeBy = Infinity;
  #whenIdle: (() => void) | undefined;

  constructor(options: RpcOptions) {
    this.#context = rpcContext(options);
  }

  /** Connections that stand, for metrics. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Monotonic ms; read once for all answers that one event releases, as a log group does. */
  get turnNow(): number {
    if (this.#turnNow < 0) {
      this.#turnNow = this.#context.timers.now();
      queueMicrotask(this.#endTurn);
    }
    return this.#turnNow;
  }

  handle<Q, A>(rpc: Rpc<Q, A>, handler: Handler<Q, A>): void {
    this.routes.set(rpc.code, { rpc, handler });
  }

  async listen(address: string): Promise<string> {
    const { accept, audit, timers } = this.#context;
    const refused = (peer: string, reason: string) => audit?.refused(peer, reason);
    this.#listening = await listen(address, (wire) => this.#accept(wire), accept?.tls, refused);
    this.#forgetBook = accept?.book.onChange(() => {
      for (const connection of [...this.#connections]) connection.recheck();
    });
    this.#stopTicks = timers.every(TICK_MS, () => this.#tick());
    this.#context.log("info", "Listening", { address: this.#listening.address });
    return this.#listening.address;
  }

  async close(graceMs: number): Promise<void> {
    if (this.isClosing) return;
    this.isClosing = true;
    for (const { connection } of this.#connections) {
      if (connection.isOpen) connection.sayBye();
    }
    await new Promise<void>((idle) => {
      this.#closeBy = this.#context.timers.now() + graceMs;
      this.#whenIdle = idle;
      this.#checkIdle(this.#context.timers.now());
    });
    for (const { connection } of [...this.#connections]) {
      connection.close(Err.CONNECTION_LOST, "The server is closed");
    }
    this.#stopTicks?.();
    this.#forgetBook?.();
    // Last: until now a stranger who dialed was told why it may not come in.
    await this.#listening?.close();
  }

  /** One connection's read was dispatched. */
  endBatch(): void {
    try {
      this.onBatchEnd();
    } catch (error) {
      this.#context.log("error", "The end of a batch failed", { error });
    }
  }

  /** A handshake is done. */
  opened(connection: ServerConnection): void {
    this.#pending.delete(connection);
  }

  /** A connection is gone. */
  forget(connection: ServerConnection): void {
    this.#pending.delete(connection);
    if (!this.#connections.delete(connection)) return;
    const { peer } = connection.connection;
    try {
      this.onDisconnect(peer);
    } catch (error) {
      this.#context.log("error", "The report of a lost connection failed", { peer, error });
    }
  }

  #accept(wire: Wire): void {
    const { log, settings } = this.#context;
    const peer = wire.remote;
    const isFull = this.#connections.size >= settings.connectionsMax;
    // A flood of strangers who never say who they are must keep nobody out.
    const [oldest] = isFull ? this.#pending : [];
    if (oldest !== undefined) this.#giveWay(oldest);
    const refusal = this.isClosing
      ? { code: Err.CONNECT_FAILED, reason: "The server is closing" }
      : isFull && oldest === undefined
      ? { code: Err.BUSY, reason: `The server has ${settings.connectionsMax} connections already` }
      : undefined;
    if (refusal !== undefined && !this.#mayTell()) return wire.destroy();
    const connection = new ServerConnection(wire, this, this.#context);
    if (refusal === undefined) {
      this.#connections.add(connection);
      this.#pending.add(connection);
      return;
    }
    log("warn", "Connection refused", { peer, reason: refusal.reason });
    connection.connection.close(refusal.code, refusal.reason);
  }

  #giveWay({ connection }: ServerConnection): void {
    const reason = "Too many connections wait for their handshake";
    if (!this.#mayTell()) return connection.drop(reason);
    this.#context.log("warn", "Connection refused", { peer: connection.peer, reason });
    connection.close(Err.BUSY, reason);
  }

  /** Whether one more refused connection is told why: words cost more than the door. */
  #mayTell(): boolean {
    const now = this.#context.timers.now();
    if (now - this.#toldSince >= 1000) {
      this.#toldSince = now;
      this.#told = 0;
    }
    return ++this.#told <= TOLD_MAX;
  }

  #tick(): void {
    const now = this.#context.timers.now();
    for (const connection of this.#connections) connection.tick(now);
    this.#checkIdle(now);
  }

  #checkIdle(now: number): void {
    if (this.#whenIdle === undefined) return;
    let running = 0;
    for (const connection of this.#connections) running += connection.runningCount;
    if (running > 0 && now < this.#closeBy) return;
    if (running > 0) this.#context.log("warn", "Closing with requests running", { running });
    this.#whenIdle();
    this.#whenIdle = undefined;
  }
}
