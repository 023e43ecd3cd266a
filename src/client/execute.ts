// The one loop behind every data operation: performs what operation.ts decides. Routes come from the
// resolver, sequences from the partition's session, pauses from one shared timer, attempts from the RPC layer.
// Invariant: attempts of one operation never overlap, and a repeated write keeps its (session, sequence).
// The normal path costs one object, one callback and one promise per operation. See docs/client.md.

import type { Clock } from "../base/clock.ts";
import { adviceOf, Err, errorMeaning, StoreError } from "../base/errors.ts";
import { formatPartition, indexOf, NOBODY, type NodeId } from "../base/ids.ts";
import type { CallDone, RpcClient } from "../rpc/contract.ts";
import { OpenSession } from "../schema/client_rpc.ts";
import { partitionIndexOf } from "../schema/key_format.ts";
import type { Rpc } from "../schema/rpc.ts";
import { Attempts } from "./attempts.ts";
import type { AnyCall, Call, RequestHead, SessionSlot } from "./call.ts";
import { Hedges } from "./hedge.ts";
import { type Action, attemptMs, type OperationEvent, step } from "./operation.ts";
import type { ClientLog } from "./options.ts";
import type { Route } from "./route_map.ts";
import { Session } from "./session.ts";
import { Slab } from "./slab.ts";
import { Wakeups } from "./wakeups.ts";
import { WriteWaves } from "./write_waves.ts";

/** An attempt without an answer for so long makes the client look whether somebody else serves the partition, ms. */
const OVERDUE_MS = 500;
/** Distance of two such looks at one table, ms. */
const LOOK_MS = 500;
/** A read that any replica may answer goes to another one after so long, ms. */
const FOLLOWER_MS = 1000;
/** Opening a session may be repeated at will, ms. */
const OPEN_SESSION_MS = 1500;

/** See the file comment. */
export class Executor {
  /** Where the bytes of keys and values of running operations are made. */
  readonly slab: Slab = new Slab();
  /** Repeats slow reads elsewhere. */
  readonly hedges: Hedges;
  readonly #rpc: RpcClient;
  readonly #clock: Clock;
  readonly #log: ClientLog;
  readonly #wakeups: Wakeups<AnyCall>;
  /** What was sent and waits for its answer. */
  readonly #attempts = new Attempts<AnyCall>();
  readonly #waves: WriteWaves<AnyCall>;
  #rotation = 0;
  #closed = false;

  constructor(rpc: RpcClient, clock: Clock, log: ClientLog) {
    this.#rpc = rpc;
    this.#clock = clock;
    this.#log = log;
    this.hedges = new Hedges(clock);
    this.#wakeups = new Wakeups<AnyCall>(clock, (call) => this.#onWoke(call));
    this.#waves = new WriteWaves<AnyCall>(clock, (call, now) => this.#start(call, now));
    rpc.onTick = () => this.#lookAtOverdue();
  }

  /** Monotonic ms. */
  now(): number {
    return this.#clock.now().mono;
  }

  /** Unix ms. */
  wall(): number {
    return this.#clock.now().wall;
  }

