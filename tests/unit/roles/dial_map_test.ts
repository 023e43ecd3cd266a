// The file that puts proxies between servers: read whole or refused.

import assert from "node:assert/strict";
import { readDialMap } from "../../../roles/dial_map.ts";

Deno.test("readDialMap gives addresses to dial, and none without a file", () => {
  const text = '{"10.0.0.1:34801": "127.0.0.1:4001", "m:1": "[::1]:2"}';
  assert.deepEqual([...readDialMap("map.json", () => text)], [
    ["10.0.0.1:34801", "127.0.0.1:4001"],
    ["m:1", "[::1]:2"],
  ]);
  const never = () => assert.fail("There is nothing to read");
  assert.equal(readDialMap("", never).size, 0);
});

Deno.test("readDialMap refuses what is no map of addresses", () => {
  for (const text of ["", "7", "[]", "null", '{"a:1": 2}', '{"a": "b:1"}', '{"a:1": "b"}']) {
    assert.throws(() => readDialMap("map.json", () => text), /Cannot use the dial map "map.json"/);
  }
  const missing = () => {
    throw new Deno.errors.NotFound("No such file");
  };
  assert.throws(() => readDialMap("map.json", missing), /No such file/);
});
