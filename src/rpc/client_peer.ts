// One address as a client sees it: dialed on demand, kept, dialed again when it breaks.
// Invariants: a call is sent at most once, and reported as never sent (CONNECT_FAILED, BUSY,
// CLOSED) only if that is certain; calls and messages that wait for a connection are bounded in
// number and bytes; after a failed attempt nobody dials again before the pause is over.
// docs/protocol.md, "Frames".

import { Err } from "../base/errors.ts";
import { fromUtf8 } from "../base/bytes.ts";
import { decode, encodeShared } from "../schema/codec.ts";
import type { AnyRpc } from "../schema/rpc.ts";
import type { Call } from "./calls.ts";
import { ClientConnection, type ConnectionUser } from "./client_connection.ts";
import { FrameKind, type FrameParser, HEADER_BYTES } from "./frame.ts";
import type { RpcContext } from "./options.ts";
import { SecondOpinion } from "./second_opinion.ts";
import { dial } from "./tcp_transport.ts";

const U32_MAX = 0xffffffff;
/** Why a handshake failed, if a caller can do something with it. */
const TOLD: ReadonlySet<number> = new Set([Err.PROTOCOL_VERSION, Err.BUSY, Err.UNAUTHENTICATED]);

/** With so many calls in flight on a connection the next one may wait for others to share its socket write. */
const CALLS_BUSY = 4;

/** A frame that waits for a connection; a message if it has no call. */
interface Waiting {
  readonly rpc: AnyRpc;
  readonly body: Uint8Array;
  readonly call: Call | undefined;
}

/** What a peer tells its client. */
export interface PeerEvents {
  /** Runs the call's `done`, now. */
  finish(call: Call, code: number, response: unknown, detail: string): void;
  /** Runs it after the current call into the client has returned. */
  finishLater(call: Call, code: number, detail: string): void;
  onPeer(event: "down" | "reconnected"): void;
  /** A socket was opened; it is gone when `closed` settles. */
  onWire(closed: Promise<void>): void;
}

/** The client's side of one address. */
export class ClientPeer implements ConnectionUser {
  readonly #address: string;
  readonly #dialAddress: string;
  readonly #context: RpcContext;
  readonly #events: PeerEvents;

  /** Where new calls go: open, or in its handshake. */
  #current: ClientConnection | undefined;
  readonly #retired = new Set<ClientConnection>();
  readonly #opinion: SecondOpinion;
  #cancelDial: (() => void) | undefined;
  #dialBy = Infinity;

  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  // Pause after the last failure, and when it is over.
  #pauseMs = 0;
  #pauseUntil = -Infinity;
  // A message was dropped during the pause: dial when it is over, so that its sender hears
  // "reconnected".
  #isWanted = false;
  #hadConnection = false;
  #isClosed = false;
  #openedAt = 0;
  #usedAt = -Infinity;
  #lastFailure = { code: Err.CONNECT_FAILED as number, reason: "" };

