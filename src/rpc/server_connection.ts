// One accepted connection of a server: dispatches its requests to handlers without promises, answers
// them, and forgets those nobody waits for. Invariants: a request is answered at most once; past its
// deadline it does not start, and a running one is forgotten within a tick; a peer has at most
// `inflightMax` requests running; nothing is decoded for somebody whose rank is too low.
// docs/protocol.md, "Frames".

import { Err } from "../base/errors.ts";
import { utf8 } from "../base/bytes.ts";
import { type Principal, Rank, TRUSTED } from "../schema/access.ts";
import { decode, encodeShared } from "../schema/codec.ts";
import type { AnyRpc } from "../schema/rpc.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import type { Handler, IncomingCall } from "./contract.ts";
import { FrameKind, type FrameParser, HEADER_BYTES } from "./frame.ts";
import type { RpcContext } from "./options.ts";
import { type Listed, RunningCalls } from "./running_calls.ts";
import type { Wire } from "./tcp_transport.ts";

/** A registered handler. */
export interface Route {
  readonly rpc: AnyRpc;
  // deno-lint-ignore no-explicit-any
  readonly handler: Handler<any, any>;
}

/** What a connection needs of its server. */
export interface ConnectionServer {
  /** Handlers by code. */
  readonly routes: ReadonlyMap<number, Route>;
  /** Nothing new starts any more. */
  readonly isClosing: boolean;
  /** Monotonic ms; read once for all answers that one event releases, as a log group does. */
  readonly turnNow: number;
  /** One connection's read was dispatched. */
  endBatch(): void;
  /** A handshake is done. */
  opened(connection: ServerConnection): void;
  /** A connection is gone. */
  forget(connection: ServerConnection): void;
}

const WHOM: Readonly<Record<number, string>> = {
  [Rank.ADMIN]: "administrators",
  [Rank.SERVER]: "servers of the cluster",
};

// A request between dispatch and answer. `peer` and `deadline` are what handlers read.
class ServerCall implements IncomingCall<unknown>, Listed<ServerCall> {
  previous: ServerCall | undefined = undefined;
  next: ServerCall | undefined = undefined;
  isListed = false;
  readonly deadline: number;
  /** When it was read off the socket, and the observer's name for it; -1 = not observed. */
  startedAt = 0;
  tag = -1;
  /** The request, if its end is to be kept and was not yet. */
  audited: unknown;
  readonly #client: ServerConnection;
  readonly #rpc: AnyRpc;
  readonly #id: number;

  constructor(client: ServerConnection, rpc: AnyRpc, id: number, deadline: number) {
    this.deadline = deadline;
    this.#client = client;
    this.#rpc = rpc;
    this.#id = id;
  }

  get peer(): string {
    return this.#client.connection.peer;
  }

  get who(): Principal {
    return this.#client.who;
  }

  reply(response: unknown): void {
    const isWaiting = this.#client.finish(this);
    if (this.audited !== undefined) this.#audit(Err.OK, "");
    if (!isWaiting) return;
    const body = encodeShared(this.#rpc.response, response);
    this.#client.answer(this.#rpc, this.#id, this.tag, body);
  }

  replyBytes(response: Uint8Array): void {
    const isWaiting = this.#client.finish(this);
    if (this.audited !== undefined) this.#audit(Err.OK, "");
    if (isWaiting) this.#client.answer(this.#rpc, this.#id, this.tag, response);
  }

  fail(code: number, detail = ""): void {
    const isWaiting = this.#client.finish(this);
    const isForbidden = isWaiting && code === Err.ACL_DENY;
    if (this.audited !== undefined || isForbidden) this.#audit(code, detail);
    if (isWaiting) this.#client.fail(this.#rpc, this.#id, this.tag, code, detail);
  }

  /** What was changed is kept although nobody waits for the answer any more, and once. */
  #audit(error: number, detail: string): void {
    const request = this.audited;
    this.audited = undefined;
    this.#client.audit(this.#rpc, request, error, detail);
  }
}

// What handlers of one-way messages get: answers go nowhere.
class NoAnswer implements IncomingCall<unknown> {
  readonly deadline = Infinity;
  readonly #client: ServerConnection;

  constructor(client: ServerConnection) {
    this.#client = client;
  }

