// The log file of a process, with rotation: when it has reached its size it becomes FILE.1, FILE.1 becomes FILE.2, and
// so on; the oldest goes. Invariant: whatever the disk does, a server goes on; a line that cannot be written is
// lost. A file that was moved away by somebody else (logrotate) is opened anew within a second.

/** How much is kept. */
export interface LogFileOptions {
  readonly path: string;
  /** A file that has reached this size is put aside. */
  readonly bytesMax: number;
  /** Files put aside that are kept. */
  readonly filesMax: number;
  /** Monotonic ms. */
  readonly now: () => number;
}

/** How often it is looked whether the file is still the one at its path, ms. */
const CHECK_MS = 1000;

/** See the file comment. */
export class LogFile {
  readonly #options: LogFileOptions;
  readonly #encoder = new TextEncoder();
  #file: Deno.FsFile;
  #inode: number | null = null;
  #size = 0;
  #checkedAt: number;

  /** @throws {Error} If the file cannot be opened */
  constructor(options: LogFileOptions) {
    this.#options = options;
    this.#checkedAt = options.now();
    this.#file = this.#open();
  }

  /** Appends one line. */
  write(line: string): void {
    try {
      this.#follow();
      const bytes = this.#encoder.encode(line);
      if (this.#size > 0 && this.#size + bytes.length > this.#options.bytesMax) this.#rotate();
      for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
      this.#size += bytes.length;
    } catch {
      // A full disk loses the line, not the server.
    }
  }

  close(): void {
    this.#file.close();
  }

  #open(): Deno.FsFile {
    const file = Deno.openSync(this.#options.path, { append: true, create: true });
    const { ino, size } = file.statSync();
    this.#inode = ino;
    this.#size = size;
    return file;
  }

  #reopen(): void {
    const next = this.#open();
    this.#file.close();
    this.#file = next;
  }

  #follow(): void {
    const now = this.#options.now();
    if (now - this.#checkedAt < CHECK_MS) return;
    this.#checkedAt = now;
    let inode: number | null = null;
    try {
      inode = Deno.statSync(this.#options.path).ino;
    } catch {
      // It is gone: the next line makes a new one.
    }
    if (inode !== this.#inode) this.#reopen();
  }

  #rotate(): void {
    const { path, filesMax } = this.#options;
    const name = (number: number) => number === 0 ? path : `${path}.${number}`;
    for (let number = filesMax; number > 0; number--) {
      try {
        Deno.renameSync(name(number - 1), name(number));
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    if (filesMax === 0) Deno.removeSync(path);
    this.#reopen();
  }
}
