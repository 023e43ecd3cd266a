// Which servers are alive, as meta sees it. Invariants: a server is declared dead only after a full
// grace period, on the monotonic clock, in which this process was running and heard nothing; the
// grace period is longer than the lease, so a dead server has stopped serving. A new leader gives
// everybody a full grace period. Rules: docs/meta.md, "Failure detector".

import { assert } from "../base/assert.ts";
import type { NodeId } from "../base/ids.ts";
import type { NodeAddress, NodeStats } from "../schema/types.ts";
import type { MetaBody, MetaSettings } from "./io.ts";

/** A replica server. */
export interface NodeState {
  readonly node: NodeId;
  alive: boolean;
  /** Monotonic ms of the newest beacon, or when this leader began to wait for one. */
  heardAt: number;
  /** When its silence was last looked into, monotonic ms. */
  askedAt: number;
  /** Newest start of its process; 0 = no beacon yet. */
  incarnation: number;
  /** Empty until the first beacon. */
  shardPorts: readonly number[];
  httpPort: number;
  labels: ReadonlyMap<string, string>;
  /** Of its last config sync; absent until this process has made one. */
  stats: NodeStats | undefined;
  /** Whether this incarnation has said what it stores since it was last declared dead. */
  collected: boolean;
  /** Changes when the server should sync soon. */
  syncHint: number;
  /** Restarts in a row, each within `unstableWindowMs` of the one before. */
  restarts: number;
  /** Monotonic ms of the first beacon of this process. */
  startedAt: number;
}

/** What a beacon meant. */
export type BeaconOutcome = "known" | "alive" | "restarted" | "stale";

/** See the file comment. */
export class FailureDetector {
  readonly #settings: MetaSettings;
  readonly #nodes = new Map<NodeId, NodeState>();
  #aliveCount = 0;
  #tickedAt: number;
  #checkedAt: number;
  /** Monotonic ms of the first beacon of the reign. */
  #firstHeardAt = Infinity;

  /** @param now Monotonic ms of the beginning of the reign. */
  constructor(settings: MetaSettings, now: number) {
    assert(settings.graceMs > settings.leaseMs, "The grace period must exceed the lease", {
      graceMs: settings.graceMs,
      leaseMs: settings.leaseMs,
    });
    this.#settings = settings;
    this.#tickedAt = now;
    this.#checkedAt = now;
  }

  /** All servers this leader knows, in the order it met them. */
  get nodes(): IterableIterator<NodeState> {
    return this.#nodes.values();
  }

  get knownCount(): number {
    return this.#nodes.size;
  }

  get aliveCount(): number {
    return this.#aliveCount;
  }

  get(node: NodeId): NodeState | undefined {
    return this.#nodes.get(node);
  }

  isAlive(node: NodeId): boolean {
    return this.#nodes.get(node)?.alive === true;
  }

  /** Which life of the server spoke last; 0 = none yet. */
  incarnation(node: NodeId): number {
    return this.#nodes.get(node)?.incarnation ?? 0;
  }

  /**
   * A member of a stored configuration: alive until it has been silent for a grace period from
   * `now` on.
   */
  expect(node: NodeId, now: number): void {
    const known = this.#nodes.get(node);
    if (known === undefined) this.#add(node, now);
    else known.heardAt = now;
  }

  /** Takes a beacon received at `now`. */
  beacon(beacon: MetaBody<"beacon">, now: number): BeaconOutcome {
    let node = this.#nodes.get(beacon.node);
    let outcome: BeaconOutcome = "known";
    if (node === undefined) {
      node = this.#add(beacon.node, now);
      outcome = "alive";
    } else if (node.alive && beacon.incarnation < node.incarnation) {
      // A late message of the process before. A dead server may come back with a clock that went
      // back.
      return "stale";
    } else if (!node.alive) {
      node.alive = true;
      this.#aliveCount++;
      outcome = "alive";
    } else if (node.incarnation !== 0 && beacon.incarnation > node.incarnation) {
      outcome = "restarted";
    }
    if (beacon.incarnation !== node.incarnation) {
      const isInRow = now - node.startedAt < this.#settings.unstableWindowMs;
      if (node.incarnation !== 0) node.restarts = isInRow ? node.restarts + 1 : 1;
      node.startedAt = now;
      node.collected = false;
      // Above all that the process before was about to end.
      node.stats = undefined;
    }
    node.heardAt = now;
    this.#firstHeardAt = Math.min(this.#firstHeardAt, now);
    node.incarnation = beacon.incarnation;
    node.shardPorts = beacon.shardPorts;
    node.httpPort = beacon.httpPort;
    node.labels = beacon.labels;
    return outcome;
  }

