// Every write operation of docs/data_api.md, as the physical operations it becomes.

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromUtf8, toHex, utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import type { PhysicalOp, Translation } from "../../../src/replication/io.ts";
import type { WriteOp } from "../../../src/replication/write_op.ts";
import { checkResult, incrResult, multiRemoveResult } from "../../../src/schema/client_rpc.ts";
import { decode } from "../../../src/schema/codec.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { decodeValue, EPOCH_2016_SECONDS } from "../../../src/schema/value_format.ts";
import { NOTHING_PENDING, StorageTranslator } from "../../../storage/translate.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";

/** Seconds since 2016 of every mutation here. */
const NOW = 1000;
const TIMESTAMP_US = (EPOCH_2016_SECONDS + NOW) * 1_000_000 + 7;

const key = (sortKey: string) => encodeKey(utf8("h"), utf8(sortKey));
const META_KEY = new Uint8Array([0xff, 0xff, 0x61]);

/** A translator over rows that were themselves written by translation. */
class Bench {
  readonly engine = new MemoryEngine();
  readonly translator = new StorageTranslator(this.engine);
  ops: PhysicalOp[] = [];
  pending = new Map<string, Uint8Array | null>();

  run(op: WriteOp): Translation {
    const before = this.ops.length;
    const pending = { lookup: (k: Uint8Array) => this.pending.get(toHex(k)) };
    const translation = this.translator.translate(op, TIMESTAMP_US, pending, this.ops);
    if (translation.error !== Err.OK) assert.equal(this.ops.length, before, "error with effects");
    return translation;
  }

  /** Moves what was translated so far into the engine. */
  apply(): void {
    this.engine.writeNow(
      this.ops.map(({ key, value }) =>
        value === undefined ? { type: "del", key } : { type: "put", key, value }
      ),
    );
    this.ops = [];
  }

  /** Moves what was translated so far into flight. */
  fly(): void {
    for (const { key, value } of this.ops) this.pending.set(toHex(key), value ?? null);
    this.ops = [];
  }

  put(sortKey: string, value: string, expireTs = 0): Translation {
    return this.run({
      kind: "put",
      rows: [{ key: key(sortKey), value: utf8(value), expireTs }],
    });
  }

  incr(sortKey: string, increment: bigint, expireTs = 0): Translation & { newValue: bigint } {
    const t = this.run({ kind: "incr", key: key(sortKey), increment, expireTs });
    return { ...t, newValue: decode(incrResult, t.result!, "incr").newValue };
  }

  /** "key=value@expireTs" or "key-" of every operation translated so far. */
  get effects(): string {
    return this.ops.map(({ key, value }) => {
      const name = fromUtf8(key.subarray(3));
      if (value === undefined) return `${name}-`;
      const stored = decodeValue(value, 1)!;
      assert.equal(stored.timestampUs, TIMESTAMP_US);
      return `${name}=${fromUtf8(stored.userData)}@${stored.expireTs}`;
    }).join(" ");
  }
}

function check(
  type: string,
  operand = "",
  checkKey = "c",
): Pick<
  Extract<WriteOp, { kind: "checkAndSet" }>,
  "checkKey" | "checkType" | "checkOperand" | "returnCheckValue"
> {
  return {
    checkKey: key(checkKey),
    // deno-lint-ignore no-explicit-any
    checkType: type as any,
    checkOperand: utf8(operand),
    returnCheckValue: true,
  };
}

const setRow = (sortKey: string, value: string, expireTs = 0) => ({
  key: key(sortKey),
  value: utf8(value),
  expireTs,
});

function checked(t: Translation) {
  const { passed, checkExists, checkValue } = decode(checkResult, t.result!, "check");
  return [t.error, passed, checkExists, checkValue && fromUtf8(checkValue)];
}

Deno.test("StorageTranslator put writes every row with its expiry", () => {
  const bench = new Bench();
  const t = bench.run({
    kind: "put",
    rows: [setRow("a", "1", 5), setRow("b", ""), setRow("a", "2")],
  });
  assert.deepEqual([t.error, t.result], [Err.OK, undefined]);
  assert.equal(bench.effects, "a=1@5 b=@0 a=2@0");
});

Deno.test("StorageTranslator put gives rows without TTL the table's default TTL", () => {
  const bench = new Bench();
  bench.translator.defaultTtlSeconds = 60;
  bench.put("a", "1");
  bench.put("b", "2", 5);
  bench.incr("c", 1n, -1);
  bench.run({ kind: "checkAndSet", ...check("no_check"), row: setRow("d", "4") });
  bench.translator.defaultTtlSeconds = 0xffff_ffff;
  bench.put("e", "5");
  assert.equal(bench.effects, "a=1@1060 b=2@5 c=1@1060 d=4@1060 e=5@4294967295");
});

