// One candidate's one ZooKeeper session: keeps it proven alive, queues for the lock, reigns, ends. Invariants:
// the lock and every write of a reign belong to this one session, which is never replaced behind the caller's
// back; nobody can be elected before `leaderUntil`; a reign that cannot be proven is over. docs/meta.md,
// "ZooKeeper", tells why each of these holds.

import { assert } from "../base/assert.ts";
import { fromUtf8, utf8 } from "../base/bytes.ts";
import { type Clock, type Now, sleptMs } from "../base/clock.ts";
import type { LogCallback } from "../observe/logger.ts";
import type { StoredNode, StoreOp } from "./coordinator.ts";
import { ZkClient, ZkError } from "./zookeeper_client.ts";

/** A reign ends when the store was not heard for this part of the session's length. (docs/meta.md, "Leadership") */
const PROOF_PART = 2 / 3;
/** The store is asked this often, as a part of the session's length. */
const BEAT_PART = 1 / 6;
/** A server that does not answer for so long is left for another one, while there is time. */
const SILENCE_PART = 1 / 3;
/** A standby looks this often whether the leader's process is still there, ms. */
const WATCH_MS = 200;
const NO_BYTES = new Uint8Array(0);
const CANDIDATE_PREFIX = "candidate-";

/** What a session is opened with. */
export interface SessionOptions {
  readonly servers: readonly { readonly host: string; readonly port: number }[];
  /** Absolute path of the node everything is kept below. */
  readonly root: string;
  readonly sessionMs: number;
  readonly clock: Clock;
  readonly log: LogCallback;
  /** The nodes below the root exist; reads and `campaign` work. */
  readonly onReady: () => void;
  readonly onElected: (epoch: number) => void;
  /** Whether anybody listens on a candidate's address: "refused" proves that its process is gone. */
  readonly probe?: ((name: string) => Promise<"listening" | "refused" | "unknown">) | undefined;
  /** Who leads; "" if not yet known. */
  readonly onFollowing: (leader: string) => void;
  /** The session is over, and with it the reign. Called once; not after `close`. */
  readonly onEnd: (reason: string) => void;
}

/** See the file comment. */
export class ZooKeeperSession {
  readonly #options: SessionOptions;
  readonly #client: ZkClient;
  readonly #lockPath: string;
  readonly #epochPath: string;
  /** Own node in the queue; "" before. */
  #candidate = "";
  #epoch = 0;
  /** When the newest question that was answered was sent; undefined before a connection. */
  #provenAt: Now | undefined;
  #beatTimer: ReturnType<typeof setTimeout> | undefined;
  #silenceTimer: ReturnType<typeof setTimeout> | undefined;
  #deadlineTimer: ReturnType<typeof setTimeout> | undefined;
  #watchTimer: ReturnType<typeof setTimeout> | undefined;
  /** The leader's node in the queue, while its process is watched; "" = none. */
  #watched = "";
  #isReady = false;
  #isOver = false;
  /** A write may still be on its way to the server that answers reads. */
  #isUncertain = false;

