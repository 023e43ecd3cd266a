// Performs the effects of MetaCore on a real machine: the store, the network, one timer.
// Invariants: events enter the core one at a time and its effects are performed in order; the core
// hears of a changed leadership deadline before anything else; nothing here decides. See
// docs/meta.md, "Driver".

import type { Clock } from "../../src/base/clock.ts";
import { Err, StoreError } from "../../src/base/errors.ts";
import {
  type Coordinator,
  CoordinatorError,
  type LeadershipEvent,
  type StoredNode,
} from "../../src/coordination/coordinator.ts";
import type { Logger, LogLevel } from "../../src/observe/logger.ts";
import type {
  MetaEffect,
  MetaEvent,
  MetaNote,
  MetaRequest,
  StoreChange,
  StoreResult,
} from "../../src/placement/io.ts";
import type { MetaCore } from "../../src/placement/meta.ts";
import { CLUSTER_PATH, TABLES_PATH } from "../../src/placement/stored.ts";
import { encodeState } from "./state_file.ts";
import { readStableTree, readTree } from "./state_tree.ts";
import { everyBeat } from "../../src/rpc/beat.ts";
import type { IncomingCall, RpcClient } from "../../src/rpc/contract.ts";
import { ConfigProposal } from "../../src/schema/meta_rpc.ts";

/** The core's beat, ms. */
const TICK_MS = 100;
/** How often a tree without the cluster's own node is read again before it is refused. */
const HALF_MAX = 20;
/** Who else would lead is looked up this often, ms. */
const CANDIDATES_MS = 2000;
/** Pause before the tree is read again after a failure, ms. */
const LOAD_RETRY_MS = 500;
/** Pauses before each question whether a server's address still answers, ms. */
const PROBE_PAUSES_MS = [0, 20, 50, 100, 300, 1000];

/** What a driver works with. */
export interface MetaDriverOptions {
  readonly core: MetaCore;
  readonly coordinator: Coordinator;
  readonly client: RpcClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether anybody listens on an address; "refused" is proof that nobody does. */
  readonly probe: (address: string) => Promise<"listening" | "refused" | "unknown">;
  /** This process cannot go on: its store failed, or somebody else wrote into it. */
  readonly onFatal: (reason: string) => void;
  /** Something happened inside the core. */
  readonly onNote?: (event: MetaNote, details: Readonly<Record<string, unknown>>) => void;
}

