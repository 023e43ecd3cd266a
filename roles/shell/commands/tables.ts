// Commands on tables: list, describe, create, drop, recall, rename.

import { formatPartition } from "../../../src/base/ids.ts";
import {
  Err,
  type PartitionConfig,
  StoreError,
  type TableStatus,
} from "../../../src/client/mod.ts";
import { minMembers } from "../../../src/schema/partition_config.ts";
import { type Args, type Command, type Flag, type Positional, UsageProblem } from "../declare.ts";
import { counted, formatTime, type Json, renderPairs, rowObjects } from "../render.ts";
import { namesOf, RESOLVE } from "./host_names.ts";

const NAME: Positional = { name: "name", type: "table", brief: "Name of the table" };
const DETAILED: Flag = { name: "detailed", short: "d", type: "bool", brief: "Print more" };
const STATUSES = ["all", "available", "creating", "dropping", "dropped", "recalling"];

const MATCHES = ["all", "exact", "anywhere", "prefix", "postfix"];

/** Whether the name passes --pattern and --match_type. */
function matches(name: string, args: Args): boolean {
  const pattern = args.text("pattern");
  if (pattern === undefined) return true;
  switch (args.text("match_type") ?? "anywhere") {
    case "exact":
      return name === pattern;
    case "prefix":
      return name.startsWith(pattern);
    case "postfix":
      return name.endsWith(pattern);
    case "all":
      return true;
    default:
      return name.includes(pattern);
  }
}

const ls: Command = {
  name: "ls",
  aliases: ["list_tables"],
  group: "tables",
  brief: "List the tables",
  examples: ["ls -d", "ls -s dropped", "ls -p user -m prefix"],
  positionals: [],
  flags: [
    { ...DETAILED, brief: "Also print the health of the partitions" },
    {
      name: "status",
      short: "s",
      type: "text",
      brief: "Only tables of this status",
      choices: STATUSES,
      default: "available",
    },
    { name: "all", short: "a", type: "bool", brief: "Tables of every status" },
    { name: "pattern", short: "p", type: "text", brief: "Only tables with this in their names" },
    {
      name: "match_type",
      short: "m",
      type: "text",
      brief: "How names are compared with the pattern",
      choices: MATCHES,
      default: "anywhere",
    },
  ],
  async run(context, args) {
    const wanted = args.has("all") ? "all" : args.text("status") ?? "available";
    const status = wanted === "all" ? undefined : wanted as TableStatus;
    const { tables: all, health } = await context.admin.listTables(status);
    const tables = all.filter(({ name }) => matches(name, args));
    const head = [
      "app_id",
      "status",
      "app_name",
      "partition_count",
      "replica_count",
      "create_time",
      "drop_time",
      "drop_expire",
      "envs_count",
    ];
    const healthHead = ["fully_healthy", "unhealthy", "write_unhealthy", "read_unhealthy"];
    const rows = tables.map((table): Json[] => {
      const row: Json[] = [
        table.tableId,
        table.status,
        table.name,
        table.partitionCount,
        table.maxReplicaCount,
        formatTime(table.createdAt),
        formatTime(table.droppedAt),
        formatTime(table.expiresAt),
        table.envs.size,
      ];
      if (!args.has("detailed")) return row;
      const h = health.get(table.tableId);
      const counts = [h?.healthy, h?.unhealthy, h?.writeUnhealthy, h?.readUnhealthy];
      return [...row, ...counts.map((count) => count ?? null)];
    });
    const names = args.has("detailed") ? [...head, ...healthHead] : head;
    context.answerWideTable(names, rows);
    context.note(counted(tables.length, "table"));
  },
};

/** Health of one partition (docs/client.md, "Administration"). */
function healthOf(partition: PartitionConfig): "healthy" | "unhealthy" | "unwritable" | "dead" {
  if (partition.primary === "") return "dead";
  const members = 1 + partition.secondaries.length;
  if (members >= partition.maxReplicaCount) return "healthy";
  return members < minMembers(partition.maxReplicaCount) ? "unwritable" : "unhealthy";
}

