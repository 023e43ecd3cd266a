// Sockets, and nothing else: the only file that knows TCP. It uses node:net so that the client
// library runs on Deno and Node alike, and so that TLS can come from node:tls with the same shape.
// Deno's own sockets are not faster: 48 k against 46 k round trips/s with one message outstanding,
// 1.0 M against 1.4 M small messages/s in batches of 32, where neither is the limit
// (tests/bench/rpc_bench.ts).
// Invariant: after `onClose` a wire reports nothing more.

import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import type { TlsMaterial } from "./security.ts";

/** What a wire reports. */
export interface WireEvents {
  /** Bytes arrived. The chunk is fresh and belongs to the receiver. */
  onData(chunk: Uint8Array): void;
  /** The stream is over, once; `reason` is for people. */
  onClose(reason: string): void;
}

/** One open connection as a stream of bytes. */
export interface Wire {
  /** "host:port" of the other end. */
  readonly remote: string;
  /** Common name of the other end's certificate if our authority signed it; "" or absent = none. */
  readonly certified?: string;
  /** Settles when the socket is gone for good. */
  readonly closed: Promise<void>;
  /** Starts delivering. */
  open(events: WireEvents): void;
  /** Sends bytes; `done` runs when the kernel has taken them and they may be overwritten. */
  write(bytes: Uint8Array, done: () => void): void;
  pause(): void;
  resume(): void;
  /** Sends what was written, then closes; gives up after {@link LINGER_MS}. */
  end(): void;
  /** Closes at once. */
  destroy(): void;
}

/** A bound listener. */
export interface Listening {
  /** Bound "host:port". */
  readonly address: string;
  close(): Promise<void>;
}

/** A TLS handshake must be done within, ms. */
const TLS_HANDSHAKE_MS = 10_000;
/** Most TLS handshakes of one listener at a time. */
const TLS_PENDING_MAX = 1000;

/** How long a closing wire waits for its last bytes to leave, ms. */
const LINGER_MS = 1000;

/** Splits "host:port" or "[v6]:port". @throws {RangeError} */
export function parseAddress(address: string): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(address);
  const port = Number(match?.[3]);
  if (match === null || port > 65535) {
    throw new RangeError(`Cannot use address "${address}": expected host:port`);
  }
  return { host: match[1] ?? match[2]!, port };
}

function formatAddress(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

class TcpWire implements Wire {
  readonly remote: string;
  readonly certified: string;
  readonly closed: Promise<void>;
  readonly #socket: net.Socket;
  #events: WireEvents | undefined;
  #reason = "The peer closed the connection";

  constructor(socket: net.Socket, certified = "") {
    this.#socket = socket;
    this.certified = certified;
    this.remote = formatAddress(socket.remoteAddress ?? "unknown", socket.remotePort ?? 0);
    socket.setNoDelay(true);
    socket.on("error", (error: Error) => this.#reason = error.message);
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        const events = this.#events;
        this.#events = undefined;
        events?.onClose(this.#reason);
        resolve();
      });
    });
  }

  open(events: WireEvents): void {
    this.#events = events;
    this.#socket.on("data", (chunk: Uint8Array) => {
      // A Buffer's views are Buffers, whose slice() does not copy: nothing above may meet one.
      this.#events?.onData(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength));
    });
  }

  write(bytes: Uint8Array, done: () => void): void {
    this.#socket.write(bytes, done);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    // What still arrives is discarded: a socket closed with unread bytes resets and loses our last
    // words.
    this.#events = undefined;
    this.#socket.resume();
    this.#socket.end();
    const timer = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.on("close", () => clearTimeout(timer));
  }

  destroy(): void {
    this.#events = undefined;
    this.#socket.destroy();
  }
}

/**
 * Whether a socket is its own other end. Ports of outgoing connections come from the same range as most of ours; while
 * nobody listens on one of those, a machine that keeps dialing itself there gets through to itself some day (with an even
 * port after 43 600 attempts, measured once), and as long as that stands no server can listen there.
 */
export function isSelfConnected(socket: net.Socket): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}

/**
 * Connects to "host:port", encrypted if `material` is given. Exactly one of the callbacks runs, unless the returned function cancels
 * before.
 *
 * @returns Cancels the attempt.
 */
export function dial(
  address: string,
  opened: (wire: Wire) => void,
  failed: (reason: string) => void,
  material?: TlsMaterial,
): () => void {
  let target: { host: string; port: number };
  try {
    target = parseAddress(address);
  } catch (error) {
    queueMicrotask(() => failed((error as Error).message));
    return () => {};
  }
  const socket = material === undefined
    ? net.connect({ ...target, noDelay: true })
    : tls.connect({ ...target, ...pemOf(material) });
  socket.once("connect", () => {
    if (isSelfConnected(socket)) socket.destroy(new Error("Nobody listens there"));
  });
  const ready = material === undefined ? "connect" : "secureConnect";
  let over = false;
  const onError = (error: Error) => {
    if (over) return;
    over = true;
    failed(error.message || "Connection failed");
  };
  socket.on("error", onError);
  // A server that speaks TCP only, or dislikes our certificate, just goes away.
  socket.once("close", () => onError(new Error("The server closed the connection at once")));
  socket.once(ready, () => {
    if (over || socket.destroyed) return;
    over = true;
    opened(new TcpWire(socket));
  });
  return () => {
    if (over) return;
    over = true;
    socket.destroy();
  };
}

