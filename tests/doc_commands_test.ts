// Every command that a page, a service file or the compose file tells people to type exists: the task, the
// role, each of its flags with a value that it takes, and each command of our shell with its words.

import assert from "node:assert/strict";
import { needCommand } from "../roles/shell/commands/all.ts";
import { parseArgs } from "../roles/shell/declare.ts";
import { parseLine } from "../roles/shell/words.ts";
import { stateAction } from "../roles/meta_state.ts";
import { loadSettings } from "../src/config/load.ts";
import {
  composeCommands,
  type DocCommand,
  promptLines,
  shellWords,
  terminalCommands,
  unitCommands,
} from "./doc_commands.ts";

const ROOT = new URL("..", import.meta.url);
const DEPLOY = "docs/deploy";
const read = (path: string) => Deno.readTextFileSync(new URL(path, ROOT));

function pagesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return pagesIn(`${folder}/${name}`);
    return name.endsWith(".md") ? [`${folder}/${name}`] : [];
  }).sort();
}

const PAGES = ["README.md", ...pagesIn("docs")];
const TASKS: Record<string, { command: string }> = JSON.parse(read("deno.json")).tasks;
const helps = new Map<string, string>();

/** What `pegasus ROLE --help` prints. */
function helpOf(role: string): string {
  let help = helps.get(role);
  if (help === undefined) {
    const main = new URL("roles/main.ts", ROOT).pathname;
    const args = ["run", "--no-prompt", "-A", main, role, "--help"];
    const { code, stdout } = new Deno.Command(Deno.execPath(), { args }).outputSync();
    help = code === 0 ? new TextDecoder().decode(stdout) : "";
    helps.set(role, help);
  }
  return help;
}

/** @throws {Error} With what is wrong. */
function checkPrompt(text: string): void {
  for (const [name, ...words] of parseLine(text)) parseArgs(needCommand(name!.text), words);
}

function checkRole(role: string, args: readonly string[]): void {
  if (role === "--version" || role === "--help" || role === "") return;
  const help = helpOf(role);
  if (help === "") throw new Error(`There is no role "${role}"`);
  if ((role === "meta" || role === "replica") && !args.includes("--help")) {
    const file = (path: string) =>
      path.endsWith("pegasus.toml") ? read(`${DEPLOY}/pegasus.toml`) : "";
    const settings = role === "meta" ? stateAction(args)?.rest ?? args : args;
    const loaded = loadSettings(role, settings, file);
    if (loaded.kind === "invalid") throw new Error(loaded.problems.join("; "));
    return;
  }
  args.forEach((word, i) => {
    const flag = /^--?[a-z][a-z-]*/.exec(word)?.[0];
    if (flag !== undefined && !new RegExp(`(^|[\\s,])${flag}(?![a-z-])`, "m").test(help)) {
      throw new Error(`"${role}" has no flag ${flag}`);
    }
    if (role === "shell" && (word === "-e" || word === "--execute")) checkPrompt(args[i + 1] ?? "");
  });
}

function problemOf({ path, line, words }: DocCommand): string[] {
  const [first = "", ...rest] = words;
  try {
    if (first !== "task") checkRole(first, rest);
    else {
      const [name = "", ...args] = rest;
      const command = TASKS[name]?.command;
      if (command === undefined) throw new Error(`There is no task "${name}"`);
      if (command.endsWith(`roles/main.ts ${name}`)) checkRole(name, args);
    }
    return [];
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return [`${path}:${line}: ${words.join(" ")}: ${reason}`];
  }
}

function assertNone(problems: readonly string[]): void {
  assert.equal(problems.length, 0, `\n${problems.join("\n")}`);
}

Deno.test("docs: commands for a terminal exist as they are written", () => {
  const commands = PAGES.flatMap((path) => terminalCommands(path, read(path)));
  assert(commands.length > 20, "the pages hold commands");
  assertNone(commands.flatMap(problemOf));
});

Deno.test("docs: commands of our shell exist as they are written", () => {
  const lines = PAGES.flatMap((path) => promptLines(path, read(path)));
  assertNone(lines.flatMap(({ path, text }) => {
    try {
      checkPrompt(text);
      return [];
    } catch (error) {
      return [`${path}: ${text}: ${error instanceof Error ? error.message : String(error)}`];
    }
  }));
});

Deno.test("docs: service files and the compose file start what exists", () => {
  const units = [...Deno.readDirSync(new URL(DEPLOY, ROOT))].map(({ name }) => `${DEPLOY}/${name}`)
    .filter((path) => path.endsWith(".service"));
  assert.equal(units.length, 2);
  const commands = units.flatMap((path) => unitCommands(path, read(path)));
  const composed = composeCommands(`${DEPLOY}/compose.yaml`, read(`${DEPLOY}/compose.yaml`));
  assert.equal(commands.length, 2);
  assert.equal(composed.length, 6);
  assertNone([...commands, ...composed].flatMap(problemOf));
});

Deno.test("docs: what does not exist is noticed", () => {
  const page = (text: string) => terminalCommands("p.md", `\`\`\`sh\n${text}\n\`\`\`\n`);
  const noticed = (text: string) => page(text).flatMap(problemOf).length;
  assert.equal(noticed("deno task onebox --detach # fine\nls; dist/pegasus --version"), 0);
  assert.equal(noticed("npx -y deno@2.9.6 task onbox"), 1);
  const inline = (text: string) => terminalCommands("p.md", text).flatMap(problemOf).length;
  assert.equal(
    inline("Start it with `deno task onebox\n--detach`, or `deno task sim [--seeds N]`"),
    0,
  );
  assert.equal(inline("`deno task onbox`, `pegasus shell --mete x`"), 2);
  assert.equal(noticed("pegasus replica --listne=1.2.3.4:5"), 1);
  assert.equal(noticed("cd x && pegasus bench \\\n  --recods 5"), 1);
  assert.equal(noticed('deno task shell -e "use temp; sett h s v"'), 1);
  assert.equal(noticed('deno task shell -e "use temp; set h s v --tttl 5"'), 1);
  assert.deepEqual(shellWords(`a "b c" 'd "e"' $HOME/x # f`), ["a", "b c", 'd "e"', "127.0.0.1/x"]);
});
