// Builders of settings. A setting is declared once (settings.ts) with its type, unit, bounds, default and
// documentation; the flag, the key in the file, the check, the help and the row in docs/config.md all come
// from that declaration. Invariant: every value that leaves `parse` is inside the declared bounds, and so
// is every default (checked when the program loads).

import { assert } from "../base/assert.ts";

/** What parsing gives: the value, or what was expected instead, as the end of a sentence. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | {
  readonly ok: false;
  readonly expected: string;
};

/** One declared setting. */
export interface Setting<T> {
  /** For help and documentation: "int", "duration", ... */
  readonly kind: string;
  readonly default: T;
  readonly doc: string;
  /** Allowed values in words, "" if anything goes. */
  readonly bounds: string;
  /** All servers of a cluster must use the same value. */
  readonly clusterWide: boolean;
  /** A running server takes a new value without a restart. */
  readonly reload: boolean;
  /** Takes the text of a flag or a value of the file. */
  parse(input: unknown): Parsed<T>;
  /** The value as a user would write it. */
  format(value: T): string;
}

interface Common {
  readonly doc: string;
  /** @default false */
  readonly clusterWide?: boolean;
  /** @default false */
  readonly reload?: boolean;
}

function setting<T>(
  kind: string,
  options: Common,
  value: T,
  bounds: string,
  parse: (input: unknown) => Parsed<T>,
  format: (value: T) => string,
): Setting<T> {
  const declared: Setting<T> = {
    kind,
    default: value,
    doc: options.doc,
    bounds,
    clusterWide: options.clusterWide ?? false,
    reload: options.reload ?? false,
    parse,
    format,
  };
  assert(parse(format(value)).ok, "A default is outside its own bounds", { doc: options.doc });
  return declared;
}

function yes<T>(value: T): Parsed<T> {
  return { ok: true, value };
}

function no(expected: string): { readonly ok: false; readonly expected: string } {
  return { ok: false, expected };
}

/** A whole number. Bounds are inclusive. */
export function int(
  options: Common & { default: number; min: number; max?: number },
): Setting<number> {
  const max = options.max ?? Number.MAX_SAFE_INTEGER;
  const bounds = options.max === undefined
    ? `${options.min} or more`
    : `${options.min} to ${options.max}`;
  const parse = (input: unknown): Parsed<number> => {
    const text = typeof input === "number" || typeof input === "bigint" ? String(input) : input;
    const value = typeof text === "string" && /^-?\d+$/.test(text) ? Number(text) : NaN;
    return value >= options.min && value <= max ? yes(value) : no(`a whole number, ${bounds}`);
  };
  return setting("int", options, options.default, bounds, parse, String);
}

const DURATION_UNITS: readonly (readonly [string, number])[] = [
  ["d", 86_400_000],
  ["h", 3_600_000],
  ["m", 60_000],
  ["s", 1000],
  ["ms", 1],
];

/** A length of time with a unit, `"5ms"`, `"2s"`, `"1m"`; the value is in milliseconds. */
export function duration(
  options: Common & { default: string; min: string; max: string },
): Setting<number> {
  const [min, max] = [readDuration(options.min), readDuration(options.max)];
  const value = readDuration(options.default);
  assert(min >= 0 && max >= min && value >= 0, "Not a duration", { doc: options.doc });
  const bounds = `${options.min} to ${options.max}`;
  const parse = (input: unknown): Parsed<number> => {
    const read = typeof input === "string" ? readDuration(input) : NaN;
    return read >= min && read <= max
      ? yes(read)
      : no(`a duration with a unit (ms, s, m, h, d), ${bounds}`);
  };
  return setting("duration", options, value, bounds, parse, formatDuration);
}

/** Milliseconds of a text like "250ms"; NaN if it is none. */
function readDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  const unit = DURATION_UNITS.find(([name]) => name === match?.[2]);
  if (match === null || unit === undefined) return text === "0" ? 0 : NaN;
  return Math.round(Number(match[1]) * unit[1]);
}

