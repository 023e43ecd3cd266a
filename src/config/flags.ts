// Command-line flags from declared settings. Refuses what it does not know: a mistyped flag never passes
// silently. The only importer of @std/cli.

// @ts-types="./parse_args.d.ts"
import { parseArgs } from "@std/cli/parse-args";
import type { AnySetting } from "./field.ts";
import { suggestion } from "./suggest.ts";

/** Most wrong flags that are told. */
const PROBLEMS_MAX = 20;

/** Flags as written, and the words that are no flags. */
export interface Flags {
  /** Text of each given flag; a `bool` flag without a value has "true". */
  readonly given: ReadonlyMap<string, string>;
  readonly words: readonly string[];
  /** `--help` or `-h` is among them. */
  readonly help: boolean;
  /** One message per wrong flag. */
  readonly problems: readonly string[];
}

/**
 * Reads flags: `--name value`, `--name=value`, `--name` for bool settings.
 *
 * @param fields Known flags by name, without dashes.
 * @param args Words after the role.
 */
export function readFlags(fields: ReadonlyMap<string, AnySetting>, args: readonly string[]): Flags {
  const known = [...fields.keys()];
  const problems: string[] = [];
  // A bool flag alone is made explicit here, so that every flag reaches the parser with a value.
  const explicit = args.map((word) =>
    word.startsWith("--") && fields.get(word.slice(2))?.kind === "bool" ? `${word}=true` : word
  );
  const words = explicit.filter((word) => !isMisread(word));
  const misread = explicit.find(isMisread);
  if (misread !== undefined) problems.push(`Unknown flag "${nameOf(misread)}"; see --help`);
  const parsed = parseArgs(words, {
    string: [...known, "_"],
    boolean: ["help"],
    collect: known,
    alias: { help: "h" },
    unknown: (word, key) => {
      if (key === undefined || !word.startsWith("-")) return true;
      // The first ones tell enough, and a suggestion takes its time.
      if (problems.length >= PROBLEMS_MAX) return false;
      const name = word.replace(/^-+/, "").replace(/=.*$/s, "");
      const hint = suggestion(`--${name}`, known.map((flag) => `--${flag}`));
      problems.push(`Unknown flag "${nameOf(word)}"${hint || "; see --help"}`);
      return false;
    },
  });
  const given = new Map<string, string>();
  for (const key of known) {
    const values = parsed[key];
    if (!Array.isArray(values) || values.length === 0) continue;
    const value: unknown = values.at(-1);
    if (values.length > 1) problems.push(`Flag "--${key}" is given twice: keep one of them`);
    // The parser gives "" both for `--name=` and for a flag at the end or before another flag.
    else if (value === "" && !explicit.includes(`--${key}=`)) {
      problems.push(`Flag "--${key}" needs a value: write --${key}=VALUE`);
    } else given.set(key, String(value));
  }
  return { given, words: parsed._.map(String), help: parsed["help"] === true, problems };
}

/** A flag without its value, which may be a secret in the wrong place. */
function nameOf(word: string): string {
  return word.replace(/=.*$/s, "").slice(0, 100);
}

/**
 * What the parser makes something else of: "-abc" is three flags to it, and "_" the place of the words that are
 * no flags. There is one short flag, -h.
 */
function isMisread(word: string): boolean {
  return /^-[^-\d]/.test(word) && word !== "-h" || /^--(no-)?_([.=]|$)/.test(word);
}
