// The table files of a LevelDB, checked before it is opened. LevelDB parses blocks without looking at their
// checksums, and ends the whole process when what it finds makes no sense; here damage is found first, and
// costs one replica. Index and filter of every table are checked, and the rows of the newest tables up to a
// bound, so that large databases open as fast as small ones. Page: docs/storage_layout.md, "Engine".

import { closeSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { crc32c } from "../src/base/crc.ts";
import { EngineError } from "./engine.ts";
import { type Cursor, tablesOf, varint } from "./level_manifest.ts";
import { atEndOfTurn } from "./turns.ts";

/** Bytes of rows that are checked when a database is opened; 0.8 GB/s, so 20 ms. */
const ROW_BYTES_MAX = 16 * 1024 * 1024;
/** The last bytes of a table: two handles, padding, and LevelDB's magic number. */
const FOOTER_BYTES = 48;
const MAGIC = [0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb];
/** Behind each block: how it is compressed, and the masked CRC-32C of block and that byte. */
const TRAILER_BYTES = 5;
const SNAPPY = 1;
/** Bytes of rows read at a time before a database is opened. */
const BLOCK_READ_BYTES = 256 * 1024;
/** After so long the event loop gets a turn: a learner opens its images while its server works. */
const TURN_MS = 4;

/** Where a block stands in its table. */
interface Handle {
  readonly offset: number;
  readonly size: number;
}

/** A block that is not what was written. */
class Damage extends Error {
  override readonly name = "Damage";
}

/** Whether a check failed because of what is in the table, and not because it could not be read. */
export function isTableDamage(error: unknown): error is Error {
  return error instanceof Damage || error instanceof RangeError;
}

/**
 * Looks for damage in the tables of the database in `dir`.
 *
 * @param rowBytesMax Bytes of rows to check, newest tables first; indexes and filters are always checked.
 * @returns What is damaged, or `undefined`.
 * @throws {EngineError} `corruption` if a sector cannot be read, `io` for anything else the file system refused.
 */
export async function damagedTable(
  dir: string,
  rowBytesMax = ROW_BYTES_MAX,
): Promise<string | undefined> {
  const tables = tablesOf(dir);
  // A new database, or one whose manifest LevelDB will complain about.
  if (tables === undefined) return undefined;
  const names = tableNames(dir).filter((name) => tables.has(parseInt(name)));
  const pace = { since: performance.now() };
  let left = rowBytesMax;
  for (const name of names.sort((a, b) => parseInt(b) - parseInt(a))) {
    try {
      left -= await checkTable(`${dir}/${name}`, left, pace);
    } catch (error) {
      if (!isTableDamage(error)) throw unreadable(`Cannot read table "${dir}/${name}"`, error);
      return `Table ${name} is damaged: ${error.message}`;
    }
  }
  return undefined;
}

function tableNames(dir: string): string[] {
  try {
    return readdirSync(dir).filter((name) => /^\d+\.(ldb|sst)$/.test(name));
  } catch (error) {
    throw unreadable(`Cannot list "${dir}"`, error);
  }
}

/** What the file system says. A sector that cannot be read is damage, which trying again does not mend. */
function unreadable(what: string, cause: unknown): EngineError {
  const kind = (cause as { code?: unknown }).code === "EIO" ? "corruption" : "io";
  return new EngineError(kind, `${what}: ${String(cause)}`, { cause });
}

/** @returns Bytes of rows checked. @throws {Damage | RangeError} */
async function checkTable(
  path: string,
  rowBytesMax: number,
  pace: { since: number },
): Promise<number> {
  const descriptor = openSync(path, "r");
  try {
    const check = tableCheck(statSync(path).size, BLOCK_READ_BYTES, rowBytesMax);
    let step = check.next();
    while (!step.done) {
      if (performance.now() - pace.since > TURN_MS) {
        await new Promise<void>((resolve) => atEndOfTurn(resolve));
        pace.since = performance.now();
      }
      const { offset, length } = step.value;
      const bytes = new Uint8Array(length);
      step = check.next(bytes.subarray(0, readSync(descriptor, bytes, 0, length, offset)));
    }
    return step.value;
  } finally {
    closeSync(descriptor);
  }
}

/** A piece of a table file that a check wants to see. */
export interface TablePiece {
  readonly offset: number;
  readonly length: number;
}

/**
 * A whole check of one table, for somebody who reads its pieces at a pace of his own: each piece that is yielded is
 * answered with its bytes.
 *
 * @param size Bytes of the file.
 * @param pieceBytes Blocks of rows are asked for in pieces of about so many bytes.
 * @param rowBytesMax Bytes of rows to check.
 * @returns Bytes of rows checked.
 */
export function* tableCheck(
  size: number,
  pieceBytes: number,
  rowBytesMax = Infinity,
): Generator<TablePiece, number, Uint8Array> {
  function* read(offset: number, length: number): Generator<TablePiece, Uint8Array, Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > size) {
      throw new Damage(`a block of ${length} bytes at ${offset}, in a file of ${size}`);
    }
    const bytes = yield { offset, length };
    if (bytes.length !== length) throw new Damage(`the file ends at ${offset + bytes.length}`);
    return bytes;
  }
  if (size < FOOTER_BYTES) throw new Damage(`${size} bytes are too few`);
  const footer = yield* read(size - FOOTER_BYTES, FOOTER_BYTES);
  if (MAGIC.some((byte, i) => footer[40 + i] !== byte)) throw new Damage("no magic number");
  const cursor = { at: 0 };
  const content = function* (handle: Handle) {
    return contentOf(yield* read(handle.offset, handle.size + TRAILER_BYTES), handle.offset);
  };
  // A damaged filter would hide rows.
  for (const filter of handlesIn(yield* content(handleAt(footer, cursor)))) yield* content(filter);
  const index = yield* content(handleAt(footer, cursor));
  let checked = 0;
  for (const piece of piecesOf(handlesIn(index), pieceBytes)) {
    const first = piece[0]!.offset;
    const last = piece.at(-1)!;
    if (checked + last.offset + last.size - first > rowBytesMax) break;
    const bytes = yield* read(first, last.offset + last.size + TRAILER_BYTES - first);
    for (const { offset, size } of piece) {
      checkBlock(bytes.subarray(offset - first, offset - first + size + TRAILER_BYTES), offset);
      checked += size;
    }
  }
  return checked;
}

