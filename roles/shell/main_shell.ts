// The shell role: flags, then commands from -e, from standard input, or from the prompt.

import { suggestion } from "../../src/config/suggest.ts";
import { type Cluster, openCluster, type OpenOptions } from "../../src/client/mod.ts";
import { shellPage } from "./help.ts";
import { type ShellIo, terminalIo } from "./io.ts";
import { COMMANDS, Runner, STATUS_OK, STATUS_USAGE } from "./runner.ts";

const DEFAULT_META = "127.0.0.1:34601";

const USAGE = `Usage: pegasus shell [options]

  --meta <host:port,...>  Meta servers (default: ${DEFAULT_META})
  --cluster <name>        Refuse servers of a cluster of another name
  --table <name>          Table to start with
  -e, --execute <text>    Run these commands, separated by ";", and leave; may be repeated
  --json                  Print results as JSON, one value per command
  --timeout <ms>          Time for one operation (default: 5000)
  --keep-going            Go on after a failed command of -e or a script
  -h, --help              Print this text

Without -e commands come from standard input: a prompt on a terminal, a script otherwise.`;

interface Flags {
  meta: string[];
  cluster: string | undefined;
  table: string | undefined;
  execute: string[];
  json: boolean;
  timeoutMs: number;
  keepGoing: boolean;
  help: boolean;
}

const VALUE_FLAGS = ["--meta", "--cluster", "--table", "--execute", "--timeout"];
const BOOLEAN_FLAGS = ["--json", "--keep-going", "--help"];

/** What tests replace. */
export interface ShellOptions {
  readonly io?: ShellIo;
  readonly open?: (options: OpenOptions) => Cluster;
  /** The prompt; the default is the terminal's. */
  readonly prompt?: (runner: Runner) => Promise<void>;
}

/**
 * Runs a shell.
 *
 * @param args Words of the command line behind the role.
 * @returns Exit status: 0 ok, 1 a command failed, 2 wrong usage.
 */
export async function runShell(
  args: readonly string[],
  options: ShellOptions = {},
): Promise<number> {
  const io = options.io ?? terminalIo();
  const flags = parseFlags(args);
  if (typeof flags === "string") {
    io.err(`${flags}\n`);
    return STATUS_USAGE;
  }
  if (flags.help) {
    io.out(`${USAGE}\n`);
    return STATUS_OK;
  }
  const cluster = (options.open ?? openCluster)({
    meta: flags.meta,
    timeoutMs: flags.timeoutMs,
    role: "shell",
    ...(flags.cluster === undefined ? {} : { cluster: flags.cluster }),
  });
  const runner = new Runner(io, cluster, {
    tableName: flags.table,
    timeoutMs: flags.timeoutMs,
    escapeAll: false,
    json: flags.json,
    isLeaving: false,
  });
  try {
    if (flags.execute.length > 0) {
      return await runner.run(flags.execute.join("\n"), flags.keepGoing);
    }
    if (!io.inputIsTerminal) return await runner.run(await io.readInput(), flags.keepGoing);
    io.out(`pegasus shell, cluster at ${flags.meta.join(",")}; "help" lists the commands\n`);
    const prompt = options.prompt ?? (await import("./line_editor.ts")).runPrompt;
    await prompt(runner);
    return STATUS_OK;
  } finally {
    await cluster.close();
  }
}

/** Content of docs/shell.md. */
export function shellMarkdown(): string {
  return shellPage(COMMANDS, USAGE);
}

/** The flags, or what is wrong with them. */
function parseFlags(args: readonly string[]): Flags | string {
  const flags: Flags = {
    meta: [DEFAULT_META],
    cluster: undefined,
    table: undefined,
    execute: [],
    json: false,
    timeoutMs: 5000,
    keepGoing: false,
    help: false,
  };
  for (let i = 0; i < args.length; i++) {
    const [given, inline] = splitFlag(args[i]!);
    const name = given === "-e" ? "--execute" : given === "-h" ? "--help" : given;
    if (BOOLEAN_FLAGS.includes(name) && inline === undefined) {
      if (name === "--json") flags.json = true;
      if (name === "--keep-going") flags.keepGoing = true;
      if (name === "--help") flags.help = true;
      continue;
    }
    if (!VALUE_FLAGS.includes(name)) {
      const hint = suggestion(name, [...VALUE_FLAGS, ...BOOLEAN_FLAGS]);
      return `Unknown option "${args[i]}"${hint || '; see "pegasus shell --help"'}`;
    }
    const value = inline ?? args[++i];
    if (value === undefined) return `${given} needs a value`;
    const problem = takeValue(flags, name, value);
    if (problem !== undefined) return problem;
  }
  return flags;
}

function splitFlag(word: string): [name: string, inline: string | undefined] {
  const equals = word.startsWith("--") ? word.indexOf("=") : -1;
  return equals < 0 ? [word, undefined] : [word.slice(0, equals), word.slice(equals + 1)];
}

function takeValue(flags: Flags, name: string, value: string): string | undefined {
  switch (name) {
    case "--meta":
      flags.meta = value.split(",").map((part) => part.trim()).filter((part) => part !== "");
      return flags.meta.length > 0 && flags.meta.every((part) => /^.+:\d{1,5}$/.test(part))
        ? undefined
        : `--meta is "${value}", expected host:port, or several of them separated by commas`;
    case "--cluster":
      flags.cluster = value;
      return undefined;
    case "--table":
      flags.table = value;
      return undefined;
    case "--execute":
      flags.execute.push(value);
      return undefined;
    default:
      flags.timeoutMs = Number(value);
      return /^[1-9]\d{0,8}$/.test(value)
        ? undefined
        : `--timeout is "${value}", expected milliseconds above 0`;
  }
}
