// Row files: JSON Lines and CSV, for import and export. Invariant: what export writes, import reads back as the
// same rows. JSON: {"hash_key": K, "sort_key": K, "value": V, "ttl": S}, where K and V are text or
// {"base64": "..."}. CSV: RFC 4180 with a head line; bytes that are not UTF-8 use the columns *_base64.

import { EMPTY, fromUtf8, utf8 } from "../../src/base/bytes.ts";
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
  /** Bytes of the file up to the end of the record. */
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
  lines: AsyncIterable<Uint8Array>,
  format: Format,
): AsyncGenerator<FileRecord, void> {
  let line = 0;
  let position = 0;
  const csv = new CsvReader();
  for await (const bytes of lines) {
    line++;
    position += bytes.length + 1;
    const read = textOf(bytes, line === 1);
    const { text, problem } = read;
    if (format === "csv") {
      const record = csv.take(read, line);
      if (record !== undefined) yield { ...record, position };
    } else if (problem !== "") yield { line, position, problem };
    else if (text.trim() !== "") yield { line, position, ...parsed(() => jsonRow(text)) };
  }
  if (csv.isInside) yield { line: csv.line, position, problem: "A closing quote is missing" };
}

/** A line of a file. */
interface ReadLine {
  readonly text: string;
  /** Why the text is not what the file says; "" = it is. */
  readonly problem: string;
}

/** Every byte counts, also a mark at the start of a line: only that of the whole file is none of its text. */
const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of a line. If it is none the text still tells where its record ends. */
function textOf(bytes: Uint8Array, isFirst: boolean): ReadLine {
  try {
    const text = strict.decode(bytes);
    return { text: isFirst && text.startsWith("\ufeff") ? text.slice(1) : text, problem: "" };
  } catch {
    return { text: fromUtf8(bytes), problem: "The line is not UTF-8" };
  }
}

/** Makes records of the lines of a CSV file. */
class CsvReader {
  /** Where the record that is read began. */
  line = 0;
  #columns: readonly string[] | undefined;
  #record = new CsvRecord();
  #problem = "";

  /** A record has begun and not ended. */
  get isInside(): boolean {
    return this.#record.isOpen;
  }

  /** @returns The record that ends with this line, if one does */
  take({ text, problem }: ReadLine, line: number): Omit<FileRecord, "position"> | undefined {
    if (!this.isInside) {
      if (text.trim() === "" && problem === "") return undefined;
      this.line = line;
    }
    this.#problem ||= problem;
    this.#record.take(text);
    if (this.isInside) return undefined;
    const { fields, problem: flaw } = this.#record;
    const extent = line > this.line ? ` (the record goes on to line ${line})` : "";
    const bad = this.#problem || flaw;
    this.#record = new CsvRecord();
    this.#problem = "";
    if (this.#columns === undefined) {
      const isHead = fields.some((name) => name === "hash_key" || name === "hash_key_base64");
      this.#columns = isHead ? fields : CSV_COLUMNS;
      if (isHead && bad === "") return undefined;
    }
    const names = this.#columns;
    if (bad !== "") return { line: this.line, problem: bad + extent };
    return { line: this.line, ...parsed(() => csvRow(fields, names)) };
  }
}

/** One record as RFC 4180 has it: only a quote that begins a field opens it, and the one that closes it ends it. */
class CsvRecord {
  readonly fields: string[] = [];
  /** The last field goes on in the next line. */
  isOpen = false;
  /** What RFC 4180 does not allow; "" = nothing. */
  problem = "";
  #text = "";

  take(line: string): void {
    if (this.isOpen) this.#text += "\n";
    let at = this.isOpen ? this.#quoted(line, 0) : this.#field(line, 0);
    // A comma stands here: there is another field, if only an empty one.
    while (at < line.length) at = this.#field(line, at + 1);
  }

  /** @returns Where the field ends: at a comma, or at the end of the line */
  #field(line: string, from: number): number {
    if (line[from] === '"') {
      this.#text = "";
      return this.#quoted(line, from + 1);
    }
    const end = fieldEnd(line, from);
    const text = line.slice(from, end);
    if (text.includes('"')) {
      this.problem ||= `A quote stands inside of ${JSON.stringify(text)}: a field with quotes ` +
        'begins and ends with one, and has "" for each';
    }
    this.fields.push(text);
    return end;
  }

  /** The same behind an opening quote. */
  #quoted(line: string, from: number): number {
    for (let at = from;;) {
      const quote = line.indexOf('"', at);
      this.isOpen = quote < 0;
      this.#text += line.slice(at, this.isOpen ? line.length : quote);
      if (this.isOpen) return line.length;
      if (line[quote + 1] !== '"') {
        const end = fieldEnd(line, quote + 1);
        if (end > quote + 1) {
          this.problem ||=
            `${JSON.stringify(line.slice(quote + 1, end))} stands behind the quote ` +
            "that ends a field";
        }
        this.fields.push(this.#text);
        return end;
      }
      this.#text += '"';
      at = quote + 2;
    }
  }
}

function fieldEnd(line: string, from: number): number {
  const comma = line.indexOf(",", from);
  return comma < 0 ? line.length : comma;
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
  if (typeof value === "string") {
    if (value.isWellFormed()) return utf8(value);
    throw new Error(`Field "${name}" has a lone surrogate, which UTF-8 cannot say`);
  }
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
