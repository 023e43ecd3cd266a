// The data directory of a server process: one process at a time, and a number for each of its
// starts. Invariant: incarnations strictly grow, also over power loss, because peers and
// generations rely on it. docs/storage_layout.md, "Directories".

import type { Files } from "../src/base/files.ts";
import { makeDirDurable } from "./durable_dir.ts";
import { encodeChecked, LayoutError, readChecked } from "./replica_dir.ts";

/** A data directory in use by this process. */
export interface DataDir {
  readonly path: string;
  /** Number of this start. */
  readonly incarnation: number;
  release(): void;
}

/**
 * Locks the directory, made if absent, and starts a new incarnation.
 *
 * @param nowSeconds Unix time: keeps incarnations growing even if the directory was wiped.
 * @throws {FilesError} `exists` if another process uses it.
 * @throws {LayoutError}
 */
export async function openDataDir(
  files: Files,
  path: string,
  nowSeconds: number,
): Promise<DataDir> {
  await makeDirDurable(files, path);
  const lock = files.lockDir(path);
  try {
    const incarnation = await readAndBumpIncarnation(files, path, nowSeconds);
    return { path, incarnation, release: () => lock.release() };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * Starts a new incarnation: larger than every earlier one, and durable.
 *
 * @throws {FilesError}
 * @throws {LayoutError} If the file that counts them is damaged or of a newer program.
 */
export async function readAndBumpIncarnation(
  files: Files,
  dataDir: string,
  nowSeconds = 0,
): Promise<number> {
  const path = `${dataDir}/node`;
  let last = 0;
  if (files.exists(path)) {
    const stored = readChecked(files, path).incarnation;
    if (typeof stored !== "number" || !Number.isSafeInteger(stored)) {
      throw new LayoutError("unreadable", `Cannot use "${path}": the incarnation is no number`);
    }
    last = stored;
  }
  const incarnation = Math.max(last + 1, nowSeconds);
  await files.writeFileAtomic(path, encodeChecked({ incarnation }));
  return incarnation;
}
