// Ctrl-R at the prompt: the newest line of the history that contains what was typed, and with every further
// Ctrl-R the next older one. Any other key takes the line as it stands.

import type { Interface } from "node:readline";

/** A key as readline tells it. */
interface Key {
  readonly name?: string;
  readonly ctrl?: boolean;
}

/** Where keys come from. */
interface KeySource {
  on(event: "keypress", listener: (text: string | undefined, key: Key) => void): unknown;
}

/**
 * The place of the next line that contains `needle`, from `from` on.
 *
 * @param lines Newest first.
 * @returns -1 if there is none.
 */
export function nextMatch(lines: readonly string[], needle: string, from: number): number {
  for (let at = from; at < lines.length; at++) {
    if (lines[at]!.includes(needle)) return at;
  }
  return -1;
}

/** Makes Ctrl-R search the history of an editor. */
export function searchHistory(keys: KeySource, editor: Interface): void {
  // The list is not in the declared interface; without it Ctrl-R does nothing.
  const historyOf = () =>
    (editor as unknown as { readonly history?: readonly string[] }).history ?? [];
  let needle: string | undefined;
  let place = -1;
  keys.on("keypress", (_text, key) => {
    if (key?.ctrl !== true || key.name !== "r") {
      needle = undefined;
      return;
    }
    if (needle === undefined) [needle, place] = [editor.line, -1];
    const found = nextMatch(historyOf(), needle, place + 1);
    if (found < 0) return;
    place = found;
    editor.write(null, { ctrl: true, name: "e" });
    editor.write(null, { ctrl: true, name: "u" });
    editor.write(historyOf()[found]!);
  });
}
