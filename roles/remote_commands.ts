// Maintenance commands of a server, for `remote_command` of the shell: declared once, each answers with text. These
// are the ones of every process; roles add their own (meta/meta_commands.ts, replica/remote_commands.ts).
// docs/monitoring.md, "Maintenance commands".

import nodeProcess from "node:process";
import { Err, StoreError } from "../src/base/errors.ts";
import type { LiveSettings } from "../src/config/live.ts";
import { suggestion } from "../src/config/suggest.ts";
import { VERSION } from "./version.ts";

/** One command. */
export interface RemoteCommandSpec {
  /** Its arguments, if it takes some. */
  readonly args?: string;
  /** One line. */
  readonly brief: string;
  /** @throws {StoreError} INVALID_ARGUMENT for wrong words */
  run(words: readonly string[]): string | Promise<string>;
}

/** Commands by name. */
export type RemoteCommands = Readonly<Record<string, RemoteCommandSpec>>;

/** What a process is. */
export interface ProcessFacts {
  readonly role: string;
  readonly live: LiveSettings;
  /** All metrics in the Prometheus text format. */
  readonly metricsText: () => Promise<string>;
}

/** Commands of the original that are settings here; without a value they print the present one. */
const SETTINGS_BY_OLD_NAME: Readonly<Record<string, string>> = {
  "meta.live_percentage": "alive-percent-min",
  "meta.lb.assign_delay_ms": "replica-assign-delay",
  "meta.lb.add_secondary_max_count_for_one_node": "add-secondary-max",
};

const BALANCER = "the balancer has no such switch: set_meta_level and balance in the shell";
const COUNTERS = "metrics PART prints those with PART in their names";

/** Commands of the original that are not here, and what to do instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  "meta.dump": "meta_export in the shell",
  "meta.lb.assign_secondary_black_list": "black_list in the shell",
  "meta.lb.get_balance_operation_count": "cluster_info in the shell tells it",
  "meta.lb.balancer_in_turn": BALANCER,
  "meta.lb.only_primary_balancer": BALANCER,
  "meta.lb.only_move_primary": BALANCER,
  "meta.lb.ignored_app_list": BALANCER,
  "perf-counters": COUNTERS,
  "perf-counters-by-substr": COUNTERS,
  "perf-counters-by-prefix": COUNTERS,
  "perf-counters-by-postfix": COUNTERS,
  "replica.deny-client": "set_app_envs replica.deny_client_request in the shell",
  "replica.verbose-client-log": "config-set log-level debug",
  "replica.verbose-commit-log": "config-set log-level debug",
};

/** Commands that only ask; the others are kept in the audit. */
export const ASKING_COMMANDS: ReadonlySet<string> = new Set([
  ...[
    "help",
    "version",
    "server-info",
    "server-stat",
    "server-state",
    "config",
    "config-dump",
    "metrics",
  ],
  ...[
    "compaction",
    "replicas",
    "app-envs",
    "sweeper",
    "estimate-rows",
    "data-version",
    "proposals",
    "hotspots",
    "availability",
  ],
  ...["replica.query-compact", "replica.query-progress", "replica.query-app-envs"],
]);

const MIB = 1024 * 1024;

/** Commands of every process. */
export function processCommands(facts: ProcessFacts): RemoteCommands {
  const { role, live, metricsText } = facts;
  const startedAt = Date.now();
  const known = new Set(live.list().map(({ name }) => name));
  const old = Object.entries(SETTINGS_BY_OLD_NAME).filter(([, name]) => known.has(name));
  return {
    ...settingCommands(live),
    ...Object.fromEntries(old.map(([old, name]) => [old, oldSetting(live, name)])),
    metrics: {
      args: "[PART]",
      brief: "Metrics, those with PART in their names or labels",
      run: async ([part = ""]) => {
        const lines = (await metricsText()).split("\n");
        return lines.filter((line) => line !== "" && line[0] !== "#" && line.includes(part))
          .join("\n");
      },
    },
    version: { brief: "Version of the program", run: () => VERSION },
    "server-info": {
      brief: "Role, version, process and start",
      run: () => {
        const started = new Date(startedAt).toISOString();
        return `${role} ${VERSION}, pid ${Deno.pid}, deno ${Deno.version.deno}, started ${started}`;
      },
    },
    "server-stat": {
      brief: "Memory and processor time",
      run: () => {
        const { rss, heapUsed, external } = Deno.memoryUsage();
        const { user, system } = nodeProcess.cpuUsage();
        const mib = (bytes: number) => `${Math.round(bytes / MIB)} MiB`;
        return `memory ${mib(rss)}, heap ${mib(heapUsed)}, buffers ${mib(external)}, ` +
          `processor ${((user + system) / 1e6).toFixed(1)} s, ` +
          `up ${Math.round((Date.now() - startedAt) / 1000)} s`;
      },
    },
  };
}

