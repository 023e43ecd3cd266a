// The shell role: flags, then commands from -e, from standard input, or from the prompt.

import { suggestion } from "../../src/config/suggest.ts";
import {
  type ClientSecurityOptions,
  type Cluster,
  openCluster,
  type OpenOptions,
} from "../../src/client/mod.ts";
import { readClientSecurity } from "../client_security.ts";
import { type Flags, parseFlags, USAGE } from "./flags.ts";
import { shellPage } from "./help.ts";
import { Connections, type KnownCluster, readAddresses, readClusters } from "./connections.ts";
import { environment, type ShellIo, terminalIo } from "./io.ts";
import { COMMANDS, Runner, STATUS_OK, STATUS_USAGE } from "./runner.ts";

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
    const security = await readClientSecurity(flags.security, io.askSecret?.bind(io));
    connections = connect(flags, security, options.open ?? openCluster);
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
function connect(
  flags: Flags,
  security: ClientSecurityOptions,
  open: (options: OpenOptions) => Cluster,
): Connections {
  const known = knownClusters(flags.clusters);
  const openMetas = (meta: readonly string[], cluster?: string) =>
    open({
      meta,
      timeoutMs: flags.timeoutMs,
      role: "shell",
      ...security,
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
