// The prompt: node:readline with history, completion and Ctrl-C that stops a command and not the shell. Ctrl-R
// searches the history backwards (history_search.ts), which Node's readline does not do by itself.

import { createInterface, type Interface } from "node:readline";
import process from "node:process";
import { environment } from "./io.ts";
import { complete, type KnownNames } from "./complete.ts";
import { searchHistory } from "./history_search.ts";
import { COMMANDS, type Runner } from "./runner.ts";

const HISTORY_LINES_MAX = 1000;

/** Where the prompt stands: standard output may be a file. */
const screen = process.stdout.isTTY ? process.stdout : process.stderr;

/** Reads and runs lines until exit or Ctrl-D. */
export async function runPrompt(runner: Runner): Promise<void> {
  const historyFile = historyPath();
  // Completion may come late; a cluster that does not answer must not hold the prompt back.
  let names: Omit<KnownNames, "clusters"> = { tables: [], nodes: [] };
  const learnNames = () => void runner.names().then((found) => names = found);
  learnNames();
  const editor = createInterface({
    input: process.stdin,
    output: screen,
    history: readHistory(historyFile),
    historySize: HISTORY_LINES_MAX,
    removeHistoryDuplicates: true,
    completer: (line: string): [string[], string] => {
      const { candidates, word } = complete(line, COMMANDS, {
        ...names,
        clusters: runner.clusterNames,
      });
      return [candidates.map((one) => `${one} `), word];
    },
  });
  const typed = new TypedLines(editor);
  runner.ask = (question) => typed.next(question);
  runner.askSecret = (question) => typed.secret(question);
  searchHistory(process.stdin, editor);
  editor.on("SIGINT", () => {
    typed.forget();
    if (runner.isRunning) runner.interrupt();
    else dropLine(editor);
  });
  editor.on("history", (lines: string[]) => {
    // Taken out of the list that the editor keeps.
    if (typed.isSecret) lines.shift();
    else if (lines.length > 0) rememberLine(historyFile, lines[0]!);
  });
  try {
    for (;;) {
      const line = await typed.next(promptText(runner));
      if (line === undefined) break;
      await runner.run(line, false);
      if (runner.state.isLeaving) break;
      if (/^\s*(cc|create|drop|recall|rename)\b/.test(line)) learnNames();
    }
  } finally {
    editor.close();
  }
}

function promptText(runner: Runner): string {
  const { tableName } = runner.state;
  return tableName === undefined ? "pegasus> " : `pegasus ${tableName}> `;
}

/** Lines as they were typed or pasted; those that came while a command ran wait for their turn. */
class TypedLines {
  readonly #editor: Interface;
  #waiting: string[] = [];
  /** What is typed now is a secret. */
  isSecret = false;
  #isClosed = false;
  #wake: () => void = () => {};

  constructor(editor: Interface) {
    this.#editor = editor;
    editor.on("line", (line: string) => {
      this.#waiting.push(line);
      this.#wake();
    });
    editor.on("close", () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /** The next line; `undefined` after Ctrl-D. */
  async next(prompt: string): Promise<string | undefined> {
    const early = this.#waiting.shift();
    if (early !== undefined) {
      // Its echo stands above the answer of the command before it.
      screen.write(`${prompt}${early}\n`);
      return early;
    }
    if (!this.#isClosed) {
      this.#editor.setPrompt(prompt);
      this.#editor.prompt();
    }
    while (this.#waiting.length === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    return this.#waiting.shift();
  }

  /** A line that is neither shown nor remembered. @throws {Error} If none is given */
  async secret(prompt: string): Promise<string> {
    this.#waiting = [];
    const show = screen.write;
    this.isSecret = true;
    try {
      const typed = this.next(prompt);
      screen.write = () => true;
      const answer = await typed;
      if (answer === undefined || answer === "") throw new Error("No password was given");
      return answer;
    } finally {
      screen.write = show;
      screen.write("\n");
      this.isSecret = false;
    }
  }

  /** Ctrl-C means everything that was typed ahead, and the secret that is being typed. */
  forget(): void {
    this.#waiting = [];
    if (!this.isSecret) return;
    // It must not stand at the next prompt.
    clearLine(this.#editor);
    this.#waiting.push("");
    this.#wake();
  }
}

/** Ctrl-C at the prompt: forget what was typed. */
function dropLine(editor: Interface): void {
  screen.write("^C\n");
  clearLine(editor);
  editor.prompt();
}

function clearLine(editor: Interface): void {
  editor.write(null, { ctrl: true, name: "e" });
  editor.write(null, { ctrl: true, name: "u" });
}

function historyPath(): string | undefined {
  const chosen = environment("PEGASUS_HISTORY");
  if (chosen !== undefined && chosen !== "") return chosen;
  const home = environment("HOME");
  return home === undefined ? undefined : `${home}/.pegasus_history`;
}

/** Newest first, as readline keeps it; each line once. */
function readHistory(path: string | undefined): string[] {
  try {
    if (path === undefined) return [];
    const lines = Deno.readTextFileSync(path).split("\n").filter((line) => line !== "");
    const kept = [...new Set(lines.reverse())].slice(0, HISTORY_LINES_MAX);
    // Lines are only appended, so somebody has to make the file short again.
    if (lines.length > 2 * HISTORY_LINES_MAX) writeHistory(path, kept.toReversed());
    return kept;
  } catch {
    // No history yet, or no permission to read it: not worth a word.
    return [];
  }
}

/** Appended, because several prompts share the file. */
function rememberLine(path: string | undefined, line: string): void {
  if (path !== undefined) writeHistory(path, [line], true);
}

function writeHistory(path: string, lines: readonly string[], append = false): void {
  try {
    const text = lines.map((line) => `${line}\n`).join("");
    Deno.writeTextFileSync(path, text, { mode: 0o600, append });
  } catch {
    // A read-only home costs the history, not the shell.
  }
}
