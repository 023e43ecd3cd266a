// The searches for hot keys of a shard (hot_key.ts): takes the keys out of requests while somebody looks for them,
// and answers those who do. Invariants: without a search a request costs one look at a flag; at most SEARCHES_MAX
// searches are kept; a search ends by itself, its result stays until it is stopped.

import { Err, StoreError } from "../../src/base/errors.ts";
import type { PartitionId } from "../../src/base/ids.ts";
import * as clientRpc from "../../src/schema/client_rpc.ts";
import { hashKeyOf } from "../../src/schema/key_format.ts";
import type { DetectHotkey } from "../../src/schema/load_rpc.ts";
import type { AnyRpc, RequestOf, ResponseOf } from "../../src/schema/rpc.ts";
import type { KeyWatch } from "../request_metrics.ts";
import { HotKeySearch } from "./hot_key.ts";

const SEARCHES_MAX = 100;

type Asked = RequestOf<typeof DetectHotkey>;
type Answer = ResponseOf<typeof DetectHotkey>;

/** See the file comment. */
export class HotKeys implements KeyWatch {
  isIdle = true;
  readonly #searches = new Map<string, HotKeySearch>();
  readonly #now: () => number;

  /** @param now Monotonic ms. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Starts, stops or looks at a search. @throws {StoreError} BUSY, INVALID_ARGUMENT */
  ask({ partition, kind, action }: Asked): Answer {
    this.tick();
    const name = `${partition} ${kind}`;
    const search = this.#searches.get(name);
    if (action === "start") {
      if (search !== undefined) {
        throw new StoreError(Err.BUSY, `A search is ${search.state}: stop it before a new start`);
      }
      if (this.#searches.size >= SEARCHES_MAX) {
        throw new StoreError(Err.BUSY, `${SEARCHES_MAX} searches are kept here: stop one`);
      }
      this.#searches.set(name, new HotKeySearch(this.#now()));
    }
    if (action === "stop") this.#searches.delete(name);
    this.#settle();
    const current = this.#searches.get(name);
    if (current === undefined) {
      return { state: "stopped", captured: 0, hashKey: undefined, share: 0 };
    }
    const { state, captured, hashKey, share } = current;
    return { state, captured, hashKey, share };
  }

  /** Time passes; about once a second. */
  tick(): void {
    if (this.isIdle) return;
    const now = this.#now();
    for (const search of this.#searches.values()) search.advance(now);
    this.#settle();
  }

  see(partition: PartitionId, rpc: AnyRpc, request: unknown, isWrite: boolean): void {
    const search = this.#searches.get(`${partition} ${isWrite ? "write" : "read"}`);
    if (search === undefined || !search.isSearching) return;
    const { key, keys, hashKey, rows, sortKeys, mutations } = request as Keyed;
    if (key !== undefined) return seeRaw(search, key);
    if (keys !== undefined) return keys.forEach((raw) => seeRaw(search, raw));
    // A scan goes over whatever is there: it names no key.
    if (hashKey === undefined || SCANS.has(rpc.code)) return;
    const list = rows ?? sortKeys ?? mutations;
    search.see(hashKey, Math.max(1, list?.length ?? 1));
  }

  #settle(): void {
    this.isIdle = ![...this.#searches.values()].some((search) => search.isSearching);
  }
}

/** Where requests of data operations keep keys. */
interface Keyed {
  readonly key?: Uint8Array;
  readonly keys?: readonly Uint8Array[];
  readonly hashKey?: Uint8Array;
  readonly rows?: readonly unknown[];
  readonly sortKeys?: readonly unknown[];
  readonly mutations?: readonly unknown[];
}

const SCANS: ReadonlySet<number> = new Set(
  [clientRpc.GetScanner, clientRpc.Scan, clientRpc.ClearScanner].map(({ code }) => code),
);

function seeRaw(search: HotKeySearch, raw: Uint8Array): void {
  const hashKey = hashKeyOf(raw);
  if (hashKey !== undefined) search.see(hashKey, 1);
}
