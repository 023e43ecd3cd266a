// The coordination store of simulated metas, as ZooKeeper would be: one linearizable tree, sessions, an
// election by order of arrival. Every operation happens at one moment between call and answer, or never; the
// answer may be lost, and then its outcome is unknown to the caller. Sessions end by the store's own clock;
// who held one hears of it late (docs/testing.md, "Simulator").

import { type NodeId, partitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import { CoordinatorError, type StoredNode } from "../../src/coordination/coordinator.ts";
import { StoreTree } from "../../src/coordination/store_tree.ts";
import type { StoreChange, StoreResult } from "../../src/placement/io.ts";
import { parsePath, readPartition } from "../../src/placement/stored.ts";
import { heavyTail } from "./chance.ts";
import type { Env } from "./env.ts";

/** Address of the store in the network of cuts. */
export const STORE_ID: NodeId = "zk:1";

/** A session ends when the store has not heard of it for so long. */
export const SESSION_MS = 1000;

/** How long a caller waits before it calls an outcome unknown. */
const CALL_TIMEOUT_MS = 400;

/** One connection of one meta process. */
export interface StoreSession {
  readonly owner: object;
  readonly node: NodeId;
  heardAt: number;
  expired: boolean;
  /** Requests of a session are served in the order they were made. */
  earliest: number;
  /** Changes whose outcome the session has not heard of. */
  changing: number;
}

/** See the file comment. */
export class SimStore {
  readonly #env: Env;
  readonly #chance: Prng;
  readonly #tree = new StoreTree();
  /** Candidates in order of arrival; the first one leads. */
  #queue: StoreSession[] = [];
  #epoch = 0;
  #leader: StoreSession | undefined;
  /** Probability that a request, or its answer, is lost. */
  lossy = 0;
  /** Requests arrive up to so much later: also after their session has ended. */
  slowMs = 0;

  constructor(env: Env) {
    this.#env = env;
    this.#chance = env.chance.stream("store");
    this.#expire();
  }

  /** Opens a session and joins the election. */
  connect(owner: object, node: NodeId): StoreSession {
    const { now } = this.#env.scheduler;
    const session = { owner, node, heardAt: now, expired: false, earliest: now, changing: 0 };
    this.#env.scheduler.after(this.#delay(), "store", undefined, () => {
      session.heardAt = this.#env.scheduler.now;
      this.#queue.push(session);
      this.#elect();
    });
    return session;
  }

  /** What a ping tells: who leads, and in which reign. "expired": the session is over. */
  ping(
    session: StoreSession,
    done: (answer: { leader: NodeId; epoch: number } | "expired" | "lost") => void,
  ): void {
    this.#call(session, () => {
      if (session.expired) return "expired" as const;
      const isLeader = this.#leader === session;
      return { leader: this.#leader?.node ?? "", epoch: isLeader ? this.#epoch : 0 };
    }, (answer) => done(answer ?? "lost"));
  }

  /** Applies all changes or none, in the name of a reign. */
  multi(
    session: StoreSession,
    changes: readonly StoreChange[],
    epoch: number,
    done: (result: StoreResult) => void,
  ): void {
    session.changing++;
    this.#call(session, () => this.#apply(session, changes, epoch), (result) => {
      // Unknown: it stays under way until it is read back.
      if (result !== undefined) session.changing--;
      done(result ?? { kind: "unknown", reason: "no answer" });
    });
  }

  /** Reads nodes; all of them without paths. */
  read(
    session: StoreSession,
    paths: readonly string[] | undefined,
    done: (nodes: (StoredNode | undefined)[] | undefined) => void,
  ): void {
    this.#call<(StoredNode | undefined)[] | undefined>(session, () => {
      if (session.expired) return undefined;
      return paths === undefined ? this.#tree.all() : paths.map((path) => this.#tree.get(path));
    }, (nodes) => {
      if (nodes !== undefined) session.changing = 0;
      done(nodes);
    });
  }

  #apply(session: StoreSession, changes: readonly StoreChange[], epoch: number): StoreResult {
    if (session.expired || epoch !== this.#epoch) {
      this.#env.coverage.hit("store.fenced");
      return { kind: "refused", reason: "the reign is over" };
    }
    let versions: number[];
    try {
      versions = this.#tree.apply(changes);
    } catch (error) {
      if (!(error instanceof CoordinatorError)) throw error;
      this.#env.coverage.hit(`store.${error.kind}`);
      return { kind: "refused", reason: error.message };
    }
    for (const change of changes) {
      const name = parsePath(change.path);
      if (name.kind !== "partition" || change.op === "delete") continue;
      const config = readPartition(change.value, partitionId(name.table, name.index));
      this.#env.trace.add(this.#env.scheduler.now, "store", "config", config, config.ballot);
      this.#env.watch.configStored(config);
      this.#env.coverage.hit("meta.stored");
    }
    return { kind: "done", versions };
  }

  /** One call: to the store, there, and back; each way may fail, and the caller gives up after a while. */
  #call<T>(session: StoreSession, act: () => T, done: (answer: T | undefined) => void): void {
    const { scheduler, network } = this.#env;
    let isOver = false;
    const finish = (answer: T | undefined) => {
      if (isOver) return;
      isOver = true;
      done(answer);
    };
    scheduler.after(CALL_TIMEOUT_MS, "store timeout", session.owner, () => finish(undefined));
    if (network.isCut(session.node, STORE_ID) || this.#chance.chance(this.lossy)) return;
    const late = this.slowMs * this.#chance.float();
    const arrival = Math.max(session.earliest, scheduler.now + late + this.#delay());
    session.earliest = arrival;
    scheduler.after(arrival - scheduler.now, "store", undefined, () => {
      if (!session.expired) session.heardAt = scheduler.now;
      const answer = act();
      if (network.isCut(STORE_ID, session.node) || this.#chance.chance(this.lossy)) {
        return this.#env.coverage.hit("store.lostReply");
      }
      scheduler.after(this.#delay(), "store", session.owner, () => finish(answer));
    });
  }

  #delay(): number {
    return heavyTail(this.#chance, 0.5, this.#env.healed ? 10 : 300);
  }

  #expire(): void {
    this.#env.scheduler.after(50, "store expire", undefined, () => {
      const { now } = this.#env.scheduler;
      for (const session of this.#queue) {
        if (now - session.heardAt > SESSION_MS) {
          session.expired = true;
          this.#env.coverage.hit("store.expired");
        }
      }
      this.#queue = this.#queue.filter((session) => !session.expired);
      this.#elect();
      this.#expire();
    });
  }

  #elect(): void {
    const first = this.#queue[0];
    if (first === this.#leader) return;
    if ((this.#leader?.changing ?? 0) > 0) this.#env.coverage.hit("store.leaderLostInChange");
    this.#leader = first;
    if (first === undefined) return;
    this.#epoch++;
    this.#env.coverage.hit("store.elected");
  }
}
