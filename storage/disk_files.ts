// The real disk behind src/base/files.ts, on Deno's own file API: positional access by seek + read
// or write (0.8 us a pair; node:fs with explicit positions takes 1.0-1.4 us). Invariant: an
// operation that returned did all of it, and every failure is a FilesError that says which file.
// Proven equal to its twin (tests/sim/memory_files.ts) by tests/conformance/files_suite.ts.

import { type FileHandle, type Files, FilesError } from "../src/base/files.ts";
import { parentOf } from "./durable_dir.ts";

const LOCK_NAME = "LOCK";

/** The disk of this machine. */
export const diskFiles: Files = {
  open(path, mode) {
    return attempt("open", path, () =>
      new DiskFile(
        path,
        Deno.openSync(path, {
          read: true,
          write: mode !== "read",
          create: mode === "create",
          createNew: mode === "createNew",
        }),
      ));
  },

  exists(path) {
    try {
      Deno.lstatSync(path);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return false;
      throw toFilesError("look up", path, error);
    }
  },

  readFile: (path) => attempt("read", path, () => Deno.readFileSync(path)),

  async writeFileAtomic(path, bytes) {
    const temporary = `${path}.tmp`;
    const file = attempt(
      "create",
      temporary,
      () =>
        new DiskFile(
          temporary,
          Deno.openSync(temporary, { write: true, create: true, truncate: true }),
        ),
    );
    try {
      file.write(bytes, 0);
      await file.sync();
    } finally {
      file.close();
    }
    this.rename(temporary, path);
    await this.syncDir(parentOf(path));
  },

  list(path) {
    try {
      return [...Deno.readDirSync(path)].map((entry) => entry.name).sort();
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return [];
      throw toFilesError("list", path, error);
    }
  },

  makeDir: (path) => attempt("make", path, () => Deno.mkdirSync(path, { recursive: true })),

  rename: (from, to) => attempt("rename", from, () => Deno.renameSync(from, to)),

  async syncDir(path) {
    const directory = attempt("open", path, () => Deno.openSync(path, { read: true }));
    try {
      await directory.syncData();
    } catch (error) {
      throw toFilesError("sync", path, error);
    } finally {
      directory.close();
    }
  },

  remove(path) {
    try {
      Deno.removeSync(path, { recursive: true });
    } catch (error) {
      notRemoved(path, error);
    }
  },

  discard: (path) =>
    Deno.remove(path, { recursive: true }).catch((error) => notRemoved(path, error)),

  lockDir(path) {
    const lockPath = `${path}/${LOCK_NAME}`;
    const file = attempt(
      "open",
      lockPath,
      () => Deno.openSync(lockPath, { read: true, write: true, create: true }),
    );
    if (!attempt("lock", lockPath, () => lockExclusively(file))) {
      file.close();
      throw new FilesError(
        "exists",
        `Cannot use "${path}": another process has locked it, stop that one first`,
      );
    }
    let held = true;
    return {
      release() {
        if (held) file.close();
        held = false;
      },
    };
  },
};

// An advisory lock of the kernel: it goes with the process, however that ends, and leaves nothing
// stale. Deno before 2.5 can only wait for it, which keeps a second process out as well, without
// telling it why.
function lockExclusively(file: Deno.FsFile): boolean {
  const lock = file as unknown as {
    tryLockSync?(exclusive: boolean): boolean;
    lockSync(exclusive: boolean): void;
  };
  if (lock.tryLockSync !== undefined) return lock.tryLockSync(true);
  lock.lockSync(true);
  return true;
}

class DiskFile implements FileHandle {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  #closed = false;

  constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  write(bytes: Uint8Array, position: number): void {
    try {
      this.#file.seekSync(position, Deno.SeekMode.Start);
      let done = 0;
      while (done < bytes.length) {
        const count = this.#file.writeSync(done === 0 ? bytes : bytes.subarray(done));
        if (count <= 0) throw new Error(`Wrote ${done} of ${bytes.length} bytes`);
        done += count;
      }
    } catch (error) {
      throw toFilesError("write", this.#path, error);
    }
  }

  read(bytes: Uint8Array, position: number): number {
    try {
      this.#file.seekSync(position, Deno.SeekMode.Start);
      let done = 0;
      while (done < bytes.length) {
        const count = this.#file.readSync(done === 0 ? bytes : bytes.subarray(done));
        if (count === null || count === 0) break;
        done += count;
      }
      return done;
    } catch (error) {
      throw toFilesError("read", this.#path, error);
    }
  }

  size(): number {
    return attempt("look up", this.#path, () => this.#file.statSync().size);
  }

  truncate(size: number): void {
    attempt("truncate", this.#path, () => this.#file.truncateSync(size));
  }

  async sync(): Promise<void> {
    try {
      await this.#file.syncData();
    } catch (error) {
      throw toFilesError("sync", this.#path, error);
    }
  }

  syncNow(): void {
    attempt("sync", this.#path, () => this.#file.syncDataSync());
  }

  close(): void {
    if (!this.#closed) this.#file.close();
    this.#closed = true;
  }
}

function attempt<T>(verb: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw toFilesError(verb, path, error);
  }
}

function toFilesError(verb: string, path: string, error: unknown): FilesError {
  const text = error instanceof Error ? error.message : String(error);
  const code = (error as { code?: unknown } | null)?.code;
  const kind = error instanceof Deno.errors.NotFound
    ? "notFound"
    : error instanceof Deno.errors.AlreadyExists
    ? "exists"
    : code === "ENOSPC" || code === "EDQUOT" || text.includes("os error 28")
    ? "noSpace"
    : "io";
  return new FilesError(kind, `Cannot ${verb} "${path}": ${text}`, { cause: error });
}

/** What is absent need not be removed. */
function notRemoved(path: string, error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw toFilesError("remove", path, error);
}
