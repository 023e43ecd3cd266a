// The door of the HTTP server. The runtime's server takes any number of connections and waits for ever for the rest of
// a request, so that a stranger could use up the process' file descriptors, which the data path needs too. It listens
// on a loopback port of its own, and this stands in front of it: it counts connections, looks for the end of each
// request's head, and passes bytes on. Invariants: a newcomer is always let in, the one who was silent longest goes;
// every state of a connection has an end. Numbers: docs/limits.md, "HTTP".

import type { Logger } from "../../src/observe/logger.ts";
import { everyBeat } from "../../src/rpc/beat.ts";
import type { TlsMaterial } from "../../src/rpc/security.ts";
import { dial, listen, type Wire } from "../../src/rpc/tcp_transport.ts";

/** Bounds of a front. */
export interface FrontLimits {
  readonly connectionsMax: number;
  /** Bytes of a request until its body begins. */
  readonly headBytesMax: number;
  /** From the first byte of a request, or from the connection, to the end of its head, ms. */
  readonly headMsMax: number;
  /** From there to the first byte of the answer, ms: a profile takes up to 5 minutes. */
  readonly answerMsMax: number;
  /** From one piece of an answer to the next one, or to the next request, ms. */
  readonly idleMsMax: number;
}

/** What servers have. */
export const FRONT_LIMITS: FrontLimits = {
  connectionsMax: 256,
  headBytesMax: 16 * 1024,
  headMsMax: 10_000,
  answerMsMax: 310_000,
  idleMsMax: 60_000,
};

/** A listening front. */
export interface Front {
  /** Bound "host:port". */
  readonly address: string;
  readonly connections: number;
  close(): Promise<void>;
}

const CHECK_MS = 500;
/** Ends the head of a request. */
const HEAD_END = [0x0d, 0x0a, 0x0d, 0x0a];

/**
 * Listens and passes everything on to `inner`.
 *
 * @throws {Error} If the address cannot be listened on.
 */
export async function openFront(
  address: string,
  inner: string,
  { logger, tls, limits = FRONT_LIMITS }: {
    readonly logger: Logger;
    readonly tls?: TlsMaterial | undefined;
    readonly limits?: FrontLimits;
  },
): Promise<Front> {
  const visitors = new Set<Visitor>();
  const accepted = (wire: Wire) => {
    if (visitors.size >= limits.connectionsMax) {
      let silent: Visitor | undefined;
      for (const visitor of visitors) {
        if (silent === undefined || visitor.heardAt < silent.heardAt) silent = visitor;
      }
      silent?.end();
      logger.warn("HTTP has too many connections", { most: limits.connectionsMax });
    }
    const visitor = new Visitor(wire, inner, limits, () => visitors.delete(visitor));
    visitors.add(visitor);
  };
  const stopLooking = everyBeat(CHECK_MS, () => {
    const now = performance.now();
    for (const visitor of visitors) visitor.check(now);
  });
  // Nobody is asked for a certificate: administrators have a token.
  const material = tls === undefined ? undefined : { ...tls, ca: "" };
  const refused = (remote: string, reason: string) =>
    logger.debug("HTTP connection refused", { remote, reason });
  try {
    const listening = await listen(address, accepted, material, refused);
    return {
      address: listening.address,
      get connections() {
        return visitors.size;
      },
      close: async () => {
        stopLooking();
        for (const visitor of visitors) visitor.end();
        await listening.close();
      },
    };
  } catch (error) {
    stopLooking();
    throw error;
  }
}

/** One connection, and its other half to the server. */
class Visitor {
  /** When it was last answered, or came; monotonic ms. */
  heardAt = performance.now();
  readonly #wire: Wire;
  readonly #limits: FrontLimits;
  readonly #onEnd: () => void;
  #back: Wire | undefined;
  readonly #cancelDial: () => void;
  #deadline: number;
  /** Bytes of the head that is being received; 0 between requests. */
  #headBytes = 0;
  /** How much of {@link HEAD_END} was seen last. */
  #matched = 0;
  #ended = false;

  constructor(wire: Wire, inner: string, limits: FrontLimits, onEnd: () => void) {
    this.#wire = wire;
    this.#limits = limits;
    this.#onEnd = onEnd;
    this.#deadline = this.heardAt + limits.headMsMax;
    this.#cancelDial = dial(inner, (back) => this.#connected(back), () => this.end());
  }

  check(now: number): void {
    if (now > this.#deadline) this.end();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelDial();
    this.#wire.destroy();
    this.#back?.destroy();
    this.#onEnd();
  }

  #connected(back: Wire): void {
    if (this.#ended) return back.destroy();
    this.#back = back;
    back.open({
      onData: (chunk) => this.#answer(chunk),
      // What the server said last is on its way.
      onClose: () => this.#finish(),
    });
    this.#wire.open({
      onData: (chunk) => this.#ask(chunk),
      onClose: () => this.end(),
    });
  }

  #ask(chunk: Uint8Array): void {
    if (this.#ended) return;
    const now = performance.now();
    const { headMsMax, headBytesMax, answerMsMax } = this.#limits;
    if (this.#headBytes === 0) this.#deadline = Math.min(this.#deadline, now + headMsMax);
    for (let i = 0; i < chunk.length; i++) {
      this.#headBytes++;
      const byte = chunk[i]!;
      if (byte === HEAD_END[this.#matched]) this.#matched++;
      else this.#matched = byte === HEAD_END[0] ? 1 : 0;
      if (this.#matched < HEAD_END.length) continue;
      this.#matched = 0;
      this.#headBytes = 0;
      this.#deadline = now + answerMsMax;
    }
    if (this.#headBytes > headBytesMax) return this.end();
    this.#wire.pause();
    this.#back!.write(chunk, () => {
      if (!this.#ended) this.#wire.resume();
    });
  }

  #answer(chunk: Uint8Array): void {
    if (this.#ended) return;
    this.heardAt = performance.now();
    this.#deadline = this.heardAt + this.#limits.idleMsMax;
    this.#back!.pause();
    this.#wire.write(chunk, () => {
      if (!this.#ended) this.#back!.resume();
    });
  }

  #finish(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#wire.end();
    this.#onEnd();
  }
}
