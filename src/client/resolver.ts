// Keeps the routes of one table fresh: asks meta when an operation found them missing or wrong. Invariant: at
// most one query is in flight per table, however many operations wait for it, and queries keep a
// distance, so that a broken server does not turn into a storm at meta.

import type { Clock } from "../base/clock.ts";
import { adviceOf, Err, StoreError } from "../base/errors.ts";
import { QueryConfig } from "../schema/meta_rpc.ts";
import { type MetaClient, pause } from "./meta_client.ts";
import type { ClientLog } from "./options.ts";
import { type RouteMap, updateRoutes } from "./route_map.ts";

/** Least distance between the end of a query and the next one, ms. */
const GAP_MS = 40;
/** A query may try this long, over all meta servers. */
const QUERY_MS = 2000;

/** A timer takes no more. */
const TIMER_MS_MAX = 0x7fffffff;

interface RouteOutcome {
  readonly code: number;
  readonly detail: string;
}

const NO_ANSWER: RouteOutcome = {
  code: Err.TIMEOUT,
  detail: "No meta server told the routes of the table within the deadline",
};

/** Hears how a refresh ended: 0, or an error code and what was said. */
export type RouteListener = (code: number, detail: string) => void;

/** See the file comment. */
export class Resolver {
  readonly table: string;
  readonly #meta: MetaClient;
  readonly #clock: Clock;
  readonly #log: ClientLog;
  #map: RouteMap | undefined;
  #version = 0;
  #listeners: RouteListener[] = [];
  #isAsking = false;
  #askedAt = -Infinity;

  constructor(table: string, meta: MetaClient, clock: Clock, log: ClientLog) {
    this.table = table;
    this.#meta = meta;
    this.#clock = clock;
    this.#log = log;
  }

  /** The newest picture, if any. */
  get map(): RouteMap | undefined {
    return this.#map;
  }

  /** Grows with every answer of meta; 0 = none yet. */
  get version(): number {
    return this.#version;
  }

  /** Asks meta, or joins the question that is on its way, and tells the listener. */
  refresh(listener: RouteListener): void {
    this.#listeners.push(listener);
    if (!this.#isAsking) void this.#ask();
  }

  /**
   * The routes of an operation that has to know all of them. Without an answer of meta the known ones are the best
   * guess, as for every operation; while none are known, meta is asked again until the deadline.
   *
   * @param deadline Monotonic ms.
   * @param isFresh Asks although some are known.
   * @throws {StoreError} The refusal of meta; at the deadline its last failure, or TIMEOUT
   */
  async load(deadline: number, isFresh = false): Promise<RouteMap> {
    if (this.#map !== undefined && !isFresh) return this.#map;
    let last: RouteOutcome = NO_ANSWER;
    for (;;) {
      const outcome = await this.#refreshed(deadline - this.#clock.now().mono);
      const { code, detail } = outcome;
      const isForbidden = adviceOf(code) === "never";
      if (this.#map !== undefined && !isForbidden) return this.#map;
      // Meta is the first to know of a user: waiting does not help.
      if (isForbidden || code === Err.UNAUTHENTICATED) throw new StoreError(code, detail);
      if (outcome !== NO_ANSWER) last = outcome;
      if (this.#clock.now().mono >= deadline) throw new StoreError(last.code, last.detail);
    }
  }

  /** How the next refresh ends, or that it takes longer than `ms`. */
  #refreshed(ms: number): Promise<RouteOutcome> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(NO_ANSWER), Math.min(ms, TIMER_MS_MAX));
      this.refresh((code, detail) => {
        clearTimeout(timer);
        resolve({ code, detail });
      });
    });
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    const gap = this.#askedAt + GAP_MS - this.#clock.now().mono;
    if (gap > 0) await pause(gap);
    let code: number = Err.OK;
    let detail = "";
    try {
      const request = { table: this.table, indices: [] };
      const options = { timeoutMs: QUERY_MS, isRead: true };
      const answer = await this.#meta.call(QueryConfig, request, options);
      this.#map = updateRoutes(this.#map, answer);
      this.#version++;
    } catch (error) {
      code = error instanceof StoreError ? error.code : Err.INTERNAL;
      detail = error instanceof StoreError ? error.detail : String(error);
      this.#log("warn", "Cannot get the routes of a table", { table: this.table, code, detail });
    }
    this.#askedAt = this.#clock.now().mono;
    this.#isAsking = false;
    const listeners = this.#listeners;
    this.#listeners = [];
    for (const listener of listeners) listener(code, detail);
  }
}