  get peer(): string {
    return this.#client.connection.peer;
  }

  get who(): Principal {
    return this.#client.who;
  }

  reply(): void {}
  replyBytes(): void {}
  fail(): void {}
}

/** One accepted connection. */
export class ServerConnection implements ConnectionOwner {
  readonly connection: Connection;
  /** Who dialed, once the handshake is done. */
  who: Principal = TRUSTED;
  readonly #server: ConnectionServer;
  readonly #context: RpcContext;
  readonly #noAnswer: NoAnswer;
  // Requests that were not answered while they were dispatched. Invariant: holds no request past
  // its deadline for longer than a tick, so that a handler that never answers cannot use up the
  // limit.
  readonly #running = new RunningCalls<ServerCall>();
  #earliest = Infinity;
  // The request being dispatched, while it is not answered.
  #dispatched: ServerCall | undefined;
  // Observed requests of this batch that were answered while they were dispatched.
  readonly #answeredAtOnce: number[] = [];

  constructor(wire: Wire, server: ConnectionServer, context: RpcContext) {
    this.#server = server;
    this.#context = context;
    this.#noAnswer = new NoAnswer(this);
    const { timers, settings } = context;
    const handshakeBy = timers.now() + settings.frameTimeoutMs;
    this.connection = new Connection(wire, context, this, "acceptor", handshakeBy);
  }

  get runningCount(): number {
    return this.#running.size;
  }

