// Messages to bytes and back: msgpack of positional arrays. The only importer of the msgpack library.

import { Packr } from "msgpackr";
import type { Field } from "./field.ts";

// Integers over 32 bits travel as 64-bit integers and come back as numbers while they are safe.
const packr = new Packr({
  useRecords: false,
  mapsAsObjects: false,
  variableMapSize: true,
  int64AsType: "auto",
  encodeUndefinedAsNil: true,
  // deno-lint-ignore no-explicit-any
} as any);

/** Encodes a value of `field`. The result is a fresh array the caller owns. */
export function encode<T>(field: Field<T>, value: T): Uint8Array {
  return packr.pack(field.write(value)) as Uint8Array;
}

/**
 * Decodes bytes of `field`. Byte strings in the result may be views into `bytes`.
 *
 * @throws {Error} If the bytes are not msgpack, or not of the declared shape (SchemaError).
 */
export function decode<T>(field: Field<T>, bytes: Uint8Array, path: string): T {
  return field.read(packr.unpack(bytes), path);
}
