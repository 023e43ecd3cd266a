// Command-line flags from declared settings. Refuses what it does not know: a mistyped flag never passes
// silently. The only importer of @std/cli.

// @ts-types="./parse_args.d.ts"
import { parseArgs } from "@std/cli/parse-args";
import type { AnySetting } from "./field.ts";
import { suggestion } from "./suggest.ts";

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
  const parsed = parseArgs(explicit, {
    string: [...known, "_"],
    boolean: ["help"],
    collect: known,
    alias: { help: "h" },
    unknown: (word, key) => {
      if (key === undefined || !word.startsWith("-")) return true;
      const name = word.replace(/^-+/, "").replace(/=.*$/s, "");
      const hint = suggestion(`--${name}`, known.map((flag) => `--${flag}`));
      problems.push(`Unknown flag "${word.replace(/=.*$/s, "")}"${hint || "; see --help"}`);
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
