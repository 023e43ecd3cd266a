// Runs command lines: finds the command, parses its words, asks before it destroys something, runs it once or
// again and again, and turns whatever happens into output and an exit status. Invariant: no command and no error
// ends the shell; only `exit` does.

import { errorName } from "../../src/base/errors.ts";
import { Err, StoreError } from "../../src/client/mod.ts";
import { suggestion } from "../../src/config/suggest.ts";
import { COMMANDS, needCommand } from "./commands/all.ts";
import type { Connections } from "./connections.ts";
import { Context, type ShellState } from "./context.ts";
import { type Args, type Command, flagsOf, parseArgs, UsageProblem } from "./declare.ts";
import { usageLine } from "./help.ts";
import type { ShellIo } from "./io.ts";
import { parseLine, SyntaxProblem, type Word } from "./words.ts";

/** How long a command is waited for after Ctrl-C, ms: one that looks at it ends what it has begun. */
const GRACE_MS = 300;
const LONG_GRACE_MS = 5000;

/** Exit statuses. */
export const STATUS_OK = 0;
const STATUS_FAILED = 1;
export const STATUS_USAGE = 2;

/** Ctrl-C, and the command did not end by itself. */
class Interrupted extends Error {
  override readonly message = "Interrupted";
}

/** One call of a command. */
interface Call {
  readonly command: Command;
  readonly args: Args;
}

/** See the file comment. */
export class Runner {
  readonly state: ShellState;
  /** Asks the person at the prompt; `undefined` = nobody is there. */
  ask: (question: string) => Promise<string | undefined>;
  /** The same for what is not shown while it is typed. */
  askSecret: ((question: string) => Promise<string>) | undefined;
  readonly #io: ShellIo;
  readonly #connections: Connections;
  #abort: AbortController | undefined;
  /** Leaves the running command behind. */
  #leave = (): void => {};

  constructor(io: ShellIo, connections: Connections, state: ShellState) {
    this.#io = io;
    this.#connections = connections;
    this.state = state;
    this.askSecret = io.askSecret?.bind(io);
    this.ask = (question) => io.ask?.(question) ?? Promise.resolve(undefined);
  }

  /** Whether a command is running. */
  get isRunning(): boolean {
    return this.#abort !== undefined;
  }

  /** Stops the running command; for the second time at once, whatever it does. */
  interrupt(): void {
    if (this.#abort?.signal.aborted === true) this.#leave();
    else this.#abort?.abort();
  }

  /** Clusters known by name. */
  get clusterNames(): string[] {
    return this.#connections.known.map(({ name }) => name);
  }

  /** Names for completion. Empty if the cluster does not answer. */
  async names(): Promise<{ tables: string[]; nodes: string[] }> {
    try {
      const { admin } = this.#connections.cluster;
      const [{ tables }, nodes] = await Promise.all([
        admin.listTables("available"),
        admin.listNodes(),
      ]);
      return { tables: tables.map(({ name }) => name), nodes: nodes.map(({ node }) => node) };
    } catch {
      return { tables: [], nodes: [] };
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
      return this.#report(error, undefined, { json: this.state.json, hasAnswered: false });
    }
    let first = STATUS_OK;
    for (const words of commands) {
      const { status, isInterrupted } = await this.#runOne(words);
      if (first === STATUS_OK) first = status;
      if (this.state.isLeaving || isInterrupted || (status !== STATUS_OK && !keepGoing)) break;
    }
    return first;
  }

  async #runOne(
    words: readonly Word[],
  ): Promise<{ status: number; isInterrupted: boolean }> {
    const abort = new AbortController();
    this.#abort = abort;
    try {
      const status = await this.#call(words, abort.signal);
      return { status, isInterrupted: abort.signal.aborted };
    } finally {
      this.#abort = undefined;
    }
  }

