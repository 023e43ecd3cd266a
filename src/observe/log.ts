// The log of a process: categories, levels, text or JSON lines, to stderr or a file. Configured once by a
// role; everything below takes a Logger (logger.ts). The only importer of logtape. A line that cannot be
// written is lost: the log never stops a server. Repeated lines are held back, and lines below the level
// left out, except those of the audit, which is complete.

import {
  configureSync,
  getLogger,
  type LogLevel as TapeLevel,
  type LogRecord,
  resetSync,
} from "@logtape/logtape";
import { LineLimit } from "./line_limit.ts";
import {
  type LogCallback,
  type LogDetails,
  type Logger,
  loggerOf,
  type LogLevel,
} from "./logger.ts";

/** How a process logs. */
export interface LogOptions {
  /** Least important level that is written. */
  readonly level: LogLevel;
  readonly format: "text" | "json";
  /** Takes one finished line including its newline: stderr or a file. */
  readonly write: (line: string) => void;
  /** Monotonic ms, for the limit of repeated lines. */
  readonly monotonicMs: () => number;
}

/** The configured log of this process. */
export interface Log {
  /** The logger of a category like "meta.core". */
  logger(category: string): Logger;
  /** Changes the least important level that is written. */
  setLevel(level: LogLevel): void;
  /** Stops writing. */
  close(): void;
}

const ROOT = "pegasus";
/** Category of what is kept of changes (docs/SECURITY.md, "Audit"); it bounds itself. */
const AUDIT = "audit";
/** Lines of one kind that pass in each window before they are only counted. */
const BURST = 20;
const WINDOW_MS = 10_000;

/** Configures the log of this process; call it once. */
export function openLog(options: LogOptions): Log {
  const render = options.format === "json" ? jsonLine : textLine;
  const limit = new LineLimit(BURST, WINDOW_MS);
  const sink = (record: LogRecord) => {
    const category = record.category.slice(1).join(".");
    // The raw form: braces are placeholders to the library, ours are meant literally.
    const message = String(record.rawMessage);
    const held = category === AUDIT
      ? 0
      : limit.admit(`${category} ${record.level} ${message}`, options.monotonicMs());
    if (held < 0) return;
    const details = held === 0 ? record.properties : { ...record.properties, heldBack: held };
    options.write(render(record.timestamp, nameOf(record.level), category, message, details));
  };
  const setLevel = (level: LogLevel) =>
    configureSync({
      sinks: { out: sink },
      loggers: [
        { category: ROOT, sinks: ["out"], lowestLevel: tapeLevel(level) },
        { category: [ROOT, AUDIT], sinks: ["out"], parentSinks: "override", lowestLevel: "info" },
        { category: ["logtape", "meta"], sinks: [], lowestLevel: "fatal" },
      ],
      reset: true,
    });
  setLevel(options.level);
  return {
    setLevel,
    logger: (category) => {
      const tape = getLogger([ROOT, ...category.split(".")]);
      const callback: LogCallback = (level, message, details) =>
        tape[tapeLevel(level)](message, details as Record<string, unknown> | undefined);
      return loggerOf(callback);
    },
    close: resetSync,
  };
}

function tapeLevel(level: LogLevel): "debug" | "info" | "warning" | "error" {
  return level === "warn" ? "warning" : level;
}

function nameOf(level: TapeLevel): string {
  return level === "warning" ? "warn" : level;
}

function jsonLine(
  timestamp: number,
  level: string,
  category: string,
  message: string,
  details: LogDetails,
): string {
  const time = new Date(timestamp).toISOString();
  const line = { time, level, category, message, ...details };
  try {
    return JSON.stringify(line, jsonValue) + "\n";
  } catch {
    return JSON.stringify({ time, level, category, message, details: "not representable" }) + "\n";
  }
}

function textLine(
  timestamp: number,
  level: string,
  category: string,
  message: string,
  details: LogDetails,
): string {
  const time = new Date(timestamp).toISOString();
  let line = `${time} ${level.toUpperCase().padEnd(5)} ${category}: ${message}`;
  for (const [name, value] of Object.entries(details)) {
    if (value !== undefined) line += ` ${name}=${textValue(value)}`;
  }
  // One event is one line, whatever a peer or a user put into the details.
  return line.replaceAll("\r", "\\r").replaceAll("\n", "\\n") + "\n";
}

const PLAIN = /^[^\s"=\p{Cc}\p{Cf}]+$/u;

/** Text in quotes, on one line, without characters that control or turn around what follows. */
function printable(text: string): string {
  return JSON.stringify(text).replace(
    /[\p{Cc}\p{Cf}]/gu,
    (char) => `\\u${char.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );
}

function textValue(value: unknown): string {
  // Strangers choose some of these texts: nothing of them may act on the terminal that shows the log.
  if (typeof value === "string") return PLAIN.test(value) ? value : printable(value);
  if (value instanceof Error) return JSON.stringify(value.stack ?? String(value));
  if (typeof value !== "object" || value === null) return String(value);
  try {
    return JSON.stringify(value, jsonValue);
  } catch {
    return "(not representable)";
  }
}

function jsonValue(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Error) return value.stack ?? String(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (value instanceof Map) return Object.fromEntries(value);
  return value;
}
