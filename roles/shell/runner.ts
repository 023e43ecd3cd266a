// Runs command lines: finds the command, parses its words, runs it, and turns whatever happens into output and an
// exit status. Invariant: no command and no error ends the shell; only `exit` does.

import { errorName } from "../../src/base/errors.ts";
import { type Cluster, StoreError } from "../../src/client/mod.ts";
import { COMMANDS, needCommand } from "./commands/all.ts";
import { Context, type ShellState } from "./context.ts";
import { type Command, parseArgs, UsageProblem } from "./declare.ts";
import { usageLine } from "./help.ts";
import type { ShellIo } from "./io.ts";
import { parseLine, SyntaxProblem, type Word } from "./words.ts";

/** How long a command may take to notice Ctrl-C, ms. */
const GRACE_MS = 300;

/** Exit statuses. */
export const STATUS_OK = 0;
export const STATUS_FAILED = 1;
export const STATUS_USAGE = 2;

/** See the file comment. */
export class Runner {
  readonly state: ShellState;
  readonly #io: ShellIo;
  readonly #cluster: Cluster;
  #abort: AbortController | undefined;

  constructor(io: ShellIo, cluster: Cluster, state: ShellState) {
    this.#io = io;
    this.#cluster = cluster;
    this.state = state;
  }

  /** Whether a command is running. */
  get isRunning(): boolean {
    return this.#abort !== undefined;
  }

  /** Stops the running command. */
  interrupt(): void {
    this.#abort?.abort();
  }

  /** Names for completion. Empty if the cluster does not answer. */
  async tableNames(): Promise<string[]> {
    try {
      const { tables } = await this.#cluster.admin.listTables("available");
      return tables.map((table) => table.name);
    } catch {
      return [];
    }
  }

  /**
   * Runs the commands of a text, which may have many lines.
   *
   * @param keepGoing Go on after a failed command.
   * @returns The first status that is not 0.
   */
  async run(text: string, keepGoing: boolean): Promise<number> {
    let commands: Word[][];
    try {
      commands = parseLine(text);
    } catch (error) {
      return this.#report(error, undefined, false);
    }
    let first = STATUS_OK;
    for (const words of commands) {
      const status = await this.#runOne(words);
      if (first === STATUS_OK) first = status;
      if (this.state.isLeaving || (status !== STATUS_OK && !keepGoing)) break;
    }
    return first;
  }

  async #runOne(words: readonly Word[]): Promise<number> {
    const abort = new AbortController();
    this.#abort = abort;
    const context = new Context(this.#io, this.state, this.#cluster, abort.signal);
    let command: Command | undefined;
    try {
      command = needCommand(words[0]!.text);
      const args = parseArgs(command, words.slice(1));
      context.tableOverride = command.needsTable === true ? args.text("table") : undefined;
      await unlessAborted(Promise.resolve(command.run(context, args)), abort.signal);
      if (!context.hasAnswered) context.answer(null, "");
      return context.isNegative ? STATUS_FAILED : STATUS_OK;
    } catch (error) {
      return this.#report(error, command, context.hasAnswered);
    } finally {
      this.#abort = undefined;
    }
  }

  #report(error: unknown, command: Command | undefined, hasAnswered: boolean): number {
    const isUsage = error instanceof UsageProblem || error instanceof SyntaxProblem;
    const message = error instanceof Error ? error.message : String(error);
    if (this.state.json) {
      const code = error instanceof StoreError
        ? errorName(error.code)
        : isUsage
        ? "USAGE"
        : "FAILED";
      const outcome = error instanceof StoreError ? error.outcome : "not done";
      const text = `${JSON.stringify({ error: { code, outcome, message } })}\n`;
      // One value per command on standard output: rows that are already out keep the place.
      if (hasAnswered) this.#io.err(text);
      else this.#io.out(text);
    } else {
      const hint = isUsage && command !== undefined ? `\nUsage: ${usageLine(command)}` : "";
      this.#io.err(`${this.#red("ERROR:")} ${message}${outcomeNote(error, command)}${hint}\n`);
    }
    return isUsage ? STATUS_USAGE : STATUS_FAILED;
  }

  #red(text: string): string {
    return this.#io.useColour ? `\x1b[31m${text}\x1b[39m` : text;
  }
}

/** All commands, for whoever shows them. */
export { COMMANDS };

/** For a write the difference matters to the person at the prompt. */
function outcomeNote(error: unknown, command: Command | undefined): string {
  const isUnknown = error instanceof StoreError && error.outcome === "unknown";
  return isUnknown && command?.changes === true ? "\nIt is not known whether it was done" : "";
}

/** The promise, or a failure as soon as Ctrl-C is pressed; the command's own end is then of no interest. */
function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      // Long commands look at the signal and end properly; the others are left behind after a moment.
      setTimeout(() => reject(new Error("Interrupted")), GRACE_MS);
    };
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
