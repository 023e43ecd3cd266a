// What code sees of the log: four levels, a constant message, and details apart from it. Pure; observe/log.ts
// stands behind it in processes, and tests pass one that remembers. Messages are constant texts so that
// repeated lines can be counted and found; everything that varies goes into the details.

/** Values that belong to a line: numbers, texts, booleans, errors, small records. */
export type LogDetails = Readonly<Record<string, unknown>>;

/** Importance of a line, least first. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** Where code writes what happened. Not for the path of single requests: an emitted line costs 2 µs. */
export interface Logger {
  debug(message: string, details?: LogDetails): void;
  info(message: string, details?: LogDetails): void;
  warn(message: string, details?: LogDetails): void;
  error(message: string, details?: LogDetails): void;
}

/** The form in which libraries below take a log. */
export type LogCallback = (level: LogLevel, message: string, details?: LogDetails) => void;

/** A logger as a callback. */
export function callbackOf(logger: Logger): LogCallback {
  return (level, message, details) => logger[level](message, details);
}

/** A callback as a logger. */
export function loggerOf(callback: LogCallback): Logger {
  return {
    debug: (message, details) => callback("debug", message, details),
    info: (message, details) => callback("info", message, details),
    warn: (message, details) => callback("warn", message, details),
    error: (message, details) => callback("error", message, details),
  };
}

/** A logger that forgets. */
export const SILENT: Logger = loggerOf(() => {});
