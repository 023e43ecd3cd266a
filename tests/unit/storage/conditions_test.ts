// Integer texts and check types, row by row of docs/data_api.md.

import assert from "node:assert/strict";
import fc from "fast-check";
import { utf8 } from "../../../src/base/bytes.ts";
import { CHECK_TYPES, type CheckType } from "../../../src/schema/client_rpc.ts";
import { checkCondition, type CheckOutcome, parseInt64 } from "../../../storage/conditions.ts";
import { containsBytes, endsWithBytes, startsWithBytes } from "../../../storage/match.ts";

const parse = (text: string) => parseInt64(utf8(text));

Deno.test("parseInt64 reads what strtoll base 0 reads", () => {
  const cases: [string, bigint][] = [
    ["0", 0n],
    ["-0", 0n],
    ["00", 0n],
    ["42", 42n],
    ["+42", 42n],
    ["-42", -42n],
    [" \t\n\v\f\r7", 7n],
    ["0x1f", 31n],
    ["0X1F", 31n],
    ["-0x10", -16n],
    ["0x0000000000000000000000000001", 1n],
    ["010", 8n],
    ["-010", -8n],
    ["0777", 511n],
    ["9223372036854775807", (1n << 63n) - 1n],
    ["-9223372036854775808", -(1n << 63n)],
    ["0x7fffffffffffffff", (1n << 63n) - 1n],
    ["0777777777777777777777", (1n << 63n) - 1n],
    ["-01000000000000000000000", -(1n << 63n)],
    ["0" + "0".repeat(1000) + "7", 7n],
  ];
  for (const [text, value] of cases) assert.equal(parse(text), value, JSON.stringify(text));
});

Deno.test("parseInt64 refuses what strtoll does not consume whole", () => {
  const cases = [
    "",
    " ",
    "+",
    "-",
    "+-1",
    "1 ",
    "1\0",
    "\0",
    "abc",
    "1a",
    "0x",
    "0xg",
    "08",
    "019",
  ];
  cases.push("1.0", "1e3", "0b1", "0o7", "- 1", "9223372036854775808", "-9223372036854775809");
  cases.push("0x8000000000000000", "9".repeat(100_000), "\u00a01");
  for (const text of cases) assert.equal(parse(text), undefined, JSON.stringify(text.slice(0, 30)));
});

Deno.test("parseInt64 reads back every decimal text", () => {
  fc.assert(fc.property(fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }), (value) => {
    assert.equal(parse(String(value)), value);
  }));
});

const MISSING = undefined;
type Case = [type: CheckType, value: string | undefined, operand: string, expected: CheckOutcome];
const CASES: Case[] = [
  ["no_check", MISSING, "", "passed"],
  ["no_check", "v", "", "passed"],
  ["not_exist", MISSING, "", "passed"],
  ["not_exist", "", "", "failed"],
  ["not_exist_or_empty", MISSING, "", "passed"],
  ["not_exist_or_empty", "", "", "passed"],
  ["not_exist_or_empty", "v", "", "failed"],
  ["exist", MISSING, "", "failed"],
  ["exist", "", "", "passed"],
  ["not_empty", MISSING, "", "failed"],
  ["not_empty", "", "", "failed"],
  ["not_empty", "v", "", "passed"],
  ["match_anywhere", MISSING, "", "failed"],
  ["match_anywhere", "", "", "passed"],
  ["match_anywhere", "abcd", "bc", "passed"],
  ["match_anywhere", "abcd", "bd", "failed"],
  ["match_prefix", MISSING, "", "failed"],
  ["match_prefix", "abc", "", "passed"],
  ["match_prefix", "abc", "ab", "passed"],
  ["match_prefix", "abc", "bc", "failed"],
  ["match_postfix", MISSING, "", "failed"],
  ["match_postfix", "abc", "", "passed"],
  ["match_postfix", "abc", "bc", "passed"],
  ["match_postfix", "abc", "ab", "failed"],
  ["match_postfix", "c", "bc", "failed"],
  ["bytes_less", MISSING, "x", "failed"],
  ["bytes_less", "a", "b", "passed"],
  ["bytes_less", "a", "ab", "passed"],
  ["bytes_less", "b", "b", "failed"],
  ["bytes_less_or_equal", "b", "b", "passed"],
  ["bytes_less_or_equal", "c", "b", "failed"],
  ["bytes_equal", "b", "b", "passed"],
  ["bytes_equal", "b", "bb", "failed"],
  ["bytes_equal", MISSING, "", "failed"],
  ["bytes_greater_or_equal", "b", "b", "passed"],
  ["bytes_greater_or_equal", "a", "b", "failed"],
  ["bytes_greater", "10", "9", "failed"],
  ["bytes_greater", "b", "a", "passed"],
  ["int_less", "9", "10", "passed"],
  ["int_less", "10", "10", "failed"],
  ["int_less", MISSING, "no number", "failed"],
  ["int_less", "no number", "10", "invalid"],
  ["int_less", "10", "no number", "invalid"],
  ["int_less", "", "10", "invalid"],
  ["int_less_or_equal", "10", "0x0a", "passed"],
  ["int_less_or_equal", "11", "10", "failed"],
  ["int_equal", "010", "8", "passed"],
  ["int_equal", "8", "9", "failed"],
  ["int_greater_or_equal", "-1", "-1", "passed"],
  ["int_greater_or_equal", "-2", "-1", "failed"],
  ["int_greater", "0", "-1", "passed"],
  ["int_greater", "-1", "0", "failed"],
];

for (const [type, value, operand, expected] of CASES) {
  Deno.test(`checkCondition ${type} of ${JSON.stringify(value)} and "${operand}" ${expected}`, () => {
    const bytes = value === undefined ? undefined : utf8(value);
    assert.equal(checkCondition(type, bytes, utf8(operand)), expected);
  });
}

Deno.test("checkCondition covers every check type and refuses unknown ones", () => {
  assert.deepEqual([...new Set(CASES.map(([type]) => type))].sort(), [...CHECK_TYPES].sort());
  const unknown = "int_between" as CheckType;
  assert.equal(checkCondition(unknown, utf8("1"), utf8("1")), "invalid");
  assert.equal(checkCondition(unknown, undefined, utf8("1")), "invalid");
});

Deno.test("match functions agree with the same questions about texts", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 6 });
  fc.assert(fc.property(word, word, (text, part) => {
    const [bytes, needle] = [utf8(text), utf8(part)];
    assert.equal(containsBytes(bytes, needle), text.includes(part));
    assert.equal(startsWithBytes(bytes, needle), text.startsWith(part));
    assert.equal(endsWithBytes(bytes, needle), text.endsWith(part));
  }));
});
