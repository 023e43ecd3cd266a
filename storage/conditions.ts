// The checks of check_and_set and check_and_mutate, and the integer texts they and incr share. Exact
// semantics: docs/data_api.md, "Conditional writes" and "Integers as text".

import { compareBytes } from "../src/base/bytes.ts";
import type { CheckType } from "../src/schema/client_rpc.ts";
import { containsBytes, endsWithBytes, startsWithBytes } from "./match.ts";

/** Result of a check; `invalid`: it cannot be decided (not an integer, unknown type). */
export type CheckOutcome = "passed" | "failed" | "invalid";

const INT64_MIN = -(1n << 63n);
const INT64_MAX = (1n << 63n) - 1n;

/** Longest digit strings of 64 bits: 22 octal digits. More digits never fit. */
const DIGITS_MAX = 22;

/**
 * Compares a row with a condition.
 *
 * @param value User data of the row; `undefined` if there is none or it is expired.
 */
export function checkCondition(
  type: CheckType,
  value: Uint8Array | undefined,
  operand: Uint8Array,
): CheckOutcome {
  switch (type) {
    case "no_check":
      return "passed";
    case "not_exist":
      return outcome(value === undefined);
    case "not_exist_or_empty":
      return outcome(value === undefined || value.length === 0);
    case "exist":
      return outcome(value !== undefined);
    case "not_empty":
      return outcome(value !== undefined && value.length > 0);
    default:
      // A missing row fails every comparison, even one whose operand is not an integer.
      return value === undefined ? missing(type) : compareWith(type, value, operand);
  }
}

function missing(type: CheckType): CheckOutcome {
  return compareWith(type, ZERO, ZERO) === "invalid" ? "invalid" : "failed";
}

/** Valid on both sides of every comparison; tells known check types from unknown ones. */
const ZERO = new Uint8Array([0x30]);

function compareWith(type: CheckType, value: Uint8Array, operand: Uint8Array): CheckOutcome {
  switch (type) {
    case "match_anywhere":
      return outcome(containsBytes(value, operand));
    case "match_prefix":
      return outcome(startsWithBytes(value, operand));
    case "match_postfix":
      return outcome(endsWithBytes(value, operand));
    case "bytes_less":
      return outcome(compareBytes(value, operand) < 0);
    case "bytes_less_or_equal":
      return outcome(compareBytes(value, operand) <= 0);
    case "bytes_equal":
      return outcome(compareBytes(value, operand) === 0);
    case "bytes_greater_or_equal":
      return outcome(compareBytes(value, operand) >= 0);
    case "bytes_greater":
      return outcome(compareBytes(value, operand) > 0);
    default:
      return compareIntegers(type, value, operand);
  }
}

function compareIntegers(type: CheckType, value: Uint8Array, operand: Uint8Array): CheckOutcome {
  const left = parseInt64(value);
  const right = parseInt64(operand);
  if (left === undefined || right === undefined) return "invalid";
  switch (type) {
    case "int_less":
      return outcome(left < right);
    case "int_less_or_equal":
      return outcome(left <= right);
    case "int_equal":
      return outcome(left === right);
    case "int_greater_or_equal":
      return outcome(left >= right);
    case "int_greater":
      return outcome(left > right);
    default:
      return "invalid";
  }
}

function outcome(passed: boolean): CheckOutcome {
  return passed ? "passed" : "failed";
}

/** Whether a number fits 64 bits with sign. */
export function isInt64(value: bigint): boolean {
  return value >= INT64_MIN && value <= INT64_MAX;
}

/**
 * Reads a whole byte string as C `strtoll` with base 0 does: leading white space, a sign, then decimal,
 * `0x` hexadecimal or `0` octal digits.
 *
 * @returns `undefined` if there are no digits, anything follows them, or the number needs more than 64 bits.
 */
export function parseInt64(text: Uint8Array): bigint | undefined {
  let at = 0;
  while (at < text.length && isSpace(text[at]!)) at++;
  const negative = text[at] === 0x2d;
  if (negative || text[at] === 0x2b) at++;
  let base = 10;
  if (text[at] === 0x30) {
    base = 8;
    // "0x" counts as a prefix only before a digit; otherwise it is 0 followed by rubbish.
    if ((text[at + 1] === 0x78 || text[at + 1] === 0x58) && digitOf(text[at + 2]) < 16) {
      base = 16;
      at += 2;
    }
  }
  const first = at;
  while (text[at] === 0x30) at++;
  const significant = at;
  let digits = base === 16 ? "0x0" : base === 8 ? "0o0" : "0";
  for (; at < text.length; at++) {
    if (digitOf(text[at]) >= base || at - significant >= DIGITS_MAX) return undefined;
    digits += String.fromCharCode(text[at]!);
  }
  if (at === first) return undefined;
  const value = negative ? -BigInt(digits) : BigInt(digits);
  return isInt64(value) ? value : undefined;
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

/** Value of a digit; 16 and more for anything else. */
function digitOf(byte: number | undefined): number {
  if (byte === undefined) return 99;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : 99;
}
