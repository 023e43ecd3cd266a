// Clients of a chaos run and what they remember: registers whose history can be judged, rows written once,
// counters, and pairs of rows. Invariant: an operation is remembered as not done only if the store said so;
// everything else without an answer is unknown. Page: docs/testing.md, "Chaos".

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { partitionIndexOf } from "../../src/schema/key_format.ts";
import { Prng } from "../../src/base/prng.ts";
import { type Cluster, StoreError, type Table } from "../../src/client/mod.ts";
import { type ModelOp, type Operation, show } from "../sim/linearizability.ts";
import type { HistoryEntry } from "../sim/history.ts";
import { PARTITIONS, TABLE } from "./cluster.ts";

/** Answers of one family of clients. */
export class Counts {
  ok = 0;
  notDone = 0;
  unknown = 0;
}

/** A counter as its only client knows it. */
export interface Counter {
  readonly key: string;
  acknowledged: number;
  unknown: number;
}

const REGISTER_CLIENTS = 4;
const REGISTERS = 4;
/** Then the register is left alone and a new one begins: the judge's search stays short. */
const HISTORY_MAX = 200;
/** One per partition, so that each partition's silence shows. */
const ONCE_CLIENTS = PARTITIONS;
/** Hash keys of pairs. */
export const PAIRS = 4;
const PAUSE_MS = 8;
/** Sort key of everything but pairs. */
export const SORT = "s";

/** See the file comment. */
export class Workload {
  readonly registers = new Counts();
  readonly once = new Counts();
  readonly increments = new Counts();
  readonly pairs = new Counts();
  /** Histories by hash key. */
  readonly histories = new Map<string, Operation[]>();
  /** Hash keys of acknowledged rows that are never changed; the value equals the key. */
  readonly written: string[] = [];
  readonly counters: Counter[] = [];
  /** What was wrong while running. */
  readonly violations: string[] = [];
  /** What the clients of registers did and saw, for other judges. */
  readonly entries: HistoryEntry[] = [];
  /** How long each row took until it was acknowledged, repeats included, since it was last emptied, ms. */
  waits: number[] = [];
  readonly #table: Table;
  readonly #raw: Table;
  readonly #chance: Prng;
  readonly #waits = new Set<{ readonly since: number }>();
  #running: Promise<void>[] = [];
  #stopping = false;

  constructor(cluster: Cluster, seed: string) {
    this.#table = cluster.table(TABLE);
    this.#raw = cluster.table(TABLE, { exactlyOnce: false });
    this.#chance = new Prng(`${seed}/workload`);
  }

  /** The table, for the driver's own operations. */
  get table(): Table {
    return this.#table;
  }

