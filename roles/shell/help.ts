// Everything a user can read about the commands, made from their declarations: help at the prompt, usage lines in
// errors, and docs/shell.md.

import { type Command, commonFlags, type Flag, GROUPS, ownFlags } from "./declare.ts";

const GROUP_TITLES: Readonly<Record<(typeof GROUPS)[number], string>> = {
  session: "The shell",
  cluster: "Cluster and servers",
  tables: "Tables",
  users: "Users and rights",
  stats: "Load, sizes and diagnosis",
  data: "Data (of the table chosen with use)",
  bulk: "Many rows at once",
  offline: "Files of a stopped server, and formats",
};

/** `set <hash_key> <sort_key> <value> [ttl]` */
export function usageLine(command: Command): string {
  const positionals = command.positionals.map((p) => {
    const name = p.rest === true ? `${p.name}...` : p.name;
    return p.optional === true ? `[${name}]` : `<${name}>`;
  });
  return [command.name, ...positionals, "[options]"].join(" ");
}

function flagName(flag: Flag): string {
  const short = flag.short === undefined ? "    " : `-${flag.short}, `;
  const value = flag.type === "bool" ? "" : ` <${flag.type === "bytes" ? "bytes" : flag.type}>`;
  return `${short}--${flag.name}${value}`;
}

function valueNotes(item: { choices?: readonly string[]; default?: string }): string {
  const notes: string[] = [];
  if (item.choices !== undefined) notes.push(`one of ${item.choices.join(", ")}`);
  if (item.default !== undefined) notes.push(`default: ${item.default}`);
  return notes.length === 0 ? "" : ` (${notes.join("; ")})`;
}

/** Everything about one command. */
export function commandHelp(command: Command): string {
  const lines = [usageLine(command), "", `  ${command.brief}`];
  if (command.aliases !== undefined) lines.push(`  Also called: ${command.aliases.join(", ")}`);
  for (const detail of command.details ?? []) lines.push(`  ${detail}`);
  const positionals = command.positionals.map((p): [string, string] => [
    p.name,
    p.brief + valueNotes(p),
  ]);
  const described = (f: Flag): [string, string] => [flagName(f), f.brief + valueNotes(f)];
  const flags = ownFlags(command).map(described);
  const common = commonFlags(command).map(described);
  const all = [...positionals, ...flags, ...common];
  const width = Math.max(0, ...all.map(([name]) => name.length));
  const column = ([name, brief]: [string, string]) => `  ${name.padEnd(width)}  ${brief}`;
  if (positionals.length > 0) lines.push("", "Arguments:", ...positionals.map(column));
  if (flags.length > 0) lines.push("", "Options:", ...flags.map(column));
  lines.push("", "Options of all commands:", ...common.map(column));
  const { examples = [] } = command;
  if (examples.length > 0) lines.push("", "Examples:", ...examples.map((line) => `  ${line}`));
  return lines.join("\n");
}

/** One line per command, by group. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(...commands.map((command) => command.name.length));
  const sections = GROUPS.map((group) =>
    [
      `${GROUP_TITLES[group]}:`,
      ...commands.filter((command) => command.group === group)
        .map((command) => `  ${command.name.padEnd(width)}  ${command.brief}`),
    ].join("\n")
  );
  const hints = [
    'Bytes are typed as "\\x00\\xff" or text, in quotes if they contain blanks; ";" separates commands.',
    'Say "help COMMAND" for arguments and options.',
  ];
  return [...sections, hints.join("\n")].join("\n\n");
}

/** Content of docs/shell.md. `programFlags` describes the command line of the shell itself. */
export function shellPage(commands: readonly Command[], programFlags: string): string {
  const lines = [
    "# Shell",
    "",
    "Generated from the declarations in `roles/shell/commands` by `deno task docs`; do not edit.",
    "",
    "```text",
    programFlags,
    "```",
    "",
    "Keys and values are bytes. A word is text in UTF-8; `\\xHH` and the escapes of C stand for single",
    "bytes, quotes keep blanks, `;` separates commands, `#` begins a comment, `--` ends the options. A",
    'word that is quoted is a value and no option; `--name="a value"` is an option. What is printed can',
    'be typed in again. Rows are printed as `"hash key" : "sort key" => "value"`.',
    "",
    "With `--json` every command writes one JSON value to standard output: its result, or",
    '`{"error":{"code":"...","outcome":"...","message":"..."}}`. Bytes that are not UTF-8 appear as',
    '`{"base64":"..."}`. The outcome of a failed write is `not done` or `unknown`.',
    "",
    "Exit status: 0 all commands succeeded, 1 a command failed or answered no (`get` of a missing row, a",
    "failed check), 2 wrong usage, 141 nobody reads its output any more. A script stops at the first",
    "failed command unless `--keep-going` is given.",
    "",
    "At the prompt Ctrl-C stops the running command, Ctrl-D leaves, Ctrl-R searches the history, and Tab",
    "completes commands, options, and names of tables, servers, clusters and table variables. The history",
    "is kept in `~/.pegasus_history` (or `$PEGASUS_HISTORY`). Colours honour `NO_COLOR`.",
    "",
    "Every command takes `--json` and `--output FILE`; those that only read take `--watch SECONDS` and",
    "run again until Ctrl-C. Commands that destroy something ask first, on the terminal and never in a",
    "file or pipe; where nobody can be asked they refuse until `--yes` is added. Names may be written",
    "with dashes: `remote-command` is `remote_command`.",
    "",
  ];
  for (const group of GROUPS) {
    lines.push(`## ${GROUP_TITLES[group]}`, "");
    for (const command of commands.filter((c) => c.group === group)) {
      lines.push(`### ${command.name}`, "", "```text", commandHelp(command), "```", "");
    }
  }
  return lines.join("\n");
}
