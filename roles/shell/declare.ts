// How a command is declared: once, as data. Parsing, usage, help, completion and docs/shell.md all read the same
// declaration (help.ts, complete.ts), so they cannot disagree.

import type { Context } from "./context.ts";
import { suggestion } from "../../src/config/suggest.ts";
import type { Word } from "./words.ts";

/** What a value may be; also what Tab offers. */
export type ValueType =
  | "bytes"
  | "text"
  | "int"
  | "table"
  | "node"
  | "cluster"
  | "env"
  | "file"
  | "command";

/** A value by position. */
export interface Positional {
  readonly name: string;
  readonly type: ValueType;
  readonly brief: string;
  readonly optional?: boolean;
  /** Takes everything that is left; only the last one. */
  readonly rest?: boolean;
  readonly choices?: readonly string[];
}

/** A value by name; `type` "bool" takes no value. */
export interface Flag {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  readonly type: ValueType | "bool";
  readonly brief: string;
  readonly choices?: readonly string[];
  /** For people: what holds if the flag is absent. */
  readonly default?: string;
}

/** Sections of the help, in order. */
export const GROUPS = [
  "session",
  "cluster",
  "tables",
  "users",
  "stats",
  "data",
  "bulk",
  "offline",
] as const;

/** A command. */
export interface Command {
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly group: (typeof GROUPS)[number];
  /** One line. */
  readonly brief: string;
  /** More, if needed: rules. */
  readonly details?: readonly string[];
  /** Whole lines that work, with a comment where one helps. */
  readonly examples?: readonly string[];
  readonly positionals: readonly Positional[];
  readonly flags: readonly Flag[];
  /** Changes data or the cluster: after some failures nobody knows whether it did. */
  readonly changes?: boolean;
  /** It makes no sense to run it again and again. */
  readonly isOnce?: boolean;
  /** Looks at Ctrl-C itself and ends soon after, in good order. */
  readonly isLong?: boolean;
  /** Works on the current table or on --table. */
  readonly needsTable?: boolean;
  /** What a person is asked before it runs; `undefined` = nothing. Scripts say --yes instead. */
  confirm?(args: Args, context: Context): string | undefined;
  run(context: Context, args: Args): Promise<void> | void;
}

/** The caller used a command wrongly. */
export class UsageProblem extends Error {
  override readonly name = "UsageProblem";
}

/** Flag of every command that works on a table. */
const TABLE_FLAG: Flag = {
  name: "table",
  type: "table",
  brief: "Table to work on",
  default: "the one chosen with use",
};

/** Flag of commands that ask before they run. */
const YES_FLAG: Flag = {
  name: "yes",
  short: "y",
  type: "bool",
  brief: "Do not ask for confirmation; scripts need it",
};

/** Flags of every command; the runner obeys them (runner.ts). */
const RESULT_FLAGS: readonly Flag[] = [
  { name: "output", short: "o", type: "file", brief: "Write the result to this file" },
  { name: "json", short: "j", type: "bool", brief: "Print the result as JSON" },
];
const WATCH_FLAG: Flag = {
  name: "watch",
  short: "w",
  type: "int",
  brief: "Run again every so many seconds, until Ctrl-C",
};
/** Groups in which a command that changes nothing can be watched. */
const WATCHED: readonly Command["group"][] = ["cluster", "tables", "stats", "data"];

/** Flags that the command itself declares, or has because of what it is. */
export function ownFlags(command: Command): readonly Flag[] {
  const flags = [...command.flags];
  if (command.needsTable === true) flags.push(TABLE_FLAG);
  if (command.confirm !== undefined) flags.push(besides(flags, YES_FLAG));
  return flags;
}

/** The flag, without its short name if another flag has that. */
function besides(others: readonly Flag[], flag: Flag): Flag {
  if (others.every(({ short }) => short !== flag.short)) return flag;
  const { short: _, ...rest } = flag;
  return rest;
}

/** Flags that commands share; a short name that the command uses itself is not theirs. */
export function commonFlags(command: Command): readonly Flag[] {
  const own = ownFlags(command);
  const isWatched = command.changes !== true && command.isOnce !== true &&
    WATCHED.includes(command.group);
  const common = isWatched ? [...RESULT_FLAGS, WATCH_FLAG] : RESULT_FLAGS;
  return common.filter(({ name }) => own.every((flag) => flag.name !== name))
    .map((flag) => besides(own, flag));
}

/** All flags of a command. */
export function flagsOf(command: Command): readonly Flag[] {
  return [...ownFlags(command), ...commonFlags(command)];
}

/** The values of one call, by declared name. */
export class Args {
  readonly #values = new Map<string, Word[]>();

