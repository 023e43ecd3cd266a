// Nesting is found without decoding, whatever stands between the lists.

import assert from "node:assert/strict";
import fc from "fast-check";
import { Packr } from "msgpackr";
import { isTooDeep, NESTING_MAX } from "../../../src/schema/nesting.ts";

const packr = new Packr({ useRecords: false, mapsAsObjects: false, variableMapSize: true });

function nested(depth: number, inner: unknown): unknown {
  return depth === 0 ? inner : [1, nested(depth - 1, inner), "x"];
}

Deno.test("isTooDeep draws the line at its limit", () => {
  for (const inner of [5, "text", new Uint8Array(70_000), new Map([["a", 1]]), [], null]) {
    const extra = inner instanceof Map ? 1 : 0;
    const at = (depth: number) => isTooDeep(packr.pack(nested(depth - extra, inner)) as Uint8Array);
    assert.equal(at(NESTING_MAX), false, String(inner));
    assert.equal(at(NESTING_MAX + 1), true, String(inner));
    assert.equal(at(5), false, String(inner));
  }
});

Deno.test("isTooDeep is not fooled by long lists, nor by bytes that look like lists", () => {
  assert.equal(
    isTooDeep(packr.pack(Array.from({ length: 70_000 }, () => [1])) as Uint8Array),
    false,
  );
  assert.equal(isTooDeep(packr.pack([new Uint8Array(1000).fill(0x91)]) as Uint8Array), false);
  assert.equal(isTooDeep(new Uint8Array(1000).fill(0x91)), true);
  assert.equal(isTooDeep(new Uint8Array(1000).fill(0x81)), true);
});

Deno.test("isTooDeep agrees with the depth of any value", () => {
  const depthOf = (value: unknown): number =>
    Array.isArray(value)
      ? value.length === 0 ? 0 : 1 + Math.max(...value.map(depthOf))
      : value instanceof Map
      ? value.size === 0 ? 0 : 1 + Math.max(...[...value.values()].map(depthOf))
      : 0;
  const leaf = fc.oneof(
    fc.string({ maxLength: 300 }),
    fc.integer(),
    fc.double({ noNaN: true }),
    fc.uint8Array({ maxLength: 300 }).map((bytes) => new Uint8Array(bytes)),
    fc.constantFrom(null, true, 2n ** 60n),
  );
  const tree = fc.letrec((tie) => ({
    node: fc.oneof(
      { maxDepth: 8 },
      leaf,
      fc.array(tie("node"), { maxLength: 20 }),
      fc.dictionary(fc.string(), tie("node"), { maxKeys: 3 })
        .map((record) => new Map(Object.entries(record))),
    ),
  })).node;
  fc.assert(
    fc.property(tree, fc.integer({ min: 0, max: 40 }), (value, wraps) => {
      const bytes = packr.pack(nested(wraps, value)) as Uint8Array;
      assert.equal(isTooDeep(bytes), depthOf(value) + wraps > NESTING_MAX);
    }),
    { numRuns: 300 },
  );
});
