// Vectors of docs/data_api.md, "Encodings": row values.

import assert from "node:assert/strict";
import fc from "fast-check";
import { fromHex, fromUtf8, toHex, utf8 } from "../../../src/base/bytes.ts";
import {
  decodeValue,
  encodeValue,
  expireTsOf,
  isExpired,
  secondsSince2016,
  userDataOf,
} from "../../../src/schema/value_format.ts";

const US = 1_700_000_000_000_000;

Deno.test("encodeValue writes version 1", () => {
  const stored = encodeValue(utf8("abc"), 300_000_000, US, 1);
  assert.equal(toHex(stored), "11e1a300060a24181e400002616263");
});

Deno.test("decodeValue reads versions 0, 1 and 2", () => {
  const v0 = decodeValue(fromHex("11e1a300616263")!, 0)!;
  assert.deepEqual([v0.expireTs, v0.timestampUs, v0.clusterId], [300_000_000, 0, 0]);
  assert.equal(fromUtf8(v0.userData), "abc");
  for (
    const [hex, version] of [
      ["11e1a300060a24181e400002616263", 1],
      ["8211e1a300060a24181e400002616263", 1],
      ["8211e1a300060a24181e400002616263", 0],
    ] as const
  ) {
    const value = decodeValue(fromHex(hex)!, version)!;
    assert.deepEqual([value.expireTs, value.timestampUs, value.clusterId], [300_000_000, US, 1]);
    assert.equal(fromUtf8(value.userData), "abc");
  }
});

Deno.test("decodeValue refuses values shorter than their header", () => {
  assert.equal(decodeValue(new Uint8Array(11), 1), undefined);
  assert.equal(decodeValue(new Uint8Array(3), 0), undefined);
  assert.equal(decodeValue(new Uint8Array([0x82, 0, 0, 0, 0]), 0), undefined);
});

Deno.test("expireTsOf and userDataOf agree with decodeValue", () => {
  fc.assert(fc.property(
    fc.uint8Array({ maxLength: 20 }),
    fc.integer({ min: 0, max: 0x7fff_ffff }),
    fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    fc.integer({ min: 0, max: 127 }),
    (data, expireTs, timestampUs, clusterId) => {
      const stored = encodeValue(data, expireTs, timestampUs, clusterId);
      const decoded = decodeValue(stored, 1)!;
      assert.equal(expireTsOf(stored), expireTs);
      assert.equal(toHex(userDataOf(stored)), toHex(data));
      assert.deepEqual(
        [decoded.expireTs, decoded.timestampUs, decoded.clusterId, toHex(decoded.userData)],
        [expireTs, timestampUs, clusterId, toHex(data)],
      );
    },
  ));
});

Deno.test("isExpired holds from the expiry second on, never for 0", () => {
  const at = (expireTs: number) => encodeValue(new Uint8Array(0), expireTs, US);
  assert.equal(isExpired(at(100), 99), false);
  assert.equal(isExpired(at(100), 100), true);
  assert.equal(isExpired(at(0), 0xffff_ffff), false);
  assert.equal(isExpired(at(0xffff_ffff), 0xffff_fffe), false);
});

Deno.test("secondsSince2016 counts whole seconds", () => {
  assert.equal(secondsSince2016(1_451_606_400_000), 0);
  assert.equal(secondsSince2016(1_451_606_401_999), 1);
  assert.equal(secondsSince2016(0), 0);
});
