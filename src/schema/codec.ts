// Messages to bytes and back: msgpack of positional arrays. The only importer of the msgpack library.

import { Packr } from "msgpackr";
import { type Field, SchemaError } from "./field.ts";
import { isTooDeep, NESTING_MAX } from "./nesting.ts";
import { Packer, Unpacker } from "./pack.ts";

// Integers over 32 bits travel as 64-bit integers and come back as numbers while they are safe.
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: false,
  variableMapSize: true,
  int64AsType: "auto",
  encodeUndefinedAsNil: true,
  // deno-lint-ignore no-explicit-any
} as any);

const packer = new Packer();
const unpacker = new Unpacker();

/** So few bytes cannot nest deep enough to hurt: 0.2 ms. */
const FLAT_BYTES = 256;

/** Encodes a value of `field`. The result is a fresh array the caller owns. */
export function encode<T>(field: Field<T>, value: T): Uint8Array {
  const bytes = encodeShared(field, value);
  return field.hot === undefined ? bytes : bytes.slice();
}

/** The same for somebody who copies the bytes at once: they hold until the next message is encoded. */
export function encodeShared<T>(field: Field<T>, value: T): Uint8Array {
  const { hot } = field;
  if (hot === undefined) return packr.pack(field.write(value)) as Uint8Array;
  packer.begin();
  hot.write(packer, value);
  return packer.end();
}

/**
 * Decodes bytes of `field`. Byte strings in the result may be views into `bytes`.
 *
 * @throws {Error} If the bytes are not msgpack, or not of the declared shape (SchemaError).
 */
export function decode<T>(field: Field<T>, bytes: Uint8Array, path: string): T {
  const { hot } = field;
  if (hot !== undefined) {
    unpacker.begin(bytes);
    const value = hot.read(unpacker);
    if (value !== undefined) return value;
  }
  if (bytes.length > FLAT_BYTES && isTooDeep(bytes)) {
    throw new SchemaError(`Field "${path}": nested deeper than ${NESTING_MAX}`);
  }
  return field.read(packr.unpack(bytes), path);
}
