// The dialing end: typed calls to addresses, one connection each.
// Invariant: `done` runs exactly once per call, never inside `start`, and nothing it throws reaches
// a socket.
// docs/protocol.md, "Frames".

import { Err, StoreError } from "../base/errors.ts";
import type { NodeId } from "../base/ids.ts";
import type { AnyRpc, Rpc } from "../schema/rpc.ts";
import type { Call } from "./calls.ts";
import { ClientPeer } from "./client_peer.ts";
import type { CallDone, RpcClient } from "./contract.ts";
import { type RpcContext, rpcContext, type RpcOptions, TICK_MS } from "./options.ts";

/** Options of a client. */
export interface RpcClientOptions extends RpcOptions {
  /** Address as callers and logs know it -> address to dial instead, for tests and proxies. */
  readonly dialMap?: ReadonlyMap<string, string>;
}

/** RpcClient over TCP. */
export class TcpRpcClient implements RpcClient {
  onPeer: (address: NodeId, event: "down" | "reconnected") => void = () => {};
  onTick: (() => void) | undefined;

  readonly #context: RpcContext;
  readonly #dialMap: ReadonlyMap<string, string>;
  readonly #peers = new Map<string, ClientPeer>();
  readonly #wires = new Set<Promise<void>>();
  #stopTicks: (() => void) | undefined;
  #isClosed = false;

  constructor(options: RpcClientOptions) {
    this.#context = rpcContext(options);
    this.#dialMap = options.dialMap ?? new Map();
  }

  start<Q, A>(
    address: string,
    rpc: Rpc<Q, A>,
    request: Q,
    timeoutMs: number,
    done: CallDone<A>,
  ): void {
    this.#start(address, rpc, request, false, timeoutMs, done);
  }

  startEncoded<Q, A>(
    address: string,
    rpc: Rpc<Q, A>,
    request: Uint8Array,
    timeoutMs: number,
    done: CallDone<A>,
  ): void {
    this.#start(address, rpc, request, true, timeoutMs, done);
  }

  call<Q, A>(address: string, rpc: Rpc<Q, A>, request: Q, timeoutMs: number): Promise<A> {
    return new Promise((resolve, reject) => {
      this.start(address, rpc, request, timeoutMs, (code, response, detail) => {
        if (code === 0) resolve(response as A);
        else reject(new StoreError(code, detail === "" ? undefined : detail));
      });
    });
  }

  send<Q>(address: string, rpc: Rpc<Q, Record<never, never>>, body: Q): void {
    if (this.#isClosed) return;
    this.#peer(address).start(rpc, body, false, 0, undefined);
  }

  disconnect(address: string): void {
    const peer = this.#peers.get(address);
    this.#peers.delete(address);
    peer?.close(Err.CONNECT_FAILED, "Disconnected");
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopTicks?.();
    this.#stopTicks = undefined;
    for (const peer of this.#peers.values()) peer.close(Err.CLOSED, "The client is closed");
    this.#peers.clear();
    await Promise.all(this.#wires);
  }

  #start(
    address: string,
    rpc: AnyRpc,
    request: unknown,
    isEncoded: boolean,
    timeoutMs: number,
    // deno-lint-ignore no-explicit-any
    done: CallDone<any>,
  ): void {
    if (this.#isClosed) {
      return this.#finishLater({ rpc, deadline: 0, done }, Err.CLOSED, "The client is closed");
    }
    this.#peer(address).start(rpc, request, isEncoded, timeoutMs, done);
  }

  #peer(address: string): ClientPeer {
    let peer = this.#peers.get(address);
    if (peer !== undefined) return peer;
    peer = new ClientPeer(address, this.#dialMap.get(address) ?? address, this.#context, {
      finish: (call, code, response, detail) => this.#finish(call, code, response, detail),
      finishLater: (call, code, detail) => this.#finishLater(call, code, detail),
      onPeer: (event) => this.#report(address, event),
      onWire: (closed) => {
        this.#wires.add(closed);
        closed.then(() => this.#wires.delete(closed));
      },
    });
    this.#peers.set(address, peer);
    this.#stopTicks ??= this.#context.timers.every(TICK_MS, () => this.#tick());
    return peer;
  }

  #tick(): void {
    const now = this.#context.timers.now();
    for (const peer of this.#peers.values()) peer.tick(now);
    this.onTick?.();
  }

  #finish(call: Call, code: number, response: unknown, detail: string): void {
    try {
      call.done(code, response, detail);
    } catch (error) {
      this.#context.log("error", "The end of a call failed", { rpc: call.rpc.name, error });
    }
  }

  #finishLater(call: Call, code: number, detail: string): void {
    queueMicrotask(() => this.#finish(call, code, undefined, detail));
  }

  #report(address: string, event: "down" | "reconnected"): void {
    if (this.#isClosed) return;
    try {
      this.onPeer(address, event);
    } catch (error) {
      this.#context.log("error", "The report of a peer failed", { peer: address, event, error });
    }
  }
}
