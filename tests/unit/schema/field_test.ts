// Fields refuse what does not fit, and stay readable across versions.

import assert from "node:assert/strict";
import {
  bool,
  bytes,
  choice,
  dict,
  f64,
  type Field,
  i53,
  i64,
  list,
  optional,
  SchemaError,
  str,
  struct,
  u16,
  u32,
  u53,
  u8,
  withDefault,
} from "../../../src/schema/field.ts";

function refuses(field: Field<unknown>, ...plains: unknown[]): void {
  for (const plain of plains) {
    assert.throws(() => field.read(plain, "x"), SchemaError, String(plain));
  }
}

Deno.test("Integer fields accept their bounds and refuse the rest", () => {
  const bounds: [Field<number>, number, number][] = [
    [u8, 0, 255],
    [u16, 0, 65535],
    [u32, 0, 0xffff_ffff],
    [u53, 0, Number.MAX_SAFE_INTEGER],
    [i53, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  ];
  for (const [field, min, max] of bounds) {
    assert.equal(field.read(min, "x"), min);
    assert.equal(field.read(max, "x"), max);
    assert.equal(field.read(BigInt(max), "x"), max);
    refuses(field, min - 1, max + 1, 1.5, NaN, "1", null, undefined, 1n << 60n);
  }
});

Deno.test("i64 reads numbers and BigInts inside 64 bits", () => {
  assert.equal(i64.read(-5, "x"), -5n);
  assert.equal(i64.read((1n << 63n) - 1n, "x"), (1n << 63n) - 1n);
  refuses(i64, 1n << 63n, 2 ** 60, "1", null);
});

Deno.test("Plain fields check their type", () => {
  refuses(bool, 1, "true", null);
  refuses(str, 1, new Uint8Array(1));
  refuses(bytes, "abc", [1]);
  refuses(f64, Infinity, NaN, 1n);
  refuses(choice("a", "b"), "c", 0, null);
  assert.equal(choice("a", "b").read("b", "x"), "b");
});

Deno.test("list refuses more than its bound and names the element's error", () => {
  const field = list(u8, 2);
  assert.deepEqual(field.read([1, 2], "x"), [1, 2]);
  refuses(field, [1, 2, 3], [256], "ab", null);
});

Deno.test("dict reads pairs and refuses anything else", () => {
  const field = dict(u8);
  assert.deepEqual(field.read(field.write(new Map([["a", 1]])), "x"), new Map([["a", 1]]));
  refuses(field, [["a"]], [[1, 1]], [["a", 300]], {});
});

Deno.test("struct reads an older peer's shorter record with defaults", () => {
  const newer = struct({ a: u8, b: optional(str), c: withDefault(u8, 7) });
  assert.deepEqual(newer.read([1], "x"), { a: 1, b: undefined, c: 7 });
  refuses(newer, [], {}, null);
});

Deno.test("struct ignores what a newer peer appended", () => {
  assert.deepEqual(struct({ a: u8 }).read([1, "more"], "x"), { a: 1 });
});

Deno.test("struct writes fields in declared order", () => {
  assert.deepEqual(struct({ b: u8, a: optional(u8) }).write({ a: undefined, b: 2 }), [2, null]);
});