/** Blocks that follow each other, together about `pieceBytes` long. */
function* piecesOf(handles: Iterable<Handle>, pieceBytes: number): Generator<Handle[], void> {
  let piece: Handle[] = [];
  let bytes = 0;
  for (const handle of handles) {
    const before = piece.at(-1);
    const follows = before === undefined ||
      before.offset + before.size + TRAILER_BYTES === handle.offset;
    if (piece.length > 0 && (!follows || bytes + handle.size > pieceBytes)) {
      yield piece;
      piece = [];
      bytes = 0;
    }
    piece.push(handle);
    bytes += handle.size + TRAILER_BYTES;
  }
  if (piece.length > 0) yield piece;
}

/** @param block With its trailer. @throws {Damage} If it is not what its checksum says. */
function checkBlock(block: Uint8Array, offset: number): void {
  const size = block.length - TRAILER_BYTES;
  const crc = crc32c(block.subarray(0, size + 1));
  const masked = (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  const stored = new DataView(block.buffer, block.byteOffset).getUint32(size + 1, true);
  if (masked !== stored) throw new Damage(`wrong checksum of the block at ${offset}`);
}

/** Content of a block. @throws {Damage} */
function contentOf(block: Uint8Array, offset: number): Uint8Array {
  checkBlock(block, offset);
  const content = block.subarray(0, block.length - TRAILER_BYTES);
  return block[content.length] === SNAPPY ? unsnappy(content) : content;
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