/** Commands on the settings of the process. */
function settingCommands(live: LiveSettings): RemoteCommands {
  return {
    config: {
      args: "[NAME]",
      brief: "Settings and their values",
      run: ([name]) => {
        if (name === undefined) {
          return live.list().map((setting) => `${setting.name} = ${setting.value}`).join("\n");
        }
        const found = live.get(name);
        if (typeof found === "string") throw wrong(found);
        return JSON.stringify(found);
      },
    },
    "config-dump": {
      brief: "As config without a name",
      run: () => live.list().map((setting) => `${setting.name} = ${setting.value}`).join("\n"),
    },
    "config-set": {
      args: "NAME VALUE",
      brief: "Change a setting until the next start",
      run: ([name, value, ...rest]) => {
        if (name === undefined || value === undefined || rest.length > 0) {
          throw wrong("Expected config-set NAME VALUE");
        }
        return changed(live, name, value);
      },
    },
    "reset-log-start-level": {
      args: "[LEVEL]",
      brief: "Least important lines that are logged",
      run: ([level]) => {
        if (level !== undefined) return changed(live, "log-level", level);
        return live.settings.process.logLevel;
      },
    },
  };
}

function oldSetting(live: LiveSettings, name: string): RemoteCommandSpec {
  return {
    args: "[VALUE]",
    brief: `The setting ${name}`,
    run: ([value]) => {
      if (value !== undefined) return changed(live, name, value);
      const found = live.get(name);
      return typeof found === "string" ? found : found.value;
    },
  };
}

function changed(live: LiveSettings, name: string, value: string): string {
  const result = live.change(name, value);
  if (result.kind !== "changed") throw wrong(result.reason);
  return `${name} = ${result.now}, it was ${result.before}`;
}

/** For words that are wrong. */
export function wrong(reason: string): StoreError {
  return new StoreError(Err.INVALID_ARGUMENT, reason);
}

/** One line per command. */
export function commandList(commands: RemoteCommands): string {
  const lines = Object.entries(commands).map(([name, { args, brief }]) =>
    [args === undefined ? name : `${name} ${args}`, brief] as const
  );
  const all = [...lines, ["help", "This list"] as const].toSorted(([a], [b]) => a < b ? -1 : 1);
  const width = Math.max(...all.map(([usage]) => usage.length));
  return all.map(([usage, brief]) => `${usage.padEnd(width)}  ${brief}`).join("\n");
}

/** Runs a command by name. @throws {StoreError} INVALID_ARGUMENT */
export async function runRemote(
  commands: RemoteCommands,
  name: string,
  words: readonly string[],
): Promise<string> {
  if (name === "help") return commandList(commands);
  const found = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (found !== undefined) return await found.run(words);
  throw unknownCommand(name, Object.keys(commands));
}

/** For a command that is not among `names`; says what may have been meant. */
export function unknownCommand(name: string, names: readonly string[]): StoreError {
  const instead = Object.hasOwn(INSTEAD, name) ? INSTEAD[name] : undefined;
  if (instead !== undefined) return wrong(`Unknown command "${name}"; instead: ${instead}`);
  const known = [...names, "help"].toSorted();
  const hint = suggestion(name, known) || `: expected one of ${known.join(", ")}`;
  return wrong(`Unknown command "${name}"${hint}`);
}
