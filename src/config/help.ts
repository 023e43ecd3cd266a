// What people read about settings, made from the declarations: the --help of a role and docs/config.md.

import type { AnySetting } from "./field.ts";
import type { ServerRole } from "./group.ts";
import { CONFIG_FLAG } from "./load.ts";
import { type Declared, declaredSettings, GROUPS } from "./settings.ts";

/** The help of a server role. */
export function roleHelp(role: ServerRole, brief: string): string {
  const lines = [brief, "", `Usage: pegasus ${role} [flags]`, ""];
  lines.push(...flagLines([["config", CONFIG_FLAG], ["help", HELP]]));
  for (const [group, declared] of byGroup(role)) {
    lines.push("", `${GROUPS[group].title}:`);
    lines.push(...flagLines(declared.map(({ key, field }) => [key, field] as const)));
  }
  lines.push(
    "",
    "The same names are keys of the settings file. Exit code 2: a wrong flag or file.",
  );
  return lines.join("\n");
}

const HELP: AnySetting = {
  ...CONFIG_FLAG,
  kind: "bool",
  default: "",
  doc: "Show this text",
};

/** One aligned line per flag, for the help of any command. */
export function flagLines(flags: readonly (readonly [string, AnySetting])[]): string[] {
  return flags.map(([key, field]) => {
    const flag = field.kind === "bool" ? `--${key}` : `--${key} <${field.kind}>`;
    const value = field.format(field.default);
    const note = value === "" ? "" : ` [${value}]`;
    return `  ${flag.padEnd(40)} ${field.doc}${note}`;
  });
}

/** docs/config.md. */
export function configPage(): string {
  const lines = [
    "# Settings",
    "",
    "Generated from `src/config/settings.ts` by `deno task docs`; do not edit.",
    "",
    "Every setting is a flag (`--prepare-timeout 3s`) and a key of the TOML file that `--config` names",
    '(`prepare-timeout = "3s"`, at the top level). Flags stand above the file, the file above the',
    "defaults. Unknown flags and keys are refused; one file may serve several roles. Durations carry a",
    "unit (`ms`, `s`, `m`, `h`, `d`), byte counts may (`KiB`, `MiB`, `GiB`). Settings marked _cluster_",
    "must be equal on all servers of a cluster. Those marked _mutable_ can be changed on a running server",
    "over HTTP (`/updateConfig`); the others take effect at the next start.",
  ];
  for (const [group, declared] of byGroup()) {
    lines.push("", `## ${GROUPS[group].title}`, "");
    lines.push(`Read by: ${GROUPS[group].roles.join(", ")}.`, "");
    const rows = declared.map(({ key, field }) => [
      `\`${key}\``,
      field.kind,
      field.format(field.default) === "" ? "" : `\`${field.format(field.default)}\``,
      field.bounds,
      field.doc + (field.clusterWide ? " _(cluster)_" : "") + (field.reload ? " _(mutable)_" : ""),
    ]);
    lines.push(...markdownTable(["setting", "kind", "default", "allowed", "meaning"], rows));
  }
  return lines.join("\n") + "\n";
}

/** A table as `deno fmt` writes it. */
export function markdownTable(head: readonly string[], rows: readonly string[][]): string[] {
  const cell = (value: string) => value.replaceAll("|", "\\|");
  const all = [[...head], ...rows].map((row) => row.map(cell));
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((value, column) => value.padEnd(widths[column]!)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [line(all[0]!), rule, ...all.slice(1).map(line)];
}

function byGroup(role?: ServerRole): [keyof typeof GROUPS, Declared[]][] {
  const groups = new Map<keyof typeof GROUPS, Declared[]>();
  for (const declared of declaredSettings(role)) {
    const list = groups.get(declared.group) ?? [];
    list.push(declared);
    groups.set(declared.group, list);
  }
  return [...groups];
}