Deno.test("StorageTranslator refuses empty lists, foreign keys and expiry beyond 32 bits", () => {
  const bench = new Bench();
  const meta = { key: META_KEY, value: utf8("x"), expireTs: 0 };
  const refused: WriteOp[] = [
    { kind: "put", rows: [] },
    { kind: "put", rows: [setRow("a", "1"), meta] },
    { kind: "put", rows: [setRow("a", "1", 2 ** 32)] },
    { kind: "put", rows: [setRow("a", "1", -1)] },
    { kind: "remove", keys: [], returnCount: true },
    { kind: "remove", keys: [key("a"), META_KEY], returnCount: false },
    { kind: "incr", key: META_KEY, increment: 1n, expireTs: 0 },
    { kind: "incr", key: key("a"), increment: 1n, expireTs: 2 ** 32 },
    { kind: "incr", key: key("a"), increment: 1n << 63n, expireTs: 0 },
    { kind: "checkAndSet", ...check("no_check"), row: meta },
    { kind: "checkAndSet", ...check("no_check"), checkKey: META_KEY, row: setRow("a", "1") },
    { kind: "checkAndSet", ...check("never_heard_of"), row: setRow("a", "1") },
    { kind: "checkAndMutate", ...check("no_check"), mutations: [] },
    {
      kind: "checkAndMutate",
      ...check("no_check"),
      mutations: [setRow("a", "1"), { key: META_KEY, remove: true }],
    },
  ];
  for (const op of refused) assert.equal(bench.run(op).error, Err.INVALID_ARGUMENT, op.kind);
  assert.equal(bench.effects, "");
});

Deno.test("StorageTranslator remove counts the keys asked for", () => {
  const bench = new Bench();
  const t = bench.run({ kind: "remove", keys: [key("a"), key("b")], returnCount: true });
  assert.equal(decode(multiRemoveResult, t.result!, "count").count, 2);
  assert.equal(
    bench.run({ kind: "remove", keys: [key("c")], returnCount: false }).result,
    undefined,
  );
  assert.equal(bench.effects, "a- b- c-");
});

Deno.test("StorageTranslator openSession and empty have no effects", () => {
  const bench = new Bench();
  assert.equal(bench.run({ kind: "openSession" }).error, Err.OK);
  assert.equal(bench.run({ kind: "empty" }).error, Err.OK);
  assert.equal(bench.effects, "");
});

Deno.test("StorageTranslator incr of a missing or expired row starts from the increment", () => {
  const bench = new Bench();
  assert.equal(bench.incr("a", 5n).newValue, 5n);
  bench.put("old", "100", NOW);
  bench.apply();
  assert.equal(bench.incr("old", 7n).newValue, 7n);
  assert.equal(bench.incr("ttl", -7n, 2000).newValue, -7n);
  assert.equal(bench.incr("clear", 0n, -1).newValue, 0n);
  assert.equal(bench.effects, "old=7@0 ttl=-7@2000 clear=0@0");
});

Deno.test("StorageTranslator incr keeps, sets or clears the expiry of a living row", () => {
  const bench = new Bench();
  for (const name of ["keep", "set", "clear"]) bench.put(name, " 0x10", NOW + 1);
  bench.put("empty", "", NOW + 1);
  bench.apply();
  bench.incr("keep", 1n, 0);
  bench.incr("set", 1n, 5000);
  bench.incr("clear", 1n, -1);
  bench.incr("empty", 3n, 0);
  bench.incr("keep", 0n, 0);
  assert.equal(bench.effects, "keep=17@1001 set=17@5000 clear=17@0 empty=3@1001 keep=17@1001");
});

Deno.test("StorageTranslator incr refuses text and overflow, and says what the row holds", () => {
  const bench = new Bench();
  bench.put("text", "12a");
  bench.put("max", "9223372036854775807");
  bench.put("min", "-9223372036854775808");
  bench.apply();
  const text = bench.incr("text", 1n);
  assert.deepEqual([text.error, text.newValue], [Err.INVALID_ARGUMENT, 0n]);
  const max = bench.incr("max", 1n);
  assert.deepEqual([max.error, max.newValue], [Err.INVALID_ARGUMENT, (1n << 63n) - 1n]);
  const min = bench.incr("min", -1n);
  assert.deepEqual([min.error, min.newValue], [Err.INVALID_ARGUMENT, -(1n << 63n)]);
  assert.equal(bench.effects, "");
});

Deno.test("StorageTranslator checkAndSet sets when the check passes", () => {
  const bench = new Bench();
  bench.put("c", "old", NOW + 9);
  bench.apply();
  const same = bench.run({
    kind: "checkAndSet",
    ...check("bytes_equal", "old"),
    row: setRow("c", "new"),
  });
  assert.deepEqual(checked(same), [Err.OK, true, true, "old"]);
  const other = bench.run({
    kind: "checkAndSet",
    ...check("bytes_equal", "new"),
    row: setRow("d", "x", 77),
  });
  assert.deepEqual(checked(other), [Err.OK, true, true, "new"]);
  assert.equal(bench.effects, "c=new@0 d=x@77", "the old TTL is not kept");
});