  start(): void {
    const loops: (() => Promise<void>)[] = [];
    for (let i = 0; i < REGISTER_CLIENTS; i++) loops.push(this.#registerClient(i));
    for (let i = 0; i < ONCE_CLIENTS; i++) loops.push(this.#onceClient(i));
    loops.push(this.#counterClient("raw", this.#raw), this.#counterClient("library", this.#table));
    loops.push(this.#pairWriter(), this.#pairReader());
    this.#running = loops.map((step) => this.#loop(step));
  }

  /** Ends the clients and waits for their last answers. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Whether no row still waits that was begun before a moment (performance.now()). */
  isSettled(since: number): boolean {
    return [...this.#waits].every((wait) => wait.since >= since);
  }

  /** Time the oldest unacknowledged row has waited, ms. */
  get waitingMs(): number {
    const now = performance.now();
    return Math.max(0, ...[...this.#waits].map(({ since }) => now - since));
  }

  async #loop(step: () => Promise<void>): Promise<void> {
    while (!this.#stopping) {
      await step();
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** Runs one operation and counts its outcome. */
  async #attempt<T>(
    counts: Counts,
    work: () => Promise<T>,
  ): Promise<{ outcome: "ok"; value: T } | { outcome: "not done" | "unknown" }> {
    try {
      const value = await work();
      counts.ok++;
      return { outcome: "ok", value };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.outcome === "unknown") counts.unknown++;
      else counts.notDone++;
      return { outcome: error.outcome };
    }
  }

  #registerClient(client: number): () => Promise<void> {
    let writes = 0;
    const lastSeen = new Map<string, string | undefined>();
    return async () => {
      const key = this.#register();
      const history = this.histories.get(key)!;
      const value = `${client}.${++writes}`;
      const op = this.#choose(value, lastSeen.get(key));
      const invoke = performance.now();
      const answer = await this.#attempt(this.registers, () => this.#perform(key, op, lastSeen));
      const { outcome } = answer;
      const result = answer.outcome === "ok" ? answer.value : undefined;
      const operation = { client, op, invoke, return: performance.now(), result };
      this.entries.push({ ...operation, object: key, outcome });
      if (outcome !== "not done") history.push(operation);
    };
  }

  /** One of the registers in use; worn ones are replaced. */
  #register(): string {
    const slot = this.#chance.below(REGISTERS);
    for (let generation = 0;; generation++) {
      const key = `register ${slot} ${generation}`;
      const history = this.histories.get(key);
      if (history === undefined) this.histories.set(key, []);
      if (history === undefined || history.length < HISTORY_MAX) return key;
    }
  }

  #choose(value: string, expected: string | undefined): ModelOp {
    const dice = this.#chance.below(100);
    if (dice < 45) return { kind: "get", key: SORT };
    if (dice < 75) return { kind: "put", rows: [[SORT, value]] };
    if (dice < 92) return { kind: "cas", key: SORT, expected, value };
    return { kind: "remove", key: SORT };
  }

  /** @returns The answer in the words of the judge. */
  async #perform(
    key: string,
    op: ModelOp,
    lastSeen: Map<string, string | undefined>,
  ): Promise<string> {
    switch (op.kind) {
      case "get": {
        const value = await this.#table.get(key, SORT);
        lastSeen.set(key, value === undefined ? undefined : fromUtf8(value));
        return show(lastSeen.get(key));
      }
      case "put":
        await this.#table.set(key, SORT, op.rows[0]![1]);
        return "ok";
      case "remove":
        await this.#table.del(key, SORT);
        return "ok";
      case "cas": {
        const { exchanged, actual } = await this.#table
          .compareExchange(key, SORT, op.expected, op.value);
        return exchanged ? "passed" : `failed ${show(actual && fromUtf8(actual))}`;
      }
      default:
        throw new Error(`Registers know no "${op.kind}"`);
    }
  }

  #onceClient(client: number): () => Promise<void> {
    let id = 0;
    return async () => {
      let key: string;
      do key = `once ${client} ${id++}`; while (
        partitionIndexOf(utf8(key), utf8(SORT), PARTITIONS) !== client
      );
      const wait = { since: performance.now() };
      this.#waits.add(wait);
      // The same row again until it is acknowledged: repeating it changes nothing.
      while (!this.#stopping) {
        const answer = await this.#attempt(this.once, () => this.#table.set(key, SORT, key));
        if (answer.outcome !== "ok") continue;
        this.written.push(key);
        this.waits.push(performance.now() - wait.since);
        break;
      }
      this.#waits.delete(wait);
    };
  }

  #counterClient(kind: string, table: Table): () => Promise<void> {
    const counters = [0, 1].map((i) => ({
      key: `counter ${kind} ${i}`,
      acknowledged: 0,
      unknown: 0,
    }));
    this.counters.push(...counters);
    return async () => {
      const counter = counters[this.#chance.below(counters.length)]!;
      const answer = await this.#attempt(this.increments, () => table.incr(counter.key, SORT, 1n));
      if (answer.outcome === "unknown") counter.unknown++;
      if (answer.outcome !== "ok") return;
      counter.acknowledged++;
      this.checkCounter(counter, Number(answer.value));
    };
  }

  /** A counter holds what was acknowledged, and of the unknown increments some. */
  checkCounter({ key, acknowledged, unknown }: Counter, value: number): void {
    if (value >= acknowledged && value <= acknowledged + unknown) return;
    this.violations.push(
      `V3: "${key}" is ${value}, with ${acknowledged} increments acknowledged and ${unknown} unknown`,
    );
  }

  #pairWriter(): () => Promise<void> {
    let round = 0;
    return async () => {
      const value = String(++round);
      const rows = ["a", "b"].map((sortKey) => ({ sortKey, value }));
      const key = `pair ${this.#chance.below(PAIRS)}`;
      await this.#attempt(this.pairs, () => this.#table.multiSet(key, rows));
    };
  }

  #pairReader(): () => Promise<void> {
    return async () => {
      await this.readPair(this.#chance.below(PAIRS));
    };
  }

  /** Reads one pair and looks whether its halves agree. */
  async readPair(index: number): Promise<void> {
    const key = `pair ${index}`;
    const answer = await this.#attempt(this.pairs, () => this.#table.multiGet(key, ["a", "b"]));
    if (answer.outcome !== "ok") return;
    const values = answer.value.rows.map((row) => fromUtf8(row.value));
    if (values.length === 0 || (values.length === 2 && values[0] === values[1])) return;
    this.violations.push(`V4: "${key}" was read half: ${JSON.stringify(values)}`);
  }
}
