// The table files of a LevelDB, checked before it is opened. LevelDB parses blocks without looking at their
// checksums, and ends the whole process when what it finds makes no sense; here damage is found first, and
// costs one replica. Index and filter of every table are checked, and the rows of the newest tables up to a
// bound, so that large databases open as fast as small ones. Page: docs/storage_layout.md, "Engine".

import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { crc32c } from "../src/base/crc.ts";
import { type Cursor, tablesOf, varint } from "./level_manifest.ts";

/** Bytes of rows that are checked when a database is opened; 0.8 GB/s, so 20 ms. */
const ROW_BYTES_MAX = 16 * 1024 * 1024;
/** The last bytes of a table: two handles, padding, and LevelDB's magic number. */
const FOOTER_BYTES = 48;
const MAGIC = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
/** Behind each block: how it is compressed, and the masked CRC-32C of block and that byte. */
const TRAILER_BYTES = 5;
const SNAPPY = 1;

/** Where a block stands in its table. */
interface Handle {
  readonly offset: number;
  readonly size: number;
}

/** A block that is not what was written. */
class Damage extends Error {
  override readonly name = "Damage";
}

/**
 * Looks for damage in the tables of the database in `dir`.
 *
 * @param rowBytesMax Bytes of rows to check, newest tables first; indexes and filters are always checked.
 * @returns What is damaged, or `undefined`.
 */
export function damagedTable(dir: string, rowBytesMax = ROW_BYTES_MAX): string | undefined {
  const tables = tablesOf(dir);
  // A new database, or one whose manifest LevelDB will complain about.
  if (tables === undefined) return undefined;
  const names = readdirSync(dir).filter((name) =>
    /^\d+\.(ldb|sst)$/.test(name) && tables.has(parseInt(name))
  );
  let left = rowBytesMax;
  for (const name of names.sort((a, b) => parseInt(b) - parseInt(a))) {
    try {
      left -= checkTable(`${dir}/${name}`, left);
    } catch (error) {
      if (error instanceof Damage || error instanceof RangeError) {
        return `Table ${name} is damaged: ${error.message}`;
      }
      throw error;
    }
  }
  return undefined;
}

/** @returns Bytes of rows checked. @throws {Damage | RangeError} */
function checkTable(path: string, rowBytesMax: number): number {
  const size = statSync(path).size;
  if (size < FOOTER_BYTES) throw new Damage(`${size} bytes are too few`);
  const descriptor = openSync(path, "r");
  const read = (offset: number, length: number): Uint8Array => {
    if (offset < 0 || length < 0 || offset + length > size) {
      throw new Damage(`a block of ${length} bytes at ${offset}, in a file of ${size}`);
    }
    const bytes = new Uint8Array(length);
    readSync(descriptor, bytes, 0, length, offset);
    return bytes;
  };
  try {
    const footer = read(size - FOOTER_BYTES, FOOTER_BYTES);
    if (MAGIC.some((byte, i) => footer[40 + i] !== byte)) throw new Damage("no magic number");
    const cursor = { at: 0 };
    // A damaged filter would hide rows.
    for (const filter of handlesIn(blockAt(read, handleAt(footer, cursor)))) {
      blockAt(read, filter, false);
    }
    const index = blockAt(read, handleAt(footer, cursor));
    let checked = 0;
    for (const handle of handlesIn(index)) {
      if (checked + handle.size > rowBytesMax) break;
      blockAt(read, handle, false);
      checked += handle.size;
    }
    return checked;
  } finally {
    closeSync(descriptor);
  }
}

/** Content of a block. @throws {Damage} If it is not what its checksum says. */
function blockAt(
  read: (offset: number, length: number) => Uint8Array,
  { offset, size }: Handle,
  wanted = true,
): Uint8Array {
  const bytes = read(offset, size + TRAILER_BYTES);
  const crc = crc32c(bytes.subarray(0, size + 1));
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  const stored = new DataView(bytes.buffer, bytes.byteOffset).getUint32(size + 1, true);
  if (masked !== stored) throw new Damage(`wrong checksum of the block at ${offset}`);
  const content = bytes.subarray(0, size);
  return wanted && bytes[size] === SNAPPY ? unsnappy(content) : content;
}

/** Handles of the blocks of rows, from the index block. */
function* handlesIn(index: Uint8Array): Generator<Handle, void> {
  const restarts = new DataView(index.buffer, index.byteOffset).getUint32(index.length - 4, true);
  const end = index.length - 4 - 4 * restarts;
  const cursor = { at: 0 };
  while (cursor.at < end) {
    varint(index, cursor);
    const keyBytes = varint(index, cursor);
    const valueBytes = varint(index, cursor);
    cursor.at += keyBytes;
    const next = cursor.at + valueBytes;
    yield handleAt(index, cursor);
    cursor.at = next;
  }
}

function handleAt(bytes: Uint8Array, cursor: Cursor): Handle {
  const offset = varint(bytes, cursor);
  return { offset, size: varint(bytes, cursor) };
}

/** Decompresses a block in Snappy's raw format. @throws {Damage} If it is none. */
function unsnappy(packed: Uint8Array): Uint8Array {
  const cursor = { at: 0 };
  const out = new Uint8Array(varint(packed, cursor));
  let to = 0;
  const need = (ok: boolean) => {
    if (!ok) throw new Damage("a compressed block that cannot be read");
  };
  const little = (count: number): number => {
    let value = 0;
    for (let i = 0; i < count; i++) value += packed[cursor.at++]! * 256 ** i;
    return value;
  };
  while (cursor.at < packed.length) {
    const tag = packed[cursor.at++]!;
    if ((tag & 3) === 0) {
      const short = tag >>> 2;
      const length = 1 + (short < 60 ? short : little(short - 59));
      need(cursor.at + length <= packed.length && to + length <= out.length);
      out.set(packed.subarray(cursor.at, cursor.at + length), to);
      cursor.at += length;
      to += length;
      continue;
    }
    const length = (tag & 3) === 1 ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2);
    const back = (tag & 3) === 1 ? ((tag >>> 5) << 8) + little(1) : little((tag & 3) === 2 ? 2 : 4);
    need(back > 0 && back <= to && to + length <= out.length);
    for (let i = 0; i < length; i++, to++) out[to] = out[to - back]!;
  }
  need(to === out.length);
  return out;
}
