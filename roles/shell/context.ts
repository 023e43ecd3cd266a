// What a running command sees: the cluster, the current table, and ways to answer. Invariant: with --json
// every command writes exactly one line with one JSON value to standard output, whatever happens; messages
// for people that are not part of the result go to standard error.

import type { Admin, Cluster, Table } from "../../src/client/mod.ts";
import { UsageProblem } from "./declare.ts";
import type { ShellIo, TextSink } from "./io.ts";
import { type Json, jsonBytes, renderPairs, renderTable } from "./render.ts";
import { escapeBytes, quote } from "./words.ts";

/** What lasts from one command to the next. */
export interface ShellState {
  tableName: string | undefined;
  timeoutMs: number;
  escapeAll: boolean;
  json: boolean;
  /** True once `exit` was called. */
  isLeaving: boolean;
}

/** See the file comment. */
export class Context {
  readonly io: ShellIo;
  readonly state: ShellState;
  readonly cluster: Cluster;
  /** Aborted by Ctrl-C; long commands stop at the next row. */
  readonly signal: AbortSignal;
  /** The command ran, but the answer is "no": exit status 1 without an error message. */
  isNegative = false;
  /** A JSON value was written. */
  hasAnswered = false;
  tableOverride: string | undefined;

  constructor(io: ShellIo, state: ShellState, cluster: Cluster, signal: AbortSignal) {
    this.io = io;
    this.state = state;
    this.cluster = cluster;
    this.signal = signal;
  }

  get admin(): Admin {
    return this.cluster.admin;
  }

  get tableName(): string {
    const name = this.tableOverride ?? this.state.tableName;
    if (name === undefined) {
      throw new UsageProblem('No table is chosen: say "use TABLE" first, or add --table TABLE');
    }
    return name;
  }

  /** The table of --table, or of use. @throws {UsageProblem} If there is none */
  get table(): Table {
    return this.cluster.table(this.tableName, { timeoutMs: this.state.timeoutMs });
  }

  /** The result of the command: `text` for people, `value` with --json. */
  answer(value: Json, text: string): void {
    this.hasAnswered = true;
    this.io.out(this.state.json ? `${JSON.stringify(value)}\n` : text === "" ? "" : `${text}\n`);
  }

  /** Rows under a head; objects with the same names as JSON. */
  async answerTable(
    head: readonly string[],
    rows: readonly (readonly Json[])[],
    file?: string,
  ): Promise<void> {
    const objects = rows.map((row) => Object.fromEntries(head.map((name, i) => [name, row[i]!])));
    await this.answerTo(file, objects, rows.length === 0 ? "" : renderTable(head, rows));
  }

  /** Names and values; one object as JSON. */
  async answerPairs(pairs: readonly (readonly [string, Json])[], file?: string): Promise<void> {
    await this.answerTo(file, Object.fromEntries(pairs), renderPairs(pairs));
  }

  /** {@link answer}, into a file if one is named. */
  async answerTo(file: string | undefined, value: Json, text: string): Promise<void> {
    if (file === undefined) return this.answer(value, text);
    const sink = await this.io.createFile(file);
    await sink.write(this.state.json ? `${JSON.stringify(value)}\n` : `${text}\n`);
    await sink.close();
    this.answer({ file }, `Written to ${file}`);
  }

  /** For people only: nothing with --json. */
  note(text: string): void {
    if (!this.state.json) this.io.err(`${text}\n`);
  }

  /** Bytes in quotes. */
  show(bytes: Uint8Array): string {
    return quote(bytes, this.state.escapeAll);
  }

  /** Bytes without quotes. */
  escape(bytes: Uint8Array): string {
    return escapeBytes(bytes, this.state.escapeAll);
  }

  /** Opens an answer of many rows, so that none has to wait for the last. */
  async openRows(file?: string): Promise<RowWriter> {
    const sink = file === undefined ? undefined : await this.io.createFile(file);
    this.hasAnswered = true;
    return new RowWriter(this, sink);
  }
}

/** One row of data in both forms. */
export interface ShownRow {
  readonly hashKey: Uint8Array;
  readonly sortKey: Uint8Array;
  /** Absent: only keys. */
  readonly value?: Uint8Array | undefined;
}

/** Writes rows as they come: a line each, or the elements of one JSON array. */
export class RowWriter {
  count = 0;
  readonly #context: Context;
  readonly #sink: TextSink | undefined;

  constructor(context: Context, sink: TextSink | undefined) {
    this.#context = context;
    this.#sink = sink;
  }

  /** One row of the table. */
  async row(row: ShownRow): Promise<void> {
    const { state } = this.#context;
    const name = `${this.#context.show(row.hashKey)} : ${this.#context.show(row.sortKey)}`;
    if (!state.json) {
      return await this.#line(
        row.value === undefined ? name : `${name} => ${this.#context.show(row.value)}`,
      );
    }
    await this.item({
      hash_key: jsonBytes(row.hashKey),
      sort_key: jsonBytes(row.sortKey),
      ...(row.value === undefined ? {} : { value: jsonBytes(row.value) }),
    }, "");
  }

  /** Any element. */
  async item(value: Json, text: string): Promise<void> {
    if (!this.#context.state.json) return await this.#line(text);
    await this.#write(`${this.count++ === 0 ? "[" : ","}${JSON.stringify(value)}`);
  }

  /** Ends the answer; `summary` is for people. Call it also when the rows failed, so that JSON stays whole. */
  async end(summary?: string): Promise<void> {
    if (this.#context.state.json) await this.#write(this.count === 0 ? "[]\n" : "]\n");
    await this.#sink?.close();
    if (summary !== undefined) this.#context.note(summary);
  }

  async #line(text: string): Promise<void> {
    this.count++;
    await this.#write(`${text}\n`);
  }

  async #write(text: string): Promise<void> {
    if (this.#sink === undefined) this.#context.io.out(text);
    else await this.#sink.write(text);
  }
}
