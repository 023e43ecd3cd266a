// Checksums. CRC-32 (IEEE, as in zlib) guards frames and log blocks, formats that are ours alone; the
// runtime's native version takes 40 ns for 150 B and 1.4 µs for 64 KB. CRC-64/NVME is the partition hash
// of the original (docs/data_api.md) and is computed in two 32-bit halves: a BigInt loop is 25 times slower.

import { crc32 as native } from "node:zlib";

/** CRC-32 (IEEE) of `bytes`, continued from `seed`; unsigned. */
export function crc32(bytes: Uint8Array, seed = 0): number {
  return native(bytes, seed);
}

const POLY_HIGH = 0x9a6c9329;
const POLY_LOW = 0xac4bc9b5;
const TABLE_HIGH = new Uint32Array(256);
const TABLE_LOW = new Uint32Array(256);
for (let i = 0; i < 256; i++) {
  let high = 0;
  let low = i;
  for (let bit = 0; bit < 8; bit++) {
    const carry = low & 1;
    low = ((low >>> 1) | (high << 31)) >>> 0;
    high >>>= 1;
    if (carry !== 0) {
      high = (high ^ POLY_HIGH) >>> 0;
      low = (low ^ POLY_LOW) >>> 0;
    }
  }
  TABLE_HIGH[i] = high;
  TABLE_LOW[i] = low;
}

/** CRC-64/NVME of `bytes` as an unsigned 64-bit integer. The hash of no bytes is 0. */
export function crc64(bytes: Uint8Array): bigint {
  const { high, low } = crc64Halves(bytes);
  return (BigInt(high) << 32n) | BigInt(low);
}

/** CRC-64/NVME modulo `divisor` without BigInt. Bounds: 1 <= divisor <= 2^20. */
export function crc64Mod(bytes: Uint8Array, divisor: number): number {
  const { high, low } = crc64Halves(bytes);
  // (high * 2^32 + low) mod n, every product below 2^53 because the remainders are below 2^20.
  return (((high % divisor) * (0x1_0000_0000 % divisor)) + (low % divisor)) % divisor;
}

function crc64Halves(bytes: Uint8Array): { high: number; low: number } {
  let high = 0xffffffff;
  let low = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) {
    const index = (low ^ bytes[i]!) & 0xff;
    low = (((low >>> 8) | (high << 24)) ^ TABLE_LOW[index]!) >>> 0;
    high = ((high >>> 8) ^ TABLE_HIGH[index]!) >>> 0;
  }
  return { high: ~high >>> 0, low: ~low >>> 0 };
}

// CRC-32C, sliced by four: TABLES_32C[k][b] is the checksum of byte b with k zero bytes behind it.
const TABLES_32C = Array.from({ length: 4 }, () => new Int32Array(256));
for (let i = 0; i < 256; i++) {
  let crc = i;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  TABLES_32C[0]![i] = crc;
}
for (let k = 1; k < 4; k++) {
  for (let i = 0; i < 256; i++) {
    const before = TABLES_32C[k - 1]![i]!;
    TABLES_32C[k]![i] = TABLES_32C[0]![before & 0xff]! ^ (before >>> 8);
  }
}

/** CRC-32C (Castagnoli) of `bytes`, unsigned: what LevelDB's own files carry. */
export function crc32c(bytes: Uint8Array): number {
  const [t0, t1, t2, t3] = TABLES_32C as [Int32Array, Int32Array, Int32Array, Int32Array];
  const sliced = bytes.length & ~3;
  let crc = -1;
  let i = 0;
  for (; i < sliced; i += 4) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc = t3[crc & 0xff]! ^ t2[(crc >>> 8) & 0xff]! ^ t1[(crc >>> 16) & 0xff]! ^ t0[crc >>> 24]!;
  }
  for (; i < bytes.length; i++) crc = t0[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
