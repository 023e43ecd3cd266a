// The language of the shell: words, quotes and escapes, in both directions. Words are byte strings, because
// keys and values are. Invariant: what `quote` prints, `parseLine` reads back as the same bytes.
// Grammar: words are separated by blanks, commands by ";"; '...' and "..." keep blanks; escapes as in C
// (\n \t \r \0 \a \b \f \v \e \\ \' \" \xHH) work everywhere; "#" at the start of a word begins a comment.

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";

/** One word of a command. */
export interface Word {
  readonly bytes: Uint8Array;
  /** The bytes as text; invalid UTF-8 reads as U+FFFD. */
  readonly text: string;
  /** Quoted or escaped before its first "=", at least in part: never an option. --name="value" is one. */
  readonly quoted: boolean;
}

/** A line that is not a list of commands. Message for people. */
export class SyntaxProblem extends Error {
  override readonly name = "SyntaxProblem";
}

const ESCAPES: Readonly<Record<string, number>> = {
  n: 10,
  t: 9,
  r: 13,
  a: 7,
  b: 8,
  f: 12,
  v: 11,
  e: 27,
  "0": 0,
  "\\": 92,
  "'": 39,
  '"': 34,
  ";": 59,
  " ": 32,
  "#": 35,
};

const EQUALS = 61;

const NAMES: Readonly<Record<number, string>> = { 10: "\\n", 9: "\\t", 13: "\\r", 92: "\\\\" };

/** Commands of a line, each a list of at least one word. @throws {SyntaxProblem} */
export function parseLine(line: string): Word[][] {
  const scanner = new LineScanner(line);
  return scanner.run();
}

class LineScanner {
  readonly #line: string;
  #at = 0;
  #commands: Word[][] = [];
  #words: Word[] = [];
  #bytes: number[] = [];
  #inWord = false;
  #quoted = false;

  constructor(line: string) {
    this.#line = line;
  }

  run(): Word[][] {
    let quote = "";
    while (this.#at < this.#line.length) {
      const char = this.#take();
      if (char === "\\") {
        this.#escape();
      } else if (quote !== "") {
        if (char === quote) quote = "";
        else this.#push(char);
      } else if (char === "'" || char === '"') {
        quote = char;
        this.#beginQuoted();
      } else if (char === ";" || char === "\n") {
        this.#endCommand();
      } else if (char === " " || /\s/.test(char)) {
        this.#endWord();
      } else if (char === "#" && !this.#inWord) {
        const end = this.#line.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.#line.length : end;
      } else {
        this.#push(char);
      }
    }
    if (quote !== "") throw new SyntaxProblem(`A closing ${quote} is missing`);
    this.#endCommand();
    return this.#commands;
  }

  #take(): string {
    const char = String.fromCodePoint(this.#line.codePointAt(this.#at)!);
    this.#at += char.length;
    return char;
  }

  #push(char: string): void {
    this.#inWord = true;
    const code = char.charCodeAt(0);
    if (code < 0x80) this.#bytes.push(code);
    else for (const byte of utf8(char)) this.#bytes.push(byte);
  }

  #beginQuoted(): void {
    this.#inWord = true;
    this.#quoted ||= !this.#bytes.includes(EQUALS);
  }

  #escape(): void {
    this.#beginQuoted();
    const kind = this.#at < this.#line.length ? this.#take() : "";
    if (kind === "x") {
      const hex = this.#line.slice(this.#at, this.#at + 2);
      if (!/^[0-9a-fA-F]{2}$/.test(hex)) {
        throw new SyntaxProblem("Two hexadecimal digits are expected after \\x, as in \\x0f");
      }
      this.#at += 2;
      this.#bytes.push(parseInt(hex, 16));
      return;
    }
    const byte = ESCAPES[kind];
    if (byte === undefined) {
      throw new SyntaxProblem(
        kind === "" ? "The line ends with a backslash" : `Unknown escape \\${kind}; use \\xHH`,
      );
    }
    this.#bytes.push(byte);
  }

  #endWord(): void {
    if (!this.#inWord) return;
    const bytes = Uint8Array.from(this.#bytes);
    this.#words.push({ bytes, text: fromUtf8(bytes), quoted: this.#quoted });
    this.#bytes = [];
    this.#inWord = false;
    this.#quoted = false;
  }

  #endCommand(): void {
    this.#endWord();
    if (this.#words.length > 0) this.#commands.push(this.#words);
    this.#words = [];
  }
}

/**
 * Bytes as text that can be printed and typed: unprintable bytes as \xHH.
 *
 * @param all Escape everything that is not printable ASCII, also letters of other languages.
 */
export function escapeBytes(bytes: Uint8Array, all: boolean): string {
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at]!;
    if (byte < 0x80) {
      text += NAMES[byte] ??
        (byte < 32 || byte === 127 ? hexEscape(byte) : String.fromCharCode(byte));
      at++;
      continue;
    }
    const char = all ? undefined : characterAt(bytes, at);
    text += char ?? hexEscape(byte);
    at += char === undefined ? 1 : utf8(char).length;
  }
  return text;
}

/** {@link escapeBytes} in double quotes. */
export function quote(bytes: Uint8Array, all: boolean): string {
  return `"${escapeBytes(bytes, all).replaceAll('"', '\\"')}"`;
}

/** The printable character that starts here, if one does. */
function characterAt(bytes: Uint8Array, at: number): string | undefined {
  const lead = bytes[at]!;
  const length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length === 0 || at + length > bytes.length) return undefined;
  const view = bytes.subarray(at, at + length);
  const char = fromUtf8(view);
  if ([...char].length !== 1 || utf8(char).length !== length || char === "\ufffd") return undefined;
  // Categories C (control, unassigned) and Z (odd blanks) cannot be told apart on a screen.
  return /[\p{C}\p{Z}]/u.test(char) ? undefined : char;
}

function hexEscape(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, "0")}`;
}
