// All commands, and help, which describes them.

import { nearest, suggestion } from "../../../src/config/suggest.ts";
import { type Command, UsageProblem } from "../declare.ts";
import { commandHelp, overview } from "../help.ts";
import { BALANCE_COMMANDS } from "./balance.ts";
import { BULK_COMMANDS } from "./bulk.ts";
import { CHECK_COMMANDS } from "./checks.ts";
import { CLUSTER_COMMANDS } from "./cluster.ts";
import { COMPACTION_COMMANDS } from "./compaction.ts";
import { DATA_COMMANDS } from "./data.ts";
import { DISK_COMMANDS } from "./disks.ts";
import { ENV_COMMANDS } from "./envs.ts";
import { HOT_COMMANDS } from "./hot.ts";
import { OFFLINE_COMMANDS } from "./offline.ts";
import { RANGE_COMMANDS } from "./ranges.ts";
import { RECOVERY_COMMANDS } from "./recovery.ts";
import { SESSION_COMMANDS } from "./session.ts";
import { SPLIT_COMMANDS } from "./split.ts";
import { STATS_COMMANDS } from "./stats.ts";
import { ABSENT } from "./absent.ts";
import { TABLE_COMMANDS } from "./tables.ts";
import { USER_COMMANDS } from "./users.ts";

const help: Command = {
  name: "help",
  group: "session",
  brief: "List the commands, or describe one",
  examples: ["help set"],
  positionals: [{ name: "command", type: "command", brief: "The command", optional: true }],
  flags: [],
  run(context, args) {
    const name = args.text("command");
    const text = name === undefined ? overview(COMMANDS) : commandHelp(needCommand(name));
    context.answer(text, text);
  },
};

/** In the order of the help. */
export const COMMANDS: readonly Command[] = [
  help,
  ...SESSION_COMMANDS,
  ...CLUSTER_COMMANDS,
  ...BALANCE_COMMANDS,
  ...DISK_COMMANDS,
  ...RECOVERY_COMMANDS,
  ...TABLE_COMMANDS,
  ...USER_COMMANDS,
  ...ENV_COMMANDS,
  ...COMPACTION_COMMANDS,
  ...STATS_COMMANDS,
  ...HOT_COMMANDS,
  ...DATA_COMMANDS,
  ...CHECK_COMMANDS,
  ...RANGE_COMMANDS,
  ...BULK_COMMANDS,
  ...OFFLINE_COMMANDS,
  ...SPLIT_COMMANDS,
];

/** A command by name or alias. @throws {UsageProblem} With a suggestion if there is none */
export function needCommand(name: string): Command {
  // Dashes do for underscores, as in options.
  const plain = name.replaceAll("-", "_");
  const found = COMMANDS.find((c) => c.name === plain || c.aliases?.includes(plain) === true);
  if (found !== undefined) return found;
  const absent = ABSENT.get(plain);
  if (absent !== undefined) throw new UsageProblem(`There is no "${name}" here: ${absent}`);
  const names = COMMANDS.flatMap((command) => [command.name, ...(command.aliases ?? [])]);
  const hint = nearest(name, names) === undefined ? '; "help" lists them' : suggestion(name, names);
  throw new UsageProblem(`Unknown command "${name}"${hint}`);
}
