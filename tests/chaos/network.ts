// The network of a chaos run: one TCP proxy for every ordered pair of hosts, so that the driver can hold, slow
// or break what goes from one host to another and nothing else. Invariant: a held link loses no byte and tells
// nobody of an end, as a network that drops packets would; what was held arrives when the link heals. Page:
// docs/testing.md, "Chaos".

/** What goes from one host to another, over whichever connections. */
class Link {
  delayMs = 0;
  #held = false;
  #waiting: (() => void)[] = [];

  set held(value: boolean) {
    this.#held = value;
    if (value) return;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /** Waits until the link lets something pass. */
  async pass(): Promise<void> {
    if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
    while (this.#held) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

/** One connection through a proxy. */
class Pair {
  readonly near: Deno.TcpConn;
  readonly far: Deno.TcpConn;
  /** The near end talks to nobody and does not know it. */
  isHalfOpen = false;

  constructor(near: Deno.TcpConn, far: Deno.TcpConn) {
    this.near = near;
    this.far = far;
  }

  /** Loses the far end without telling the near one. */
  forget(): void {
    this.isHalfOpen = true;
    closeQuietly(this.far);
  }

  close(): void {
    closeQuietly(this.near);
    closeQuietly(this.far);
  }
}

const CHUNK_BYTES = 64 * 1024;

/** All proxies of one run. */
export class Network {
  readonly #links = new Map<string, Link>();
  readonly #pairs = new Map<string, Set<Pair>>();
  readonly #listeners: Deno.TcpListener[] = [];
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  /** Opens the proxy that `from` dials to reach `to`. @returns Its address. */
  proxy(from: string, to: string, target: string): string {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.#listeners.push(listener);
    this.#track(this.#accept(listener, from, to, target));
    return `127.0.0.1:${listener.addr.port}`;
  }

  /** Holds what goes from one host to another; the other direction is untouched. */
  hold(from: string, to: string): void {
    this.#link(from, to).held = true;
  }

  /** Holds both directions. */
  cut(a: string, b: string): void {
    this.hold(a, b);
    this.hold(b, a);
  }

  /** Every piece from one host to another takes so much longer. */
  slow(from: string, to: string, delayMs: number): void {
    this.#link(from, to).delayMs = delayMs;
  }

  /** Every link is whole and fast again; connections that were broken stay broken. */
  heal(): void {
    for (const link of this.#links.values()) {
      link.delayMs = 0;
      link.held = false;
    }
  }

  /** Breaks the open connections `from` has dialed; both ends see it. @returns How many. */
  reset(from: string, to: string): number {
    const pairs = [...this.#pairsOf(from, to)];
    for (const pair of pairs) pair.close();
    return pairs.length;
  }

  /** The far ends of the open connections go away and the near ones never hear of it. @returns How many. */
  halfOpen(from: string, to: string): number {
    const pairs = [...this.#pairsOf(from, to)];
    for (const pair of pairs) pair.forget();
    return pairs.length;
  }

  /** Ends all proxies and connections. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const listener of this.#listeners) listener.close();
    for (const pairs of this.#pairs.values()) for (const pair of pairs) pair.close();
    this.heal();
    await Promise.all(this.#running);
  }

  #link(from: string, to: string): Link {
    const name = `${from}>${to}`;
    let link = this.#links.get(name);
    if (link === undefined) this.#links.set(name, link = new Link());
    return link;
  }

  #pairsOf(from: string, to: string): Set<Pair> {
    const name = `${from}>${to}`;
    let pairs = this.#pairs.get(name);
    if (pairs === undefined) this.#pairs.set(name, pairs = new Set());
    return pairs;
  }

  #track(work: Promise<void>): void {
    this.#running.add(work);
    work.finally(() => this.#running.delete(work));
  }

  async #accept(
    listener: Deno.TcpListener,
    from: string,
    to: string,
    target: string,
  ): Promise<void> {
    for (;;) {
      let near: Deno.TcpConn;
      try {
        near = await listener.accept();
      } catch (error) {
        if (this.#closed) return;
        throw error;
      }
      this.#track(this.#serve(near, from, to, target));
    }
  }

  async #serve(near: Deno.TcpConn, from: string, to: string, target: string): Promise<void> {
    const there = this.#link(from, to);
    const back = this.#link(to, from);
    await there.pass();
    await back.pass();
    const [hostname, port] = target.split(":");
    let far: Deno.TcpConn;
    try {
      far = await Deno.connect({ hostname: hostname!, port: Number(port) });
    } catch {
      // Nobody listens there. The dialer sees a connection that ends at once.
      return closeQuietly(near);
    }
    const pair = new Pair(near, far);
    const pairs = this.#pairsOf(from, to);
    pairs.add(pair);
    if (this.#closed) pair.close();
    // Batches of messages must not wait for acknowledgements of the kernel.
    near.setNoDelay();
    far.setNoDelay();
    await Promise.all([pump(pair, near, far, there), pump(pair, far, near, back)]);
    pairs.delete(pair);
  }
}

/** Carries bytes one way until an end is seen, then ends both ways, unless the pair is half-open. */
async function pump(
  pair: Pair,
  source: Deno.TcpConn,
  sink: Deno.TcpConn,
  link: Link,
): Promise<void> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    let count: number | null = null;
    try {
      count = await source.read(buffer);
    } catch {
      // A reset ends the connection like an end does.
    }
    await link.pass();
    if (count === null && pair.isHalfOpen && source === pair.far) return;
    if (count === null) return pair.close();
    if (pair.isHalfOpen) continue;
    try {
      for (let done = 0; done < count;) done += await sink.write(buffer.subarray(done, count));
    } catch {
      if (!pair.isHalfOpen) return pair.close();
    }
  }
}

function closeQuietly(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // It was closed before.
  }
}