const app: Command = {
  name: "app",
  group: "tables",
  brief: "Describe a table; with -d every partition",
  examples: ["app users -d"],
  positionals: [NAME],
  flags: [DETAILED, RESOLVE],
  async run(context, args) {
    const name = args.needText("name");
    const config = await context.admin.tableConfig(name);
    const states = config.partitions.map(healthOf);
    const count = (...kinds: string[]) => states.filter((state) => kinds.includes(state)).length;
    const pairs: [string, Json][] = [
      ["app_name", name],
      ["app_id", config.tableId],
      ["partition_count", config.partitionCount],
      ["max_replica_count", config.partitions[0]?.maxReplicaCount ?? 0],
      ["fully_healthy_partition_count", count("healthy")],
      ["unhealthy_partition_count", count("unhealthy", "unwritable", "dead")],
      ["write_unhealthy_partition_count", count("unwritable", "dead")],
      ["read_unhealthy_partition_count", count("dead")],
    ];
    if (!args.has("detailed")) return context.answerPairs(pairs);
    const nodes = nodeCounts(config.partitions);
    const named = await namesOf(context, args, nodes.map(([node]) => node));
    const head = ["pidx", "gpid", "ballot", "replica_count", "primary", "secondaries"];
    const rows = config.partitions.map((p, index): Json[] => [
      index,
      formatPartition(p.partition),
      p.ballot,
      `${(p.primary === "" ? 0 : 1) + p.secondaries.length}/${p.maxReplicaCount}`,
      p.primary === "" ? "-" : named(p.primary),
      p.secondaries.map(named).join(",") || "-",
    ]);
    const value = {
      ...Object.fromEntries(pairs),
      partitions: rowObjects(head, rows),
      nodes: nodes.map(([node, primary, secondary]) => ({ node: named(node), primary, secondary })),
    };
    const nodeRows = nodes.map((
      [node, primary, secondary],
    ): Json[] => [named(node), primary, secondary, primary + secondary]);
    const text = [
      renderPairs(pairs),
      context.renderTable(head, rows),
      context.renderTable(["node", "primary", "secondary", "total"], nodeRows),
    ].join("\n\n");
    context.answer(value, text);
  },
};

/** As admin-cli has it. */
const tablePartitions: Command = {
  name: "table_partitions",
  group: "tables",
  brief: "Describe every partition of a table: app -d",
  examples: ["table_partitions users"],
  positionals: [NAME],
  flags: [RESOLVE],
  run(context, args) {
    args.set("detailed");
    return app.run(context, args);
  },
};

function nodeCounts(partitions: readonly PartitionConfig[]): [string, number, number][] {
  const counts = new Map<string, [string, number, number]>();
  const of = (node: string) => {
    const held = counts.get(node) ?? [node, 0, 0];
    counts.set(node, held);
    return held;
  };
  for (const { primary, secondaries } of partitions) {
    if (primary !== "") of(primary)[1]++;
    for (const node of secondaries) of(node)[2]++;
  }
  return [...counts.values()].sort((a, b) => a[0] < b[0] ? -1 : 1);
}

const create: Command = {
  name: "create",
  changes: true,
  group: "tables",
  brief: "Create a table and wait until it can be used",
  details: ["A table that exists with the same options is fine, unless -f is given."],
  examples: ["create users", "create events -p 32 -r 3 -e default_ttl=86400"],
  positionals: [{ ...NAME, type: "text" }],
  flags: [
    { name: "partition_count", short: "p", type: "int", brief: "Partitions", default: "8" },
    { name: "replica_count", short: "r", type: "int", brief: "Copies of each", default: "3" },
    {
      name: "envs",
      short: "e",
      type: "text",
      brief: "Table environment variables: key=value,key=value",
    },
    { name: "fail_if_exist", short: "f", type: "bool", brief: "Fail if the table exists" },
    {
      name: "atomic_idempotent",
      short: "i",
      type: "bool",
      brief: "Atomic operations are idempotent; they always are",
    },
  ],
  async run(context, args) {
    const name = args.needText("name");
    const total = args.int("partition_count") ?? 8;
    const progress = context.progress(total);
    const tableId = await context.admin.createTable(name, {
      partitionCount: total,
      replicaCount: args.int("replica_count") ?? 3,
      envs: parseEnvs(args.text("envs")),
      failIfExists: args.has("fail_if_exist"),
      onProgress: (ready) => progress.update(ready, ready, "partitions"),
    }).finally(() => progress.clear());
    context.answer({ app_name: name, app_id: tableId }, `OK, table ${tableId}`);
  },
};

function parseEnvs(text: string | undefined): Record<string, string> {
  const envs: Record<string, string> = {};
  for (const part of (text ?? "").split(",").filter((p) => p !== "")) {
    const equals = part.indexOf("=");
    if (equals <= 0) throw new UsageProblem(`--envs has "${part}", expected key=value`);
    envs[part.slice(0, equals)] = part.slice(equals + 1);
  }
  return envs;
}

