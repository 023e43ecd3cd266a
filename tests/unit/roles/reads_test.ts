// Point reads, multi_get and counting, row by row of docs/data_api.md.

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import type { Filter } from "../../../src/schema/types.ts";
import {
  readBatchGet,
  readGet,
  readMultiGetKeys,
  readMultiGetRange,
  readSortKeyCount,
  readTtl,
} from "../../../roles/replica/reads.ts";
import { engineOf, key, multiGet, NOW, ok, rawTexts, scopeOf, texts } from "./reads_fixture.ts";

const head = { partition: 65536, stale: false, stalenessMaxMs: 0 };
const META_KEY = new Uint8Array([0xff, 0xff, 0x61]);

function filter(type: Filter["type"], pattern: string): Filter {
  return { type, pattern: utf8(pattern) };
}

Deno.test("readGet finds living rows only", () => {
  const scope = scopeOf(engineOf("h/a=1", "h/empty=", "h/dead=x@1000", "h/soon=y@1001"));
  const get = (sortKey: string) => {
    const { value } = ok(readGet(scope, { ...head, key: key("h", sortKey) }));
    return value && fromUtf8(value);
  };
  assert.deepEqual(["a", "empty", "dead", "soon", "x"].map(get), [
    "1",
    "",
    undefined,
    "y",
    undefined,
  ]);
});

Deno.test("readTtl tells missing, endless and counted rows apart", () => {
  const scope = scopeOf(engineOf("h/a=1", `h/b=2@${NOW + 5}`, `h/dead=3@${NOW}`));
  const ttl = (sortKey: string) => ok(readTtl(scope, { ...head, key: key("h", sortKey) }));
  assert.deepEqual(ttl("a"), { exists: true, seconds: -1 });
  assert.deepEqual(ttl("b"), { exists: true, seconds: 5 });
  assert.deepEqual(ttl("dead"), { exists: false, seconds: 0 });
  assert.deepEqual(ttl("x"), { exists: false, seconds: 0 });
});

Deno.test("Reads refuse keys that name no row", async () => {
  const scope = scopeOf(engineOf("h/a=1"));
  const hashKey = new Uint8Array(65535);
  assert.equal(readGet(scope, { ...head, key: META_KEY }), Err.INVALID_ARGUMENT);
  assert.equal(readTtl(scope, { ...head, key: utf8("") }), Err.INVALID_ARGUMENT);
  assert.equal(readBatchGet(scope, { ...head, keys: [] }), Err.INVALID_ARGUMENT);
  assert.equal(readBatchGet(scope, { ...head, keys: [META_KEY] }), Err.INVALID_ARGUMENT);
  assert.equal(readMultiGetKeys(scope, multiGet({ hashKey })), Err.INVALID_ARGUMENT);
  assert.equal(await readMultiGetRange(scope, multiGet({ hashKey })), Err.INVALID_ARGUMENT);
  assert.equal(await readSortKeyCount(scope, { ...head, hashKey }), Err.INVALID_ARGUMENT);
});

Deno.test("readBatchGet returns living rows in the order of the keys, up to a size", () => {
  const engine = engineOf("b/1=x", "a/2=y", "a/dead=z@1", "a/3=w");
  const keys = [key("b", "1"), key("a", "dead"), key("a", "none"), key("a", "3"), key("a", "2")];
  const all = ok(readBatchGet(scopeOf(engine), { ...head, keys }));
  assert.deepEqual([rawTexts(all.rows), all.complete], ["b/1=x a/3=w a/2=y", true]);
  const some = ok(readBatchGet(scopeOf(engine, { answerBytesMax: 6 }), { ...head, keys }));
  assert.deepEqual([rawTexts(some.rows), some.complete], ["b/1=x a/3=w", false]);
});

Deno.test("readMultiGetKeys answers in request order and skips missing rows", () => {
  const scope = scopeOf(engineOf("h/a=1", "h/b=2", "h/c=3", "h/dead=4@1"));
  const sortKeys = ["c", "dead", "none", "a", "c"].map(utf8);
  const keys = ok(readMultiGetKeys(scope, multiGet({ sortKeys, reverse: true })));
  assert.deepEqual([texts(keys.rows), keys.complete], ["c=3 a=1 c=3", true]);
  const bare = ok(readMultiGetKeys(scope, multiGet({ sortKeys, noValue: true })));
  assert.equal(texts(bare.rows), "c a c");
});

