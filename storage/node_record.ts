// The `node` file of a data directory: what the next start needs to know of this one and of its neighbours.
// docs/storage_layout.md, "Several directories".

import { toHex } from "../src/base/bytes.ts";
import { type Files, FilesError } from "../src/base/files.ts";
import { encodeChecked, LayoutError, readChecked } from "./replica_dir.ts";

/** What a directory's `node` file says. */
export interface NodeRecord {
  readonly incarnation: number;
  /** Grows with every change of the record, over all directories. */
  readonly version: number;
  /** Name of this directory for ever, whatever its tag; "" before version 1. */
  readonly id: string;
  /** The directories in use, tag to id. */
  readonly disks: Readonly<Record<string, string>>;
  /** Tags of directories that were to be used and could not be: an empty one is not taken for a new disk. */
  readonly lost: readonly string[];
  /** Where the shared logs of that start are; "" = not known. */
  readonly logDir: string;
  /** Whether the process ended with everything synced. */
  readonly clean: boolean;
  /** Identity of meta's store whose tables are kept here; "" = of none yet. */
  readonly store: string;
}

/** A directory that has a record, or gets one. */
export interface RecordedDir {
  readonly tag: string;
  readonly path: string;
  readonly id: string;
  /** As it was read. */
  readonly record: NodeRecord | undefined;
}

/** @returns The first directory that failed. One that is full keeps its older record, which is as good. */
export async function writeRecords<Dir extends RecordedDir>(
  files: Files,
  dirs: readonly Dir[],
  head: Omit<NodeRecord, "id" | "disks">,
): Promise<{ dir: Dir; error: unknown } | undefined> {
  const disks = Object.fromEntries(dirs.map(({ tag, id }) => [tag, id]));
  let written = 0;
  let full: { dir: Dir; error: unknown } | undefined;
  for (const dir of dirs) {
    try {
      await files.writeFileAtomic(
        `${dir.path}/node`,
        encodeChecked({ ...head, id: dir.id, disks }),
      );
      written++;
    } catch (error) {
      const isFull = error instanceof FilesError && error.kind === "noSpace";
      if (!isFull || dir.record === undefined || dir.record.id === "") return { dir, error };
      full = { dir, error };
    }
  }
  return written === 0 ? full : undefined;
}

/** @throws {LayoutError} */
export function readRecord(files: Files, path: string): NodeRecord {
  const stored = readChecked(files, path);
  const { incarnation, version = 0, id = "", disks = {}, logDir = "", clean, store = "" } = stored;
  const { lost = [] } = stored;
  const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);
  if (
    !isWhole(incarnation) || !isWhole(version) || typeof id !== "string" ||
    typeof disks !== "object" || disks === null || typeof logDir !== "string" ||
    typeof store !== "string" || !Array.isArray(lost)
  ) {
    throw new LayoutError("unreadable", `Cannot use "${path}": a value is missing or wrong`);
  }
  const named = disks as Readonly<Record<string, string>>;
  return {
    ...{ incarnation, version, id, logDir, store },
    disks: named,
    lost,
    clean: clean === true,
  };
}

/** An id for a directory that has none. */
export function randomId(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(8)));
}