function formatDuration(ms: number): string {
  if (ms === 0) return "0ms";
  const unit = DURATION_UNITS.find(([, factor]) => ms % factor === 0);
  assert(unit !== undefined, "Not whole milliseconds", { ms });
  return `${ms / unit[1]}${unit[0]}`;
}

const BYTE_UNITS: readonly (readonly [string, number])[] = [
  ["TiB", 2 ** 40],
  ["GiB", 2 ** 30],
  ["MiB", 2 ** 20],
  ["KiB", 2 ** 10],
  ["B", 1],
];

/** A number of bytes, plain or with a unit: `4096`, `"64MiB"`. */
export function bytes(
  options: Common & { default: string; min: string; max: string },
): Setting<number> {
  const [min, max] = [readBytes(options.min), readBytes(options.max)];
  const bounds = `${options.min} to ${options.max}`;
  const parse = (input: unknown): Parsed<number> => {
    const read = typeof input === "string" || typeof input === "number" ||
        typeof input === "bigint"
      ? readBytes(String(input))
      : NaN;
    return read >= min && read <= max
      ? yes(read)
      : no(`a number of bytes (B, KiB, MiB, GiB, TiB), ${bounds}`);
  };
  return setting("bytes", options, readBytes(options.default), bounds, parse, formatBytes);
}

function readBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(B|KiB|MiB|GiB|TiB)?$/.exec(text);
  if (match === null) return NaN;
  const factor = BYTE_UNITS.find(([name]) => name === match[2])?.[1] ?? 1;
  return Math.round(Number(match[1]) * factor);
}

function formatBytes(value: number): string {
  const unit = BYTE_UNITS.find(([, factor]) => value !== 0 && value % factor === 0);
  return unit === undefined ? `${value}B` : `${value / unit[1]}${unit[0]}`;
}

/** True or false. As a flag: `--name`, `--name=true`, `--name=false`. */
export function bool(options: Common & { default: boolean }): Setting<boolean> {
  const parse = (input: unknown): Parsed<boolean> => {
    if (input === true || input === "true") return yes(true);
    return input === false || input === "false" ? yes(false) : no(`"true" or "false"`);
  };
  return setting("bool", options, options.default, "", parse, String);
}

/** One of several words. */
export function choice<const Word extends string>(
  words: readonly Word[],
  options: Common & { default: Word },
): Setting<Word> {
  const bounds = words.join(", ");
  const parse = (input: unknown): Parsed<Word> => {
    const word = words.find((candidate) => candidate === input);
    return word === undefined ? no(`one of: ${bounds}`) : yes(word);
  };
  return setting<Word>("choice", options, options.default, bounds, parse, (value) => value);
}

/** Any text, or one that matches `pattern`, which `expected` puts into words. */
export function text(
  options: Common & { default: string; pattern?: RegExp; expected?: string },
): Setting<string> {
  const expected = options.expected ?? "a text";
  const parse = (input: unknown): Parsed<string> => {
    const fits = typeof input === "string" && (options.pattern?.test(input) ?? true);
    return fits ? yes(input) : no(expected);
  };
  return setting("text", options, options.default, options.expected ?? "", parse, (value) => value);
}

const HOST_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:,[\]]+):(\d{1,5})$/;

function isHostPort(input: unknown): input is string {
  const match = typeof input === "string" ? HOST_PORT.exec(input) : null;
  return match !== null && Number(match[1]) <= 65535;
}

/** An address; port 0 takes a free port. `optional`: may be empty. */
export function hostPort(
  options: Common & { default: string; optional?: boolean },
): Setting<string> {
  const bounds = "HOST:PORT with a port up to 65535";
  const parse = (input: unknown): Parsed<string> =>
    isHostPort(input) || (options.optional === true && input === "")
      ? yes(String(input))
      : no(`${bounds}, such as 127.0.0.1:34601`);
  return setting("address", options, options.default, bounds, parse, (value) => value);
}

