// Row files: JSON Lines and CSV, for import and export. Invariant: what export writes, import reads back as the
// same rows. JSON: {"hash_key": K, "sort_key": K, "value": V, "ttl": S}, where K and V are text or
// {"base64": "..."}. CSV: RFC 4180 with a head line; bytes that are not UTF-8 use the columns *_base64.

import { EMPTY, utf8 } from "../../src/base/bytes.ts";
import { fromBase64, type Json, jsonBytes, toBase64 } from "./render.ts";

/** A row of a file. */
export interface FileRow {
  readonly hashKey: Uint8Array;
  readonly sortKey: Uint8Array;
  readonly value: Uint8Array;
  /** Seconds; 0 = for ever. */
  readonly ttl: number;
}

/** A record of a file with the line it begins on: a row, or why it is none. */
export interface FileRecord {
  readonly line: number;
  /** Bytes of the file up to the end of the record, about. */
  readonly position: number;
  readonly row?: FileRow;
  readonly problem?: string;
}

/** Formats by name. */
export const FORMATS = ["jsonl", "csv"] as const;
export type Format = (typeof FORMATS)[number];

/** The format a file name tells; JSON Lines if it tells none. */
export function formatOf(path: string): Format {
  return path.toLowerCase().endsWith(".csv") ? "csv" : "jsonl";
}

/** Records of a file. Empty lines are left out. */
export async function* readRecords(
  lines: AsyncIterable<string>,
  format: Format,
): AsyncGenerator<FileRecord, void> {
  let line = 0;
  let position = 0;
  let columns: readonly string[] | undefined;
  let held = "";
  let heldLine = 0;
  for await (const text of lines) {
    line++;
    position += text.length + 1;
    if (format === "jsonl") {
      if (text.trim() !== "") yield { line, position, ...parsed(() => jsonRow(text)) };
      continue;
    }
    if (held === "" && text.trim() === "") continue;
    if (held === "") heldLine = line;
    held = held === "" ? text : `${held}\n${text}`;
    // A quoted field may contain line ends: the record goes on until the quotes are even.
    if (held.split('"').length % 2 === 0) continue;
    const whole = held;
    held = "";
    if (columns === undefined) {
      const first = splitCsv(whole);
      const isHead = first.some((name) => name === "hash_key" || name === "hash_key_base64");
      columns = isHead ? first : CSV_COLUMNS;
      if (isHead) continue;
    }
    const names = columns;
    yield { line: heldLine, position, ...parsed(() => csvRow(splitCsv(whole), names)) };
  }
  if (held !== "") yield { line: heldLine, position, problem: "A closing quote is missing" };
}

/** Columns of a CSV file without a head line. */
const CSV_COLUMNS = ["hash_key", "sort_key", "value", "ttl"];
/** Columns export writes. */
export const CSV_HEAD = "hash_key_base64,sort_key_base64,value_base64,hash_key,sort_key,value,ttl";

function parsed(read: () => FileRow): { row: FileRow } | { problem: string } {
  try {
    return { row: read() };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
}

function jsonRow(text: string): FileRow {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Error('Expected an object like {"hash_key":"h","sort_key":"s","value":"v"}');
  }
  const fields = value as Record<string, unknown>;
  for (const name of Object.keys(fields)) {
    if (!CSV_COLUMNS.includes(name)) throw new Error(`Unknown field "${name}"`);
  }
  return {
    hashKey: jsonField(fields, "hash_key"),
    sortKey: "sort_key" in fields ? jsonField(fields, "sort_key") : EMPTY,
    value: jsonField(fields, "value"),
    ttl: ttlField(fields["ttl"]),
  };
}

function jsonField(fields: Record<string, unknown>, name: string): Uint8Array {
  const value = fields[name];
  if (typeof value === "string") return utf8(value);
  if (typeof value === "object" && value !== null && "base64" in value) {
    const bytes = typeof value.base64 === "string" ? fromBase64(value.base64) : undefined;
    if (bytes !== undefined) return bytes;
  }
  if (value === undefined) throw new Error(`Field "${name}" is missing`);
  throw new Error(`Field "${name}" is neither text nor {"base64": "..."}`);
}

function ttlField(value: unknown): number {
  if (value === undefined || value === null || value === "") return 0;
  const ttl = typeof value === "string" ? Number(value) : value;
  if (typeof ttl === "number" && Number.isInteger(ttl) && ttl >= 0 && ttl <= 0x7fffffff) return ttl;
  throw new Error(`The ttl is ${JSON.stringify(value)}, expected seconds in 0..2147483647`);
}

function csvRow(cells: readonly string[], columns: readonly string[]): FileRow {
  if (cells.length > columns.length) {
    throw new Error(`${cells.length} fields, expected at most ${columns.length}`);
  }
  const cell = (name: string): string | undefined => {
    const index = columns.indexOf(name);
    return index < 0 ? undefined : cells[index];
  };
  const bytesOf = (name: string): Uint8Array | undefined => {
    const binary = cell(`${name}_base64`);
    if (binary === undefined || binary === "") {
      const text = cell(name);
      return text === undefined ? undefined : utf8(text);
    }
    const bytes = fromBase64(binary);
    if (bytes === undefined) throw new Error(`Field "${name}_base64" is not base64`);
    return bytes;
  };
  const [hashKey, value] = [bytesOf("hash_key"), bytesOf("value")];
  if (hashKey === undefined) throw new Error('Field "hash_key" is missing');
  if (value === undefined) throw new Error('Field "value" is missing');
  return { hashKey, sortKey: bytesOf("sort_key") ?? EMPTY, value, ttl: ttlField(cell("ttl")) };
}

/** Fields of one CSV record. */
export function splitCsv(record: string): string[] {
  const fields: string[] = [];
  let field = "";
  let isQuoted = false;
  for (let i = 0; i < record.length; i++) {
    const char = record[i]!;
    if (isQuoted) {
      if (char !== '"') field += char;
      else if (record[i + 1] === '"') field += record[++i]!;
      else isQuoted = false;
    } else if (char === '"') {
      isQuoted = true;
    } else if (char === ",") {
      fields.push(field);
      field = "";
    } else {
      field += char;
    }
  }
  fields.push(field);
  return fields;
}

/** One row as a line, without the line end. */
export function writeRow(row: FileRow, format: Format): string {
  const { hashKey, sortKey, value, ttl } = row;
  if (format === "jsonl") {
    const object: Record<string, Json> = {
      hash_key: jsonBytes(hashKey),
      sort_key: jsonBytes(sortKey),
      value: jsonBytes(value),
    };
    if (ttl > 0) object["ttl"] = ttl;
    return JSON.stringify(object);
  }
  const cells = [hashKey, sortKey, value].map((bytes) => {
    const plain = jsonBytes(bytes);
    // A line reader may drop a carriage return, so such a text travels as base64.
    return typeof plain === "string" && !plain.includes("\r") ? ["", plain] : [toBase64(bytes), ""];
  });
  const fields = [
    ...cells.map((cell) => cell[0]!),
    ...cells.map((cell) => cell[1]!),
    ttl > 0 ? String(ttl) : "",
  ];
  return fields.map((text) => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
    .join(",");
}
