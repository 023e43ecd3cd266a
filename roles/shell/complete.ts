// Tab completion from the declarations: commands, options, choices, and names of tables, servers, clusters and
// table variables. A word is completed as it stands; quotes and escapes are not understood.

import { knownTableEnvs } from "../../src/schema/table_envs.ts";
import { type Command, flagsOf } from "./declare.ts";

/** What can stand at the end of a line. */
export interface Completion {
  /** Full words. */
  readonly candidates: string[];
  /** The part of the line they replace. */
  readonly word: string;
}

/** Names of the cluster and the user, as far as known. */
export interface KnownNames {
  readonly tables: readonly string[];
  readonly nodes: readonly string[];
  readonly clusters: readonly string[];
}

/** Completes the last word of a line. */
export function complete(
  line: string,
  commands: readonly Command[],
  known: KnownNames,
): Completion {
  const part = line.slice(line.lastIndexOf(";") + 1).trimStart();
  const words = part.split(/\s+/);
  const word = words.at(-1) ?? "";
  const matching = (all: readonly string[]) => ({
    candidates: all.filter((one) => one.startsWith(word)).sort(),
    word,
  });
  const names = commands.flatMap((command) => [command.name, ...(command.aliases ?? [])]);
  if (words.length <= 1) return matching(names);
  const command = commands.find((c) => c.name === words[0] || c.aliases?.includes(words[0]!));
  if (command === undefined) return { candidates: [], word };
  const flags = flagsOf(command);
  if (word.startsWith("-")) return matching(flags.map((flag) => `--${flag.name}`));
  const before = words.at(-2)!;
  const flag = flags.find((f) => `--${f.name}` === before || `-${f.short}` === before);
  const isValue = flag !== undefined && flag.type !== "bool";
  const place = isValue ? flag : positionalAt(command, words.slice(1, -1));
  if (place === undefined) return { candidates: [], word };
  if (place.choices !== undefined) return matching(place.choices);
  const values: Readonly<Record<string, readonly string[]>> = {
    table: known.tables,
    node: known.nodes,
    cluster: known.clusters,
    env: knownTableEnvs().map(([name]) => name),
    command: names,
  };
  return matching(values[place.type] ?? []);
}

/** The positional the next word would be. */
function positionalAt(command: Command, words: readonly string[]) {
  const flags = flagsOf(command);
  let position = 0;
  for (let i = 0; i < words.length; i++) {
    const flag = flags.find((f) => `--${f.name}` === words[i] || `-${f.short}` === words[i]);
    if (flag === undefined) position++;
    else if (flag.type !== "bool") i++;
  }
  const last = command.positionals.at(-1);
  return command.positionals[position] ?? (last?.rest === true ? last : undefined);
}