const drop: Command = {
  name: "drop",
  changes: true,
  group: "tables",
  brief: "Drop a table; recall brings it back while its data is kept",
  examples: ["drop users", "drop users -r 3600 --yes  # keep the data for an hour"],
  positionals: [NAME],
  confirm: (args) => `Drop table "${args.needText("name")}"?`,
  flags: [{
    name: "reserve_seconds",
    short: "r",
    type: "int",
    brief: "How long the data is kept",
    default: "the cluster's setting",
  }],
  async run(context, args) {
    const reserveSeconds = args.int("reserve_seconds") ?? 0;
    const expiresAt = await context.admin.dropTable(args.needText("name"), { reserveSeconds });
    context.answer({ expires_at: expiresAt }, `OK, kept until ${formatTime(expiresAt)}`);
  },
};

const recall: Command = {
  name: "recall",
  changes: true,
  group: "tables",
  brief: "Bring a dropped table back and wait until it can be used",
  examples: ["recall 3", "recall 3 users_of_yesterday"],
  positionals: [
    { name: "app_id", type: "int", brief: "Its number, see ls -s dropped" },
    { name: "new_name", type: "text", brief: "Another name", optional: true },
  ],
  flags: [],
  async run(context, args) {
    const name = args.text("new_name") ?? "";
    const progress = context.progress(0);
    const table = await context.admin.recallTable(args.int("app_id")!, name, {
      onProgress: (ready) => progress.update(ready, ready, "partitions"),
    }).finally(() => progress.clear());
    context.answer({ app_name: table.name, app_id: table.tableId }, `OK, table "${table.name}"`);
  },
};

const rename: Command = {
  name: "rename",
  changes: true,
  group: "tables",
  brief: "Give a table another name",
  examples: ["rename users people"],
  positionals: [{ ...NAME, name: "old_name" }, { ...NAME, name: "new_name", type: "text" }],
  flags: [],
  async run(context, args) {
    await context.admin.renameTable(args.needText("old_name"), args.needText("new_name"));
    context.answer("OK", "OK");
  },
};

const getReplicaCount: Command = {
  name: "get_replica_count",
  group: "tables",
  brief: "Print how many copies of each partition a table wants",
  examples: ["get_replica_count users"],
  positionals: [NAME],
  flags: [],
  async run(context, args) {
    const { partitions } = await context.admin.tableConfig(args.needText("name"));
    const wanted = partitions[0]?.maxReplicaCount ?? 0;
    context.answer(wanted, String(wanted));
  },
};

const setReplicaCount: Command = {
  name: "set_replica_count",
  changes: true,
  group: "tables",
  brief: "Change how many copies of each partition there are",
  examples: ["set_replica_count users 2 --yes"],
  positionals: [NAME, { name: "replica_count", type: "int", brief: "Copies of each partition" }],
  flags: [],
  confirm: (args) =>
    `Change table "${args.needText("name")}" to ${
      args.int("replica_count")
    } copies of each partition?`,
  async run(context, args) {
    const wanted = args.int("replica_count")!;
    const previous = await context.admin.setReplicaCount(args.needText("name"), wanted);
    context.answer({ previous }, `OK, it was ${previous}`);
  },
};

/** Why there is no switch. */
const ALWAYS_IDEMPOTENT =
  "incr, check_and_set and check_and_mutate are turned into plain puts and deletes before they are replicated, and a " +
  "repeated request is answered from what the partition remembers: always, for every table";

function idempotent(action: "get" | "enable" | "disable", brief: string): Command {
  const name = `${action}_atomic_idempotent`;
  return {
    ...{ name, group: "tables", brief, details: ["It always is: there is nothing to switch."] },
    examples: [`${name} users`],
    positionals: [NAME],
    flags: [],
    changes: action !== "get",
    async run(context, args) {
      const table = args.needText("name");
      await context.admin.tableConfig(table);
      if (action === "disable") {
        throw new StoreError(Err.OPERATION_DISABLED, `It cannot be disabled: ${ALWAYS_IDEMPOTENT}`);
      }
      const value = { app_name: table, atomic_idempotent: true };
      context.answer(value, action === "get" ? "true" : `OK, it was already: ${ALWAYS_IDEMPOTENT}`);
    },
  };
}

/** See the file comment. */
export const TABLE_COMMANDS: readonly Command[] = [
  ls,
  app,
  tablePartitions,
  create,
  drop,
  recall,
  rename,
  getReplicaCount,
  setReplicaCount,
  idempotent("get", "Print whether atomic operations of a table are idempotent"),
  idempotent("enable", "Make atomic operations of a table idempotent"),
  idempotent("disable", "Make atomic operations of a table not idempotent"),
];