  onOpen(): void {
    const { peer, admitted } = this.connection;
    this.who = admitted!.principal;
    this.#server.opened(this);
    this.#context.log("debug", "Connection accepted", { peer });
    if (this.#server.isClosing) this.connection.sayBye();
  }

  onFrame(frame: FrameParser): void {
    const route = this.#server.routes.get(frame.code);
    if (frame.kind === FrameKind.ONEWAY) return this.#onMessage(frame, route);
    const { id, code } = frame;
    const deadline = this.connection.readAt + frame.word;
    // The caller no longer waits: work and answer would be for nobody.
    if (deadline <= this.connection.now) return;
    if (this.#server.isClosing) {
      return this.refuse(code, id, Err.CONNECT_FAILED, "The server is closing");
    }
    if (route === undefined || route.rpc.kind !== "call") {
      return this.refuse(code, id, Err.HANDLER_NOT_FOUND, `No handler for request ${code}`);
    }
    if (route.rpc.rank > this.who.rank) return this.#forbid(route.rpc, id);
    if (this.#running.size >= this.#context.settings.inflightMax) {
      return this.refuse(code, id, Err.BUSY, "Too many requests of this connection are running");
    }
    let request: unknown;
    try {
      request = decode(route.rpc.request, frame.body, route.rpc.name);
    } catch (error) {
      return this.refuse(code, id, Err.INVALID_DATA, (error as Error).message);
    }
    const call = new ServerCall(this, route.rpc, id, deadline);
    if (route.rpc.audited) call.audited = request;
    const { observer } = this.#context;
    if (observer !== undefined) {
      call.startedAt = this.connection.readAt;
      call.tag = observer.started(route.rpc, request, frame.body.length);
    }
    this.#dispatched = call;
    try {
      route.handler(request, call);
    } catch (error) {
      this.#logThrow(route.rpc, error);
      call.fail(Err.INTERNAL, "The handler failed; see the server's log");
    }
    if (this.#dispatched === undefined) return;
    this.#dispatched = undefined;
    this.#running.add(call);
    if (deadline < this.#earliest) this.#earliest = deadline;
  }

  #forbid(rpc: AnyRpc, id: number): void {
    const { name } = this.who;
    const detail = `User "${name}" may not send ${rpc.name}: it is for ${WHOM[rpc.rank]}`;
    this.audit(rpc, undefined, Err.ACL_DENY, detail);
    this.refuse(rpc.code, id, Err.ACL_DENY, detail);
  }

  /** Tells whoever keeps what was done. */
  audit(rpc: AnyRpc, request: unknown, error: number, detail: string): void {
    const { peer } = this.connection;
    this.#context.audit?.ended({ who: this.who, peer, rpc, request, error, detail });
  }

  /** The users have changed: what this one may do has, too. */
  recheck(): void {
    const { admitted } = this.connection;
    if (admitted === undefined) return;
    const { book, auth } = this.#context.accept!;
    const reason = book.recheck(admitted, auth);
    if (reason !== undefined) this.connection.close(Err.UNAUTHENTICATED, reason);
  }

  #onMessage(frame: FrameParser, route: Route | undefined): void {
    if (route !== undefined && route.rpc.rank > this.who.rank) {
      return this.audit(route.rpc, undefined, Err.ACL_DENY, "A message that only servers may send");
    }
    if (route === undefined || route.rpc.kind !== "oneway") {
      this.#context.log("warn", "Message without a handler dropped", {
        peer: this.connection.peer,
        code: frame.code,
      });
      return;
    }
    let body: unknown;
    try {
      body = decode(route.rpc.request, frame.body, route.rpc.name);
    } catch (error) {
      this.#context.log("warn", "Message that cannot be decoded dropped", {
        peer: this.connection.peer,
        rpc: route.rpc.name,
        error,
      });
      return;
    }
    try {
      route.handler(body, this.#noAnswer);
    } catch (error) {
      this.#logThrow(route.rpc, error);
    }
  }

  onBatchEnd(): void {
    this.#server.endBatch();
    const tags = this.#answeredAtOnce;
    if (tags.length === 0) return;
    const { observer, timers } = this.#context;
    const ms = timers.now() - this.connection.readAt;
    for (let i = 0; i < tags.length; i++) observer!.took(tags[i]!, ms);
    tags.length = 0;
  }

  // A client that leaves closes its socket; there is nothing more to do.
  onBye(): void {}

  onClose(code: number, reason: string): void {
    if (code === Err.UNAUTHENTICATED) this.#context.audit?.refused(this.connection.peer, reason);
    this.#running.clear();
    this.#earliest = Infinity;
    this.#server.forget(this);
  }

  tick(now: number): void {
    this.connection.tick(now);
    if (now < this.#earliest) return;
    this.#earliest = Infinity;
    this.#running.forEach((call) => {
      if (call.deadline <= now) this.#expire(call, now);
      else if (call.deadline < this.#earliest) this.#earliest = call.deadline;
    });
  }

  #expire(call: ServerCall, now: number): void {
    this.#running.delete(call);
    const { observer } = this.#context;
    if (observer === undefined) return;
    observer.answered(call.tag, Err.TIMEOUT, 0);
    observer.took(call.tag, now - call.startedAt);
  }

  /**
   * Ends a call; false if it was answered before, is past its deadline, or its connection is gone.
   */
  finish(call: ServerCall): boolean {
    if (this.#dispatched === call) {
      this.#dispatched = undefined;
      if (call.tag >= 0) this.#answeredAtOnce.push(call.tag);
      return this.connection.isOpen;
    }
    if (!this.#running.delete(call)) return false;
    if (call.tag >= 0) {
      this.#context.observer!.took(call.tag, this.#server.turnNow - call.startedAt);
    }
    return true;
  }

  answer(rpc: AnyRpc, id: number, tag: number, body: Uint8Array): void {
    const { frameBytesMax } = this.#context.settings;
    if (body.length + HEADER_BYTES > frameBytesMax) {
      const detail = `The answer has ${body.length} bytes, a frame at most ${frameBytesMax}`;
      return this.fail(rpc, id, tag, Err.FRAME_TOO_LARGE, detail);
    }
    if (tag >= 0) this.#context.observer!.answered(tag, Err.OK, body.length);
    this.connection.send(FrameKind.RESPONSE, rpc.code, id, 0, body);
  }

  /** Answers a request that has started with an error. */
  fail(rpc: AnyRpc, id: number, tag: number, code: number, detail: string): void {
    if (tag >= 0) this.#context.observer!.answered(tag, code, 0);
    this.connection.send(FrameKind.ERROR, rpc.code, id, code, utf8(detail));
  }

  /** Answers a request that does not start. */
  refuse(rpcCode: number, id: number, code: number, detail: string): void {
    this.#context.observer?.refused(rpcCode, code);
    this.connection.send(FrameKind.ERROR, rpcCode, id, code, utf8(detail));
  }

  #logThrow(rpc: AnyRpc, error: unknown): void {
    const { peer } = this.connection;
    this.#context.log("error", "Handler failed", { rpc: rpc.name, peer, error });
  }
}