  async #call(words: readonly Word[], signal: AbortSignal): Promise<number> {
    // Before the words are understood it is known whether a program reads the answer.
    const isJsonAsked = words.some(({ text, quoted }) =>
      !quoted && (text === "--json" || text === "-j")
    );
    const json = this.state.json || isJsonAsked;
    let command: Command | undefined;
    try {
      command = needCommand(words[0]!.text);
      const call = wantsHelp(words) ? helpOn(command) : {
        command,
        args: parseArgs(command, words.slice(1)),
      };
      const everyMs = watchMsOf(call.args);
      await this.#confirm(call, signal);
      if (everyMs === 0) return await this.#once(call, signal);
      return await this.#watch(call, everyMs, signal);
    } catch (error) {
      return this.#report(error, command, { json, hasAnswered: false });
    }
  }

  /** @throws {Error} If a person does not agree, or nobody can be asked. */
  async #confirm(call: Call, signal: AbortSignal): Promise<void> {
    const { command, args } = call;
    if (command.confirm === undefined || args.has("yes") || this.state.yes) return;
    const question = command.confirm(args, this.#contextOf(call, signal));
    if (question === undefined) return;
    const answer = await unlessAborted(this.ask(`${question} [y/N] `), signal, 0).catch(() => {
      this.#io.err("\n");
      return "";
    });
    if (answer === undefined) {
      throw new UsageProblem(`${question} Nobody can be asked here: add --yes`);
    }
    if (!/^\s*y(es)?\s*$/i.test(answer)) throw new Error("Nothing was done");
  }

  #contextOf({ command, args }: Call, signal: AbortSignal, io = this.#io): Context {
    const context = new Context(io, this.state, this.#connections, signal);
    context.json ||= args.has("json");
    context.ask = this.ask;
    context.askSecret = this.askSecret;
    context.tableOverride = command.needsTable === true ? args.text("table") : undefined;
    return context;
  }

  async #once(call: Call, signal: AbortSignal, io = this.#io): Promise<number> {
    const { command, args } = call;
    const context = this.#contextOf(call, signal, io);
    const file = args.text("output");
    try {
      if (file !== undefined) context.sink = await this.#io.createFile(file);
      const graceMs = command.isLong === true ? LONG_GRACE_MS : GRACE_MS;
      const left = new Promise<never>((_, reject) => this.#leave = () => reject(new Interrupted()));
      const running = Promise.resolve(command.run(context, args));
      await unlessAborted(Promise.race([running, left]), signal, graceMs);
      if (!context.hasAnswered) context.answer(null, "");
      await context.finish();
      if (file !== undefined) this.#tellFile(context, file);
      return context.isNegative ? STATUS_FAILED : STATUS_OK;
    } catch (error) {
      // It may have failed while it closed the file.
      await context.abandon().catch(() => {});
      // One value per command on standard output: rows that are already out there keep the place.
      const hasAnswered = context.hasAnswered && context.sink === undefined;
      const said = { json: context.json, hasAnswered };
      return this.#report(await this.#withHint(error, call, context), command, said, io);
    }
  }

  /** What to do: a table that does not exist was perhaps only misspelt, a meta server is somewhere else. */
  async #withHint(error: unknown, { command, args }: Call, context: Context): Promise<unknown> {
    if (!(error instanceof StoreError)) return error;
    if (error.code === Err.CONNECT_FAILED && error.detail.includes("meta servers")) {
      if (error.detail.includes("speaks TLS")) {
        return new StoreError(error.code, `${error.detail}; --tls-ca FILE connects by TLS`);
      }
      const hint = "; is a meta server running there? --meta or cc names another";
      return new StoreError(error.code, error.detail + hint);
    }
    if (error.code !== Err.APP_NOT_EXIST) return error;
    const places = [...command.positionals, ...flagsOf(command)];
    const given = places.filter(({ type }) => type === "table").map(({ name }) => args.text(name));
    const wanted = given.find((name) => name !== undefined) ?? context.state.tableName ?? "";
    const { tables } = await this.names();
    if (tables.includes(wanted)) return error;
    const hint = suggestion(wanted, tables) || '; "ls" lists the tables';
    return new StoreError(error.code, error.detail + hint);
  }

  #tellFile(context: Context, file: string): void {
    if (context.json) this.#io.out(`${JSON.stringify({ file })}\n`);
    else this.#io.err(`Written to ${file}\n`);
  }

  /** Until Ctrl-C; a failure is shown and the next round tries again: one watches when something is wrong. */
  async #watch(call: Call, everyMs: number, signal: AbortSignal): Promise<number> {
    const isScreen = this.#io.useColour && !call.args.has("output") && !call.args.has("json") &&
      !this.state.json;
    let status = STATUS_OK;
    for (;;) {
      const round = isScreen ? new ScreenRound(this.#io) : undefined;
      const last = await this.#once(call, signal, round?.io);
      if (signal.aborted) return status;
      round?.show(`${call.command.name}, every ${everyMs / 1000} s`);
      status = last;
      if (status === STATUS_USAGE) return status;
      if (await pauseUnlessAborted(everyMs, signal)) return status;
    }
  }

  #report(
    error: unknown,
    command: Command | undefined,
    { json, hasAnswered }: { readonly json: boolean; readonly hasAnswered: boolean },
    io = this.#io,
  ): number {
    const isUsage = error instanceof UsageProblem || error instanceof SyntaxProblem;
    const message = error instanceof Error ? error.message : String(error);
    if (json) {
      const code = error instanceof StoreError
        ? errorName(error.code)
        : isUsage
        ? "USAGE"
        : "FAILED";
      const outcome = isUnknown(error, command) ? "unknown" : "not done";
      // The code stands beside it.
      const said = error instanceof StoreError ? error.detail : message;
      const text = `${JSON.stringify({ error: { code, outcome, message: said } })}\n`;
      if (hasAnswered) io.err(text);
      else io.out(text);
    } else {
      const hint = isUsage && command !== undefined
        ? `\nUsage: ${usageLine(command)}; "help ${command.name}" tells more`
        : "";
      const note = isUnknown(error, command) ? "\nIt is not known whether it was done" : "";
      io.err(`${this.#red("ERROR:")} ${message}${note}${hint}\n`);
    }
    return isUsage ? STATUS_USAGE : STATUS_FAILED;
  }

  #red(text: string): string {
    return this.#io.useColour ? `\x1b[31m${text}\x1b[39m` : text;
  }
}

