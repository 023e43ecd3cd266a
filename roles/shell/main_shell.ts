// The shell role: flags, then commands from -e, from standard input, or from the prompt.

import { suggestion } from "../../src/config/suggest.ts";
import { type Cluster, openCluster, type OpenOptions } from "../../src/client/mod.ts";
import { shellPage } from "./help.ts";
import { Connections, type KnownCluster, readAddresses, readClusters } from "./connections.ts";
import { environment, type ShellIo, terminalIo } from "./io.ts";
import { COMMANDS, Runner, STATUS_OK, STATUS_USAGE } from "./runner.ts";

const DEFAULT_META = "127.0.0.1:34601";

const USAGE = `Usage: pegasus shell [options]

  --meta <host:port,...>  Meta servers, or a name of the clusters file (default: ${DEFAULT_META})
  --cluster <name>        Refuse servers of a cluster of another name
  --table <name>          Table to start with
  -e, --execute <text>    Run these commands, separated by ";", and leave; may be repeated
  --clusters <file>       Clusters by name, for cc and copy_data: lines "NAME HOST:PORT,HOST:PORT"
                          (default: $PEGASUS_CLUSTERS, or ~/.pegasus_clusters)
  --json                  Print results as JSON, one value per command
  -y, --yes               Do not ask before something is destroyed; scripts need it
  --timeout <ms>          Time for one operation (default: 5000)
  --keep-going            Go on after a failed command of -e or a script
  -h, --help              Print this text

Without -e commands come from standard input: a prompt on a terminal, a script otherwise.`;

interface Flags {
  meta: string;
  clusters: string | undefined;
  cluster: string | undefined;
  table: string | undefined;
  execute: string[];
  json: boolean;
  yes: boolean;
  timeoutMs: number;
  keepGoing: boolean;
  help: boolean;
}

const VALUE_FLAGS = ["--meta", "--cluster", "--clusters", "--table", "--execute", "--timeout"];
const BOOLEAN_FLAGS = ["--json", "--yes", "--keep-going", "--help"];
const SHORT: Readonly<Record<string, string>> = {
  "-e": "--execute",
  "-h": "--help",
  "-y": "--yes",
};

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
  let connections: Connections;
  try {
    connections = connect(flags, options.open ?? openCluster);
  } catch (error) {
    io.err(`${error instanceof Error ? error.message : String(error)}\n`);
    return STATUS_USAGE;
  }
  const runner = new Runner(io, connections, {
    tableName: flags.table,
    timeoutMs: flags.timeoutMs,
    escapeAll: false,
    json: flags.json,
    yes: flags.yes,
    isLeaving: false,
  });
  try {
    if (flags.execute.length > 0) {
      return await runner.run(flags.execute.join("\n"), flags.keepGoing);
    }
    if (!io.inputIsTerminal) return await runner.run(await io.readInput(), flags.keepGoing);
    const metas = connections.metas.join(",");
    io.out(`pegasus shell, cluster at ${metas}; "help" lists the commands\n`);
    const prompt = options.prompt ?? (await import("./line_editor.ts")).runPrompt;
    await prompt(runner);
    return STATUS_OK;
  } finally {
    await connections.close();
  }
}

/** @throws {Error} If the clusters file is wrong, or --meta names nothing. */
function connect(flags: Flags, open: (options: OpenOptions) => Cluster): Connections {
  const known = knownClusters(flags.clusters);
  const openMetas = (meta: readonly string[], cluster?: string) =>
    open({
      meta,
      timeoutMs: flags.timeoutMs,
      role: "shell",
      ...(cluster === undefined ? {} : { cluster }),
    });
  const named = known.find(({ name }) => name === flags.meta);
  const metas = named?.metas ?? readAddresses(flags.meta);
  if (metas === undefined) {
    const hint = suggestion(flags.meta, known.map(({ name }) => name));
    throw new Error(
      `--meta is "${flags.meta}"${hint}, expected host:port, several of them separated by commas, ` +
        "or a name of the clusters file",
    );
  }
  // The name that was demanded is the first cluster's; others have their own.
  let demanded = flags.cluster;
  return new Connections(
    (list) => {
      const cluster = openMetas(list, demanded);
      demanded = undefined;
      return cluster;
    },
    metas,
    known,
  );
}

/** Clusters of the file; none if it is the usual file and does not exist. */
function knownClusters(named: string | undefined): KnownCluster[] {
  const home = environment("HOME");
  const usual = home === undefined ? undefined : `${home}/.pegasus_clusters`;
  const path = named ?? environment("PEGASUS_CLUSTERS") ?? usual;
  if (path === undefined || path === "") return [];
  try {
    return readClusters(Deno.readTextFileSync(path));
  } catch (error) {
    if (path === usual && error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Content of docs/shell.md. */
export function shellMarkdown(): string {
  return shellPage(COMMANDS, USAGE);
}

/** The flags, or what is wrong with them. */
function parseFlags(args: readonly string[]): Flags | string {
  const flags: Flags = {
    meta: DEFAULT_META,
    clusters: undefined,
    cluster: undefined,
    table: undefined,
    execute: [],
    json: false,
    yes: false,
    timeoutMs: 5000,
    keepGoing: false,
    help: false,
  };
  for (let i = 0; i < args.length; i++) {
    const [given, inline] = splitFlag(args[i]!);
    const name = SHORT[given] ?? given;
    if (BOOLEAN_FLAGS.includes(name) && inline === undefined) {
      if (name === "--json") flags.json = true;
      if (name === "--yes") flags.yes = true;
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
      flags.meta = value;
      return undefined;
    case "--clusters":
      flags.clusters = value;
      return undefined;
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
