// The files of a LevelDB, as its directory shows them and as far as the engine's promises depend on them.

import { EngineError, type EngineErrorKind } from "./engine.ts";

/** LevelDB removes what a crash leaves of such a name. */
const PROBE = "000000.dbtmp";

/** The disk has no room for a file, or the process, or the machine, may not open another one. */
const NO_FILE = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE"]);

/** LevelDB's own write-ahead logs, by name. @throws {EngineError} */
export function logFilesOf(dir: string): string[] {
  try {
    const files = [...Deno.readDirSync(dir)].filter((entry) => entry.isFile);
    return files.map((entry) => entry.name).filter((name) => name.endsWith(".log"));
  } catch (error) {
    throw new EngineError(kindOf(error), `Cannot list "${dir}": ${String(error)}`, {
      cause: error,
    });
  }
}

/**
 * Why a log file stayed although the database takes writes. LevelDB needs a new log before it writes the memtable as a
 * table; without one it goes on with the old log, and nothing is lost.
 */
export function whyLogStayed(dir: string): EngineErrorKind {
  try {
    Deno.openSync(`${dir}/${PROBE}`, { write: true, create: true }).close();
    Deno.removeSync(`${dir}/${PROBE}`);
    return "io";
  } catch (error) {
    return kindOf(error);
  }
}

function kindOf(error: unknown): EngineErrorKind {
  return NO_FILE.has(String((error as { code?: unknown }).code)) ? "noFile" : "io";
}
