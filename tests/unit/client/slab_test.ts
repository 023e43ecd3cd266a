// Slabs: the same bytes as fresh arrays, never handed out twice.

import assert from "node:assert/strict";
import fc from "fast-check";
import { equalBytes } from "../../../src/base/bytes.ts";
import { Slab } from "../../../src/client/slab.ts";
import { toBytes } from "../../../src/client/options.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";

Deno.test("Slab makes the same keys and bytes as fresh arrays, and keeps them", () => {
  const data = fc.oneof(
    fc.string({ unit: "binary", maxLength: 900 }),
    fc.uint8Array({ maxLength: 900 }),
    fc.constantFrom("", "\ud800", "x".repeat(3000)),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(data, data), { maxLength: 40 }), (rows) => {
      const slab = new Slab();
      const made = rows.map(([h, s]) => ({ key: slab.rowKey(h, s), value: slab.bytes(s), h, s }));
      for (const { key, value, h, s } of made) {
        assert.ok(equalBytes(key.raw, encodeKey(toBytes(h), toBytes(s))));
        assert.ok(equalBytes(key.hashKey, toBytes(h)));
        assert.ok(equalBytes(key.sortKey, toBytes(s)));
        assert.ok(equalBytes(value, toBytes(s)));
      }
    }),
    { numRuns: 60 },
  );
});
