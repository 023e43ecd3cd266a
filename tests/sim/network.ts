// The network of a simulated world: one link per direction and pair. A run is in one of two modes. "tcp":
// messages of a connection arrive in order or, when the connection breaks, not at all, and both ends hear of
// the break. "lossy": messages are dropped, delayed with a heavy tail, duplicated and reordered, also across
// a restart of the receiver. Safety must hold in both (docs/testing.md, "Simulator").

import { decode, encode } from "../../src/schema/codec.ts";
import type { NodeId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import type { AnyRpc } from "../../src/schema/rpc.ts";
import { between, type Chance, heavyTail } from "./chance.ts";
import type { Scheduler } from "./scheduler.ts";

/** What travels: a one-way message, a request or an answer. `id` pairs the last two. */
export interface Envelope {
  readonly kind: "message" | "request" | "response";
  readonly rpc: AnyRpc;
  readonly id: number;
  /** Error of an answer, with a detail for people. */
  readonly error: number;
  readonly detail: string;
  readonly body: unknown;
}

/** A process that can be reached. */
export interface Endpoint {
  /** Owner of the process's happenings in the scheduler. */
  readonly process: object;
  receive(from: NodeId, envelope: Envelope): void;
  /** A connection with `peer` broke ("reconnected"), or could not be made for call `refusedId` ("down"). */
  onPeer(peer: NodeId, event: "down" | "reconnected", refusedId: number): void;
}

/** Rates of one run; see swarm.ts. */
export interface NetworkRates {
  readonly mode: "tcp" | "lossy";
  /** Typical and largest delay of a message, ms. */
  readonly delayTypicalMs: number;
  readonly delayMaxMs: number;
  /** Probability per message, lossy mode. */
  readonly drop: number;
  readonly duplicate: number;
  /** Probability per message that its connection breaks, tcp mode. */
  readonly reset: number;
  /** Whether bodies pass through their bytes. */
  readonly throughBytes: boolean;
}

interface Link {
  /** Earliest arrival of the next message, tcp mode. */
  earliest: number;
  /** Connection epoch: messages of an older one are lost. */
  epoch: number;
  cut: boolean;
  cloggedUntil: number;
  /** So many messages of one kind get through, then none. */
  quota: { readonly code: number; left: number } | undefined;
}

/** All links and endpoints. */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #chance: Prng;
  #rates: NetworkRates;
  readonly #endpoints = new Map<NodeId, Endpoint>();
  readonly #links = new Map<string, Link>();
  /** Extra delay of everything to and from a node, ms. */
  readonly #slow = new Map<NodeId, number>();
  #nextId = 1;
  /** Counts what the network did, by name. */
  readonly onCount: (name: string) => void;

  constructor(
    scheduler: Scheduler,
    chance: Chance,
    rates: NetworkRates,
    onCount: (name: string) => void,
  ) {
    this.#scheduler = scheduler;
    this.#chance = chance.stream("network");
    this.#rates = rates;
    this.onCount = onCount;
  }

  /** A number for a call that no other call of this world has. */
  nextId(): number {
    return this.#nextId++;
  }

  /** Makes a process reachable under an address; replaces an earlier one. */
  attach(address: NodeId, endpoint: Endpoint): void {
    this.#scheduler.name(endpoint.process, address);
    this.#endpoints.set(address, endpoint);
  }

  /** The process is gone: its connections break. */
  detach(address: NodeId): void {
    this.#endpoints.delete(address);
    if (this.#rates.mode !== "tcp") return;
    for (const [key, link] of this.#links) {
      const [from, to] = key.split(">") as [string, string];
      if (from !== address && to !== address) continue;
      link.epoch++;
      link.earliest = 0;
    }
  }

  /** Sends; whether and when it arrives is the network's business. */
  send(from: NodeId, to: NodeId, envelope: Envelope): void {
    const link = this.#link(from, to);
    const sent = this.#rates.throughBytes ? throughBytes(envelope) : envelope;
    if (link.cut) return this.onCount("net.cut");
    if (link.quota?.code === envelope.rpc.code && --link.quota.left < 0) {
      return this.onCount("net.quota");
    }
    if (this.#rates.mode === "tcp") this.#sendInOrder(from, to, link, sent);
    else this.#sendLossy(from, to, link, sent);
  }

  #sendInOrder(from: NodeId, to: NodeId, link: Link, envelope: Envelope): void {
    if (this.#chance.chance(this.#rates.reset)) {
      this.onCount("net.reset");
      this.#break(from, to);
      return;
    }
    const arrival = Math.max(
      link.earliest,
      link.cloggedUntil,
      this.#scheduler.now + this.#slowness(from, to) +
        this.#delayMs(50 * this.#rates.delayTypicalMs),
    );
    link.earliest = arrival;
    const epoch = link.epoch;
    this.#scheduler.after(arrival - this.#scheduler.now, "net", undefined, () => {
      if (link.epoch === epoch) this.#deliver(from, to, envelope);
    }, to);
  }

  #sendLossy(from: NodeId, to: NodeId, link: Link, envelope: Envelope): void {
    const twice = this.#chance.chance(this.#rates.duplicate) && !isClientRequest(envelope);
    const copies = twice ? 2 : 1;
    if (copies === 2) this.onCount("net.duplicate");
    for (let i = 0; i < copies; i++) {
      if (this.#chance.chance(this.#rates.drop)) {
        this.onCount("net.drop");
        continue;
      }
      const clogged = Math.max(0, link.cloggedUntil - this.#scheduler.now);
      // A second copy may come when everything has moved on.
      const late = i > 0 && this.#chance.chance(0.3) ? between(this.#chance, 100, 4000) : 0;
      const delay = clogged + late + this.#slowness(from, to) +
        this.#delayMs(this.#rates.delayMaxMs);
      const deliver = () => this.#deliver(from, to, envelope);
      this.#scheduler.after(delay, "net", undefined, deliver, to);
    }
  }

  /** Slows everything to and from a node; 0 ends it. */
  setSlow(node: NodeId, ms: number): void {
    this.#slow.set(node, ms);
  }

  #slowness(from: NodeId, to: NodeId): number {
    return (this.#slow.get(from) ?? 0) + (this.#slow.get(to) ?? 0);
  }

  #delayMs(maxMs: number): number {
    return heavyTail(this.#chance, this.#rates.delayTypicalMs, maxMs);
  }

  #deliver(from: NodeId, to: NodeId, envelope: Envelope): void {
    const endpoint = this.#endpoints.get(to);
    if (endpoint === undefined) return this.#refuse(from, to, envelope.id);
    if (!this.#scheduler.isHeld(endpoint.process)) return endpoint.receive(from, envelope);
    this.#scheduler.after(0, "net", endpoint.process, () => endpoint.receive(from, envelope));
  }

  /** Nobody listens at `to`: the sender's machine may learn that by a refused connection. */
  #refuse(from: NodeId, to: NodeId, id: number): void {
    if (this.#rates.mode !== "tcp" || this.#link(to, from).cut) return;
    const sender = this.#endpoints.get(from);
    if (sender === undefined) return;
    this.#scheduler.after(this.#delayMs(100), "refused", sender.process, () => {
      if (!this.#endpoints.has(to)) sender.onPeer(to, "down", id);
    });
  }

  /** Breaks the connection between two processes: what is in flight is lost, both ends hear of it. */
  #break(a: NodeId, b: NodeId): void {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      const link = this.#link(from, to);
      link.epoch++;
      link.earliest = 0;
      const endpoint = this.#endpoints.get(from);
      if (endpoint === undefined) continue;
      this.#scheduler.after(this.#delayMs(200), "reset", endpoint.process, () => {
        if (this.#endpoints.get(from) === endpoint) endpoint.onPeer(to, "reconnected", 0);
      });
    }
  }

  /** Whether one direction is a black hole. */
  isCut(from: NodeId, to: NodeId): boolean {
    return this.#link(from, to).cut;
  }

  /** Makes one direction a black hole, or heals it. */
  setCut(from: NodeId, to: NodeId, cut: boolean): void {
    const link = this.#link(from, to);
    if (link.cut === cut) return;
    link.cut = cut;
    if (!cut && this.#rates.mode === "tcp") this.#break(from, to);
  }

  /** Lets `count` more messages of a kind through in one direction, then none; undefined ends that. */
  setQuota(from: NodeId, to: NodeId, rpc: AnyRpc, count: number | undefined): void {
    this.#link(from, to).quota = count === undefined ? undefined : { code: rpc.code, left: count };
  }

  /** Delays everything of one direction until `untilMs`. */
  clog(from: NodeId, to: NodeId, untilMs: number): void {
    const link = this.#link(from, to);
    link.cloggedUntil = Math.max(link.cloggedUntil, untilMs);
  }

  /** Ends every fault and makes the network fast and reliable. */
  heal(): void {
    this.#slow.clear();
    for (const key of this.#links.keys()) {
      const [from, to] = key.split(">") as [string, string];
      this.setCut(from, to, false);
      const link = this.#link(from, to);
      link.cloggedUntil = 0;
      link.quota = undefined;
    }
    this.#rates = { ...this.#rates, drop: 0, duplicate: 0, reset: 0, delayMaxMs: 50 };
  }

  /** A delay for answers that come from the own machine's network stack. */
  localDelayMs(): number {
    return between(this.#chance, 0.05, 0.5);
  }

  #link(from: NodeId, to: NodeId): Link {
    const key = `${from}>${to}`;
    let link = this.#links.get(key);
    if (link === undefined) {
      link = { earliest: 0, epoch: 0, cut: false, cloggedUntil: 0, quota: undefined };
      this.#links.set(key, link);
    }
    return link;
  }
}

/** A client's request: its connection delivers it at most once, and "not done" answers rest on that. */
function isClientRequest(envelope: Envelope): boolean {
  return envelope.kind === "request" && envelope.rpc.code < 200;
}

/** What the receiver would decode from the sender's bytes. */
function throughBytes(envelope: Envelope): Envelope {
  if (envelope.body === undefined) return envelope;
  const { rpc } = envelope;
  const field = envelope.kind === "response" ? rpc.response : rpc.request;
  return { ...envelope, body: decode(field, encode(field, envelope.body), rpc.name) };
}
