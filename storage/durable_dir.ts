// Directories that are there after a power loss. A new directory is only as durable as the entry in
// its parent, and that one as the entry of the parent itself. Invariant: when makeDirDurable
// returns, no part of the path can vanish. docs/storage_layout.md, "Directories".

import { assert } from "../src/base/assert.ts";
import type { Files } from "../src/base/files.ts";

/** The directory a path is in; "/" for the root's children. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf("/")));
}

/**
 * Makes a directory and its parents, and syncs every directory that got a new entry. Of one that is there the entry
 * may be in the page cache only, if the process that made it ended just then.
 *
 * @throws {FilesError}
 */
export async function makeDirDurable(files: Files, path: string): Promise<void> {
  assert(path.startsWith("/"), "Path is not absolute", { path });
  const changed: string[] = [];
  for (let at = path; at !== "/" && !files.exists(at); at = parentOf(at)) {
    changed.push(parentOf(at));
  }
  if (changed.length === 0) return await files.syncDir(parentOf(path));
  files.makeDir(path);
  for (const parent of changed.reverse()) await files.syncDir(parent);
}