Deno.test("readMultiGetKeys is incomplete only if a living row was left out", () => {
  const scope = scopeOf(engineOf("h/a=1", "h/b=22", "h/c=3"), { multiGetRowsMax: 3 });
  const get = (names: string, countMax: number, bytesMax: number) => {
    const sortKeys = names.split("").map(utf8);
    const { rows, complete } = ok(
      readMultiGetKeys(scope, multiGet({ sortKeys, countMax, bytesMax })),
    );
    return [texts(rows), complete];
  };
  assert.deepEqual(get("abc", 2, 0), ["a=1 b=22", false]);
  assert.deepEqual(get("abx", 2, 0), ["a=1 b=22", true]);
  assert.deepEqual(get("abc", 0, 4), ["a=1 b=22", false]);
  assert.deepEqual(get("abc", 0, 6), ["a=1 b=22 c=3", true]);
  assert.deepEqual(get("abca", 100, 0), ["a=1 b=22 c=3", false], "the server's own limit");
});

Deno.test("readMultiGetRange honours bounds, and excludes only exact matches", async () => {
  const scope = scopeOf(engineOf("h/=0", "h/a=1", "h/b=2", "h/c=3", "i/a=9", "hh/a=9", "/h=9"));
  const cases: [string, boolean, string, boolean, string][] = [
    ["", true, "", false, "=0 a=1 b=2 c=3"],
    ["", true, "", true, "=0 a=1 b=2 c=3"],
    ["", false, "", false, "a=1 b=2 c=3"],
    ["a", true, "c", false, "a=1 b=2"],
    ["a", false, "c", true, "b=2 c=3"],
    ["aa", false, "bb", false, "b=2"],
    ["b", true, "b", true, "b=2"],
    ["b", true, "b", false, ""],
    ["b", false, "b", true, ""],
    ["c", true, "a", true, ""],
    ["x", true, "", false, ""],
  ];
  for (const [start, startInclusive, stop, stopInclusive, expected] of cases) {
    const range = {
      startSortKey: utf8(start),
      startInclusive,
      stopSortKey: utf8(stop),
      stopInclusive,
    };
    for (const reverse of [false, true]) {
      const { rows, complete } = ok(
        await readMultiGetRange(scope, multiGet({ ...range, reverse })),
      );
      assert.deepEqual([texts(rows), complete], [expected, true], `${start}..${stop} ${reverse}`);
    }
  }
  const none = ok(await readMultiGetRange(scope, multiGet({ hashKey: utf8("nobody") })));
  assert.deepEqual([none.rows.count, none.complete], [0, true]);
});

Deno.test("readMultiGetRange filters sort keys", async () => {
  const scope = scopeOf(engineOf("h/ab=1", "h/abc=2", "h/b=3", "h/cab=4", "h/xyz=5"));
  const cases: [Filter, string][] = [
    [filter("none", "ignored"), "ab abc b cab xyz"],
    [filter("anywhere", "ab"), "ab abc cab"],
    [filter("prefix", "ab"), "ab abc"],
    [filter("postfix", "b"), "ab b cab"],
    [filter("exact", "ab"), "ab"],
    [filter("exact", "nothing"), ""],
    [filter("prefix", ""), "ab abc b cab xyz"],
    [filter("exact", ""), "ab abc b cab xyz"],
    [filter("postfix", ""), "ab abc b cab xyz"],
  ];
  for (const [sortKeyFilter, expected] of cases) {
    for (const reverse of [false, true]) {
      const request = multiGet({ sortKeyFilter, noValue: true, reverse });
      const { rows, complete } = ok(await readMultiGetRange(scope, request));
      assert.deepEqual([texts(rows), complete], [expected, true], sortKeyFilter.type);
    }
  }
  const both = multiGet({ sortKeyFilter: filter("prefix", "ab"), startSortKey: utf8("abb") });
  assert.equal(texts(ok(await readMultiGetRange(scope, both)).rows), "abc=2");
});