/** See the file comment. */
export class MetaDriver {
  readonly #options: MetaDriverOptions;
  readonly #inbox: MetaEvent[] = [];
  #head = 0;
  #draining = false;
  #leaderUntil = -Infinity;
  /** The reign the tree is being read for; 0 = none. */
  #epoch = 0;
  #stopTicking: () => void = () => {};
  #resigned = false;
  #lookAround: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  constructor(options: MetaDriverOptions) {
    this.#options = options;
  }

  get core(): MetaCore {
    return this.#options.core;
  }

  /** Joins the election under `name` (host:port) and begins to tick. */
  start(name: string): void {
    this.#options.coordinator.campaign(name, (event) => this.#onLeadership(event));
    this.#stopTicking = everyBeat(TICK_MS, () => this.deliver({ kind: "tick" }));
    this.#lookAround = setInterval(() => void this.#askForCandidates(), CANDIDATES_MS);
  }

  async #askForCandidates(): Promise<void> {
    const { coordinator, core } = this.#options;
    if (core.role !== "leading" || coordinator.candidates === undefined) return;
    // Only people want to know; the store's troubles are noticed elsewhere.
    const names = await coordinator.candidates().catch(() => undefined);
    if (names !== undefined) this.deliver({ kind: "candidates", names });
  }

  /** Gives up the leadership and joins no election any more: requests are still answered, by "not I". */
  resign(): void {
    this.#stopTicking();
    clearInterval(this.#lookAround);
    this.#epoch = 0;
    this.deliver({ kind: "lost", reason: "The server stops" });
    this.#resigned = true;
  }

  /** Stops; what is still running is ignored. The coordinator stays open. */
  stop(): void {
    this.#closed = true;
    this.#stopTicking();
    clearInterval(this.#lookAround);
  }

  /** Hands a request to the core; the call is answered now, later or never. */
  request(request: MetaRequest, call: IncomingCall<never>): void {
    this.deliver({ kind: "request", token: call, request });
  }

  /** Text of the state as it is stored at one moment. @throws {StoreError} If this process does not lead. */
  async exportState(): Promise<string> {
    const { core, coordinator, clock } = this.#options;
    if (core.role !== "leading") throw new StoreError(Err.FORWARD_TO_OTHERS, core.leader);
    const nodes = await readStableTree(coordinator);
    const exportedAt = new Date(clock.now().wall).toISOString();
    return encodeState({ cluster: core.cluster, exportedAt, nodes });
  }

  /** Gives the core an event, after those that are already waiting. */
  deliver(event: MetaEvent): void {
    if (this.#closed) return;
    this.#inbox.push(event);
    if (this.#draining) return;
    this.#draining = true;
    try {
      while (this.#head < this.#inbox.length) this.#step(this.#inbox[this.#head++]!);
    } catch (error) {
      // A broken invariant: nothing this core says can be trusted any more.
      this.#options.logger.error("Meta failed", { error });
      this.stop();
      this.#options.onFatal("A bug in this server; see its log");
    } finally {
      this.#inbox.length = 0;
      this.#head = 0;
      this.#draining = false;
    }
  }

  #step(event: MetaEvent): void {
    const { core, clock, coordinator } = this.#options;
    const now = clock.now();
    const effects: MetaEffect[] = [];
    const until = coordinator.leaderUntil();
    if (until !== this.#leaderUntil) {
      this.#leaderUntil = until;
      core.step({ kind: "leaderUntil", mono: until }, now, effects);
    }
    core.step(event, now, effects);
    for (const effect of effects) this.#perform(effect);
  }

  // A dying process closes its sockets one after the other: its listener may still answer right after a
  // connection of its broke. So the address is asked a few times.
  async #probe(node: string): Promise<void> {
    for (const pauseMs of PROBE_PAUSES_MS) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      if (this.#closed) return;
      const probedAt = this.#options.clock.now().mono;
      const verdict = await this.#options.probe(node).catch(() => "unknown");
      if (verdict === "refused") return this.deliver({ kind: "refused", node, probedAt });
    }
  }

  #perform(effect: MetaEffect): void {
    switch (effect.kind) {
      case "load":
        this.#epoch = effect.epoch;
        return void this.#load(effect.epoch);
      case "store":
        return void this.#store(effect.write, effect.changes, effect.epoch);
      case "readBack":
        return void this.#readBack(effect.write, effect.paths);
      case "probe":
        return void this.#probe(effect.node);
      case "send":
        return this.#options.client.send(effect.to, ConfigProposal, effect.message);
      case "reply":
        return (effect.token as IncomingCall<unknown>).reply(effect.response);
      case "fail":
        return (effect.token as IncomingCall<unknown>).fail(effect.error, effect.detail);
      case "abdicate":
        this.#options.logger.error("Meta cannot go on", { reason: effect.reason });
        return this.#options.onFatal(effect.reason);
      case "note":
        this.#options.onNote?.(effect.event, effect.details);
        return this.#options.logger[NOTE_LEVEL[effect.event]](
          NOTE_TEXT[effect.event],
          effect.details,
        );
    }
  }

  #onLeadership(event: LeadershipEvent): void {
    if (this.#closed || this.#resigned) return;
    this.#options.logger.info("Leadership changed", { ...event });
    if (event.kind !== "elected") this.#epoch = 0;
    this.deliver(event);
    if (event.kind === "lost") void this.#checkStore(event.reason);
  }

  /** A store that refuses even reads will never elect anybody again. */
  async #checkStore(reason: string): Promise<void> {
    try {
      await this.#options.coordinator.get(TABLES_PATH);
    } catch (error) {
      const isOver = error instanceof CoordinatorError && error.kind === "closed";
      if (isOver && !this.#closed) this.#options.onFatal(reason);
    }
  }

  async #store(write: number, changes: readonly StoreChange[], epoch: number): Promise<void> {
    let result: StoreResult;
    try {
      const versions = await this.#options.coordinator.multi(changes, epoch);
      result = { kind: "done", versions };
    } catch (error) {
      result = resultOf(error);
    }
    this.deliver({ kind: "stored", write, result });
  }

  async #readBack(write: number, paths: readonly string[]): Promise<void> {
    let nodes: (StoredNode | undefined)[] | undefined;
    try {
      nodes = await Promise.all(paths.map((path) => this.#options.coordinator.get(path)));
    } catch (error) {
      this.#options.logger.warn("Store cannot be read", { error });
    }
    this.deliver({ kind: "readBack", write, nodes });
  }

  async #load(epoch: number): Promise<void> {
    for (let half = 0; !this.#closed && this.#epoch === epoch;) {
      try {
        const nodes = await readTree(this.#options.coordinator);
        // Somebody is deleting the root, or importing into it: soon it is one thing or the other.
        if (isHalf(nodes) && half++ < HALF_MAX) throw new Error("Only a part of the tree is there");
        const newStoreId = crypto.randomUUID();
        return this.deliver({ kind: "loaded", epoch, nodes, newStoreId });
      } catch (error) {
        this.#options.logger.warn("Store cannot be read", { error });
        await new Promise((resolve) => setTimeout(resolve, LOAD_RETRY_MS));
      }
    }
  }
}