  /**
   * Performs an operation.
   *
   * @param now Monotonic ms, if the operation began earlier. The clock costs 200 ns: one reading serves everything
   *   that happens at once.
   * @throws {StoreError} Its `outcome` says what is certain.
   */
  run<Q, A, T>(call: Call<Q, A, T>, now = call.startedAt): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      call.resolve = resolve;
      call.reject = reject;
      this.#listen(call);
      this.#perform(call, step(call, this.#closed ? "closed" : "start", 0, now), now);
    });
  }

  /** One attempt at one server, never repeated. @throws {StoreError} */
  once<Q, A>(address: string, rpc: Rpc<Q, A>, request: Q, timeoutMs: number): Promise<A> {
    return this.#rpc.call(address, rpc, request, timeoutMs);
  }

  /** Ends everything that waits here; what was sent ends when the RPC client closes. */
  close(): void {
    this.#closed = true;
    this.hedges.close();
    for (const call of this.#waves.drain()) this.#event(call, "closed", 0);
    for (const call of this.#wakeups.drain()) {
      call.waitId++;
      this.#event(call, "closed", 0);
    }
  }

  #event(call: AnyCall, event: OperationEvent, value: number): void {
    const now = this.now();
    this.#perform(call, step(call, event, value, now), now);
  }

  #perform(call: AnyCall, first: Action, now: number): void {
    let action = first;
    for (;;) {
      switch (action) {
        case "route":
        case "refresh": {
          const { resolver } = call.table;
          const isKnown = resolver.map !== undefined &&
            (action === "route" || resolver.version > call.routeVersion);
          if (!isKnown) return this.#awaitRoute(call);
          action = this.#useRoute(call, now);
          break;
        }
        case "session":
          if (!this.#takeSession(call)) return this.#awaitSession(call);
          action = step(call, "session", Err.OK, now);
          break;
        case "send":
          return call.kind === "read" ? this.#start(call, now) : this.#waves.add(call, now);
        case "wait":
          return this.#park(call, now + call.waitMs);
        case "finish":
          return this.#finish(call);
      }
    }
  }

  #park(call: AnyCall, until: number): void {
    call.waitId++;
    this.#wakeups.add(call, until);
  }

  #onWoke(call: AnyCall): void {
    call.waitId++;
    this.#event(call, "woke", 0);
  }

  // ---- routes ---------------------------------------------------------------------------------------

  #awaitRoute(call: AnyCall): void {
    this.#park(call, call.deadline);
    const { waitId } = call;
    call.table.resolver.refresh((code, detail) => {
      if (call.waitId !== waitId) return;
      call.waitId++;
      // Without meta the old route is the best guess; a server that is not the primary says so.
      const isUsable = code === Err.OK ||
        (call.table.resolver.map !== undefined && adviceOf(code) !== "never");
      const now = this.now();
      if (isUsable) return this.#perform(call, this.#useRoute(call, now), now);
      call.detail = detail;
      this.#event(call, "noRoute", code);
    });
  }

  #useRoute(call: AnyCall, now: number): Action {
    const { resolver } = call.table;
    const map = resolver.map!;
    const { hashKey, sortKey, pin } = call.target;
    call.routeVersion = resolver.version;
    if (
      pin !== undefined &&
      (pin.tableId !== map.tableId || pin.partitionCount !== map.partitionCount)
    ) {
      call.detail = "The table was re-created or split meanwhile";
      call.error = Err.PARENT_PARTITION_MISUSED;
      return "finish";
    }
    const index = pin?.index ?? partitionIndexOf(hashKey, sortKey, map.partitionCount);
    const route = map.routes[index]!;
    const address = this.#addressOf(call, route);
    if (address === NOBODY) {
      call.detail = `Partition ${formatPartition(route.partition)} has no primary at the moment`;
      return step(call, "noRoute", Err.INVALID_STATE, now);
    }
    call.address = address;
    return step(call, "route", route.partition, now);
  }

  /** Stale reads go to the secondaries in turn, and every second attempt to the primary. */
  #addressOf(call: AnyCall, { primary, members }: Route): NodeId {
    if (call.target.head?.stale !== true) return primary;
    const first = primary === NOBODY ? 0 : 1;
    const others = members.length - first;
    if (others === 0 || (call.attempts % 2 === 1 && primary !== NOBODY)) return primary;
    return members[first + this.#rotation++ % others]!;
  }

  /** Whether somebody beside the primary could answer a read like this one. */
  hasFollower(call: AnyCall): boolean {
    const route = call.table.resolver.map?.routes[indexOf(call.partition)];
    return route?.partition === call.partition && route.members.length > 1;
  }

  // ---- sessions -------------------------------------------------------------------------------------

  #takeSession(call: AnyCall): boolean {
    this.#releaseSession(call);
    const session = this.#slot(call).session;
    if (session === undefined) return false;
    call.session = session;
    call.sequence = session.take();
    call.hasSession = true;
    return true;
  }

  #releaseSession(call: AnyCall): void {
    call.session?.finish(call.sequence);
    call.session = undefined;
  }

  #slot(call: AnyCall): SessionSlot {
    const { slots } = call.table;
    let slot = slots.get(call.partition);
    if (slot === undefined) {
      slot = { session: undefined, isOpening: false, waiters: [] };
      slots.set(call.partition, slot);
    }
    return slot;
  }

  /** One session is opened at a time per partition; everybody who needs it waits for the same answer. */
  #awaitSession(call: AnyCall): void {
    const slot = this.#slot(call);
    this.#park(call, call.deadline);
    slot.waiters.push({ call, waitId: call.waitId });
    if (slot.isOpening) return;
    slot.isOpening = true;
    const request = { partition: call.partition };
    const timeoutMs = Math.min(attemptMs(call, this.now()), OPEN_SESSION_MS);
    this.#rpc.start(call.address, OpenSession, request, timeoutMs, (code, response, detail) => {
      slot.isOpening = false;
      if (code === Err.OK) slot.session = new Session(response!.decree);
      const { waiters } = slot;
      slot.waiters = [];
      for (const waiter of waiters) this.#onSession(waiter.call, waiter.waitId, code, detail);
    });
  }

  #onSession(call: AnyCall, waitId: number, code: number, detail: string): void {
    if (call.waitId !== waitId) return;
    call.waitId++;
    if (code === Err.OK) return this.#perform(call, "session", this.now());
    call.detail = detail;
    this.#event(call, "session", code);
  }

  // ---- attempts -------------------------------------------------------------------------------------

  #start(call: AnyCall, now: number): void {
    const head = call.request as RequestHead;
    head.partition = call.partition;
    if (call.session !== undefined) {
      head.session = call.session.id;
      head.sequence = call.sequence;
      head.answeredBelow = call.session.answeredBelow;
    }
    const timeoutMs = attemptMs(call, now);
    this.#attempts.add(call, now);
    this.#rpc.start(call.address, call.spec.rpc, call.request, timeoutMs, call.done);
  }

  /** The attempt has its answer, or nobody waits for it any more. */
  #ended(call: AnyCall): void {
    this.#attempts.remove(call);
    if (call.kind !== "read") this.#waves.answered(call.wave);
  }

  /** Answers of the next attempt are heard; an abandoned one talks to nobody. */
  #listen(call: AnyCall): void {
    const done: CallDone<unknown> = (code, response, detail) => {
      if (call.done === done) this.#onAnswer(call, code, response, detail);
    };
    call.done = done;
  }

  /** A server that stopped, or was cut off, says nothing: only meta can tell that it was replaced. */
  #lookAtOverdue(): void {
    const now = this.now();
    for (const call of this.#attempts.overdue(now - OVERDUE_MS)) {
      const { table } = call;
      if (this.#hasMoved(call, now)) {
        this.#ended(call);
        this.#listen(call);
        call.detail = `No answer for ${Math.round(now - call.sentAt)} ms`;
        this.#perform(call, step(call, "moved", 0, now), now);
      } else if (now - table.lookedAt >= LOOK_MS) {
        table.lookedAt = now;
        table.resolver.refresh(() => {});
      }
    }
  }

  /** Whether somebody else serves the partition now, or may answer. */
  #hasMoved(call: AnyCall, now: number): boolean {
    if (call.target.head?.stale === true) return now - call.sentAt >= FOLLOWER_MS;
    const { map, version } = call.table.resolver;
    if (map === undefined || version === call.routeVersion) return false;
    const route = map.routes[indexOf(call.partition)];
    if (route?.partition !== call.partition) return true;
    return route.primary !== NOBODY && route.primary !== call.address;
  }

  #onAnswer(call: AnyCall, code: number, response: unknown, detail: string): void {
    this.#ended(call);
    if (code === Err.OK) {
      call.response = response;
      return this.#perform(call, step(call, "answer", Err.OK, 0), 0);
    }
    call.detail = detail;
    if (code === Err.SESSION_EXPIRED) {
      const slot = this.#slot(call);
      if (slot.session === call.session) slot.session = undefined;
    }
    if (this.#closed && call.kind !== "read") call.maybeDone = true;
    this.#log("debug", "An attempt failed", {
      operation: call.spec.rpc.name,
      table: call.table.name,
      partition: formatPartition(call.partition),
      address: call.address,
      code,
      detail,
      attempt: call.attempts,
    });
    // A follower that is not fresh enough is no reason to ask meta: the route is good, and the primary knows.
    const isNotFresh = call.target.head?.stale === true && code === Err.INVALID_STATE;
    if (isNotFresh && call.attempts === 1 && !this.#closed) {
      const now = this.now();
      return this.#perform(call, this.#useRoute(call, now), now);
    }
    this.#event(call, this.#closed ? "closed" : "answer", code);
  }

  #finish(call: AnyCall): void {
    this.#releaseSession(call);
    if (call.error !== Err.OK) return call.reject(this.#failure(call));
    try {
      call.resolve(call.spec.result(call.response));
    } catch (cause) {
      call.reject(new StoreError(Err.INTERNAL, "The answer cannot be decoded", { cause }));
    }
  }

  #failure(call: AnyCall): StoreError {
    const { error, detail, table, spec, attempts, partition } = call;
    const facts: string[] = [`table "${table.name}"`];
    if (partition !== 0) facts.push(`partition ${formatPartition(partition)}`);
    if (call.address !== NOBODY) facts.push(`server ${call.address}`);
    facts.push(`${attempts} ${attempts === 1 ? "attempt" : "attempts"}`);
    facts.push(`${Math.round(this.now() - call.startedAt)} ms`);
    const reason = detail === "" ? errorMeaning(error) : detail;
    return new StoreError(error, `${spec.rpc.name} failed: ${reason} (${facts.join(", ")})`);
  }
}