/**
 * Asks whether anybody listens on "host:port".
 *
 * @returns "refused" only if the other machine itself said that nobody does.
 */
export function probe(
  address: string,
  timeoutMs: number,
): Promise<"listening" | "refused" | "unknown"> {
  return new Promise((resolve) => {
    const socket = net.connect({ ...parseAddress(address), timeout: timeoutMs });
    const end = (verdict: "listening" | "refused" | "unknown") => {
      socket.destroy();
      resolve(verdict);
    };
    socket.once("connect", () => end(isSelfConnected(socket) ? "refused" : "listening"));
    socket.once("timeout", () => end("unknown"));
    socket.once("error", (error: Error & { code?: string }) => {
      end(error.code === "ECONNREFUSED" ? "refused" : "unknown");
    });
  });
}

function pemOf({ cert, key, ca }: TlsMaterial): tls.SecureContextOptions {
  return { ...(cert === "" ? {} : { cert, key }), ...(ca === "" ? {} : { ca: [ca] }) };
}

/** Whether servers can ask callers for certificates. With Deno 2.4 they cannot. */
export function canAskForCertificates(): boolean {
  return tls.createServer({}) instanceof net.Server;
}

/** Why certificates cannot be used; `undefined` if they can. @param nowMs Unix ms. */
export function tlsProblem({ cert, key, ca }: TlsMaterial, nowMs: number): string | undefined {
  try {
    for (const text of [ca, cert]) {
      if (text === "") continue;
      const { subject, validTo } = new X509Certificate(text);
      if (Date.parse(validTo) < nowMs) return `the certificate of ${subject} ended ${validTo}`;
    }
    if (cert === "") return undefined;
    const format = { type: "spki", format: "pem" } as const;
    const own = createPublicKey(createPrivateKey(key)).export(format);
    const isOwn = own === new X509Certificate(cert).publicKey.export(format);
    return isOwn ? undefined : "the key is not the one of the certificate";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Who the other end is, if our authority says so. */
function certifiedName(socket: tls.TLSSocket): string {
  if (!socket.authorized) return "";
  const name: unknown = socket.getPeerCertificate?.()?.subject?.CN;
  return typeof name === "string" ? name : "";
}

/** @param refused A connection that did not become an encrypted one, and why. */
function createServer(
  host: string,
  material: TlsMaterial | undefined,
  accepted: (wire: Wire) => void,
  refused: (remote: string, reason: string) => void,
): net.Server {
  if (material === undefined) {
    return net.createServer({ noDelay: true }, (socket) => accepted(new TcpWire(socket)));
  }
  // Certificates are asked for and not demanded: a user may prove himself by a password instead.
  const options = {
    ...pemOf(material),
    requestCert: material.ca !== "",
    rejectUnauthorized: false,
    handshakeTimeout: TLS_HANDSHAKE_MS,
    // Where Deno 2.4 looks for it; see `bind`.
    host,
  };
  const pending = new Map<string, net.Socket>();
  const nameOf = (socket: net.Socket) => `${socket.remoteAddress} ${socket.remotePort}`;
  const server = tls.createServer(options, (socket) => {
    pending.delete(nameOf(socket));
    accepted(new TcpWire(socket, certifiedName(socket)));
  });
  server.on("connection", (socket: net.Socket) => {
    const name = nameOf(socket);
    pending.set(name, socket);
    socket.once("close", () => pending.delete(name));
    if (pending.size <= TLS_PENDING_MAX) return;
    // Who has waited longest gives way, so that a flood of silent ones keeps nobody out.
    const [oldest, given] = pending.entries().next().value!;
    pending.delete(oldest);
    given.destroy();
  });
  server.on("tlsClientError", (error: Error, socket: net.Socket) => {
    refused(
      formatAddress(socket.remoteAddress ?? "unknown", socket.remotePort ?? 0),
      error.message,
    );
    socket.destroy();
  });
  return server;
}

/** Starts listening. The TLS server of Deno 2.4 is a thing of its own: no host, and it throws. */
function bind(server: net.Server, port: number, host: string, done: () => void): void {
  if (server instanceof net.Server) {
    server.listen(port, host, done);
    return;
  }
  const other = server as unknown as { listen(port: number, done: () => void): void };
  try {
    other.listen(port, () => queueMicrotask(done));
  } catch (error) {
    (server as net.Server).emit("error", error);
  }
}

/** Listens on "host:port" (port 0: any free one). @throws {Error} If it cannot bind. */
export function listen(
  address: string,
  accepted: (wire: Wire) => void,
  material?: TlsMaterial,
  refused: (remote: string, reason: string) => void = () => {},
): Promise<Listening> {
  const { host, port } = parseAddress(address);
  const server = createServer(host, material, accepted, refused);
  return new Promise((resolve, reject) => {
    server.once("error", (error: Error) => {
      reject(new Error(`Cannot listen on ${address}: ${error.message}`, { cause: error }));
    });
    bind(server, port, host, () => {
      const bound = (server.address() as net.AddressInfo).port;
      const close = () =>
        new Promise<void>((closed) => {
          // By then every wire has ended or was destroyed. Deno 2.4 may forget to count one down, and
          // would wait for it for ever.
          const timer = setTimeout(closed, 2 * LINGER_MS);
          server.close(() => {
            clearTimeout(timer);
            closed();
          });
        });
      resolve({ address: formatAddress(host, bound), close });
    });
  });
}
