// The one executable: `pegasus <role> [flags]`, or `--role=<role>`. Finds the role, hands it the rest of
// the words and ends with its exit code: 0 done, 1 failed, 2 wrong usage. Roles are loaded when they are
// run, by literal imports, so that a shell does not wait for the storage engine to load.

import { suggestion } from "../src/config/suggest.ts";
import { extractedFor } from "./extraction.ts";
import { narrowPermissions } from "./permissions.ts";
import { VERSION } from "./version.ts";

/** A role of the executable. */
interface Role {
  readonly brief: string;
  readonly load: () => Promise<Run>;
}

/** Runs a role. @returns The exit code, or `undefined` if the process goes on until a signal. */
type Run = (args: string[]) => Promise<number | undefined>;

const REPLICA_BRIEF = "Run a replica server: it stores partitions and serves their rows";

const META_BRIEF = "Run a meta server: it owns tables and membership";

const ROLES: Readonly<Record<string, Role>> = {
  meta: {
    brief: META_BRIEF,
    load: async () => {
      const { runMeta } = await import("./run_meta.ts");
      return (args) => runMeta(META_BRIEF, args);
    },
  },
  replica: {
    brief: REPLICA_BRIEF,
    load: async () => {
      const { runReplica } = await import("./run_replica.ts");
      return (args) => runReplica(REPLICA_BRIEF, args);
    },
  },
  shell: {
    brief: "Talk to a cluster",
    load: async () => (await import("./shell/main_shell.ts")).runShell,
  },
  onebox: {
    brief: "Run a whole cluster on this machine",
    load: async () => (await import("./onebox/main_onebox.ts")).runOnebox,
  },
  bench: {
    brief: "Load a cluster and measure it",
    load: async () => (await import("./bench/main_bench.ts")).runBench,
  },
  health: {
    brief: "Ask a server whether it does its work",
    load: async () => (await import("./health.ts")).runHealth,
  },
};

/**
 * Runs the program.
 *
 * @param onRole Told the role before it is loaded.
 * @returns The exit code, or `undefined` if the process goes on.
 */
export async function main(
  args: readonly string[],
  onRole: (name: string) => void = () => {},
): Promise<number | undefined> {
  const [first = "", ...others] = args;
  if (first === "--help" || first === "-h" || first === "") {
    console.log(programHelp());
    return first === "" ? 2 : 0;
  }
  if (first === "--version") {
    console.log(`pegasus ${VERSION} (deno ${Deno.version.deno}, ${Deno.build.target})`);
    return 0;
  }
  const flagged = first === "--role" ? others.shift() : /^--role=(.*)$/.exec(first)?.[1];
  const name = flagged ?? first;
  const role = Object.hasOwn(ROLES, name) ? ROLES[name] : undefined;
  if (role !== undefined) {
    onRole(name);
    return await (await extractedFor(role.load))(others);
  }
  const known = Object.keys(ROLES);
  const what = name.startsWith("-")
    ? `Unknown flag "${name}" before the role`
    : `Unknown role "${name}"`;
  console.error(`${what}${suggestion(name, known) || `: expected one of ${known.join(", ")}`}`);
  return 2;
}

function programHelp(): string {
  return [
    "pegasus: a distributed, strongly consistent key-value store",
    "",
    "Usage: pegasus <role> [flags]",
    "",
    "Roles:",
    ...Object.entries(ROLES).map(([name, { brief }]) => `  ${name.padEnd(10)} ${brief}`),
    "",
    "pegasus <role> --help    flags of a role",
    "pegasus --version        version",
  ].join("\n");
}

if (import.meta.main) {
  const code = await main(Deno.args, narrowPermissions);
  if (code !== undefined) Deno.exit(code);
}
