// The log file of a process, with rotation: when it has reached its size it becomes FILE.1, FILE.1 becomes FILE.2, and
// so on; the oldest goes. Invariant: whatever the disk does, a server goes on; a line that cannot be written is
// lost. A file that was moved away by somebody else (logrotate) is opened anew within a second. A file that cannot be
// put aside (a directory that may not be written, a mounted file) grows on.

/** How much is kept. */
export interface LogFileOptions {
  readonly path: string;
  /** A file that has reached this size is put aside. */
  readonly bytesMax: number;
  /** Files put aside that are kept. */
  readonly filesMax: number;
  /** Monotonic ms. */
  readonly now: () => number;
  /** The file cannot be put aside; told once, until it works again. It may log. @default nobody is told */
  readonly onStuck?: (error: unknown) => void;
}

/** How often it is looked whether the file is still the one at its path, ms. */
const CHECK_MS = 1000;
/** A file that could not be put aside is tried again after this, ms. */
const RETRY_MS = 60_000;

/** See the file comment. */
export class LogFile {
  readonly #options: LogFileOptions;
  readonly #encoder = new TextEncoder();
  #file: Deno.FsFile;
  #inode: number | null = null;
  #size = 0;
  #checkedAt: number;
  /** Before, the file is not put aside. */
  #rotateAt = -Infinity;
  #isStuck = false;

  /** @throws {Error} If the file cannot be opened */
  constructor(options: LogFileOptions) {
    this.#options = options;
    this.#checkedAt = options.now();
    this.#file = this.#open();
  }

  /** Appends one line. */
  write(line: string): void {
    const bytes = this.#encoder.encode(line);
    this.#follow();
    if (this.#size > 0 && this.#size + bytes.length > this.#options.bytesMax) this.#tryRotate();
    try {
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
    if (inode === this.#inode) return;
    try {
      this.#reopen();
    } catch {
      // No new file can be made now: lines go on into the old one.
    }
  }

  #tryRotate(): void {
    const { now, onStuck } = this.#options;
    if (now() < this.#rotateAt) return;
    try {
      this.#rotate();
      this.#isStuck = false;
    } catch (error) {
      // First, because whoever is told may write.
      this.#rotateAt = now() + RETRY_MS;
      if (this.#isStuck) return;
      this.#isStuck = true;
      onStuck?.(error);
    }
  }

  #rotate(): void {
    const { path, filesMax } = this.#options;
    const name = (number: number) => number === 0 ? path : `${path}.${number}`;
    // Up to the first free name: what an attempt that failed has moved is not moved again and again, and out.
    let free = 1;
    while (free < filesMax && exists(name(free))) free++;
    for (let number = Math.min(free, filesMax); number > 0; number--) {
      try {
        Deno.renameSync(name(number - 1), name(number));
      } catch (error) {
        // Somebody else took it away.
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    if (filesMax === 0) Deno.removeSync(path);
    this.#reopen();
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}