  /** Connects; tries for ever until the session exists. */
  constructor(options: SessionOptions) {
    this.#options = options;
    this.#lockPath = `${options.root}/lock`;
    this.#epochPath = `${options.root}/epoch`;
    this.#client = new ZkClient({
      servers: options.servers,
      sessionMs: options.sessionMs,
      onConnected: () => this.#onConnected(),
      onDisconnected: () => options.log("warn", "Connection to ZooKeeper lost"),
      onEnd: (reason) => this.#end(reason),
    });
  }

  /** Whether reads and `campaign` work: from `onReady` to the end. */
  get isReady(): boolean {
    return this.#isReady && !this.#isOver;
  }

  /** The reign won in this session; 0 if none, or over. */
  get epoch(): number {
    return this.#epoch;
  }

  /** Monotonic ms before which the store cannot elect anybody else; -Infinity when not leading. */
  leaderUntil(): number {
    return this.#epoch === 0 ? -Infinity : this.#deadline();
  }

  /** Queues for the lock under `name`. Call once, when ready. */
  campaign(name: string): void {
    this.#queue(name).catch((error) => this.#end(`The election failed: ${textOf(error)}`));
  }

  /** The node, or `undefined`. @throws {ZkError} */
  async get(path: string): Promise<StoredNode | undefined> {
    await this.#settle();
    return await this.#client.get(path);
  }

  /** Names of the children, sorted. @throws {ZkError} */
  async children(path: string): Promise<string[]> {
    await this.#settle();
    return await this.#client.children(path);
  }

  /**
   * Applies all or nothing, in the name of the current reign.
   *
   * @returns The versions afterwards, or `undefined` if a newer reign has begun; then this one has ended.
   * @throws {ZkError}
   */
  async write(ops: readonly StoreOp[]): Promise<number[] | undefined> {
    const fence = this.#fence();
    try {
      return (await this.#client.multi([...fence, ...ops])).slice(fence.length);
    } catch (error) {
      if (!(error instanceof ZkError)) throw error;
      if (error.code === "lost") this.#isUncertain = true;
      if (error.opIndex < 0) throw error;
      if (error.opIndex >= fence.length) {
        throw new ZkError(error.code, error.message, error.opIndex - fence.length);
      }
      this.#end("A newer reign has begun, or the root was deleted");
      return undefined;
    }
  }

  /**
   * What must hold for everything this reign does: no newer one has begun, in this very tree. The number alone
   * would hold in a tree that was deleted and made anew as well.
   */
  #fence(): StoreOp[] {
    return [
      { op: "check", path: this.#candidate, version: -1 },
      { op: "check", path: this.#epochPath, version: this.#epoch },
      // Half a root that somebody is deleting is no store: the next session makes what is missing.
      { op: "check", path: `${this.#options.root}/state`, version: -1 },
    ];
  }

  /** Names of everybody in the queue. @throws {ZkError} */
  async candidates(): Promise<string[]> {
    const nodes = await Promise.all((await this.#candidates()).map((at) => this.#client.get(at)));
    return nodes.filter((node) => node !== undefined).map(({ value }) => fromUtf8(value));
  }

  /** Ends the session, so that the next candidate leads at once. No event follows. */
  close(reason: string): Promise<void> {
    this.#isOver = true;
    this.#epoch = 0;
    clearTimeout(this.#beatTimer);
    clearTimeout(this.#silenceTimer);
    clearTimeout(this.#deadlineTimer);
    clearTimeout(this.#watchTimer);
    return this.#client.end(reason);
  }

  #end(reason: string): void {
    if (this.#isOver) return;
    void this.close(reason);
    this.#options.onEnd(reason);
  }

  #now(): Now {
    return this.#options.clock.now();
  }

  // The store's clock goes on while this machine sleeps, and the monotonic one does not.
  #deadline(): number {
    const provenAt = this.#provenAt!;
    return provenAt.mono + this.#client.sessionMs * PROOF_PART - sleptMs(this.#now(), provenAt);
  }

  #onConnected(): void {
    this.#options.log("info", "Connected to ZooKeeper", { sessionMs: this.#client.sessionMs });
    if (this.#provenAt !== undefined) return;
    // Not a proof yet, but nobody relies on one before the election, which brings its own.
    this.#provenAt = this.#now();
    this.#watchDeadline();
    this.#beatLater();
    this.#prepare().catch((error) =>
      this.#end(`Cannot prepare "${this.#options.root}": ${textOf(error)}`)
    );
  }

  async #prepare(): Promise<void> {
    const { root } = this.#options;
    const paths = [...root.matchAll(/\/[^/]+/g)].map(({ 0: part, index }) =>
      root.slice(0, index + part.length)
    );
    for (const path of [...paths, this.#lockPath, this.#epochPath, `${root}/state`]) {
      // Asked first: making what exists may not be permitted above the root.
      if (await this.#client.exists(path)) continue;
      await this.#client.create(path, NO_BYTES, false).catch(ignore("nodeExists"));
    }
    if (this.#isOver) return;
    this.#isReady = true;
    this.#options.onReady();
  }

  async #queue(name: string): Promise<void> {
    // Never the same name twice: a tree that was deleted and made anew counts from 0 again, and this place must
    // not be taken for one in it.
    const path = `${this.#lockPath}/${CANDIDATE_PREFIX}${crypto.randomUUID()}-`;
    this.#candidate = await this.#client.create(path, utf8(name), true);
    await this.#removeForerunners(name);
    let leaderKnown: string | undefined;
    while (!this.#isOver) {
      const queue = await this.#candidates();
      const place = queue.indexOf(this.#candidate);
      if (place < 0) throw new Error("Own place in the queue is gone");
      if (place === 0) {
        this.#watched = "";
        return await this.#reign(name);
      }
      const first = await this.#client.get(queue[0]!);
      const leader = first === undefined ? "" : fromUtf8(first.value);
      if (leader !== leaderKnown && !this.#isOver) this.#options.onFollowing(leader);
      leaderKnown = leader;
      if (this.#watched !== queue[0]) this.#watchLeader(queue[0]!, leader);
      // The one ahead tells when it is our turn; the first one, when somebody else leads.
      await this.#oneGone(new Set([queue[0]!, queue[place - 1]!]));
    }
  }

  /**
   * A leader whose process is gone is not waited for until the store ends its session. A candidate listens
   * before its node is made, and until after it is removed: a refusal seen later than the node is proof.
   */
  #watchLeader(path: string, name: string): void {
    const { probe, log } = this.#options;
    if (probe === undefined || name === "") return;
    this.#watched = path;
    const look = async () => {
      if ((await probe(name)) !== "refused" || this.#isOver || this.#watched !== path) return;
      log("info", "The leader's process is gone", { name });
      await this.#client.remove(path);
    };
    const again = () => {
      if (this.#isOver || this.#watched !== path) return;
      // A removal that failed is tried again; one that was done wakes the queue.
      this.#watchTimer = setTimeout(() => void look().catch(() => {}).finally(again), WATCH_MS);
    };
    again();
  }

  /** A node with our name in front is of an earlier session of ours, or of this server's last process. */
  async #removeForerunners(name: string): Promise<void> {
    for (const path of await this.#candidates()) {
      if (path === this.#candidate) return;
      const node = await this.#client.get(path);
      if (node === undefined || fromUtf8(node.value) !== name) continue;
      this.#options.log("info", "Removing an earlier candidate of this name", { path, name });
      await this.#client.remove(path).catch(ignore("noNode"));
    }
  }

  /** Everybody in the queue, first come first. */
  async #candidates(): Promise<string[]> {
    const names = await this.#client.children(this.#lockPath);
    const number = (name: string) => Number(name.slice(name.lastIndexOf("-") + 1));
    return names.toSorted((a, b) => number(a) - number(b))
      .map((name) => `${this.#lockPath}/${name}`);
  }

  #oneGone(paths: ReadonlySet<string>): Promise<void> {
    return new Promise((resolve, reject) => {
      for (const path of paths) {
        this.#client.exists(path, resolve).then((isThere) => isThere || resolve(), reject);
      }
    });
  }

  async #reign(name: string): Promise<void> {
    const stored = await this.#client.get(this.#epochPath);
    const sentAt = this.#now();
    const [, epoch] = await this.#client.multi([
      { op: "check", path: this.#candidate, version: -1 },
      { op: "set", path: this.#epochPath, value: utf8(name), version: stored?.version ?? -1 },
    ]);
    if (this.#isOver) return;
    assert(epoch! > 0, "A reign without a number", { epoch });
    this.#provenAt = sentAt;
    this.#epoch = epoch!;
    this.#options.onElected(epoch!);
  }

  #beatLater(): void {
    const pauseMs = this.#client.sessionMs * BEAT_PART;
    this.#beatTimer = setTimeout(() => void this.#beat(), pauseMs);
  }

  async #beat(): Promise<void> {
    const [sentAt, epoch] = [this.#now(), this.#epoch];
    const silenceMs = this.#client.sessionMs * SILENCE_PART;
    this.#silenceTimer = setTimeout(() => this.#client.redial(), silenceMs);
    try {
      await this.#prove();
      // What was asked before the election was a read, no proof for a leader.
      if (epoch === this.#epoch && sentAt.mono > this.#provenAt!.mono) this.#provenAt = sentAt;
    } catch (error) {
      // A lost answer proves nothing, and the deadline knows. Anything else: not our reign, not our place.
      const isLost = error instanceof ZkError && error.code === "lost";
      if (!isLost) return this.#end(`The place in the election is lost: ${textOf(error)}`);
    } finally {
      clearTimeout(this.#silenceTimer);
    }
    if (!this.#isOver) this.#beatLater();
  }

  /**
   * One round trip. A leader's goes through the quorum like a write, and changes nothing: a read would be
   * answered for seconds by a server that is cut off from the others, while they let the session expire.
   */
  async #prove(): Promise<void> {
    if (this.#epoch !== 0) {
      await this.#client.multi(this.#fence());
    } else if (!(await this.#client.exists(this.#candidate || "/")) && this.#epoch === 0) {
      throw new Error("Own place in the queue is gone");
    }
  }

  /** Reads come from one server, which may lag behind a write that was cut off; a proof waits for it. */
  async #settle(): Promise<void> {
    if (!this.#isUncertain || this.#epoch === 0) return;
    await this.#prove();
    this.#isUncertain = false;
  }

  #watchDeadline(): void {
    const leftMs = this.#deadline() - this.#now().mono;
    if (leftMs > 0) {
      this.#deadlineTimer = setTimeout(() => this.#watchDeadline(), Math.ceil(leftMs));
      return;
    }
    const silentMs = Math.round(this.#now().wall - this.#provenAt!.wall);
    this.#end(
      `No answer from ZooKeeper for ${silentMs} ms; the session is ${this.#client.sessionMs} ms`,
    );
  }
}

/** Makes one kind of failure none. */
function ignore(code: "nodeExists" | "noNode"): (error: unknown) => void {
  return (error) => {
    if (!(error instanceof ZkError) || error.code !== code) throw error;
  };
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
