// Simulated clients. A raw client makes one attempt per operation; a library client drives the production
// state machine of src/client/operation.ts with its retries, most of them with exactly-once sessions, and
// what is recorded is the logical operation. Ghost writes are only visible with the latter: a timed-out attempt of a raw
// client may legally take effect any time later.

import { EMPTY, utf8 } from "../../src/base/bytes.ts";
import { adviceOf, Err } from "../../src/base/errors.ts";
import { NOBODY, type NodeId, type PartitionId, partitionId } from "../../src/base/ids.ts";
import type { Prng } from "../../src/base/prng.ts";
import {
  type Action,
  attemptMs,
  Operation,
  type OperationEvent,
  step,
} from "../../src/client/operation.ts";
import { type RouteMap, updateRoutes } from "../../src/client/route_map.ts";
import { OpenSession } from "../../src/schema/client_rpc.ts";
import { partitionIndexOf } from "../../src/schema/key_format.ts";
import { QueryConfig } from "../../src/schema/meta_rpc.ts";
import type { Env } from "./env.ts";
import type { HistoryEntry } from "./history.ts";
import type { ModelOp } from "./linearizability.ts";
import { type Request, requestOf, resultOf } from "./sim_ops.ts";
import { SimRpc } from "./rpc.ts";

interface Session {
  readonly id: number;
  next: number;
  readonly open: Set<number>;
}

/** One logical operation under way. */
interface Running {
  readonly machine: Operation;
  readonly hashKey: string;
  readonly op: ModelOp;
  readonly partition: PartitionId;
  readonly invoke: number;
  readonly isRaw: boolean;
  session: Session | undefined;
  sequence: number;
}

/** Histories longer than this are not searched in reasonable time: keys are replaced by fresh ones. */
const OPERATIONS_PER_KEY = 150;

/** The few hash keys everybody works on: at least one in every partition. */
export class HotKeys {
  readonly #slots: { key: string; uses: number }[] = [];
  readonly #partitions: number;
  #named = 0;

  constructor(count: number, partitions: number) {
    this.#partitions = partitions;
    const slots = Math.ceil(count / partitions) * partitions;
    for (let i = 0; i < slots; i++) this.#slots.push({ key: this.#fresh(i), uses: 0 });
  }

  /** A key that nobody used, in the partition of a slot. */
  #fresh(slot: number): string {
    const wanted = slot % this.#partitions;
    for (;;) {
      const key = `h${this.#named++}`;
      if (partitionIndexOf(utf8(key), EMPTY, this.#partitions) === wanted) return key;
    }
  }

  pick(chance: Prng): string {
    const at = chance.below(this.#slots.length);
    const slot = this.#slots[at]!;
    if (++slot.uses > OPERATIONS_PER_KEY) {
      slot.key = this.#fresh(at);
      slot.uses = 0;
    }
    return slot.key;
  }
}

/** See the file comment. */
export class SimClient {
  readonly id: NodeId;
  readonly #env: Env;
  readonly #rpc: SimRpc;
  readonly #number: number;
  /** No sessions. */
  readonly #isBare: boolean;
  /** One attempt per operation. */
  readonly #isRaw: boolean;
  readonly #chance: Prng;
  readonly #tableId: number;
  readonly #keys: HotKeys;
  #routes: RouteMap | undefined;
  #meta: NodeId;
  readonly #sessions = new Map<PartitionId, Session>();
  readonly #history: HistoryEntry[];
  #counter = 0;
  #running = 0;
  #stopped = false;

  constructor(
    env: Env,
    number: number,
    tableId: number,
    history: HistoryEntry[],
    keys: HotKeys,
  ) {
    this.#keys = keys;
    this.id = `c${number}:1`;
    this.#env = env;
    this.#number = number;
    this.#tableId = tableId;
    this.#history = history;
    this.#chance = env.chance.stream(`client ${number}`);
    this.#isBare = this.#chance.float() >= env.swarm.load.library;
    this.#isRaw = this.#isBare && this.#chance.chance(0.5);
    this.#meta = env.metas[0]!;
    this.#rpc = new SimRpc(this, this.id, env.network, env.scheduler);
    env.network.attach(this.id, this.#rpc);
    for (let i = 0; i < env.swarm.load.outstanding; i++) this.#think();
  }

  /** Operations not yet finished. */
  get running(): number {
    return this.#running;
  }

  /** Starts no new operations. */
  stop(): void {
    this.#stopped = true;
  }

  #think(): void {
    // After the faults less load: a learner must catch up with a cache that holds two mutations.
    const mean = this.#env.healed ? 400 : this.#env.swarm.load.thinkMs;
    const pause = mean * 2 * this.#chance.float();
    this.#env.scheduler.after(pause, "think", this, () => {
      if (!this.#stopped) this.start(this.#choose());
    });
  }

  #choose(): { hashKey: string; op: ModelOp } {
    const hashKey = this.#keys.pick(this.#chance);
    const key = `s${this.#chance.below(2)}`;
    const value = `${this.#number}.${++this.#counter}`;
    const counter = "n";
    const dice = this.#chance.below(100);
    const op: ModelOp = dice < 26
      ? { kind: "get", key }
      : dice < 30
      ? { kind: "mget", keys: ["s0", "s1"] }
      : dice < 35
      ? { kind: "get", key: counter }
      : dice < 60
      ? { kind: "put", rows: [[key, value]] }
      : dice < 65
      ? { kind: "remove", key }
      : dice < 85
      ? { kind: "cas", key, expected: this.#guess(hashKey, key), value }
      : dice < 95
      ? { kind: "incr", key: counter, by: 1 }
      : { kind: "put", rows: [["s0", value], ["s1", value]] };
    return { hashKey, op };
  }

  readonly #seen = new Map<string, string | undefined>();

  /** What this client saw last: conditional writes should succeed sometimes. */
  #guess(hashKey: string, key: string): string | undefined {
    return this.#seen.get(`${hashKey}/${key}`);
  }

