// Mutations of bytes: the ones that find bugs in parsers of binary and of text formats. Seeded.

import type { Prng } from "../../src/base/prng.ts";

/** Inputs grow no larger. */
const BYTES_MAX = 64 * 1024;

const BOUNDARIES = [
  0,
  1,
  0x7f,
  0x80,
  0xff,
  0x7fff,
  0x8000,
  0xffff,
  0x7fffffff,
  0x80000000,
  0xffffffff,
];
const NASTY = [
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdf, 0xff, 0xff, 0xff, 0xff],
  [0xc6, 0xff, 0xff, 0xff, 0xff],
  [0xc9, 0xff, 0xff, 0xff, 0xff, 0x00],
  [0xd4, 0x72, 0x40],
  [0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xcb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0],
  [0xc1],
  [...new TextEncoder().encode("__proto__")],
  [...new TextEncoder().encode('"\\u0000')],
  [...new TextEncoder().encode("[[[[[[[[")],
  [...new TextEncoder().encode("-9223372036854775809")],
  [...new TextEncoder().encode("1e999")],
  [0xf0, 0x9f, 0x98],
  [0xed, 0xa0, 0x80],
];

/** An input with one to eight mutations. `others`: what it may be mixed with. */
export function mutate(
  input: Uint8Array,
  others: readonly Uint8Array[],
  rng: Prng,
): Uint8Array {
  let bytes = input;
  const rounds = 1 + (rng.chance(0.5) ? 0 : rng.below(8));
  for (let i = 0; i < rounds; i++) bytes = mutateOnce(bytes, others, rng);
  return bytes.length > BYTES_MAX ? bytes.slice(0, BYTES_MAX) : bytes;
}

function mutateOnce(bytes: Uint8Array, others: readonly Uint8Array[], rng: Prng): Uint8Array {
  const at = rng.below(bytes.length + 1);
  switch (rng.below(11)) {
    case 0:
      return overwritten(bytes, at, [rng.below(256)]);
    case 1:
      return bytes.length === 0
        ? Uint8Array.of(rng.below(256))
        : overwritten(bytes, at, [(bytes[at] ?? 0) ^ (1 << rng.below(8))]);
    case 2:
      return overwritten(bytes, at, boundary(rng));
    case 3:
      return spliced(bytes, at, at, Uint8Array.from(rng.pick(NASTY)));
    case 4:
      return bytes.slice(0, at);
    case 5:
      return spliced(bytes, at, Math.min(bytes.length, at + 1 + rng.below(16)), new Uint8Array(0));
    case 6: {
      const end = Math.min(bytes.length, at + 1 + rng.below(64));
      return spliced(bytes, at, at, bytes.slice(at, end));
    }
    case 7: {
      const other = rng.pick(others);
      const from = rng.below(other.length + 1);
      const end = Math.min(other.length, from + 1 + rng.below(64));
      return spliced(bytes, at, at, other.slice(from, end));
    }
    case 8: {
      const other = rng.pick(others);
      return spliced(bytes, at, bytes.length, other.slice(rng.below(other.length + 1)));
    }
    case 9: {
      const noise = Uint8Array.from({ length: 1 + rng.below(16) }, () => rng.below(256));
      return overwritten(bytes, at, noise);
    }
    default:
      return repeated(bytes, at, rng);
  }
}

/** The same few bytes many times: depth. */
function repeated(bytes: Uint8Array, at: number, rng: Prng): Uint8Array {
  const end = Math.min(bytes.length, at + 1 + rng.below(4));
  const unit = at < bytes.length ? bytes.slice(at, end) : Uint8Array.of(0x91);
  const times = 2 ** rng.below(13);
  const run = new Uint8Array(Math.min(BYTES_MAX, unit.length * times));
  for (let i = 0; i < run.length; i++) run[i] = unit[i % unit.length]!;
  return spliced(bytes, at, at, run);
}

function boundary(rng: Prng): Uint8Array {
  const bytes = new Uint8Array([1, 2, 4, 8][rng.below(4)]!);
  const value = rng.pick(BOUNDARIES);
  const little = rng.chance(0.5);
  for (let i = 0; i < bytes.length; i++) {
    bytes[little ? i : bytes.length - 1 - i] = i < 4 ? (value >>> (8 * i)) & 0xff : 0;
  }
  return bytes;
}

function overwritten(bytes: Uint8Array, at: number, by: ArrayLike<number>): Uint8Array {
  const copy = bytes.slice();
  for (let i = 0; i < by.length && at + i < copy.length; i++) copy[at + i] = by[i]!;
  return copy;
}

function spliced(bytes: Uint8Array, from: number, to: number, by: Uint8Array): Uint8Array {
  const result = new Uint8Array(bytes.length - (to - from) + by.length);
  result.set(bytes.subarray(0, from));
  result.set(by, from);
  result.set(bytes.subarray(to), from + by.length);
  return result;
}
