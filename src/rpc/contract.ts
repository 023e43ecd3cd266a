// What the rest of the system knows of the network: typed calls, one-way messages, peers that come and go.
// Frames and connections are behind it (docs/protocol.md, "Frames"); tests use the real thing on loopback or
// the simulator's network.

import type { NodeId } from "../base/ids.ts";
import type { Principal } from "../schema/access.ts";
import type { Rpc } from "../schema/rpc.ts";

/** One incoming call, answered exactly once: synchronously or later. Handlers return nothing and no promise. */
export interface IncomingCall<A> {
  /** Monotonic ms after which the caller no longer waits. Work that has not started by then is dropped. */
  readonly deadline: number;
  /** Who asks, for logs: "host:port" of the socket, or the node's name after the handshake. */
  readonly peer: string;
  /** Who asks, as far as it was proven. Absent: the own process. */
  readonly who?: Principal;
  /** Answers. A second answer, or one after the connection closed, is ignored. */
  reply(response: A): void;
  /** Answers with a response that is encoded already (schema/codec.ts); the bytes are copied. */
  replyBytes(response: Uint8Array): void;
  /** Answers with an error code and a detail for people (for FORWARD_TO_OTHERS: the leader's address). */
  fail(code: number, detail?: string): void;
}

/** Takes a request. A throw is logged and answered INTERNAL (unknown outcome). */
export type Handler<Q, A> = (request: Q, call: IncomingCall<A>) => void;

/** The listening side. */
export interface RpcServer {
  /** Registers the handler of an RPC; for one-way messages the call's reply goes nowhere. */
  handle<Q, A>(rpc: Rpc<Q, A>, handler: Handler<Q, A>): void;
  /** Called after each batch of frames of one socket read was dispatched: the place to flush batched work. */
  onBatchEnd: () => void;
  /** A connection ended; `peer` is the node's name if it has one, else its socket address. */
  onDisconnect?: (peer: string) => void;
  /** Starts listening on "host:port"; port 0 takes a free one. @returns the bound "host:port". */
  listen(address: string): Promise<string>;
  /** Stops accepting, answers what is running within `graceMs`, closes connections; the listener goes last. */
  close(graceMs: number): Promise<void>;
}

/** How a call ended: `error` 0 with a response, or an error code with a detail. */
export type CallDone<A> = (error: number, response: A | undefined, detail: string) => void;

/** The dialing side: one connection per address, opened on demand and kept. */
export interface RpcClient {
  /**
   * Calls without a promise. `done` runs exactly once: with the answer, CONNECT_FAILED (never sent),
   * CONNECTION_LOST or TIMEOUT (may have happened), BUSY (too many in flight, never sent), or the server's code.
   * It never runs inside `start`.
   */
  start<Q, A>(
    address: string,
    rpc: Rpc<Q, A>,
    request: Q,
    timeoutMs: number,
    done: CallDone<A>,
  ): void;
  /** The same with an encoded request, e.g. one that goes to several servers; it is copied. */
  startEncoded<Q, A>(
    address: string,
    rpc: Rpc<Q, A>,
    request: Uint8Array,
    timeoutMs: number,
    done: CallDone<A>,
  ): void;
  /** The same as a promise. @throws {StoreError} With the code `start` would report. */
  call<Q, A>(address: string, rpc: Rpc<Q, A>, request: Q, timeoutMs: number): Promise<A>;
  /** Sends a one-way message; dropped silently if there is no connection and none can be made. */
  send<Q>(address: string, rpc: Rpc<Q, Record<never, never>>, body: Q): void;
  /**
   * Reports connections to `address` changing: "down" = connecting was refused or timed out, "reconnected" = an
   * earlier connection broke and a new one is up. Messages sent before may be lost.
   */
  onPeer: (address: NodeId, event: "down" | "reconnected") => void;
  /** Called with every beat (beat.ts), 100 ms apart, once anything was sent: a timer that costs its users nothing. */
  onTick?: (() => void) | undefined;
  /** Closes the connection to one address, if any. */
  disconnect(address: string): void;
  close(): Promise<void>;
}

/** Limits and timers of connections. */
export interface RpcSettings {
  /** Largest frame accepted or sent, bytes. */
  readonly frameBytesMax: number;
  /** Unanswered calls per connection, on both sides; more answer BUSY. */
  readonly inflightMax: number;
  /** Bytes waiting in a socket before its reader is paused or its sender answers BUSY. */
  readonly sendBufferBytesMax: number;
  readonly connectTimeoutMs: number;
  /** A started frame must be complete within this time; slower peers are cut off. */
  readonly frameTimeoutMs: number;
  /** A silent connection is probed after this time and dropped after twice as long (half-open detection). */
  readonly keepAliveMs: number;
  /**
   * A dialed connection that brought nothing since something was sent is probed after this time, and dropped when
   * twice as long has passed without a sign of life.
   */
  readonly answerProbeMs: number;
  /** Pause before dialing again: doubles from the first to the second bound. */
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  /** Connections accepted by one server; more are refused with a logged reason. */
  readonly connectionsMax: number;
}

/** Defaults of {@link RpcSettings}. */
export const RPC_DEFAULTS: RpcSettings = {
  frameBytesMax: 16 * 1024 * 1024,
  inflightMax: 10_000,
  sendBufferBytesMax: 16 * 1024 * 1024,
  connectTimeoutMs: 2000,
  frameTimeoutMs: 10_000,
  keepAliveMs: 10_000,
  answerProbeMs: 1000,
  reconnectMinMs: 20,
  reconnectMaxMs: 300,
  connectionsMax: 10_000,
};