  /**
   * @param dialAddress Where the address is reached; differs from it only in tests and behind
   * proxies.
   */
  constructor(address: string, dialAddress: string, context: RpcContext, events: PeerEvents) {
    this.#address = address;
    this.#dialAddress = dialAddress;
    this.#context = context;
    this.#events = events;
    this.#opinion = new SecondOpinion(dialAddress, context, {
      onWire: (closed) => events.onWire(closed),
      isRight: (connection) => this.#replaceSilent(connection),
    });
  }

  /**
   * Sends a call, or a message if `done` is absent. `request` is encoded only if it will be taken, or
   * is encoded already.
   */
  start(
    rpc: AnyRpc,
    request: unknown,
    isEncoded: boolean,
    timeoutMs: number,
    done: Call["done"] | undefined,
  ): void {
    const now = this.#context.timers.now();
    const wholeMs = Math.min(U32_MAX, Math.max(1, Math.ceil(timeoutMs)));
    const call = done === undefined ? undefined : { rpc, deadline: now + wholeMs, done };
    const refusal = this.#refusal(now);
    if (refusal !== undefined) return this.#refuse(call, refusal.code, refusal.reason);
    const bytes = isEncoded ? request as Uint8Array : encodeShared(rpc.request, request);
    const { frameBytesMax } = this.#context.settings;
    if (bytes.length + HEADER_BYTES > frameBytesMax) {
      const reason = `The message has ${bytes.length} bytes, a frame at most ${frameBytesMax}`;
      if (call === undefined) {
        this.#context.log("warn", "Message too large for a frame dropped", {
          peer: this.#address,
          rpc: rpc.name,
          reason,
        });
      }
      return this.#refuse(call, Err.FRAME_TOO_LARGE, reason);
    }
    this.#usedAt = now;
    const current = this.#current;
    if (current?.connection.isOpen === true) this.#send(current, rpc, bytes, call, wholeMs);
    else {
      this.#waiting.push({ rpc, body: bytes.slice(), call });
      this.#waitingBytes += bytes.length;
      if (current === undefined && this.#cancelDial === undefined) this.#dial(now);
    }
  }

  /** Looks at the clock: deadlines, the attempt to connect, the next attempt. */
  tick(now: number): void {
    const late = (call: Call, code: number, detail: string) =>
      this.#events.finish(call, code, undefined, detail);
    for (const retired of [...this.#retired]) {
      retired.calls.expire(now, late);
      retired.leaveIfIdle();
      retired.connection.tick(now);
    }
    this.#current?.calls.expire(now, late);
    this.#current?.connection.tick(now);
    this.#opinion.look(this.#current?.connection, now);
    if (now >= this.#dialBy) {
      this.#cancelDial?.();
      const { connectTimeoutMs } = this.#context.settings;
      this.#onDialFailed(Err.CONNECT_FAILED, `No connection within ${connectTimeoutMs} ms`);
    }
    if (this.#waiting.length > 0) this.#expireWaiting(now);
    if (this.#isWanted && now >= this.#pauseUntil) {
      this.#isWanted = false;
      if (this.#current === undefined && this.#cancelDial === undefined) this.#dial(now);
    }
  }

  /** Gives everything up: calls that may have been sent get CONNECTION_LOST, the others `code`. */
  close(code: number, reason: string): void {
    // First, so that the end of a connection starts no new attempt.
    this.#isClosed = true;
    this.#cancelDial?.();
    this.#opinion.forget();
    this.#failWaiting(code, reason);
    for (const retired of [...this.#retired]) retired.connection.close(0, reason);
    this.#current?.connection.close(0, reason);
  }

  /** The handshake is done: what waited goes out. */
  onOpen(opened: ClientConnection): void {
    const now = this.#context.timers.now();
    const isBack = this.#hadConnection;
    this.#hadConnection = true;
    this.#openedAt = now;
    this.#dialBy = Infinity;
    this.#isWanted = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { rpc, body, call } of waiting) {
      const leftMs = call === undefined ? 0 : Math.ceil(call.deadline - now);
      if (call === undefined || leftMs > 0) this.#send(opened, rpc, body, call, leftMs);
      else this.#refuse(call, Err.CONNECT_FAILED, "No connection within the deadline");
    }
    if (isBack) this.#events.onPeer("reconnected");
  }

  /** A new connection was answered while the current one is silent: that one is dead, and the server is not. */
  #replaceSilent(opened: ClientConnection): void {
    const silent = this.#current!;
    this.#current = opened;
    opened.adopt(this);
    this.onOpen(opened);
    // Its calls fail now, and whoever repeats one finds the new connection.
    silent.connection.drop("The connection was silent while a new one was answered");
  }

  /** An answer came. */
  onAnswer(call: Call, frame: FrameParser): void {
    if (frame.kind === FrameKind.ERROR) {
      const code = frame.word === 0 ? Err.INTERNAL : frame.word;
      return this.#events.finish(call, code, undefined, fromUtf8(frame.body));
    }
    let response: unknown;
    try {
      response = decode(call.rpc.response, frame.body, call.rpc.name);
    } catch (error) {
      this.#context.log("error", "Answer that cannot be decoded", {
        peer: this.#address,
        rpc: call.rpc.name,
        error,
      });
      // The request may well have been executed.
      const detail = `The answer cannot be decoded: ${(error as Error).message}`;
      return this.#events.finish(call, Err.INTERNAL, undefined, detail);
    }
    this.#events.finish(call, 0, response, "");
  }

  /** The server closes soon: new calls dial again. */
  onRetired(connection: ClientConnection): void {
    if (this.#current !== connection) return;
    this.#current = undefined;
    this.#retired.add(connection);
    this.#onLost(connection.calls.size > 0);
    connection.leaveIfIdle();
  }

  /** A connection is gone. */
  onClosed(connection: ClientConnection, code: number, reason: string): void {
    const calls = connection.calls.clear();
    this.#retired.delete(connection);
    const wasCurrent = this.#current === connection;
    if (wasCurrent) this.#current = undefined;
    if (wasCurrent && this.#dialBy !== Infinity && !this.#isClosed) {
      // It never came to a handshake.
      return this.#onDialFailed(TOLD.has(code) ? code : Err.CONNECT_FAILED, reason);
    }
    for (const call of calls) {
      this.#events.finish(call, Err.CONNECTION_LOST, undefined, reason);
    }
    // A retired connection was replaced when it was retired.
    if (wasCurrent) this.#onLost(calls.length > 0);
  }

  // The connection that new calls would have used is gone. If it was in use, so that somebody waits
  // to hear what became of the other side, dial again at once.
  #onLost(hadCalls: boolean): void {
    if (this.#isClosed) return;
    const now = this.#context.timers.now();
    const { keepAliveMs, reconnectMinMs, reconnectMaxMs } = this.#context.settings;
    // A connection that lasted clears its record; one that breaks as soon as it opens is not dialed
    // in a loop.
    if (now - this.#openedAt > reconnectMaxMs) this.#pauseMs = 0;
    if (this.#pauseMs > 0) this.#pauseAfterFailure(now);
    else this.#pauseMs = reconnectMinMs;
    // Somebody who heard of the loss may have called again already: a second connection would take the place of the
    // first, and nobody would look after the calls of that one any more.
    if (this.#current !== undefined || this.#cancelDial !== undefined) return;
    if (!hadCalls && now - this.#usedAt >= keepAliveMs) return;
    if (now >= this.#pauseUntil) this.#dial(now);
    else this.#isWanted = true;
  }

  // Why a call cannot be taken now; `undefined` if it can.
  #refusal(now: number): { code: number; reason: string } | undefined {
    const { inflightMax, sendBufferBytesMax } = this.#context.settings;
    const current = this.#current;
    if (current?.connection.isOpen === true) {
      if (current.calls.size >= inflightMax) {
        return { code: Err.BUSY, reason: `${inflightMax} calls are in flight` };
      }
      if (current.connection.congested) {
        return { code: Err.BUSY, reason: "The server does not read what is sent" };
      }
      return undefined;
    }
    if (current === undefined && this.#cancelDial === undefined && now < this.#pauseUntil) {
      return this.#lastFailure;
    }
    if (this.#waiting.length >= inflightMax || this.#waitingBytes >= sendBufferBytesMax) {
      return { code: Err.BUSY, reason: "Too many calls wait for the connection" };
    }
    return undefined;
  }

  #refuse(call: Call | undefined, code: number, reason: string): void {
    if (call !== undefined) this.#events.finishLater(call, code, reason);
    else if (this.#current === undefined) this.#isWanted = true;
  }

  #send(
    to: ClientConnection,
    rpc: AnyRpc,
    body: Uint8Array,
    call: Call | undefined,
    leftMs: number,
  ): void {
    if (call === undefined) return to.connection.send(FrameKind.ONEWAY, rpc.code, 0, 0, body);
    const id = to.calls.add(call);
    const canWait = to.calls.size >= CALLS_BUSY;
    to.connection.send(FrameKind.REQUEST, rpc.code, id, leftMs, body, canWait);
  }

  #dial(now: number): void {
    this.#dialBy = now + this.#context.settings.connectTimeoutMs;
    const handshakeBy = this.#dialBy;
    this.#cancelDial = dial(
      this.#dialAddress,
      (wire) => {
        this.#cancelDial = undefined;
        this.#events.onWire(wire.closed);
        this.#current = new ClientConnection(wire, this.#context, this, handshakeBy);
      },
      (reason) => this.#onDialFailed(Err.CONNECT_FAILED, reason),
      this.#context.dial?.tls,
    );
  }

  #onDialFailed(code: number, reason: string): void {
    this.#cancelDial = undefined;
    this.#dialBy = Infinity;
    this.#lastFailure = { code, reason: `Cannot connect to ${this.#address}: ${reason}` };
    this.#pauseAfterFailure(this.#context.timers.now());
    this.#context.log("debug", "Connecting failed", { peer: this.#address, reason });
    this.#failWaiting(code, this.#lastFailure.reason);
    this.#events.onPeer("down");
  }

  #pauseAfterFailure(now: number): void {
    const { reconnectMinMs, reconnectMaxMs } = this.#context.settings;
    this.#pauseMs = Math.min(reconnectMaxMs, Math.max(reconnectMinMs, this.#pauseMs * 2));
    this.#pauseUntil = now + this.#pauseMs;
  }

  #failWaiting(code: number, reason: string): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const { call } of waiting) {
      if (call !== undefined) this.#events.finishLater(call, code, reason);
      else this.#isWanted = true;
    }
  }

  #expireWaiting(now: number): void {
    const kept: Waiting[] = [];
    for (const one of this.#waiting) {
      if (one.call === undefined || one.call.deadline > now) kept.push(one);
      else {
        this.#waitingBytes -= one.body.length;
        this.#refuse(one.call, Err.CONNECT_FAILED, "No connection within the deadline");
      }
    }
    this.#waiting = kept;
  }
}