  /** Starts one operation. */
  start({ hashKey, op }: { hashKey: string; op: ModelOp }): void {
    this.#running++;
    const { load, partitions } = this.#env.swarm;
    const index = partitionIndexOf(utf8(hashKey), EMPTY, partitions);
    const kind = op.kind === "get" || op.kind === "mget" ? "read" : this.#isBare ? "bare" : "once";
    const { now } = this.#env.scheduler;
    const running: Running = {
      machine: new Operation(kind, now, load.timeoutMs),
      hashKey,
      op,
      partition: partitionId(this.#tableId, index),
      invoke: now,
      isRaw: this.#isRaw,
      session: undefined,
      sequence: 0,
    };
    this.#advance(running, "start", 0);
  }

  #advance(running: Running, event: OperationEvent, value: number): void {
    const { now } = this.#env.scheduler;
    const action: Action = step(running.machine, event, value, now);
    switch (action) {
      case "route":
        if (this.#primary(running.partition) !== NOBODY) {
          return this.#advance(running, "route", running.partition);
        }
        return this.#query(running);
      case "refresh":
        if (running.isRaw && running.machine.attempts > 0) {
          this.#ask(() => {});
          return this.#finish(running);
        }
        return this.#query(running);
      case "session":
        return this.#openSession(running);
      case "send":
        return this.#send(running);
      case "wait":
        if (running.isRaw && running.machine.attempts > 0) return this.#finish(running);
        this.#env.scheduler.after(
          running.machine.waitMs,
          "backoff",
          this,
          () => this.#advance(running, "woke", 0),
        );
        return;
      case "finish":
        return this.#finish(running);
    }
  }

  #primary(partition: PartitionId): NodeId {
    return this.#routes?.routes.find((route) => route.partition === partition)?.primary ?? NOBODY;
  }

  #query(running: Running): void {
    this.#ask((error) => {
      if (this.#primary(running.partition) !== NOBODY && error === Err.OK) {
        return this.#advance(running, "route", running.partition);
      }
      this.#advance(running, "noRoute", error === Err.OK ? Err.INVALID_STATE : error);
    });
  }

  /** Asks meta for all routes. */
  #ask(done: (error: number) => void): void {
    const request = { table: "t", indices: [] };
    this.#rpc.start(this.#meta, QueryConfig, request, 300, (error, answer, detail) => {
      if (error === Err.OK && answer !== undefined) {
        for (const config of answer.partitions) this.#env.watch.configSeen(config);
        this.#routes = updateRoutes(this.#routes, answer);
        return done(Err.OK);
      }
      const { metas } = this.#env;
      this.#meta = metas.includes(detail)
        ? detail
        : metas[(metas.indexOf(this.#meta) + 1) % metas.length]!;
      done(error);
    });
  }

  #openSession(running: Running): void {
    const { partition, machine } = running;
    const current = this.#sessions.get(partition);
    if (current !== undefined && current !== running.session) {
      this.#take(running, current);
      return this.#advance(running, "session", Err.OK);
    }
    const timeout = attemptMs(machine, this.#env.scheduler.now);
    const to = this.#primary(partition);
    this.#rpc.start(to, OpenSession, { partition }, timeout, (error, answer) => {
      if (error === Err.OK && answer !== undefined) {
        const session = { id: answer.decree, next: 1, open: new Set<number>() };
        this.#sessions.set(partition, session);
        this.#take(running, session);
      }
      this.#advance(running, "session", error);
    });
  }

  #take(running: Running, session: Session): void {
    running.session?.open.delete(running.sequence);
    running.session = session;
    running.sequence = session.next++;
    session.open.add(running.sequence);
    running.machine.hasSession = true;
  }

  #send(running: Running): void {
    const { machine, partition } = running;
    const { rpc, body } = this.#request(running);
    const timeout = attemptMs(machine, this.#env.scheduler.now);
    this.#rpc.start(this.#primary(partition), rpc, body, timeout, (error, answer) => {
      if (error === Err.OK) {
        this.#result = resultOf(running.op, answer);
        this.#decree = (answer as { decree?: number }).decree ?? 0;
      }
      this.#advance(running, "answer", error);
    });
  }

  /** What the answer that is being processed said. */
  #result = "";
  #decree = 0;

  #request({ op, partition, session, hashKey, sequence }: Running): Request {
    const head = {
      partition,
      session: session?.id ?? 0,
      sequence: session === undefined ? 0 : sequence,
      answeredBelow: session === undefined ? 0 : Math.min(session.next, ...session.open),
    };
    return requestOf(op, hashKey, head);
  }

  #finish(running: Running): void {
    this.#running--;
    this.#think();
    const { machine, op, hashKey } = running;
    running.session?.open.delete(running.sequence);
    const done = machine.error === Err.OK;
    const unknown = machine.maybeDone || adviceOf(machine.error) === "unknownOutcome";
    this.#env.coverage.hit(done ? "op.done" : unknown ? "op.unknown" : "op.notDone");
    if (done && op.kind === "get") {
      const value = this.#result === "-" ? undefined : this.#result.slice(1);
      this.#seen.set(`${hashKey}/${op.key}`, value);
    }
    this.#history.push({
      client: this.#number,
      object: hashKey,
      op,
      invoke: running.invoke,
      return: this.#env.scheduler.now,
      outcome: done ? "ok" : unknown ? "unknown" : "not done",
      result: done ? this.#result : undefined,
      ...(done && this.#decree > 0 ? { hint: this.#decree } : {}),
    });
  }
}
