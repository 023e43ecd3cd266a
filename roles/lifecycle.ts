// The life of a server process: what was started is stopped in reverse order when SIGINT or SIGTERM comes,
// within a deadline; a second signal ends the process at once. A promise nobody handled, or an exception
// nobody caught, is a bug: it is logged and the process ends with code 1, because its state is unknown and
// recovery starts from what is durable.

import type { Logger } from "../src/observe/logger.ts";

/** What the lifecycle needs from the runtime; tests pass their own. */
export interface ProcessHooks {
  onSignal(signal: "SIGINT" | "SIGTERM", handler: () => void): void;
  /** Uncaught exceptions and unhandled rejections. */
  onFault(handler: (kind: string, error: unknown) => void): void;
  exit(code: number): void;
}

/** The hooks of the running process. */
export const DENO_HOOKS: ProcessHooks = {
  onSignal: (signal, handler) => Deno.addSignalListener(signal, handler),
  onFault: (handler) => {
    globalThis.addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      handler("Unhandled rejection", event.reason);
    });
    globalThis.addEventListener("error", (event) => {
      event.preventDefault();
      handler("Uncaught exception", event.error ?? event.message);
    });
  },
  exit: (code) => Deno.exit(code),
};

/** See the file comment. */
export class Lifecycle {
  readonly #logger: Logger;
  readonly #hooks: ProcessHooks;
  readonly #deadlineMs: () => number;
  readonly #stops: { name: string; stop: () => Promise<void> | void }[] = [];
  #stopping = false;

  /**
   * Takes over signals and faults of the process.
   *
   * @param deadlineMs How long a whole stop may take before the process ends without the rest of it; asked when it
   * begins.
   */
  constructor(logger: Logger, deadlineMs: () => number, hooks: ProcessHooks = DENO_HOOKS) {
    this.#logger = logger;
    this.#hooks = hooks;
    this.#deadlineMs = deadlineMs;
    hooks.onSignal("SIGINT", () => this.#onSignal("SIGINT", 130));
    hooks.onSignal("SIGTERM", () => this.#onSignal("SIGTERM", 143));
    hooks.onFault((kind, error) => {
      logger.error(kind, { error });
      hooks.exit(1);
    });
  }

  /** Registers how to stop what was just started; the last registered stops first. */
  onStop(name: string, stop: () => Promise<void> | void): void {
    this.#stops.push({ name, stop });
  }

  #onSignal(signal: string, exitCode: number): void {
    if (this.#stopping) {
      this.#logger.warn("Second signal, ending at once", { signal });
      this.#hooks.exit(exitCode);
      return;
    }
    this.#logger.info("Stopping", { signal });
    this.stop().then((clean) => this.#hooks.exit(clean ? 0 : 1));
  }

  /** Ends the process with code 1 because it cannot do its work any more; stops what can be stopped. */
  fail(reason: string): void {
    if (this.#stopping) return;
    this.#logger.error("Cannot go on", { reason });
    this.stop().then(() => this.#hooks.exit(1));
  }

  /**
   * Ends the process with code 1 at once: what it stands on has failed, and a stop in order would say that all is
   * written. A process that is gone is replaced within a moment, one that waits for a dead disk is not.
   */
  abandon(error: Error): void {
    this.#logger.error("Cannot go on, ending at once", { reason: error.message, error });
    this.#hooks.exit(1);
  }

  /** Stops everything. @returns False if something failed or the deadline passed. */
  async stop(): Promise<boolean> {
    this.#stopping = true;
    const deadlineMs = this.#deadlineMs();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const deadline = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => {
        this.#logger.error("Stopping took too long", { deadlineMs });
        resolve(false);
      }, deadlineMs);
    });
    const clean = await Promise.race([this.#stopAll(), deadline]);
    clearTimeout(timer);
    return clean;
  }

  async #stopAll(): Promise<boolean> {
    let clean = true;
    for (let entry = this.#stops.pop(); entry !== undefined; entry = this.#stops.pop()) {
      try {
        await entry.stop();
      } catch (error) {
        // One part that cannot stop must not keep the others from closing their files.
        this.#logger.error("Cannot stop", { part: entry.name, error });
        clean = false;
      }
    }
    return clean;
  }
}
