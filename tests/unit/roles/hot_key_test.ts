// Hot keys are found in two steps, with bounded memory, and only where there is one.

import assert from "node:assert/strict";
import {
  ANALYSIS_MS,
  HotKeySearch,
  outlier,
  SEARCH_MS_MAX,
} from "../../../roles/replica/hot_key.ts";
import { HotKeys } from "../../../roles/replica/hot_keys.ts";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import { BatchGet, Get, GetScanner, MultiPut } from "../../../src/schema/client_rpc.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";

/** Lets a step see `rows` keys, `hotShare` of them the hot one. */
function feed(search: HotKeySearch, prng: Prng, rows: number, hotShare: number): void {
  for (let i = 0; i < rows; i++) {
    const isHot = prng.below(1000) < hotShare * 1000;
    search.see(utf8(isHot ? "hot" : `user:${prng.below(100_000)}`), 1);
  }
}

Deno.test("a search finds the key that is asked for most, and its share", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed);
    const search = new HotKeySearch(0);
    feed(search, prng, 20_000, 0.3);
    search.advance(ANALYSIS_MS - 1);
    assert.equal(search.state, "coarse", "not before its time");
    search.advance(ANALYSIS_MS);
    assert.equal(search.state, "fine");
    feed(search, prng, 20_000, 0.3);
    search.advance(2 * ANALYSIS_MS);
    assert.equal(search.state, "finished", `seed ${seed}`);
    assert.equal(fromUtf8(search.hashKey!), "hot");
    assert.ok(Math.abs(search.share - 0.3) < 0.05, String(search.share));
  }
});

Deno.test("a search finds nothing among equals, and ends", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed);
    const search = new HotKeySearch(0);
    for (let now = ANALYSIS_MS; now <= SEARCH_MS_MAX; now += ANALYSIS_MS) {
      feed(search, prng, 5000, 0);
      search.advance(now);
    }
    assert.equal(search.state, "failed", `seed ${seed}`);
    assert.equal(search.hashKey, undefined);
  }
});

Deno.test("a search waits for rows before it judges", () => {
  const search = new HotKeySearch(0);
  for (let i = 0; i < 20; i++) search.see(utf8("only"), 1);
  search.advance(ANALYSIS_MS);
  assert.equal(search.state, "coarse");
  search.see(utf8("only"), 100);
  search.advance(2 * ANALYSIS_MS);
  search.see(utf8("only"), 100);
  search.advance(3 * ANALYSIS_MS);
  assert.deepEqual([search.state, search.share], ["finished", 1]);
});

Deno.test("outlier() needs a distance from the others", () => {
  assert.equal(outlier([10, 10, 11, 9, 40], 3), 4);
  assert.equal(outlier([10, 12, 8, 11, 13], 3), -1);
  assert.equal(outlier([0, 0, 0], 3), -1);
  assert.equal(outlier([5], 3), 0);
});

Deno.test("HotKeys takes keys out of requests, keeps results, and is idle without a search", () => {
  let now = 0;
  const hotKeys = new HotKeys(() => now);
  const partition = partitionId(1, 3);
  const ask = (action: "start" | "stop" | "query", kind: "read" | "write" = "read") =>
    hotKeys.ask({ partition, kind, action });
  assert.equal(hotKeys.isIdle, true);
  assert.equal(ask("query").state, "stopped");
  assert.equal(ask("start").state, "coarse");
  assert.equal(hotKeys.isIdle, false);
  assert.throws(() => ask("start"), (e) => e instanceof StoreError && e.code === Err.BUSY);
  const raw = encodeKey(utf8("h"), utf8("s"));
  const see = () => {
    hotKeys.see(partition, Get, { partition, key: raw }, false);
    hotKeys.see(partition, BatchGet, { partition, keys: [raw, raw] }, false);
    hotKeys.see(partition, MultiPut, { partition, hashKey: utf8("w"), rows: [1, 2, 3] }, true);
    hotKeys.see(partition, GetScanner, { partition, startKey: raw }, false);
    hotKeys.see(partitionId(1, 4), Get, { key: raw }, false);
  };
  see();
  assert.equal(ask("query").captured, 3, "one read of one row, one of two");
  for (let i = 0; i < 100; i++) see();
  now += ANALYSIS_MS;
  hotKeys.tick();
  for (let i = 0; i < 100; i++) see();
  now += ANALYSIS_MS;
  const { state, hashKey } = ask("query");
  assert.deepEqual([state, fromUtf8(hashKey!)], ["finished", "h"]);
  assert.equal(hotKeys.isIdle, true, "a result costs nothing");
  assert.throws(() => ask("start"), /stop it before/);
  assert.equal(ask("stop").state, "stopped");
  assert.equal(ask("start", "write").state, "coarse");
});
