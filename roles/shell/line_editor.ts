// The prompt: node:readline with history, completion and Ctrl-C that stops a command and not the shell.
// Ctrl-R does not search: Node's readline has no reverse search; Up after some letters finds them in the history.

import { createInterface, type Interface } from "node:readline";
import process from "node:process";
import { environment } from "./io.ts";
import { complete } from "./complete.ts";
import { COMMANDS, type Runner } from "./runner.ts";

const HISTORY_LINES_MAX = 1000;

/** Reads and runs lines until exit or Ctrl-D. */
export async function runPrompt(runner: Runner): Promise<void> {
  const historyFile = historyPath();
  // Completion may come late; a cluster that does not answer must not hold the prompt back.
  let tables: string[] = [];
  const learnTables = () => void runner.tableNames().then((names) => tables = names);
  learnTables();
  const editor = createInterface({
    input: process.stdin,
    output: process.stdout,
    history: readHistory(historyFile),
    historySize: HISTORY_LINES_MAX,
    removeHistoryDuplicates: true,
    completer: (line: string): [string[], string] => {
      const { candidates, word } = complete(line, COMMANDS, tables);
      return [candidates.map((one) => `${one} `), word];
    },
  });
  editor.on("SIGINT", () => {
    if (runner.isRunning) runner.interrupt();
    else dropLine(editor);
  });
  editor.on("history", (lines: string[]) => writeHistory(historyFile, lines));
  try {
    for (;;) {
      const line = await ask(editor, promptText(runner));
      if (line === undefined) break;
      await runner.run(line, false);
      if (runner.state.isLeaving) break;
      if (/^\s*(create|drop|recall|rename)\b/.test(line)) learnTables();
    }
  } finally {
    editor.close();
  }
}

function promptText(runner: Runner): string {
  const { tableName } = runner.state;
  return tableName === undefined ? "pegasus> " : `pegasus ${tableName}> `;
}

/** The next line; `undefined` at Ctrl-D. */
function ask(editor: Interface, prompt: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const onClose = () => resolve(undefined);
    editor.once("close", onClose);
    editor.setPrompt(prompt);
    editor.once("line", (line: string) => {
      editor.off("close", onClose);
      resolve(line);
    });
    editor.prompt();
  });
}

/** Ctrl-C at the prompt: forget what was typed. */
function dropLine(editor: Interface): void {
  process.stdout.write("^C\n");
  editor.write(null, { ctrl: true, name: "e" });
  editor.write(null, { ctrl: true, name: "u" });
  editor.prompt();
}

function historyPath(): string | undefined {
  const chosen = environment("PEGASUS_HISTORY");
  if (chosen !== undefined && chosen !== "") return chosen;
  const home = environment("HOME");
  return home === undefined ? undefined : `${home}/.pegasus_history`;
}

/** Newest first, as readline keeps it. */
function readHistory(path: string | undefined): string[] {
  try {
    if (path === undefined) return [];
    return Deno.readTextFileSync(path).split("\n").filter((line) => line !== "").reverse();
  } catch {
    // No history yet, or no permission to read it: not worth a word.
    return [];
  }
}

function writeHistory(path: string | undefined, newestFirst: readonly string[]): void {
  try {
    const text = [...newestFirst].reverse().map((line) => `${line}\n`).join("");
    if (path !== undefined) Deno.writeTextFileSync(path, text, { mode: 0o600 });
  } catch {
    // A read-only home costs the history, not the shell.
  }
}