  add(name: string, word: Word): void {
    const held = this.#values.get(name);
    if (held === undefined) this.#values.set(name, [word]);
    else held.push(word);
  }

  /** Sets a flag without a value. */
  set(name: string): void {
    this.add(name, { bytes: new Uint8Array(0), text: "true", quoted: false });
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** Values of a rest or repeated name. */
  all(name: string): readonly Word[] {
    return this.#values.get(name) ?? [];
  }

  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1)?.text;
  }

  bytes(name: string): Uint8Array | undefined {
    return this.#values.get(name)?.at(-1)?.bytes;
  }

  /** A mandatory value. */
  needText(name: string): string {
    return this.text(name)!;
  }

  /** A mandatory value. */
  needBytes(name: string): Uint8Array {
    return this.bytes(name)!;
  }

  int(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : Number(text);
  }

  /** A flag whose value is true or false. */
  isTrue(name: string, otherwise: boolean): boolean {
    const text = this.text(name);
    return text === undefined ? otherwise : text === "true";
  }
}

/** Values of a command from the words behind its name. @throws {UsageProblem} */
export function parseArgs(command: Command, words: readonly Word[]): Args {
  const args = new Args();
  const flags = flagsOf(command);
  let onlyPositionals = false;
  let position = 0;
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!onlyPositionals && !word.quoted && word.text === "--") {
      onlyPositionals = true;
      continue;
    }
    if (!onlyPositionals && looksLikeFlag(word)) {
      const equals = word.text.indexOf("=");
      const name = equals < 0 ? word.text : word.text.slice(0, equals);
      const flag = findFlag(flags, name);
      if (flag !== undefined) {
        const inline = equals < 0 ? undefined : word.bytes.subarray(equals + 1);
        i += takeFlag(args, flag, { name, inline, next: words[i + 1] });
        continue;
      }
      throw new UsageProblem(unknownFlag(command, name));
    }
    const positional = command.positionals[position];
    if (positional === undefined) throw new UsageProblem(`Unexpected "${word.text}"`);
    check(`<${positional.name}>`, positional, word);
    args.add(positional.name, word);
    if (positional.rest !== true) position++;
  }
  const missing = command.positionals.find((p) => p.optional !== true && !args.has(p.name));
  if (missing !== undefined) throw new UsageProblem(`<${missing.name}> is missing`);
  return args;
}

/** A value that is an argument, or a flag as in the original. @throws {UsageProblem} Without either, or with both */
export function eitherText(args: Args, positional: string, flag: string): string {
  const [value, other] = [args.text(positional), args.text(flag)];
  if (value !== undefined && other !== undefined) {
    throw new UsageProblem(`Choose one of <${positional}> and --${flag}`);
  }
  const given = value ?? other;
  if (given === undefined) throw new UsageProblem(`<${positional}>, or --${flag}, is missing`);
  return given;
}

/** Negative numbers and a lone "-" are values. */
function looksLikeFlag(word: Word): boolean {
  return !word.quoted && /^-[^\d]/.test(word.text);
}

function findFlag(flags: readonly Flag[], name: string): Flag | undefined {
  const wanted = name.replaceAll("-", "_");
  return flags.find((f) =>
    wanted === `__${f.name}` || (f.short !== undefined && name === `-${f.short}`)
  );
}

function takeFlag(
  args: Args,
  flag: Flag,
  given: { name: string; inline: Uint8Array | undefined; next: Word | undefined },
): number {
  if (flag.type === "bool") {
    if (given.inline !== undefined) throw new UsageProblem(`${given.name} takes no value`);
    args.set(flag.name);
    return 0;
  }
  const word = given.inline === undefined
    ? given.next
    : { bytes: given.inline, text: new TextDecoder().decode(given.inline), quoted: true };
  if (word === undefined) throw new UsageProblem(`${given.name} needs a value`);
  check(given.name, flag, word);
  args.add(flag.name, word);
  return given.inline === undefined ? 1 : 0;
}

function check(
  name: string,
  declared: { readonly type: string; readonly choices?: readonly string[] },
  word: Word,
): void {
  if (declared.type === "int" && !/^-?\d{1,15}$/.test(word.text)) {
    throw new UsageProblem(`${name} is "${word.text}", expected a whole number`);
  }
  if (declared.choices !== undefined && !declared.choices.includes(word.text)) {
    throw new UsageProblem(
      `${name} is "${word.text}", expected one of ${declared.choices.join(", ")}`,
    );
  }
}

function unknownFlag(command: Command, name: string): string {
  const known = flagsOf(command).map((flag) => `--${flag.name}`);
  return `Unknown option ${name}${suggestion(name, known)}`;
}
