// Histories of client operations as text: one JSON object per line, so that what was recorded in one place
// (simulator, chaos run, somebody's own client) can be judged in another. Page: docs/testing.md, "Histories".

import { type ModelOp, type Operation, show } from "./linearizability.ts";

/** What a client knows of an operation's fate. */
export type Outcome = "ok" | "not done" | "unknown";

/** One operation as a client saw it. Everything of one object is judged together. */
export interface HistoryEntry {
  /** Whoever waits for the answer before it asks again; only for people. */
  readonly client: string | number;
  /** The object that is judged on its own: for pegasus a table and a hash key. */
  readonly object: string;
  readonly op: ModelOp;
  /** Call and answer on one monotonic clock, in any unit. */
  readonly invoke: number;
  readonly return: number;
  readonly outcome: Outcome;
  /** With "ok": the answer in the words of applyModel(). */
  readonly result: string | undefined;
  /** See {@link Operation.hint}; not written. */
  readonly hint?: number;
}

/** A line that is not what the format demands. */
export class HistoryError extends Error {
  override readonly name = "HistoryError";
}

/** First line of a file: the format's version, and where the history is from. */
export function formatHeader(source: string): string {
  return JSON.stringify({ history: 1, source });
}

/** One line, without the end of line. */
export function formatHistoryEntry(entry: HistoryEntry): string {
  const { client, object, op, invoke, outcome, result } = entry;
  const { kind, ...rest } = op;
  const args = op.kind === "cas" ? { ...rest, expected: op.expected ?? null } : rest;
  const line = { client, object, op: kind, args, invoke, return: entry.return, outcome };
  const answer = result === undefined ? undefined : answerOf(op, result);
  return JSON.stringify(answer === undefined ? line : { ...line, result: answer });
}

/**
 * Reads a file of entries. Empty lines and a header are skipped.
 *
 * @throws {HistoryError} With the number of the line that is wrong and what was expected there.
 */
export function parseHistory(text: string): HistoryEntry[] {
  const entries: HistoryEntry[] = [];
  text.split("\n").forEach((line, index) => {
    if (line.trim() === "") return;
    try {
      const entry = parseLine(line);
      if (entry !== undefined) entries.push(entry);
    } catch (error) {
      throw new HistoryError(`Line ${index + 1}: ${(error as Error).message}`);
    }
  });
  return entries;
}

/**
 * The operations to judge, by object. What was not done did not happen: whoever saw it nevertheless has an
 * answer that nothing explains.
 */
export function operationsByObject(entries: readonly HistoryEntry[]): Map<string, Operation[]> {
  const objects = new Map<string, Operation[]>();
  for (const { client, object, op, invoke, return: end, outcome, result, hint } of entries) {
    let list = objects.get(object);
    if (list === undefined) objects.set(object, list = []);
    if (outcome === "not done" || (outcome === "unknown" && isRead(op))) continue;
    const operation = { client, op, invoke, return: end, result };
    list.push(hint === undefined ? operation : { ...operation, hint });
  }
  return objects;
}

function isRead(op: ModelOp): boolean {
  return op.kind === "get" || op.kind === "mget";
}

/** An answer as JSON says it; undefined where "ok" says everything. */
function answerOf(op: ModelOp, result: string): unknown {
  switch (op.kind) {
    case "get":
      return { value: unshow(result) };
    case "mget":
      return { values: JSON.parse(result).map(unshow) };
    case "incr":
      return { value: result };
    case "cas":
      return result === "passed"
        ? { passed: true }
        : { passed: false, actual: unshow(result.slice("failed ".length)) };
    default:
      return undefined;
  }
}

function unshow(shown: string): string | null {
  return shown === "-" ? null : shown.slice(1);
}

type Fields = Record<string, unknown>;

