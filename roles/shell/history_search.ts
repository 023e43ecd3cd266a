// Ctrl-R at the prompt, as other line editors have it: what is typed from then on is looked for in the history, newest
// line first; Ctrl-R again goes to the next older one, Backspace widens the search. What stood in the line already
// begins it. Enter runs the line that was found, any other key takes it to be edited.

import type { Interface } from "node:readline";

/** A key as readline tells it. */
interface Key {
  readonly name?: string;
  readonly ctrl?: boolean;
  readonly meta?: boolean;
}

/** Where keys come from. */
interface KeySource {
  on(event: "keypress", listener: (text: string | undefined, key: Key) => void): unknown;
}

/** A search under way. Invariant: `found` contains `needle`, or is the line of the last success. */
export class HistorySearch {
  needle: string;
  found: string;
  #place = -1;
  readonly #lines: readonly string[];

  /** @param lines Newest first. */
  constructor(lines: readonly string[], needle: string) {
    this.#lines = lines;
    this.needle = needle;
    this.found = needle;
    if (needle !== "") this.older();
  }

  /** False if nothing in the history contains the needle. */
  isMatch = true;

  /** Goes to the next older line; stays where there is none. */
  older(): void {
    this.#look(this.#place + 1);
  }

  type(text: string): void {
    this.needle += text;
    this.#look(Math.max(0, this.#place));
  }

  erase(): void {
    this.needle = [...this.needle].slice(0, -1).join("");
    this.#place = -1;
    this.#look(0);
  }

  #look(from: number): void {
    const at = this.#lines.findIndex((line, i) => i >= from && line.includes(this.needle));
    this.isMatch = at >= 0;
    if (at < 0) return;
    this.#place = at;
    this.found = this.#lines[at]!;
  }
}

/** What a key means while a search is under way. */
function meaningOf(text: string | undefined, { name, ctrl, meta }: Key) {
  if (ctrl === true && name === "r") return "older";
  if (name === "backspace") return "erase";
  const isText = text !== undefined && text !== "" && ctrl !== true && meta !== true &&
    !/\p{Cc}/u.test(text);
  return isText ? "type" : "end";
}

/** Makes Ctrl-R search the history of an editor, which has seen every key before this does. */
export function searchHistory(keys: KeySource, editor: Interface): void {
  // The list is not in the declared interface; without it Ctrl-R does nothing.
  const historyOf = () =>
    (editor as unknown as { readonly history?: readonly string[] }).history ?? [];
  let search: HistorySearch | undefined;
  let prompt = "";
  const show = (line: string) => {
    editor.write(null, { ctrl: true, name: "e" });
    editor.write(null, { ctrl: true, name: "u" });
    if (line !== "") editor.write(line);
    // The prompt may have changed although the line did not.
    else editor.prompt(true);
  };
  keys.on("keypress", (text, key = {}) => {
    const meaning = meaningOf(text, key);
    if (search === undefined) {
      if (meaning !== "older") return;
      prompt = editor.getPrompt();
      search = new HistorySearch(historyOf(), editor.line);
    } else if (meaning === "older") search.older();
    else if (meaning === "erase") search.erase();
    else if (meaning === "type") search.type(text!);
    else {
      search = undefined;
      editor.setPrompt(prompt);
      const isDone = key.name === "return" || key.name === "enter";
      if (!isDone) editor.prompt(true);
      return;
    }
    editor.setPrompt(`(search${search.isMatch ? "" : ": nothing"}) "${search.needle}": `);
    show(search.found);
  });
}
