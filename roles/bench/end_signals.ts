// Signals that ask a run to end: it stops what it has started before it goes, and its exit code says which signal
// came.

const NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
const NAMES = Object.keys(NUMBERS) as (keyof typeof NUMBERS)[];

/** Reason of the abort, for people and as the exit code. */
export class Stopped extends Error {
  /** 128 + the number of the signal. */
  readonly exitCode: number;

  constructor(name: keyof typeof NUMBERS) {
    super("Stopped before anything was measured");
    this.exitCode = 128 + NUMBERS[name];
  }
}

/** Takes over the signals until it is released. */
export class EndSignals {
  readonly #abort = new AbortController();
  readonly #handlers = NAMES.map((name) =>
    [name, () => this.#abort.abort(new Stopped(name))] as const
  );

  constructor() {
    for (const [name, handler] of this.#handlers) Deno.addSignalListener(name, handler);
  }

  /** Aborted by the first signal, with a {@link Stopped}. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  release(): void {
    for (const [name, handler] of this.#handlers) Deno.removeSignalListener(name, handler);
  }
}

/** The promise, or the reason of the abort as soon as it comes: for what leaves nothing behind. */
export function unlessStopped<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
