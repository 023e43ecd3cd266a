// Which table files a LevelDB consists of, from its manifest: a crash may leave tables behind that were never
// finished and belong to nobody, and those must not count as damage. Reads what LevelDB would read; where
// the manifest is not as it should be it says nothing, because LevelDB does. Page: docs/storage_layout.md.

import { readFileSync } from "node:fs";

const BLOCK_BYTES = 32 * 1024;
/** Checksum, length and type in front of each piece of a record. */
const HEAD_BYTES = 7;
const FULL = 1;
const LAST = 4;

/** A place in bytes that are read one after the other. */
export interface Cursor {
  at: number;
}

/** A little-endian base-128 number. @throws {RangeError} If it does not end. */
export function varint(bytes: Uint8Array, cursor: Cursor): number {
  let value = 0;
  for (let scale = 1; scale < 2 ** 56; scale *= 128) {
    const byte = bytes[cursor.at++];
    if (byte === undefined) break;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
  throw new RangeError("a number without end");
}

/** Numbers of the tables of the database in `dir`; `undefined` if its manifest cannot be read. */
export function tablesOf(dir: string): ReadonlySet<number> | undefined {
  try {
    const current = new TextDecoder().decode(readFileSync(`${dir}/CURRENT`)).trim();
    const tables = new Set<number>();
    for (const record of recordsOf(readFileSync(`${dir}/${current}`))) takeEdit(record, tables);
    return tables;
  } catch {
    return undefined;
  }
}

/** The records of a log in LevelDB's format: pieces in blocks of 32 KiB. */
function* recordsOf(log: Uint8Array): Generator<Uint8Array, void> {
  let pieces: number[] = [];
  for (let at = 0; at + HEAD_BYTES <= log.length;) {
    const left = BLOCK_BYTES - at % BLOCK_BYTES;
    if (left < HEAD_BYTES) {
      at += left;
      continue;
    }
    const length = log[at + 4]! + log[at + 5]! * 256;
    const type = log[at + 6]!;
    const start = at + HEAD_BYTES;
    // The end of what was written, perhaps in the middle of a record.
    if (type === 0 || type > LAST || start + length > log.length) return;
    if (type === FULL || type === 2) pieces = [];
    for (let i = 0; i < length; i++) pieces.push(log[start + i]!);
    if (type === FULL || type === LAST) yield Uint8Array.from(pieces);
    at = start + length;
  }
}

/** Adds and removes the tables that one record of the manifest names. @throws {RangeError} */
function takeEdit(edit: Uint8Array, tables: Set<number>): void {
  const cursor = { at: 0 };
  const skipText = () => {
    const length = varint(edit, cursor);
    cursor.at += length;
  };
  while (cursor.at < edit.length) {
    const tag = varint(edit, cursor);
    if (tag === 1) skipText(); // comparator
    else if (tag === 2 || tag === 3 || tag === 4 || tag === 9) varint(edit, cursor); // counters
    else if (tag === 5) { // where compaction of a level goes on
      varint(edit, cursor);
      skipText();
    } else if (tag === 6) { // a table that is gone
      varint(edit, cursor);
      tables.delete(varint(edit, cursor));
    } else if (tag === 7) { // a new table: level, number, size, smallest and largest key
      varint(edit, cursor);
      tables.add(varint(edit, cursor));
      varint(edit, cursor);
      skipText();
      skipText();
    } else throw new RangeError(`Unknown tag ${tag} in a manifest`);
  }
}
