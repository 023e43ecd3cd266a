// Fields of messages: how a value is named, typed, checked and placed. A message is a positional array
// on the wire (arrays decode four times faster than maps); this file turns objects into such arrays and
// back, and refuses what does not fit, so that nothing behind it meets a value of the wrong shape.

import type { HotCodec } from "./hot_codec.ts";

/** A value did not have the declared shape. Thrown by `read`, turned into a protocol error at the border. */
export class SchemaError extends Error {
  override readonly name = "SchemaError";
}

/** Converts one value between its program form and its plain (msgpack-able) form. */
export interface Field<T> {
  /** Program form to plain form. The value is trusted: our own code made it. */
  write(value: T): unknown;
  /** Plain form to program form; `path` names the place in errors. @throws {SchemaError} */
  read(plain: unknown, path: string): T;
  /** The same written by hand, for messages that travel with every operation. */
  readonly hot?: HotCodec<T>;
  /** What a trailing field reads as when an older peer did not send it; absent = mandatory. */
  readonly missing?: { readonly value: T };
}

/** The program type of a field. */
export type Of<F> = F extends Field<infer T> ? T : never;

function fail(path: string, expected: string, value: unknown): never {
  const got = value === null ? "null" : value instanceof Uint8Array ? "bytes" : typeof value;
  throw new SchemaError(`Field "${path}": expected ${expected}, got ${got}`);
}

function integer(name: string, min: number, max: number): Field<number> {
  return {
    write: (value) => value,
    read(plain, path) {
      const value = typeof plain === "bigint" ? Number(plain) : plain;
      if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) {
        return value;
      }
      return fail(path, `${name} in ${min}..${max}`, plain);
    },
  };
}

/** Integer 0 .. 255. */
export const u8 = integer("an integer", 0, 0xff);
/** Integer 0 .. 65535. */
export const u16 = integer("an integer", 0, 0xffff);
/** Integer 0 .. 2^32-1. */
export const u32 = integer("an integer", 0, 0xffffffff);
/** Non-negative safe integer: ballots, decrees, microseconds, byte counts. */
export const u53 = integer("an integer", 0, Number.MAX_SAFE_INTEGER);
/** Safe integer of either sign. */
export const i53 = integer("an integer", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);

/** Signed 64-bit integer as BigInt (the argument of `incr`). */
export const i64: Field<bigint> = {
  write: (value) => value,
  read(plain, path) {
    if (typeof plain === "bigint" || (typeof plain === "number" && Number.isSafeInteger(plain))) {
      const value = BigInt(plain);
      if (BigInt.asIntN(64, value) === value) return value;
    }
    return fail(path, "a signed 64-bit integer", plain);
  },
};

/** Finite double. */
export const f64: Field<number> = {
  write: (value) => value,
  read: (plain, path) =>
    typeof plain === "number" && Number.isFinite(plain) ? plain : fail(path, "a number", plain),
};

export const bool: Field<boolean> = {
  write: (value) => value,
  read: (plain, path) => typeof plain === "boolean" ? plain : fail(path, "true or false", plain),
};

export const str: Field<string> = {
  write: (value) => value,
  read: (plain, path) => typeof plain === "string" ? plain : fail(path, "text", plain),
};

/** Byte string. The result may be a view into the received frame: copy it to keep it. */
export const bytes: Field<Uint8Array> = {
  write: (value) => value,
  read: (plain, path) => plain instanceof Uint8Array ? plain : fail(path, "bytes", plain),
};

/** One of a fixed set of texts. */
export function choice<const T extends string>(...values: readonly T[]): Field<T> {
  const known = new Set<string>(values);
  return {
    write: (value) => value,
    read: (plain, path) =>
      typeof plain === "string" && known.has(plain)
        ? plain as T
        : fail(path, `one of ${values.join(", ")}`, plain),
  };
}

/** A value or `undefined`; sent as nil, and may be missing at the end of a message. */
export function optional<T>(inner: Field<T>): Field<T | undefined> {
  return {
    write: (value) => value === undefined ? null : inner.write(value),
    read: (plain, path) =>
      plain === null || plain === undefined ? undefined : inner.read(plain, path),
    missing: { value: undefined },
  };
}

/** A field added after version 1: reads as `value` when the peer did not send it. */
export function withDefault<T>(inner: Field<T>, value: T): Field<T> {
  return {
    write: (v) => inner.write(v),
    read: (plain, path) => inner.read(plain, path),
    missing: { value },
  };
}

/** List of at most `max` values. */
export function list<T>(inner: Field<T>, max = 1_000_000): Field<T[]> {
  return {
    write(values) {
      const plain = new Array<unknown>(values.length);
      for (let i = 0; i < values.length; i++) plain[i] = inner.write(values[i]!);
      return plain;
    },
    read(plain, path) {
      if (!Array.isArray(plain)) return fail(path, "a list", plain);
      if (plain.length > max) {
        throw new SchemaError(`Field "${path}": ${plain.length} elements, at most ${max}`);
      }
      const values = new Array<T>(plain.length);
      for (let i = 0; i < plain.length; i++) values[i] = inner.read(plain[i], path);
      return values;
    },
  };
}

/** Text to value; a list of pairs on the wire. */
export function dict<T>(inner: Field<T>, max = 10_000): Field<Map<string, T>> {
  const pairs = list<unknown[]>({
    write: (pair) => pair,
    read: (plain, path) =>
      Array.isArray(plain) && plain.length === 2 ? plain : fail(path, "a pair", plain),
  }, max);
  return {
    write: (map) => [...map].map(([key, value]) => [key, inner.write(value)]),
    read: (plain, path) =>
      new Map(pairs.read(plain, path).map(([k, v]) => [str.read(k, path), inner.read(v, path)])),
  };
}

/** Named fields of a struct, in wire order. */
// deno-lint-ignore no-explicit-any
type AnyShape = Readonly<Record<string, Field<any>>>;

/** The program type of a struct: one readonly property per field. */
export type Struct<S> = { readonly [K in keyof S]: Of<S[K]> };

/**
 * A record sent as a positional array. Fields are only ever appended, and an appended field must be
 * `optional` or `withDefault`; elements a newer peer appended are ignored.
 */
export function struct<S extends AnyShape>(shape: S): Field<Struct<S>> {
  const names = Object.keys(shape);
  const fields = Object.values(shape);
  const size = names.length;
  return {
    write(value) {
      const record = value as Record<string, unknown>;
      const plain = new Array<unknown>(size);
      for (let i = 0; i < size; i++) plain[i] = fields[i]!.write(record[names[i]!]);
      return plain;
    },
    read(plain, path) {
      if (!Array.isArray(plain)) return fail(path, "a record", plain);
      const record: Record<string, unknown> = {};
      for (let i = 0; i < size; i++) {
        const field = fields[i]!;
        if (i < plain.length) record[names[i]!] = field.read(plain[i], names[i]!);
        else if (field.missing !== undefined) record[names[i]!] = field.missing.value;
        else throw new SchemaError(`Field "${path}.${names[i]}": missing`);
      }
      return record as Struct<S>;
    },
  };
}
