// What a running command sees: the cluster, the current table, and ways to answer. Invariant: with --json
// every command writes exactly one line with one JSON value to standard output, whatever happens; messages
// for people that are not part of the result go to standard error. With --output the result goes to a file.

import type { Admin, Cluster, Table } from "../../src/client/mod.ts";
import type { Connections } from "./connections.ts";
import { UsageProblem } from "./declare.ts";
import type { ShellIo, TextSink } from "./io.ts";
import { type Json, jsonBytes, Progress, renderPairs, renderTable, rowObjects } from "./render.ts";
import { escapeBytes, quote } from "./words.ts";

/** What lasts from one command to the next. */
export interface ShellState {
  tableName: string | undefined;
  timeoutMs: number;
  escapeAll: boolean;
  json: boolean;
  /** Nobody is asked before something is destroyed. */
  yes: boolean;
  /** True once `exit` was called. */
  isLeaving: boolean;
}

/** Cells that say nothing. */
const NOTHING: ReadonlySet<string> = new Set(["", "-", "0 B"]);

/** See the file comment. */
export class Context {
  readonly io: ShellIo;
  readonly state: ShellState;
  readonly connections: Connections;
  /** Aborted by Ctrl-C; long commands stop at the next row. */
  readonly signal: AbortSignal;
  /** The command ran, but the answer is "no": exit status 1 without an error message. */
  isNegative = false;
  /** A JSON value was written. */
  hasAnswered = false;
  tableOverride: string | undefined;
  /** Asks whoever is at the terminal; `undefined`: nobody can be asked. */
  ask: (question: string) => Promise<string | undefined> = () => Promise.resolve(undefined);
  /** Asks for something that is not shown while it is typed; `undefined` = nobody can be asked. */
  askSecret: ((question: string) => Promise<string>) | undefined;
  /** This command answers in JSON. */
  json: boolean;
  /** Where the result goes instead of standard output. */
  sink: TextSink | undefined;
  /** The runner gave up on the command: what it still says is of no interest. */
  isAbandoned = false;
  readonly #forFile: string[] = [];

  constructor(io: ShellIo, state: ShellState, connections: Connections, signal: AbortSignal) {
    this.io = io;
    this.state = state;
    this.connections = connections;
    this.signal = signal;
    this.json = state.json;
  }

  get cluster(): Cluster {
    return this.connections.cluster;
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
    this.#out(this.json ? `${JSON.stringify(value)}\n` : text === "" ? "" : `${text}\n`);
  }

  /** Rows under a head; objects with the same names as JSON. */
  answerTable(head: readonly string[], rows: readonly (readonly Json[])[]): void {
    this.answer(rowObjects(head, rows), rows.length === 0 ? "" : this.renderTable(head, rows));
  }

  /** {@link answerTable}; people do not see columns in which nothing but 0 and "-" stands. */
  answerWideTable(head: readonly string[], rows: readonly (readonly Json[])[]): void {
    const isSaid = (cell: Json) => cell !== null && cell !== 0 && !NOTHING.has(String(cell));
    const kept = head.map((_, i) => i === 0 || rows.some((row) => isSaid(row[i]!)));
    const shown = <T>(cells: readonly T[]) => cells.filter((_, i) => kept[i]);
    const text = rows.length === 0 ? "" : this.renderTable(shown(head), rows.map(shown));
    this.answer(rowObjects(head, rows), text);
  }

  /** Names and values; one object as JSON. */
  answerPairs(pairs: readonly (readonly [string, Json])[]): void {
    this.answer(Object.fromEntries(pairs), renderPairs(pairs));
  }

  /** Rows in columns, in colours where they are welcome. */
  renderTable(head: readonly string[], rows: readonly (readonly Json[])[]): string {
    return renderTable(head, rows, this.io.useColour && this.sink === undefined);
  }

  /** For people only: nothing with --json. */
  note(text: string): void {
    if (!this.json && !this.isAbandoned) this.io.err(`${text}\n`);
  }

  /** A progress line on the terminal. `total`: see {@link Progress}. */
  progress(total: number): Progress {
    const write = this.io.errIsTerminal
      ? (text: string) => this.isAbandoned ? undefined : this.io.err(text)
      : undefined;
    return new Progress(write, total, () => performance.now());
  }

  /** Writes what was answered to the file of --output, if there is one. */
  async finish(): Promise<void> {
    for (const text of this.#forFile.splice(0)) await this.sink?.write(text);
    await this.sink?.close();
  }

  /** The command failed: what it still says is of no interest, and the file of --output is as it was. */
  async abandon(): Promise<void> {
    this.isAbandoned = true;
    await this.sink?.discard();
  }

  #out(text: string): void {
    if (this.isAbandoned) return;
    if (this.sink === undefined) this.io.out(text);
    else this.#forFile.push(text);
  }

  /** The promise, or a failure as soon as Ctrl-C is pressed: for questions that change nothing. */
  unlessInterrupted<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const stop = () => reject(new Error("Interrupted"));
      if (this.signal.aborted) stop();
      this.signal.addEventListener("abort", stop, { once: true });
      promise.then(resolve, reject)
        .finally(() => this.signal.removeEventListener("abort", stop));
    });
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
  openRows(): RowWriter {
    this.hasAnswered = true;
    return new RowWriter(this);
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
class RowWriter {
  count = 0;
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  /** One row of the table. */
  async row(row: ShownRow): Promise<void> {
    const name = `${this.#context.show(row.hashKey)} : ${this.#context.show(row.sortKey)}`;
    if (!this.#context.json) {
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
    if (!this.#context.json) return await this.#line(text);
    await this.#write(`${this.count++ === 0 ? "[" : ","}${JSON.stringify(value)}`);
  }

  /** Ends the answer; `summary` is for people. Call it also when the rows failed, so that JSON stays whole. */
  async end(summary?: string): Promise<void> {
    if (this.#context.json) await this.#write(this.count === 0 ? "[]\n" : "]\n");
    if (summary !== undefined) this.#context.note(summary);
  }

  async #line(text: string): Promise<void> {
    this.count++;
    await this.#write(`${text}\n`);
  }

  async #write(text: string): Promise<void> {
    const { sink, io, isAbandoned } = this.#context;
    if (isAbandoned) return;
    if (sink === undefined) io.out(text);
    else await sink.write(text);
  }
}
