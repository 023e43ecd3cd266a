// Meta's store and election in ZooKeeper, for several meta servers. A row of sessions (zookeeper_session.ts):
// when one ends, its reign is reported lost first, then a new session queues again; no session outlives its
// reign's end. Invariant: a write goes out only through the session that won the reign it names. Layout below
// the root: `lock` the queue, `epoch` whose version counts the reigns, `state` the tree. See docs/meta.md,
// "ZooKeeper".

import { type Clock, systemClock } from "../base/clock.ts";
import type { LogCallback } from "../observe/logger.ts";
import {
  type Coordinator,
  CoordinatorError,
  type LeadershipEvent,
  type StoredNode,
  type StoreErrorKind,
  type StoreOp,
} from "./coordinator.ts";
import { parseZooKeeperAddress, type ZooKeeperAddress } from "./zookeeper_address.ts";
import { ZkError, type ZkErrorCode } from "./zookeeper_client.ts";
import { ZooKeeperSession } from "./zookeeper_session.ts";

/** Options of {@link ZooKeeperCoordinator}. */
export interface ZooKeeperOptions {
  /** "zookeeper://host:port,host:port/root"; the root is made if it does not exist. */
  readonly address: string;
  /** Session timeout asked of the store, ms: how long a silent leader stays leader. @default 4_000 */
  readonly sessionMs?: number;
  /**
   * Whether anybody listens on a candidate's address. A leader whose own address refuses connections is
   * replaced without waiting for the end of its session. @default nobody knows
   */
  readonly probe?: (name: string) => Promise<"listening" | "refused" | "unknown">;
  readonly clock?: Clock;
  readonly log?: LogCallback;
}

const SESSION_MS = 4_000;
/** Pause before a new session; doubles while sessions end before they bring an election's result. */
const RESTART_MIN_MS = 50;
const RESTART_MAX_MS = 5000;

const KINDS: Readonly<Record<ZkErrorCode, StoreErrorKind>> = {
  noNode: "noNode",
  nodeExists: "nodeExists",
  badVersion: "badVersion",
  notEmpty: "notEmpty",
  refused: "refused",
  lost: "unknown",
};

interface Campaign {
  readonly name: string;
  readonly onEvent: (event: LeadershipEvent) => void;
}

/** See the file comment. */
export class ZooKeeperCoordinator implements Coordinator {
  readonly description: string;
  readonly #address: ZooKeeperAddress;
  readonly #sessionMs: number;
  readonly #clock: Clock;
  readonly #log: LogCallback;
  readonly #probe: ZooKeeperOptions["probe"];
  /** The newest session; replaced when it ends. */
  #session: ZooKeeperSession;
  #restartTimer: ReturnType<typeof setTimeout> | undefined;
  #restarts = 0;
  /** Sessions on their way out. */
  readonly #ending = new Set<Promise<void>>();
  #campaign: Campaign | undefined;
  /** Whom the last event named, "" if nobody. */
  #leader = "";
  #isLeading = false;
  /** Reads that wait for a session; called when there is one, or when there never will be. */
  readonly #waiting = new Set<() => void>();
  #closed = false;

  /**
   * Begins to connect, and tries for ever; until it succeeds, calls fail with `unknown` after a session's time.
   *
   * @throws {Error} If the address is none.
   */
  constructor(options: ZooKeeperOptions) {
    this.description = options.address;
    this.#address = parseZooKeeperAddress(options.address);
    this.#sessionMs = options.sessionMs ?? SESSION_MS;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log ?? (() => {});
    this.#probe = options.probe;
    this.#session = this.#openSession();
  }

