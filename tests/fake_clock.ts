// The wall clock of another process, moved while it runs: Debian's libfaketime stands between it and the system's
// clock, and takes the offset from a file. The monotonic clock and times of files stay what they are, as when
// somebody sets a machine's date. Invariant: an offset is seen within {@link FakeClock.seenMs}.

const LIBRARIES = [
  "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
  "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/** Why no clock can be moved here; `undefined` if clocks can. */
export function fakeClockMissing(): string | undefined {
  if (library() !== undefined) return undefined;
  return "libfaketime is not installed, clocks were not moved; apt-get install libfaketime";
}

function library(): string | undefined {
  return LIBRARIES.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
}

/** See the file comment. */
export class FakeClock {
  /** The library looks at the file once a second. */
  static readonly seenMs = 1500;
  readonly #file: string;

  /** @param file Holds the offset; made. */
  constructor(file: string) {
    this.#file = file;
    this.set(0);
  }

  /** Variables that the process has to be started with. */
  get env(): Record<string, string> {
    return {
      LD_PRELOAD: library()!,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_CACHE_DURATION: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
      NO_FAKE_STAT: "1",
    };
  }

  /** From soon on the process' clock is so far ahead of the real one. @param seconds Negative = behind. */
  set(seconds: number): void {
    Deno.writeTextFileSync(`${this.#file}.new`, `${seconds < 0 ? "-" : "+"}${Math.abs(seconds)}\n`);
    Deno.renameSync(`${this.#file}.new`, this.#file);
  }
}