Deno.test("readMultiGetRange stops at every limit and says so", async () => {
  const engine = engineOf("h/a=1", "h/b=2", "h/c=3@1", "h/d=4", "i/a=1");
  const get = async (
    request: Parameters<typeof multiGet>[0],
    limits: Parameters<typeof scopeOf>[1] = {},
  ) => {
    const { rows, complete } = ok(
      await readMultiGetRange(scopeOf(engine, limits), multiGet(request)),
    );
    return [texts(rows), complete];
  };
  assert.deepEqual(await get({ countMax: 2 }), ["a=1 b=2", false]);
  assert.deepEqual(await get({ countMax: 3 }), ["a=1 b=2 d=4", true]);
  assert.deepEqual(await get({ countMax: 2, reverse: true }), ["b=2 d=4", false]);
  assert.deepEqual(await get({ countMax: 9 }, { multiGetRowsMax: 1 }), ["a=1", false]);
  assert.deepEqual(await get({ bytesMax: 1 }), ["a=1", false]);
  assert.deepEqual(await get({ bytesMax: 3 }), ["a=1 b=2", false]);
  assert.deepEqual(await get({ bytesMax: 3, noValue: true }), ["a b d", true]);
  assert.deepEqual(await get({ bytesMax: 99 }, { answerBytesMax: 4 }), ["a=1 b=2", false]);
  assert.deepEqual(await get({}, { multiGetExaminedMax: 3 }), ["a=1 b=2", false]);
  assert.deepEqual(await get({}, { multiGetExaminedMax: 4 }), ["a=1 b=2 d=4", true]);
  const sparse = { sortKeyFilter: filter("postfix", "d") };
  assert.deepEqual(
    await get(sparse, { multiGetExaminedMax: 2 }),
    ["", false],
    "no rows proves nothing",
  );
});

Deno.test("readMultiGetRange and readSortKeyCount stop when their time is up", async () => {
  const rows = Array.from({ length: 600 }, (_, i) => `h/${String(i).padStart(3, "0")}=x`);
  const engine = engineOf(...rows);
  let clock = 0;
  const slow = scopeOf(engine, { rangeTimeMsMax: 10 }, () => clock += 11);
  const some = ok(await readMultiGetRange(slow, multiGet()));
  assert.ok(some.rows.count > 0 && some.rows.count < 600, String(some.rows.count));
  assert.equal(some.complete, false);
  const request = { ...head, hashKey: utf8("h") };
  assert.equal(ok(await readSortKeyCount(slow, request)).count, -1);
  assert.equal(ok(await readSortKeyCount(scopeOf(engine), request)).count, 600);
});

Deno.test("readSortKeyCount counts living rows of one hash key", async () => {
  const scope = scopeOf(engineOf("h/=0", "h/a=1", "h/dead=2@5", "hh/a=1", "i/a=1"));
  const count = async (hashKey: string) =>
    ok(await readSortKeyCount(scope, { ...head, hashKey: utf8(hashKey) })).count;
  assert.deepEqual([await count("h"), await count("hh"), await count("none")], [2, 1, 0]);
});

Deno.test("readMultiGetRange agrees with filtering all rows", async () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "\u00ff"), maxLength: 3 });
  const request = fc.record({
    startSortKey: word.map(utf8),
    startInclusive: fc.boolean(),
    stopSortKey: word.map(utf8),
    stopInclusive: fc.boolean(),
    reverse: fc.boolean(),
    sortKeyFilter: fc.record({
      type: fc.constantFrom("none", "anywhere", "prefix", "postfix", "exact"),
      pattern: word.map(utf8),
    }),
  });
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(word, { maxLength: 12 }), request, async (keys, r) => {
      const scope = scopeOf(engineOf(...keys.map((k) => `h/${k}=v`)));
      const { rows, complete } = ok(await readMultiGetRange(scope, multiGet(r)));
      const [start, stop, p] = [r.startSortKey, r.stopSortKey, r.sortKeyFilter.pattern].map(
        fromUtf8,
      );
      const expected = keys.filter((k) =>
        (k > start! || (k === start && r.startInclusive)) &&
        (stop === "" || k < stop! || (k === stop && r.stopInclusive)) &&
        (p === "" || r.sortKeyFilter.type === "none" ||
          (r.sortKeyFilter.type === "anywhere" && k.includes(p!)) ||
          (r.sortKeyFilter.type === "prefix" && k.startsWith(p!)) ||
          (r.sortKeyFilter.type === "postfix" && k.endsWith(p!)) || k === p)
      ).sort();
      assert.deepEqual(rows.toArray().map((row) => fromUtf8(row.key)), expected);
      assert.equal(complete, true);
    }),
  );
});
