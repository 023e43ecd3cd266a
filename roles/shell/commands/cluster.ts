// Commands on the cluster and its servers.

import { formatPartition, parsePartition } from "../../../src/base/ids.ts";
import type { FunctionLevel } from "../../../src/client/mod.ts";
import type { ConfigChange } from "../../../src/schema/types.ts";
import { balanceSummary } from "../../balance_summary.ts";
import { type Command, eitherText, UsageProblem } from "../declare.ts";
import type { Json } from "../render.ts";
import { namesOf, RESOLVE } from "./host_names.ts";
import { NODES_COMMAND } from "./nodes.ts";
import { SERVER_COMMANDS } from "./servers.ts";

const LEVELS: readonly FunctionLevel[] = ["stopped", "blind", "freezed", "steady", "lively"];
const CHANGES: readonly ConfigChange[] = [
  "ASSIGN_PRIMARY",
  "UPGRADE_TO_PRIMARY",
  "ADD_SECONDARY",
  "DOWNGRADE_TO_SECONDARY",
  "DOWNGRADE_TO_INACTIVE",
  "REMOVE",
];

const clusterInfo: Command = {
  name: "cluster_info",
  group: "cluster",
  brief: "Describe the cluster",
  examples: ["cluster_info -j"],
  positionals: [],
  flags: [RESOLVE],
  async run(context, args) {
    const { admin } = context;
    const info = await admin.clusterInfo();
    const named = await namesOf(context, args, [...info.metaServers, info.primaryMeta]);
    // While tables are to be rebuilt there is nothing to balance, and meta refuses to plan it.
    const balance = info.details.has("warning")
      ? []
      : balanceSummary(await admin.balance("plan"), await admin.listNodes());
    const pairs: [string, Json][] = [
      ["cluster_name", info.cluster],
      ["meta_servers", info.metaServers.map(named).join(",")],
      ["primary_meta_server", named(info.primaryMeta)],
      ["coordinator", info.coordinator],
      ["meta_function_level", info.level],
      ...balance,
      ...[...info.details].sort(([a], [b]) => a < b ? -1 : 1),
    ];
    context.answerPairs(pairs);
  },
};

const getMetaLevel: Command = {
  name: "get_meta_level",
  group: "cluster",
  brief: "Print how much the meta server may do by itself",
  positionals: [],
  flags: [],
  async run(context) {
    const level = await context.admin.metaLevel();
    context.answer(level, level);
  },
};

const setMetaLevel: Command = {
  name: "set_meta_level",
  changes: true,
  group: "cluster",
  brief: "Set how much the meta server may do by itself",
  details: [
    "blind: configurations stay as they are, even when servers die",
    "freezed: dead primaries are taken out, nothing is repaired",
    "steady: unhealthy partitions are repaired (the normal level)",
    "lively: replicas are also moved to balance the servers",
  ],
  examples: ["set_meta_level lively"],
  positionals: [{ name: "level", type: "text", brief: "The level", choices: LEVELS }],
  flags: [],
  async run(context, args) {
    const level = args.needText("level") as FunctionLevel;
    const previous = await context.admin.setMetaLevel(level);
    context.answer({ level, previous }, `OK, it was ${previous}`);
  },
};

const propose: Command = {
  name: "propose",
  changes: true,
  group: "cluster",
  brief: "Ask for one change of a partition's configuration",
  details: ["Partition, change and server are arguments, or the flags -g, -p and -n."],
  examples: [
    "propose 1.3 ADD_SECONDARY 10.0.0.3:34801",
    "propose 1.3 DOWNGRADE_TO_INACTIVE 10.0.0.2:34801 -f",
    "propose -g 1.3 -p ADD_SECONDARY -t 10.0.0.1:34801 -n 10.0.0.3:34801",
    "propose 1.3 ASSIGN_PRIMARY 10.0.0.3:34801 --empty --yes",
  ],
  positionals: [
    { name: "partition", type: "text", brief: "The partition, as in 1.3", optional: true },
    { name: "change", type: "text", brief: "What to change", choices: CHANGES, optional: true },
    { name: "server", type: "node", brief: "The server the change is about", optional: true },
  ],
  flags: [
    { name: "gpid", short: "g", type: "text", brief: "The partition" },
    { name: "type", short: "p", type: "text", brief: "The change", choices: CHANGES },
    { name: "node", short: "n", type: "node", brief: "The server the change is about" },
    {
      name: "target",
      short: "t",
      type: "node",
      brief: "The server that carries it out",
      default: "the current primary",
    },
    {
      name: "force",
      short: "f",
      type: "bool",
      brief: "Replace what is pending; with ASSIGN_PRIMARY, drop dead members",
    },
    {
      name: "empty",
      type: "bool",
      brief: "With ASSIGN_PRIMARY: give the partition's rows up, when no copy is left",
    },
  ],
  confirm(args) {
    if (!args.has("empty")) return undefined;
    return `Give all rows of partition ${eitherText(args, "partition", "gpid")} up for good?`;
  },
  async run(context, args) {
    const gpid = eitherText(args, "partition", "gpid");
    const partition = parsePartition(gpid);
    if (partition === undefined) {
      throw new UsageProblem(`"${gpid}" is no partition, expected e.g. 1.3`);
    }
    await context.admin.propose(partition, eitherText(args, "change", "type") as ConfigChange, {
      node: eitherText(args, "server", "node"),
      target: args.text("target") ?? "",
      force: args.has("force"),
      empty: args.has("empty"),
    });
    context.answer("OK", `OK, proposed for ${formatPartition(partition)}`);
  },
};

/** Both of the above in one, as admin-cli has it. */
const metaLevel: Command = {
  name: "meta_level",
  changes: true,
  group: "cluster",
  brief: "Print or set the level: get_meta_level and set_meta_level in one",
  examples: ["meta_level", "meta_level steady"],
  positionals: [
    { name: "level", type: "text", brief: "The level", choices: LEVELS, optional: true },
  ],
  flags: [],
  run: (context, args) => (args.has("level") ? setMetaLevel : getMetaLevel).run(context, args),
};

/** See the file comment. */
export const CLUSTER_COMMANDS: readonly Command[] = [
  clusterInfo,
  NODES_COMMAND,
  getMetaLevel,
  setMetaLevel,
  metaLevel,
  propose,
  ...SERVER_COMMANDS,
];