/** What a watched command prints, kept until it is whole: the screen changes at once. */
class ScreenRound {
  readonly io: ShellIo;
  readonly #real: ShellIo;
  #text = "";

  constructor(real: ShellIo) {
    this.#real = real;
    const keep = (text: string) => void (this.#text += text);
    this.io = { ...real, errIsTerminal: false, out: keep, err: keep };
  }

  show(title: string): void {
    const time = new Date().toISOString().slice(11, 19);
    this.#real.out(`\x1b[H\x1b[2J${title}, ${time} UTC; Ctrl-C ends it\n\n${this.#text}`);
  }
}

/** All commands, for whoever shows them. */
export { COMMANDS };

/** `set --help` is `help set`. */
function wantsHelp(words: readonly Word[]): boolean {
  const end = words.findIndex(({ text, quoted }) => !quoted && text === "--");
  const options = end < 0 ? words : words.slice(0, end);
  return options.some(({ text, quoted }) => !quoted && text === "--help");
}

function helpOn({ name }: Command): Call {
  const help = needCommand("help");
  return { command: help, args: parseArgs(help, parseLine(`help ${name}`)[0]!.slice(1)) };
}

/** Milliseconds of --watch, 0 without it. @throws {UsageProblem} */
function watchMsOf(args: Args): number {
  const seconds = args.int("watch");
  if (seconds === undefined) return 0;
  if (seconds < 1) throw new UsageProblem(`--watch is ${seconds}, expected 1 second or more`);
  return seconds * 1000;
}

/** For a change the difference matters to the person at the prompt. */
function isUnknown(error: unknown, command: Command | undefined): boolean {
  if (command?.changes !== true) return false;
  return error instanceof Interrupted ||
    (error instanceof StoreError && error.outcome === "unknown");
}

/** The promise, or a failure as soon as Ctrl-C is pressed; the command's own end is then of no interest. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal, graceMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const stop = () => {
      // Long commands look at the signal and end properly; the others are left behind after a moment.
      timer = setTimeout(() => reject(new Interrupted()), graceMs);
    };
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
    });
  });
}

/** @returns True as soon as Ctrl-C is pressed. */
function pauseUnlessAborted(ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => end(false), ms);
    const stop = () => end(true);
    const end = (aborted: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      resolve(aborted);
    };
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
  });
}
