// One dialed connection with its calls.

import { type Call, CallTable } from "./calls.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import type { FrameParser } from "./frame.ts";
import type { RpcContext } from "./options.ts";
import type { Wire } from "./tcp_transport.ts";

/** Whom a connection was dialed for. */
export interface ConnectionUser {
  onOpen(opened: ClientConnection): void;
  onAnswer(call: Call, frame: FrameParser): void;
  onRetired(connection: ClientConnection): void;
  onClosed(connection: ClientConnection, code: number, reason: string): void;
}

/** See the file comment. */
export class ClientConnection implements ConnectionOwner {
  readonly connection: Connection;
  readonly calls = new CallTable();
  /** Whether the server asked for no new calls; it is left after the last answer. */
  isRetired = false;
  #peer: ConnectionUser;

  constructor(wire: Wire, context: RpcContext, peer: ConnectionUser, handshakeBy: number) {
    this.#peer = peer;
    this.connection = new Connection(wire, context, this, "dialer", handshakeBy);
  }

  /** It is somebody else's from now on. */
  adopt(peer: ConnectionUser): void {
    this.#peer = peer;
  }

  onOpen(): void {
    this.#peer.onOpen(this);
  }

  onFrame(frame: FrameParser): void {
    const call = this.calls.take(frame.id);
    // Its deadline passed before the answer came.
    if (call === undefined) return;
    this.#peer.onAnswer(call, frame);
  }

  onBatchEnd(): void {
    if (this.isRetired) this.leaveIfIdle();
  }

  onBye(): void {
    this.isRetired = true;
    this.#peer.onRetired(this);
  }

  onClose(code: number, reason: string): void {
    this.#peer.onClosed(this, code, reason);
  }

  leaveIfIdle(): void {
    if (this.calls.size === 0) this.connection.close(0, "The server is closing");
  }
}
