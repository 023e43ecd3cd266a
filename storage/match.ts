// Matching of byte strings, shared by the checks of conditional writes and the filters of range reads.

import { equalBytes } from "../src/base/bytes.ts";

/** Whether `bytes` begins with `prefix`. */
export function startsWithBytes(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && equalBytes(bytes.subarray(0, prefix.length), prefix);
}

/** Whether `bytes` ends with `postfix`. */
export function endsWithBytes(bytes: Uint8Array, postfix: Uint8Array): boolean {
  return bytes.length >= postfix.length &&
    equalBytes(bytes.subarray(bytes.length - postfix.length), postfix);
}

/** Whether `part` occurs in `bytes`; the empty part occurs everywhere. */
export function containsBytes(bytes: Uint8Array, part: Uint8Array): boolean {
  const last = bytes.length - part.length;
  if (part.length === 0) return true;
  for (let at = bytes.indexOf(part[0]!); at !== -1 && at <= last;) {
    if (equalBytes(bytes.subarray(at, at + part.length), part)) return true;
    at = bytes.indexOf(part[0]!, at + 1);
  }
  return false;
}
