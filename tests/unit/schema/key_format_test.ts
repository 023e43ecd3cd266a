// Vectors of docs/data_api.md, "Encodings": row keys and the partition hash.

import assert from "node:assert/strict";
import fc from "fast-check";
import { compareBytes, fromHex, toHex, utf8 } from "../../../src/base/bytes.ts";
import { crc64, crc64Mod } from "../../../src/base/crc.ts";
import {
  decodeKey,
  encodeKey,
  HASH_KEY_BYTES_MAX,
  hashKeyOf,
  isUserKey,
  nextHashKey,
  nextKey,
  partitionIndexOf,
  partitionIndexOfKey,
  USER_KEYS_END,
  USER_KEYS_START,
} from "../../../src/schema/key_format.ts";

const NONE = new Uint8Array(0);
const anyBytes = fc.uint8Array({ maxLength: 12 });

Deno.test("encodeKey joins length, hash key and sort key", () => {
  assert.equal(toHex(encodeKey(utf8("hello"), utf8("world"))), "000568656c6c6f776f726c64");
  assert.equal(toHex(encodeKey(NONE, NONE)), "0000");
});

Deno.test("encodeKey refuses a hash key of 65535 bytes", () => {
  assert.throws(() => encodeKey(new Uint8Array(65535), NONE), /Hash key is too long/);
  assert.equal(encodeKey(new Uint8Array(HASH_KEY_BYTES_MAX), NONE).length, 65536);
});

Deno.test("decodeKey undoes encodeKey", () => {
  fc.assert(fc.property(anyBytes, anyBytes, (hash, sort) => {
    const raw = encodeKey(hash, sort);
    const key = decodeKey(raw);
    assert.equal(toHex(key!.hashKey), toHex(hash));
    assert.equal(toHex(key!.sortKey), toHex(sort));
    assert.equal(toHex(hashKeyOf(raw)!), toHex(hash));
  }));
});

Deno.test("decodeKey refuses keys that name no row", () => {
  for (const hex of ["", "00", "0001", "000361ff", "ffff", "ffff6170706c696564"]) {
    const raw = fromHex(hex)!;
    assert.equal(decodeKey(raw), undefined, hex);
    assert.equal(hashKeyOf(raw), undefined, hex);
    assert.equal(isUserKey(raw), false, hex);
    assert.equal(partitionIndexOfKey(raw, 8), undefined, hex);
  }
});

Deno.test("nextHashKey and nextKey carry over ff bytes", () => {
  assert.equal(toHex(nextHashKey(utf8("hello"))), "000568656c6c70");
  assert.equal(toHex(nextHashKey(new Uint8Array([0x61, 0xff]))), "000262");
  assert.equal(toHex(nextHashKey(new Uint8Array([0xff, 0xff]))), "0003");
  assert.equal(toHex(nextHashKey(NONE)), "0001");
  assert.equal(toHex(nextKey(encodeKey(utf8("a"), new Uint8Array([1, 0xff])))), "00016102");
  assert.equal(toHex(nextKey(new Uint8Array([0xff, 0xff]))), "");
});

Deno.test("nextKey bounds exactly what starts with the prefix", () => {
  fc.assert(fc.property(anyBytes, anyBytes, (prefix, other) => {
    const next = nextKey(prefix);
    if (next.length === 0) return;
    const starts = compareBytes(other.subarray(0, prefix.length), prefix) === 0;
    const inside = compareBytes(other, prefix) >= 0 && compareBytes(other, next) < 0;
    assert.equal(inside, starts);
  }));
});

Deno.test("User keys lie between USER_KEYS_START and USER_KEYS_END", () => {
  const long = new Uint8Array(HASH_KEY_BYTES_MAX).fill(0xff);
  for (const key of [encodeKey(NONE, NONE), encodeKey(long, long)]) {
    assert.ok(compareBytes(key, USER_KEYS_START) >= 0 && compareBytes(key, USER_KEYS_END) < 0);
  }
});

const HASHES: [Uint8Array, string, number, number, number][] = [
  [NONE, "0000000000000000", 0, 0, 0],
  [utf8("a"), "8c2f8445b4cbfc3c", 0, 4, 60],
  [utf8("123456789"), "ae8b14860a799888", 0, 0, 8],
  [utf8("hello"), "3377857006524257", 3, 7, 23],
  [utf8("test"), "f9bbbecefebab143", 3, 3, 3],
  [utf8("pegasus"), "ce8709cfbd3973c4", 0, 4, 4],
  [utf8("user:10001"), "7ebacf25ca816adb", 3, 3, 27],
  [utf8("hash_key_1"), "e720aacf8ddc4658", 0, 0, 24],
  [new Uint8Array([0xff]), "ff00000000000000", 0, 0, 0],
  [new Uint8Array([0]), "d5da5047efec8728", 0, 0, 40],
  [new Uint8Array([1, 2, 3, 4]), "518c87538b24956a", 2, 2, 42],
  [utf8("x".repeat(17)), "4ef75edf76cde3ee", 2, 6, 46],
  [utf8("\u4e2d\u6587"), "520342bc847468ba", 2, 2, 58],
];

Deno.test("partitionIndexOf matches every published vector", () => {
  for (const [input, hash, mod4, mod8, mod64] of HASHES) {
    assert.equal(crc64(input).toString(16).padStart(16, "0"), hash);
    if (input.length > 0) assert.equal(partitionIndexOf(input, utf8("ignored"), 4), mod4);
    assert.equal(partitionIndexOf(NONE, input, 8), mod8);
    assert.equal(partitionIndexOfKey(encodeKey(NONE, input), 64), mod64);
    if (input.length > 0) assert.equal(partitionIndexOfKey(encodeKey(input, NONE), 64), mod64);
  }
});

Deno.test("crc64Mod is the unsigned remainder for any count", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.integer({ min: 1, max: 65536 }), (b, n) => {
      assert.equal(crc64Mod(b, n), Number(crc64(b) % BigInt(n)));
    }),
  );
});
