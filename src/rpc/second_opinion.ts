// A second connection beside one that owes an answer and says nothing: if the server answers there, the first
// connection is dead and its server is not, which no waiting would have told apart from a server that stands still.
// So a half-open connection is left after half a second, and a slow server never is. Invariant: at most one
// attempt per address. docs/protocol.md, "When a connection ends".

import { ClientConnection, type ConnectionUser } from "./client_connection.ts";
import type { Connection } from "./connection.ts";
import type { RpcContext } from "./options.ts";
import { dial } from "./tcp_transport.ts";

/** What follows from an attempt. */
export interface OpinionEvents {
  /** A socket was opened; it is gone when `closed` settles. */
  onWire(closed: Promise<void>): void;
  /** The connection was answered, and the first one is silent still. It belongs to the receiver. */
  isRight(connection: ClientConnection): void;
}

/** See the file comment. */
export class SecondOpinion implements ConnectionUser {
  readonly #address: string;
  readonly #context: RpcContext;
  readonly #events: OpinionEvents;
  #cancelDial: (() => void) | undefined;
  #connection: ClientConnection | undefined;
  #isOpen = false;
  /** No attempt before, monotonic ms. */
  #pauseUntil = -Infinity;

  constructor(address: string, context: RpcContext, events: OpinionEvents) {
    this.#address = address;
    this.#context = context;
    this.#events = events;
  }

  /** @param first The connection in use; call it after its own tick. */
  look(first: Connection | undefined, now: number): void {
    if (first?.isOpen !== true || !first.isSuspect(now)) return this.forget();
    const connection = this.#connection;
    if (connection === undefined) {
      if (this.#cancelDial === undefined && now >= this.#pauseUntil) this.#ask(now);
      return;
    }
    // Only now, a tick after it was opened: what both ends said at the same time was read by then.
    if (this.#isOpen) {
      this.#connection = undefined;
      this.#isOpen = false;
      return this.#events.isRight(connection);
    }
    connection.connection.tick(now);
  }

  /** Ends the attempt. */
  forget(): void {
    this.#cancelDial?.();
    this.#cancelDial = undefined;
    const connection = this.#connection;
    this.#connection = undefined;
    this.#isOpen = false;
    connection?.connection.close(0, "Not needed");
  }

  onOpen(): void {
    this.#isOpen = true;
  }

  onAnswer(): void {}

  onRetired(): void {
    this.forget();
  }

  onClosed(): void {
    this.#connection = undefined;
    this.#isOpen = false;
  }

  #ask(now: number): void {
    const { connectTimeoutMs, reconnectMaxMs } = this.#context.settings;
    this.#pauseUntil = now + reconnectMaxMs;
    this.#cancelDial = dial(
      this.#address,
      (wire) => {
        this.#cancelDial = undefined;
        this.#events.onWire(wire.closed);
        this.#connection = new ClientConnection(wire, this.#context, this, now + connectTimeoutMs);
      },
      () => this.#cancelDial = undefined,
      this.#context.dial?.tls,
    );
  }
}
