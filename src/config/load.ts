// Settings of one server: defaults, then the file named by --config, then flags. What is not understood is
// refused with what was wrong, what was expected and what to do; nothing is ignored and nothing guessed.
// A file may serve several roles: keys of other roles are checked and left alone. Used by roles only;
// the only importer of the TOML library.

import { parse as parseToml } from "smol-toml";
import { type AnySetting, text } from "./field.ts";
import { readFlags } from "./flags.ts";
import type { ServerRole } from "./group.ts";
import { checkTogether, type Declared, declaredSettings, type Settings } from "./settings.ts";
import { suggestion } from "./suggest.ts";

/** How loading ended. */
export type Loaded =
  | { readonly kind: "settings"; readonly settings: Settings }
  | { readonly kind: "help" }
  | { readonly kind: "invalid"; readonly problems: readonly string[] };

/** The flag that names the file; it cannot be in the file. */
export const CONFIG_FLAG: AnySetting = text({
  default: "",
  doc: "TOML file with settings; flags stand above it",
});

/**
 * Loads the settings of `role`.
 *
 * @param args Words after the role.
 * @param readFile Content of the file; throws if it cannot be read.
 */
export function loadSettings(
  role: ServerRole,
  args: readonly string[],
  readFile: (path: string) => string,
): Loaded {
  const own = declaredSettings(role);
  const fields = new Map<string, AnySetting>([
    ["config", CONFIG_FLAG],
    ...own.map(({ key, field }) => [key, field] as const),
  ]);
  const flags = readFlags(fields, args);
  if (flags.help) return { kind: "help" };
  const problems = [...flags.problems];
  for (const word of flags.words) {
    problems.push(`Unexpected word "${word}": ${role} takes only flags, see --help`);
  }
  const values = defaults();
  const file = flags.given.get("config");
  if (file !== undefined) takeFile(file, own, readFile, values, problems);
  for (const declared of own) {
    const given = flags.given.get(declared.key);
    if (given !== undefined) take(declared, given, `--${declared.key}`, values, problems);
  }
  const settings = values as unknown as Settings;
  if (problems.length === 0) problems.push(...checkTogether(settings));
  return problems.length > 0 ? { kind: "invalid", problems } : { kind: "settings", settings };
}

/** All settings at their defaults: for tests and for processes that read no flags. */
export function defaultSettings(): Settings {
  return defaults() as unknown as Settings;
}

type Values = Record<string, Record<string, unknown>>;

function defaults(): Values {
  const values: Values = {};
  for (const { group, name, field } of declaredSettings()) {
    (values[group] ??= {})[name] = field.default;
  }
  return values;
}

function takeFile(
  path: string,
  own: readonly Declared[],
  readFile: (path: string) => string,
  values: Values,
  problems: string[],
): void {
  let table: Record<string, unknown>;
  try {
    table = parseToml(readFile(path));
  } catch (error) {
    const reason = error instanceof Error ? error.message.trim() : String(error);
    problems.push(`Cannot read the settings file "${path}": ${reason}`);
    return;
  }
  const others = declaredSettings();
  for (const [key, value] of Object.entries(table)) {
    const where = `"${key}" in "${path}"`;
    const mine = own.find((declared) => declared.key === key);
    const declared = mine ?? others.find((other) => other.key === key);
    if (declared !== undefined) take(declared, value, where, mine ? values : {}, problems);
    else if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      problems.push(`Unexpected table [${key}] in "${path}": settings stand at the top level`);
    } else {
      const hint = suggestion(key, others.map((other) => other.key));
      problems.push(`Unknown setting ${where}${hint || "; docs/config.md lists all"}`);
    }
  }
}

function take(
  { group, name, field }: Declared,
  input: unknown,
  where: string,
  values: Values,
  problems: string[],
): void {
  const parsed = field.parse(input);
  if (parsed.ok) (values[group] ??= {})[name] = parsed.value;
  else {
    const got = typeof input === "bigint" ? String(input) : JSON.stringify(input);
    problems.push(
      `Bad value of ${where}: got ${got}, expected ${parsed.expected}; ` +
        `leave it out for the default ${JSON.stringify(field.format(field.default))}`,
    );
  }
}
