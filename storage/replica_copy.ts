// Copies a closed replica to another data directory. Invariant: at every moment a restart finds one
// whole replica, and if it finds two, the later copy counts (recover_shard.ts); the source is not
// used any more once the copy has its plain name. docs/storage_layout.md, "Directories".

import type { FileHandle, Files } from "../src/base/files.ts";
import type { PartitionId } from "../src/base/ids.ts";
import { makeDirDurable } from "./durable_dir.ts";
import { ReplicaDir, replicasDir } from "./replica_dir.ts";

/** Bytes read and written at a time, between two turns of the event loop. */
const CHUNK_BYTES = 1024 * 1024;

/** Of LevelDB: made anew by whoever opens it. */
const SKIPPED = "LOCK";

/** Which of two copies a restart will find is open. */
export class UnsettledCopyError extends Error {
  override readonly name = "UnsettledCopyError";
}

/**
 * Copies the replica; engine and log must be closed. The source is removed, as far as its disk allows.
 *
 * @param onBytes Hears how much more was copied.
 * @returns Why the source could not be removed, which costs nothing but space; `undefined` = it is gone.
 * @throws {FilesError} If copying failed: the source is what it was.
 * @throws {LayoutError} If the source cannot be used.
 * @throws {UnsettledCopyError} If a restart could find either: the replica must not be used any more.
 */
export async function copyReplica(
  files: Files,
  partition: PartitionId,
  dirs: { readonly from: string; readonly to: string },
  onBytes: (bytes: number) => void = () => {},
): Promise<unknown> {
  const source = ReplicaDir.open(files, dirs.from, partition);
  const target = `${replicasDir(dirs.to)}/${source.path.slice(source.path.lastIndexOf("/") + 1)}`;
  const unborn = `${target}.new`;
  files.remove(unborn);
  try {
    for (const path of [source.enginePath, source.logPath]) {
      await copyDir(files, path, `${unborn}/${path.slice(source.path.length + 1)}`, onBytes);
    }
    await source.writeCopy(unborn);
    files.rename(unborn, target);
  } catch (error) {
    files.remove(unborn);
    throw error;
  }
  try {
    await files.syncDir(replicasDir(dirs.to));
  } catch (cause) {
    throw new UnsettledCopyError(`Cannot tell which of two copies lasts: ${String(cause)}`, {
      cause,
    });
  }
  try {
    await source.remove();
    return undefined;
  } catch (error) {
    // A restart finds both, and takes the later copy.
    return error;
  }
}

/** Copies the files of a directory that holds no others. */
async function copyDir(
  files: Files,
  from: string,
  to: string,
  onBytes: (bytes: number) => void,
): Promise<void> {
  await makeDirDurable(files, to);
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (const name of files.list(from)) {
    if (name === SKIPPED) continue;
    const source = files.open(`${from}/${name}`, "read");
    try {
      const target = files.open(`${to}/${name}`, "createNew");
      try {
        await copyFile(source, target, chunk, onBytes);
      } finally {
        target.close();
      }
    } finally {
      source.close();
    }
  }
  await files.syncDir(to);
}

async function copyFile(
  source: FileHandle,
  target: FileHandle,
  chunk: Uint8Array,
  onBytes: (bytes: number) => void,
): Promise<void> {
  for (let position = 0;;) {
    const read = source.read(chunk, position);
    if (read === 0) return;
    target.write(chunk.subarray(0, read), position);
    position += read;
    onBytes(read);
    // Others get their turn, and the disk is not handed more than it can take at once.
    await target.sync();
  }
}