  /**
   * Declares silent servers dead.
   *
   * @returns Those that just died, and by how much the verdicts were put off because this process
   * was paused.
   */
  check(now: number): { dead: NodeState[]; pausedMs: number } {
    const { failureCheckMs, graceMs } = this.#settings;
    const gap = now - this.#tickedAt;
    this.#tickedAt = now;
    // A paused observer must not convict: what arrived meanwhile may still wait in a socket.
    const pausedMs = gap > failureCheckMs * 2 ? gap : 0;
    if (pausedMs > 0) {
      for (const node of this.#nodes.values()) node.heardAt = Math.min(now, node.heardAt + gap);
    }
    const dead: NodeState[] = [];
    if (now - this.#checkedAt < failureCheckMs) return { dead, pausedMs };
    this.#checkedAt = now;
    for (const node of this.#nodes.values()) {
      if (!node.alive || now - node.heardAt <= graceMs) continue;
      node.alive = false;
      node.collected = false;
      this.#aliveCount--;
      dead.push(node);
    }
    return { dead, pausedMs };
  }

  /**
   * Servers that have been silent for a third of the grace period, each once in such a time: whoever crashed
   * without a connection to this process, as while the leader changed, need not be waited for. Of a server
   * that this leader has never heard, the silence counts from the first beacon of any: while a whole cluster
   * starts, nobody listens before its databases are open, and to fail over from one to the next gains nothing.
   */
  silent(now: number): NodeId[] {
    const pauseMs = this.#settings.graceMs / 3;
    const found: NodeId[] = [];
    for (const node of this.#nodes.values()) {
      const since = node.incarnation === 0
        ? Math.max(node.heardAt, this.#firstHeardAt)
        : node.heardAt;
      if (!node.alive || now - Math.max(since, node.askedAt) < pauseMs) continue;
      node.askedAt = now;
      found.push(node.node);
    }
    return found;
  }

  /**
   * Declares a server dead whose address refused a connection that was dialed at `probedAt`: it closes its
   * listener last, so the process is gone. A beacon heard since then came from a living one.
   *
   * @returns The server, or `undefined` if the refusal proves nothing.
   */
  refused(name: NodeId, probedAt: number): NodeState | undefined {
    const node = this.#nodes.get(name);
    if (node === undefined || !node.alive || node.heardAt >= probedAt) return undefined;
    node.alive = false;
    node.collected = false;
    this.#aliveCount--;
    return node;
  }

  /** Where the given servers listen, as far as known. */
  addresses(nodes: Iterable<NodeId>): NodeAddress[] {
    const addresses: NodeAddress[] = [];
    for (const name of new Set(nodes)) {
      const node = this.#nodes.get(name);
      if (node === undefined || node.shardPorts.length === 0) continue;
      addresses.push({ node: name, shardPorts: [...node.shardPorts] });
    }
    return addresses;
  }

  /** Whether a server was restarted so often lately that it should get nothing new. */
  isUnstable(name: NodeId, now: number): boolean {
    const node = this.#nodes.get(name);
    const { unstableRestarts: max, unstableWindowMs } = this.#settings;
    return node !== undefined && max > 0 && node.restarts >= max &&
      now - node.startedAt < unstableWindowMs;
  }

  /** Asks a server to sync soon. */
  hint(node: NodeId): void {
    const known = this.#nodes.get(node);
    if (known !== undefined) known.syncHint++;
  }

  /** Forgets a dead server; a beacon of it makes it known again. */
  forget(node: NodeId): void {
    assert(!this.isAlive(node), "An alive server is forgotten", { node });
    this.#nodes.delete(node);
  }

  #add(node: NodeId, now: number): NodeState {
    const state: NodeState = {
      node,
      alive: true,
      heardAt: now,
      askedAt: now,
      incarnation: 0,
      shardPorts: [],
      httpPort: 0,
      labels: new Map(),
      stats: undefined,
      collected: false,
      syncHint: 1,
      restarts: 0,
      startedAt: now,
    };
    this.#nodes.set(node, state);
    this.#aliveCount++;
    return state;
  }
}

/** Whether none of a server's data directories takes new replicas, as far as it has told. */
export function isFull({ stats }: Pick<NodeState, "stats">): boolean {
  const disks = stats?.disks ?? [];
  return disks.length > 0 && !disks.some(({ state }) => state === "good");
}
