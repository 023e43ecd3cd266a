// Calls between simulated processes: pairs answers with requests, ends calls that take too long, and turns
// broken connections into the outcomes src/rpc/contract.ts promises. One object per process life.

import { Err } from "../../src/base/errors.ts";
import type { NodeId } from "../../src/base/ids.ts";
import type { AnyRpc, Rpc } from "../../src/schema/rpc.ts";
import type { CallDone } from "../../src/rpc/contract.ts";
import type { Endpoint, Envelope, Network } from "./network.ts";
import type { Planned, Scheduler } from "./scheduler.ts";

/** Answers a request once. */
export interface Responder {
  reply(body: unknown): void;
  fail(error: number, detail?: string): void;
}

/** Takes requests and one-way messages of one declared RPC. */
export type SimHandler = (from: NodeId, body: unknown, responder: Responder) => void;

interface Pending {
  readonly to: NodeId;
  // deno-lint-ignore no-explicit-any
  readonly done: CallDone<any>;
  readonly timer: Planned;
}

/** The network side of one process. */
export class SimRpc implements Endpoint {
  readonly process: object;
  readonly address: NodeId;
  readonly #network: Network;
  readonly #scheduler: Scheduler;
  readonly #handlers = new Map<number, SimHandler>();
  readonly #pending = new Map<number, Pending>();
  #closed = false;
  /** Told when connections to a peer change. */
  onPeerEvent: (peer: NodeId, event: "down" | "reconnected") => void = () => {};

  constructor(process: object, address: NodeId, network: Network, scheduler: Scheduler) {
    this.process = process;
    this.address = address;
    this.#network = network;
    this.#scheduler = scheduler;
  }

  /** Registers a handler, by the RPC's declaration. */
  handle(rpc: AnyRpc, handler: SimHandler): void {
    this.#handlers.set(rpc.code, handler);
  }

  /** The process is gone: it neither sends nor calls any more. */
  close(): void {
    this.#closed = true;
  }

  /** Sends without an answer. */
  send<Q, A>(to: NodeId, rpc: Rpc<Q, A>, body: Q): void {
    if (this.#closed) return;
    this.#network.send(this.address, to, {
      kind: "message",
      rpc,
      id: 0,
      error: 0,
      detail: "",
      body: freeze(body),
    });
  }

  /** Calls; `done` runs exactly once unless this process dies first. */
  start<Q, A>(to: NodeId, rpc: Rpc<Q, A>, body: Q, timeoutMs: number, done: CallDone<A>): void {
    if (this.#closed) return;
    const id = this.#network.nextId();
    const timer = this.#scheduler.after(
      timeoutMs,
      "rpc timeout",
      this.process,
      () => this.#finish(id, Err.TIMEOUT, undefined, ""),
    );
    this.#pending.set(id, { to, done, timer });
    const envelope: Envelope = {
      kind: "request",
      rpc,
      id,
      error: 0,
      detail: "",
      body: freeze(body),
    };
    this.#network.send(this.address, to, envelope);
  }

  receive(from: NodeId, envelope: Envelope): void {
    if (envelope.kind === "response") {
      // Ids are unique in the world: an answer to an earlier life of this process finds nothing.
      const pending = this.#pending.get(envelope.id);
      if (pending === undefined || pending.to !== from) return;
      this.#finish(envelope.id, envelope.error, envelope.body, envelope.detail);
      return;
    }
    const handler = this.#handlers.get(envelope.rpc.code);
    if (handler === undefined) return;
    handler(from, envelope.body, this.#responder(from, envelope));
  }

  onPeer(peer: NodeId, event: "down" | "reconnected", refusedId: number): void {
    for (const [id, pending] of [...this.#pending]) {
      if (pending.to !== peer) continue;
      // Only the refused call certainly never arrived; the others may have been taken before.
      const error = id === refusedId ? Err.CONNECT_FAILED : Err.CONNECTION_LOST;
      this.#finish(id, error, undefined, "");
    }
    this.onPeerEvent(peer, event);
  }

  #finish(id: number, error: number, body: unknown, detail: string): void {
    const pending = this.#pending.get(id);
    if (pending === undefined) return;
    this.#pending.delete(id);
    this.#scheduler.cancel(pending.timer);
    pending.done(error, body, detail);
  }

  #responder(to: NodeId, request: Envelope): Responder {
    let answered = request.kind === "message";
    const answer = (error: number, detail: string, body: unknown) => {
      if (answered || this.#closed) return;
      answered = true;
      this.#network.send(this.address, to, {
        kind: "response",
        rpc: request.rpc,
        id: request.id,
        error,
        detail,
        body: freeze(body),
      });
    };
    return {
      reply: (body) => answer(0, "", body),
      fail: (error, detail = "") => answer(error, detail, undefined),
    };
  }
}

/** Freezes what travels, so that a core that keeps changing what it sent is found out. */
export function freeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  if (ArrayBuffer.isView(value) || value instanceof Map) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) freeze(inner);
  return value;
}