/** One or more addresses: comma-separated in a flag, an array in the file. */
export function hostPorts(
  options: Common & { default: readonly string[] },
): Setting<readonly string[]> {
  const parse = (input: unknown): Parsed<readonly string[]> => {
    const items = typeof input === "string" ? input.split(",").map((item) => item.trim()) : input;
    return Array.isArray(items) && items.length > 0 && items.every(isHostPort)
      ? yes([...new Set(items)])
      : no("HOST:PORT,HOST:PORT,... such as 10.0.0.1:34601,10.0.0.2:34601");
  };
  return setting(
    "addresses",
    options,
    options.default,
    "one or more HOST:PORT",
    parse,
    (value) => value.join(","),
  );
}

const LABEL = /^([a-z]+)=[0-9A-Za-z._:-]{1,64}$/;

/** Values of some of the given names, `name=value,name=value`; none by default. */
export function labels(
  options: Common & { names: readonly string[] },
): Setting<ReadonlyMap<string, string>> {
  const bounds = `NAME=VALUE,NAME=VALUE,... of the names ${options.names.join(", ")}`;
  const parse = (input: unknown): Parsed<ReadonlyMap<string, string>> => {
    if (typeof input !== "string") return no(bounds);
    const items = input.split(",").map((item) => item.trim()).filter((item) => item !== "");
    const value = new Map(items.map((item) => item.split("=") as [string, string]));
    const fits = items.every((item) => options.names.includes(LABEL.exec(item)?.[1] ?? ""));
    const example = options.names.map((name) => `${name}=a`).join(",");
    return fits && value.size === items.length ? yes(value) : no(`${bounds}, such as ${example}`);
  };
  const format = (value: ReadonlyMap<string, string>) =>
    [...value].map((pair) => pair.join("=")).join(",");
  return setting("labels", options, new Map(), bounds, parse, format);
}

/** A directory and the name of its disk. */
export interface TaggedPath {
  readonly tag: string;
  readonly path: string;
}

const TAGGED = /^(?:([0-9A-Za-z_-]{1,32}):)?([^,]*[^,:])$/;

/**
 * One or more directories, `path` or `tag:path`: comma-separated in a flag, an array or that in the file. Those
 * without a tag are data1, data2, ... by their place.
 */
export function directories(options: Common & { default: string }): Setting<readonly TaggedPath[]> {
  const bounds = "PATH,PATH,... or TAG:PATH,TAG:PATH,...";
  const parse = (input: unknown): Parsed<readonly TaggedPath[]> => {
    const items: unknown = typeof input === "string" ? input.split(",") : input;
    const isList = Array.isArray(items) && items.every((item) => typeof item === "string");
    const paths: readonly string[] = isList ? items : [];
    const value = paths.map((item, i) => {
      const match = TAGGED.exec(item.trim());
      return {
        tag: match?.[1] ?? `data${i + 1}`,
        path: match?.[2]?.replace(/(.)\/+$/, "$1") ?? "",
      };
    });
    const isOnce = (what: keyof TaggedPath) =>
      new Set(value.map((dir) => dir[what])).size === value.length;
    const fits = value.length > 0 && value.every(({ path }) => path !== "");
    return fits && isOnce("tag") && isOnce("path")
      ? yes(value)
      : no(`${bounds}, each tag (letters, digits, - and _) and each path once`);
  };
  const format = (value: readonly TaggedPath[]) =>
    value.map(({ tag, path }, i) => tag === `data${i + 1}` ? path : `${tag}:${path}`).join(",");
  const { value } = parse(options.default) as { value: readonly TaggedPath[] };
  return setting("directories", options, value, bounds, parse, format);
}

/** The type of the values a record of settings gives. */
export type Values<Fields> = {
  readonly [Name in keyof Fields]: Fields[Name] extends Setting<infer T> ? T : never;
};

/** Any setting, for tables. */
// deno-lint-ignore no-explicit-any
export type AnySetting = Setting<any>;

/**
 * The flag and file key of a declared name: `prepareTimeoutMs` is `prepare-timeout`. The unit of a duration
 * leaves the name because it is part of the value.
 */
export function keyOf(name: string, field: AnySetting): string {
  const base = field.kind === "duration" ? name.replace(/Ms$/, "") : name;
  return base.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