function parseLine(line: string): HistoryEntry | undefined {
  const fields = asFields(JSON.parse(line), "an object");
  if ("history" in fields) {
    if (fields.history === 1) return undefined;
    throw new HistoryError(`history is ${JSON.stringify(fields.history)}, expected version 1`);
  }
  const { client } = fields;
  if (typeof client !== "string" && typeof client !== "number") {
    throw new HistoryError(`client is ${JSON.stringify(client)}, expected a text or a number`);
  }
  const op = parseOp(fields.op, asFields(fields.args, '"args", an object'));
  const outcome = fields.outcome === "not-done" ? "not done" : fields.outcome;
  if (outcome !== "ok" && outcome !== "not done" && outcome !== "unknown") {
    throw new HistoryError(
      `outcome is ${JSON.stringify(outcome)}, expected "ok", "not done" or "unknown"`,
    );
  }
  const invoke = number(fields, "invoke");
  // Without an answer nobody needs to know when it did not come.
  const end = outcome === "ok" ? number(fields, "return") : Infinity;
  if (end < invoke) throw new HistoryError(`return is ${end}, before invoke, ${invoke}`);
  const result = outcome === "ok" ? parseAnswer(op, fields.result) : undefined;
  return { client, object: text(fields, "object"), op, invoke, return: end, outcome, result };
}

function parseOp(kind: unknown, args: Fields): ModelOp {
  switch (kind) {
    case "get":
    case "remove":
      return { kind, key: text(args, "key") };
    case "mget": {
      const keys = list(args, "keys").map((key, i) => text({ [i]: key }, String(i)));
      return { kind, keys };
    }
    case "put": {
      const rows = list(args, "rows").map((row): [string, string] => {
        if (!Array.isArray(row) || row.length !== 2) {
          throw new HistoryError(`a row is ${JSON.stringify(row)}, expected [key, value]`);
        }
        return [text(row as unknown as Fields, "0"), text(row as unknown as Fields, "1")];
      });
      return { kind, rows };
    }
    case "cas":
      return {
        kind,
        key: text(args, "key"),
        expected: args.expected === null ? undefined : text(args, "expected"),
        value: text(args, "value"),
      };
    case "incr":
      return { kind, key: text(args, "key"), by: number(args, "by") };
    default:
      throw new HistoryError(
        `op is ${JSON.stringify(kind)}, expected get, mget, put, remove, cas or incr`,
      );
  }
}

function parseAnswer(op: ModelOp, result: unknown): string {
  if (op.kind === "put" || op.kind === "remove") return "ok";
  const fields = asFields(result, '"result", an object');
  switch (op.kind) {
    case "get":
      return showText(fields, "value");
    case "mget": {
      const values = list(fields, "values");
      if (values.length !== op.keys.length) {
        throw new HistoryError(`${values.length} values for ${op.keys.length} keys`);
      }
      return JSON.stringify(values.map((value, i) => showText({ [i]: value }, String(i))));
    }
    case "incr":
      return typeof fields.value === "number" ? String(fields.value) : text(fields, "value");
    case "cas":
      if (typeof fields.passed !== "boolean") {
        throw new HistoryError(
          `passed is ${JSON.stringify(fields.passed)}, expected true or false`,
        );
      }
      return fields.passed ? "passed" : `failed ${showText(fields, "actual")}`;
  }
}

function showText(fields: Fields, name: string): string {
  return show(fields[name] === null ? undefined : text(fields, name));
}

function asFields(value: unknown, expected: string): Fields {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields;
  throw new HistoryError(`expected ${expected}`);
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value === "string") return value;
  throw new HistoryError(`${name} is ${JSON.stringify(value)}, expected a text`);
}

function number(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value === "number" && Number.isFinite(value)) return value;
  throw new HistoryError(`${name} is ${JSON.stringify(value)}, expected a number`);
}

function list(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name];
  if (Array.isArray(value) && value.length > 0) return value;
  throw new HistoryError(`${name} is ${JSON.stringify(value)}, expected a list that is not empty`);
}