function isHalf(nodes: readonly StoredNode[]): boolean {
  return nodes.length > 0 && !nodes.some(({ path }) => path === CLUSTER_PATH);
}

/** What a failed write means. Whatever is not certainly refused may have happened. */
function resultOf(error: unknown): StoreResult {
  const reason = error instanceof Error ? error.message : String(error);
  if (!(error instanceof CoordinatorError) || error.kind === "unknown") {
    return { kind: "unknown", reason };
  }
  return { kind: "refused", reason };
}

const NOTE_TEXT: Readonly<Record<MetaNote, string>> = {
  leading: "Leading",
  stopped: "Stopped leading",
  nodeAlive: "Server is alive",
  nodeDead: "Server is dead",
  nodeRestarted: "Server restarted",
  detectorPaused: "This process was paused; no server is blamed for it",
  staleBeacon: "Beacon of an older process ignored",
  config: "Configuration changed",
  refusedChange: "Requested configuration refused",
  unknownReplica: "Server stores a partition that does not exist",
  noCandidate: "Nobody can lead the partition",
  cureGivenUp: "Proposal brought nothing, trying another server",
  storeUnknown: "Outcome of a write is unknown",
  table: "Table changed",
  level: "Function level changed",
  balance: "Balancing",
  drain: "Drained servers changed",
  users: "Users changed",
  foreignServer:
    "Server holds data of another store and is not admitted: was the store of meta lost?",
  notListed: "Server is not in the allow list",
  leaseTooLong:
    "Server is not admitted: its lease must be below the grace of meta; start both with the same settings",
  nodeUnstable: "Server was restarted too often and gets nothing new for a while",
  blackList: "Servers without new replicas changed",
  recovery: "Rebuilding tables from replica servers",
};

const NOTE_LEVEL: Readonly<Record<MetaNote, LogLevel>> = {
  leading: "info",
  stopped: "warn",
  nodeAlive: "info",
  nodeDead: "warn",
  nodeRestarted: "info",
  detectorPaused: "warn",
  staleBeacon: "warn",
  config: "info",
  refusedChange: "warn",
  unknownReplica: "warn",
  noCandidate: "warn",
  cureGivenUp: "warn",
  storeUnknown: "warn",
  table: "info",
  level: "info",
  balance: "info",
  drain: "info",
  users: "info",
  foreignServer: "error",
  notListed: "warn",
  leaseTooLong: "error",
  nodeUnstable: "warn",
  blackList: "info",
  recovery: "warn",
};
