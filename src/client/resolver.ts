// Keeps the routes of one table fresh: asks meta when an operation found them missing or wrong. Invariant: at
// most one query is in flight per table, however many operations wait for it, and queries keep a
// distance, so that a broken server does not turn into a storm at meta.

import type { Clock } from "../base/clock.ts";
import { Err, StoreError } from "../base/errors.ts";
import { QueryConfig } from "../schema/meta_rpc.ts";
import { type MetaClient, pause } from "./meta_client.ts";
import type { ClientLog } from "./options.ts";
import { type RouteMap, updateRoutes } from "./route_map.ts";

/** Least distance between the end of a query and the next one, ms. */
const GAP_MS = 40;
/** A query may try this long, over all meta servers. */
const QUERY_MS = 2000;

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

  /** The routes; asks only if none are known. @throws {StoreError} */
  load(): Promise<RouteMap> {
    const map = this.#map;
    if (map !== undefined) return Promise.resolve(map);
    return this.reload();
  }

  /** Fresh routes. @throws {StoreError} */
  reload(): Promise<RouteMap> {
    return new Promise((resolve, reject) => {
      this.refresh((code, detail) => {
        if (code === Err.OK) resolve(this.#map!);
        else reject(new StoreError(code, detail));
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
