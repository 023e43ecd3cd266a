// The command line of the shell.

import { type AnySetting, keyOf } from "../../src/config/field.ts";
import { suggestion } from "../../src/config/suggest.ts";
import { NO_SECURITY_FLAGS, SECURITY_FLAGS, type SecurityFlags } from "../client_security.ts";

const DEFAULT_META = "127.0.0.1:34601";

/** Text of --help. */
export const USAGE = `Usage: pegasus shell [options]

  --meta <host:port,...>  Meta servers, or a name of the clusters file (default: ${DEFAULT_META})
  --cluster <name>        Refuse servers of a cluster of another name
  --table <name>          Table to start with
  -e, --execute <text>    Run these commands, separated by ";", and leave; may be repeated
  --clusters <file>       Clusters by name, for cc and copy_data: lines "NAME HOST:PORT,HOST:PORT"
                          (default: $PEGASUS_CLUSTERS, or ~/.pegasus_clusters)
  --user <name>           User to log in as (default: $PEGASUS_USER)
  --password-file <file>  Its password; otherwise $PEGASUS_PASSWORD, or the terminal asks
  --cluster-secret-file <file>  Log in as an operator who may do everything
  --tls-ca <file>         Authority of the servers: connect by TLS
  --tls-cert <file>       Certificate that says who you are
  --tls-key <file>        Its key
  --json                  Print results as JSON, one value per command
  -y, --yes               Do not ask before something is destroyed; scripts need it
  --timeout <ms>          Time for one operation (default: 5000)
  --keep-going            Go on after a failed command of -e or a script
  -h, --help              Print this text

Without -e commands come from standard input: a prompt on a terminal, a script otherwise.`;

/** What was asked for. */
export interface Flags {
  meta: string;
  clusters: string | undefined;
  cluster: string | undefined;
  table: string | undefined;
  execute: string[];
  security: SecurityFlags;
  json: boolean;
  yes: boolean;
  timeoutMs: number;
  keepGoing: boolean;
  help: boolean;
}

const SECURITY_NAMES = new Map(
  Object.entries<AnySetting>(SECURITY_FLAGS).map(([name, field]) => [
    `--${keyOf(name, field)}`,
    name,
  ]),
);
const VALUE_FLAGS = [
  "--meta",
  "--cluster",
  "--clusters",
  "--table",
  "--execute",
  "--timeout",
  ...SECURITY_NAMES.keys(),
];
const BOOLEAN_FLAGS = ["--json", "--yes", "--keep-going", "--help"];
const SHORT: Readonly<Record<string, string>> = {
  "-e": "--execute",
  "-h": "--help",
  "-y": "--yes",
};

/** The flags, or what is wrong with them. */
export function parseFlags(args: readonly string[]): Flags | string {
  const flags: Flags = {
    meta: DEFAULT_META,
    clusters: undefined,
    cluster: undefined,
    table: undefined,
    execute: [],
    security: NO_SECURITY_FLAGS,
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
    if (BOOLEAN_FLAGS.includes(name)) return `${given} takes no value`;
    if (!VALUE_FLAGS.includes(name)) {
      const hint = name === "--password"
        ? ": a password on the command line is seen by everybody; give --password-file"
        : suggestion(name, [...VALUE_FLAGS, ...BOOLEAN_FLAGS]);
      return `Unknown option "${given}"${hint || '; see "pegasus shell --help"'}`;
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
  const secured = SECURITY_NAMES.get(name);
  if (secured !== undefined) {
    flags.security = { ...flags.security, [secured]: value };
    return undefined;
  }
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
