// What LevelDB and its addon throw, as errors of an engine.

import { EngineError, type EngineErrorKind } from "./engine.ts";

/** The error of a database that is closed. */
export function closedError(): EngineError {
  return new EngineError("closed", "The database is closed");
}

/** What LevelDB says, as an error of an engine. @param what Says what failed. */
export function engineError(what: string, error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const { code, message } = error instanceof Error
    ? error as Error & { code?: string }
    : { code: undefined, message: String(error) };
  return new EngineError(kindOf(code ?? "", message), `${what}: ${message}`, { cause: error });
}

function kindOf(code: string, message: string): EngineErrorKind {
  if (code === "LEVEL_CORRUPTION" || message.startsWith("Corruption")) return "corruption";
  if (code === "LEVEL_LOCKED" || message.startsWith("IO error: lock ")) return "locked";
  if (/No space left on device|Disk quota exceeded/.test(message)) return "noSpace";
  if (code === "LEVEL_IO_ERROR" || message.startsWith("IO error")) return "io";
  if (code.endsWith("_NOT_OPEN")) return "closed";
  return "other";
}