Deno.test("StorageTranslator checkAndSet reports a failed check without effects", () => {
  const bench = new Bench();
  bench.put("c", "x", NOW);
  bench.apply();
  const expired = bench.run({ kind: "checkAndSet", ...check("exist"), row: setRow("c", "1") });
  assert.deepEqual(checked(expired), [Err.OK, false, false, undefined]);
  bench.put("n", "text");
  bench.apply();
  const invalid = bench.run({
    kind: "checkAndSet",
    ...check("int_less", "5", "n"),
    row: setRow("n", "1"),
  });
  assert.deepEqual(checked(invalid), [Err.INVALID_ARGUMENT, false, true, "text"]);
  const silent = bench.run({
    kind: "checkAndSet",
    ...check("exist"),
    returnCheckValue: false,
    row: setRow("c", "1"),
  });
  assert.deepEqual(checked(silent), [Err.OK, false, undefined, undefined]);
  assert.equal(bench.effects, "");
});

Deno.test("StorageTranslator checkAndMutate applies its list in order or not at all", () => {
  const bench = new Bench();
  const mutations = [
    setRow("a", "1", 9),
    { key: key("a"), remove: true as const },
    setRow("b", "2"),
  ];
  const passed = bench.run({ kind: "checkAndMutate", ...check("not_exist"), mutations });
  assert.deepEqual(checked(passed), [Err.OK, true, false, undefined]);
  assert.equal(bench.effects, "a=1@9 a- b=2@0");
  bench.apply();
  const failed = bench.run({ kind: "checkAndMutate", ...check("exist"), mutations });
  assert.deepEqual(checked(failed), [Err.OK, false, false, undefined]);
  assert.equal(bench.effects, "");
});

Deno.test("StorageTranslator sees this mutation first, then writes in flight, then the engine", () => {
  const bench = new Bench();
  bench.put("n", "1");
  bench.apply();
  assert.equal(bench.incr("n", 10n).newValue, 11n);
  bench.fly();
  assert.equal(bench.incr("n", 100n).newValue, 111n);
  assert.equal(bench.incr("n", 1000n).newValue, 1111n);
  bench.run({ kind: "remove", keys: [key("n")], returnCount: false });
  assert.equal(bench.incr("n", 5n).newValue, 5n);
  bench.run({ kind: "remove", keys: [key("n")], returnCount: false });
  bench.fly();
  assert.equal(bench.incr("n", 6n).newValue, 6n);
});

Deno.test("StorageTranslator finds earlier writes in long mutations and in reused arrays", () => {
  const bench = new Bench();
  for (let round = 1n; round <= 3n; round++) {
    for (let i = 0; i < 60; i++) {
      assert.equal(bench.incr(`n${i % 40}`, round).newValue, i < 40 ? round : 2n * round);
    }
    // A core may empty and refill the same array for its next mutation.
    bench.ops.length = 0;
  }
});

Deno.test("StorageTranslator sweep deletes only what both clocks call expired", () => {
  const bench = new Bench();
  bench.put("dead", "1", NOW - 1);
  bench.put("later", "1", NOW + 50);
  bench.put("never", "1");
  bench.put("renewed", "1", NOW - 1);
  bench.apply();
  bench.put("renewed", "2", NOW + 50);
  bench.fly();
  const keys = ["dead", "later", "never", "renewed", "missing"].map(key);
  assert.equal(
    bench.run({ kind: "sweep", keys: [...keys, META_KEY], nowSeconds: NOW + 99 }).error,
    0,
  );
  assert.equal(bench.effects, "dead-");
  bench.ops = [];
  bench.run({ kind: "sweep", keys, nowSeconds: NOW - 2 });
  assert.equal(bench.effects, "");
});

Deno.test("StorageTranslator results do not depend on where earlier writes are", () => {
  const step = fc.record({
    name: fc.constantFrom("a", "b", "c"),
    kind: fc.constantFrom("put", "incr", "remove", "cas"),
    value: fc.integer({ min: -5, max: 5 }),
    move: fc.constantFrom("stay", "fly", "apply"),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const moving = new Bench();
    const still = new Bench();
    for (const { name, kind, value, move } of steps) {
      const op: WriteOp = kind === "put"
        ? { kind, rows: [setRow(name, String(value))] }
        : kind === "remove"
        ? { kind, keys: [key(name)], returnCount: false }
        : kind === "incr"
        ? { kind, key: key(name), increment: BigInt(value), expireTs: 0 }
        : {
          kind: "checkAndSet",
          ...check("int_less", String(value), name),
          row: setRow(name, String(value)),
        };
      const [a, b] = [moving.run(op), still.run(op)];
      assert.deepEqual([a.error, a.result && toHex(a.result)], [
        b.error,
        b.result && toHex(b.result),
      ]);
      if (move === "fly") moving.fly();
      if (move === "apply") {
        moving.fly();
        for (const [hex, value] of moving.pending) {
          const bytes = Uint8Array.from(hex.match(/../g)!, (pair) => parseInt(pair, 16));
          moving.engine.writeNow([
            value === null ? { type: "del", key: bytes } : { type: "put", key: bytes, value },
          ]);
        }
        moving.pending.clear();
      }
    }
  }));
});

Deno.test("NOTHING_PENDING knows no key", () => {
  assert.equal(NOTHING_PENDING.lookup(key("a")), undefined);
});