  get(path: string): Promise<StoredNode | undefined> {
    return this.#read(async (session) => {
      const node = await session.get(this.#inside(path));
      return node === undefined ? undefined : { ...node, path };
    });
  }

  children(path: string): Promise<string[]> {
    return this.#read((session) => session.children(this.#inside(path)));
  }

  async multi(ops: readonly StoreOp[], epoch: number): Promise<number[]> {
    this.#refuseIfClosed();
    for (const op of ops) checkPath(op);
    const session = this.#session;
    if (epoch === 0 || session.epoch !== epoch) {
      const now = session.epoch === 0 ? "this process does not lead" : `we are in ${session.epoch}`;
      throw new CoordinatorError("notLeader", `The write belongs to reign ${epoch}: ${now}`);
    }
    let versions: number[] | undefined;
    try {
      versions = await session.write(ops.map((op) => ({ ...op, path: this.#inside(op.path) })));
    } catch (error) {
      throw coordinatorError(error, ops);
    }
    if (versions !== undefined) return versions;
    throw new CoordinatorError("notLeader", `Reign ${epoch} is over: a newer one has begun`);
  }

  campaign(name: string, onEvent: (event: LeadershipEvent) => void): void {
    if (this.#closed) return;
    const previous = this.#campaign;
    this.#campaign = { name, onEvent };
    if (previous !== undefined) {
      // The place in the queue, or the reign, belongs to the old session.
      this.#isLeading = false;
      previous.onEvent({ kind: "lost", reason: "A newer campaign on the same store began" });
      this.#retire(this.#session, "A newer campaign began");
      this.#restart();
    } else if (this.#session.isReady) this.#session.campaign(name);
  }

  candidates(): Promise<string[]> {
    return this.#read((session) => session.candidates());
  }

  leaderUntil(): number {
    return this.#session.leaderUntil();
  }

  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#campaign = undefined;
      clearTimeout(this.#restartTimer);
      this.#retire(this.#session, "The coordinator was closed");
      for (const wake of this.#waiting) wake();
    }
    await Promise.all(this.#ending);
  }

  #openSession(): ZooKeeperSession {
    const session: ZooKeeperSession = new ZooKeeperSession({
      ...this.#address,
      sessionMs: this.#sessionMs,
      clock: this.#clock,
      log: this.#log,
      probe: this.#probe,
      onReady: () => {
        for (const wake of this.#waiting) wake();
        if (this.#campaign !== undefined) session.campaign(this.#campaign.name);
      },
      onElected: (epoch) => {
        this.#restarts = 0;
        this.#isLeading = true;
        this.#leader = "";
        this.#campaign!.onEvent({ kind: "elected", epoch });
      },
      onFollowing: (leader) => {
        this.#restarts = 0;
        this.#follow(leader);
      },
      onEnd: (reason) => this.#onEnd(session, reason),
    });
    return session;
  }

  #onEnd(session: ZooKeeperSession, reason: string): void {
    this.#log("warn", "ZooKeeper session ended", { reason });
    this.#retire(session, reason);
    this.#restart();
    const campaign = this.#campaign;
    if (campaign === undefined) return;
    if (this.#isLeading) {
      this.#isLeading = false;
      campaign.onEvent({ kind: "lost", reason });
    } else this.#follow("");
  }

  #follow(leader: string): void {
    if (leader === this.#leader) return;
    this.#leader = leader;
    this.#campaign?.onEvent({ kind: "following", leader });
  }

  #retire(session: ZooKeeperSession, reason: string): void {
    const ending: Promise<void> = session.close(reason).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }

  #restart(): void {
    clearTimeout(this.#restartTimer);
    const pauseMs = Math.min(RESTART_MAX_MS, RESTART_MIN_MS * 2 ** Math.min(this.#restarts++, 10));
    this.#restartTimer = setTimeout(() => this.#session = this.#openSession(), pauseMs);
  }

  async #read<T>(read: (session: ZooKeeperSession) => Promise<T>): Promise<T> {
    this.#refuseIfClosed();
    try {
      return await read(await this.#readySession());
    } catch (error) {
      this.#refuseIfClosed();
      throw coordinatorError(error, []);
    }
  }

  /** Waits for a session, no longer than one would live. */
  async #readySession(): Promise<ZooKeeperSession> {
    const until = this.#clock.now().mono + this.#sessionMs;
    while (!this.#session.isReady) {
      const leftMs = until - this.#clock.now().mono;
      if (leftMs <= 0) throw new ZkError("lost", "ZooKeeper cannot be reached");
      await this.#woken(leftMs);
      this.#refuseIfClosed();
    }
    return this.#session;
  }

  #woken(limitMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, Math.ceil(limitMs));
      this.#waiting.add(wake);
    });
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new CoordinatorError("closed", "The store is closed");
  }

  #inside(path: string): string {
    return `${this.#address.root}/state${path === "/" ? "" : path}`;
  }
}

/** What the tree's own rules forbid and ZooKeeper would see differently: our "/" is no root of its tree. */
function checkPath({ op, path }: StoreOp): void {
  if (op === "delete" && path === "/") {
    throw new CoordinatorError("notEmpty", `Cannot change "/": it is the root`);
  }
  if (path !== "/" && !/^(\/[^/]+)+$/.test(path)) {
    throw new CoordinatorError("noNode", `Cannot change "${path}": it is no absolute path`);
  }
}

function coordinatorError(error: unknown, ops: readonly StoreOp[]): CoordinatorError {
  if (error instanceof CoordinatorError) return error;
  if (!(error instanceof ZkError)) {
    return new CoordinatorError("unknown", "The store failed", { cause: error });
  }
  const op = ops[error.opIndex];
  const text = op === undefined ? error.message : `Cannot change "${op.path}": ${error.message}`;
  return new CoordinatorError(KINDS[error.code], text, { cause: error });
}
