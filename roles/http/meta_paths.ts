// Answers of a meta server's own HTTP paths. Keys follow the original's. Only the leader answers; a standby
// sends the caller to the leader's HTTP server, or says that it knows none.

import { Err, errorMeaning } from "../../src/base/errors.ts";
import { formatPartition, indexOf } from "../../src/base/ids.ts";
import type { MetaAnswer, MetaBody, MetaRequestName } from "../../src/placement/io.ts";
import { knownTableEnvs } from "../../src/schema/table_envs.ts";
import type { PartitionConfig } from "../../src/schema/types.ts";
import { balanceSummary } from "../balance_summary.ts";
import type { WatchedLoad } from "../meta/watching.ts";
import type { MetaAsk } from "../meta/meta_ask.ts";
import { type Answer, type Ask, type Handler, type Handlers, problem } from "./route.ts";
import type { META_ROUTES } from "./routes.ts";

/** What the paths need of their meta server. */
export interface MetaPathOptions {
  readonly ask: MetaAsk;
  readonly watching: WatchedLoad;
  /** HTTP port of another meta server, 0 = none or not known. */
  readonly httpPortOf: (address: string) => Promise<number>;
  /** Runs a maintenance command on another server. */
  readonly remote: (address: string, command: string, words: readonly string[]) => Promise<string>;
}

/** Why a meta server does not do its work; "" if it leads or knows the leader. */
export async function metaReadiness({ ask }: Pick<MetaPathOptions, "ask">): Promise<string> {
  const reply = await ask("clusterInfo", {});
  if (reply.answer !== undefined) return "";
  if (reply.error !== Err.FORWARD_TO_OTHERS) return reply.detail || errorMeaning(reply.error);
  return reply.detail === "" ? "No leader is known" : "";
}

/** Handlers of {@link META_ROUTES}. */
export function metaHandlers(options: MetaPathOptions): Handlers<typeof META_ROUTES> {
  const { ask } = options;
  /** Asks the core with what the arguments say, and shows its answer. */
  function show<Name extends MetaRequestName>(
    name: Name,
    body: (request: Ask) => MetaBody<Name>,
    render: (answer: MetaAnswer<Name>, request: Ask) => Answer | Promise<Answer>,
  ): Handler {
    return async (request) => {
      const reply = await ask(name, body(request));
      if (reply.answer !== undefined) return await render(reply.answer, request);
      return await refused(options, reply.error, reply.detail, request);
    };
  }
  const tables = () => ({ status: undefined });
  // Only the leader watches: whether this server leads is asked like everything else.
  const watched = (render: (request: Ask) => Answer | Promise<Answer>) =>
    show("clusterInfo", () => ({}), (_answer, request) => render(request));
  return {
    "/meta/cluster": show("clusterInfo", () => ({}), async (answer) => {
      const plan = await ask("balance", { action: "plan" });
      const { answer: listed } = await ask("listNodes", {});
      // Another server leads since the first question: the next one will be sent there.
      if (plan.answer === undefined || listed === undefined) return cluster(answer, []);
      return cluster(answer, balanceSummary(plan.answer, listed.nodes));
    }),
    "/meta/nodes": show("listNodes", () => ({}), nodes),
    "/meta/apps": show("listTables", tables, apps),
    "/meta/app": show("listTables", tables, (answer, request) => {
      return app(options, answer, request);
    }),
    "/meta/app_envs": show("listTables", tables, (answer, { args }) => {
      const table = tableNamed(answer, args.get("name")!);
      return table === undefined ? noTable(args.get("name")!) : { json: table.envs };
    }),
    "/meta/balance": show("balance", () => ({ action: "status" as const }), balance),
    "/meta/app/start_compaction": show("listTables", tables, (answer, { args }) => {
      const name = args.get("app_name")!;
      const table = tableNamed(answer, name);
      return table === undefined ? noTable(name) : compact(options, table.tableId);
    }),
    "/meta/load": watched(async ({ args }) => {
      const name = args.get("name");
      const load = await options.watching.load(name);
      if (name !== undefined && !(name in load)) return noTable(name);
      return { json: load };
    }),
    "/meta/hotspots": watched(async () => ({ json: await options.watching.hotspots() })),
    "/meta/availability": watched(() => ({ json: options.watching.availability })),
    "/envs/list": () => ({ json: Object.fromEntries(knownTableEnvs()) }),
  };
}

/** Sends the caller to the leader, or says why nobody can answer. */
export async function refused(
  { httpPortOf }: Pick<MetaPathOptions, "httpPortOf">,
  error: number,
  detail: string,
  { target }: Ask,
): Promise<Answer> {
  if (error !== Err.FORWARD_TO_OTHERS) return problem(503, detail || errorMeaning(error));
  if (detail === "") return problem(503, "No leader is known");
  const port = await httpPortOf(detail);
  if (port === 0) return problem(503, `The leader ${detail} tells no HTTP address`);
  const host = detail.slice(0, detail.lastIndexOf(":"));
  // Without a scheme: all servers of a cluster have TLS, or none.
  const location = `//${host}:${port}${target}`;
  return { status: 307, json: { location }, headers: { location } };
}

function cluster(
  answer: MetaAnswer<"clusterInfo">,
  balance: ReturnType<typeof balanceSummary>,
): Answer {
  const { metaServers, primaryMeta, coordinator, level, details } = answer;
  return {
    json: {
      cluster_name: answer.cluster,
      meta_servers: metaServers.join(","),
      primary_meta_server: primaryMeta,
      coordinator,
      meta_function_level: level,
      ...Object.fromEntries(balance),
      ...Object.fromEntries(details),
    },
  };
}

/** Asks every living server to compact a table; says which did not take the order. */
async function compact({ ask, remote }: MetaPathOptions, tableId: number): Promise<Answer> {
  const { answer } = await ask("listNodes", {});
  const alive = (answer?.nodes ?? []).filter((node) => node.alive);
  const rows = await Promise.all(alive.map(async ({ node }) => {
    const words = [String(tableId)];
    const said = await remote(node, "compact", words).catch((error) => String(error));
    return [node, said] as const;
  }));
  return { json: Object.fromEntries(rows) };
}

function balance(answer: MetaAnswer<"balance">): Answer {
  const { running, waitsFor, moving, started, next, remaining, isMore } = answer;
  const moves = next.map(({ partition, kind, from, to }) => ({
    ...{ gpid: formatPartition(partition), kind, from, to },
  }));
  const rest = { remaining, is_more: isMore, next: moves };
  return { json: { running, waits_for: waitsFor, moving, started, ...rest } };
}

function nodes({ nodes: all }: MetaAnswer<"listNodes">, { args }: Ask): Answer {
  const alive = all.filter((node) => node.alive).length;
  const summary = {
    total_node_count: all.length,
    alive_node_count: alive,
    unalive_node_count: all.length - alive,
  };
  if (!args.has("detail")) return { json: { summary } };
  const details = all.map((node) => [node.node, {
    status: node.alive ? "ALIVE" : "UNALIVE",
    replica_count: node.replicas,
    primary_count: node.primaries,
    secondary_count: node.replicas - node.primaries,
    http_port: node.httpPort,
    beacon_age_ms: node.beaconAgeMs,
    incarnation: node.incarnation,
  }]);
  return { json: { details: Object.fromEntries(details), summary } };
}

function apps({ tables, health }: MetaAnswer<"listTables">, { args }: Ask): Answer {
  const available = tables.filter(({ status }) => status === "available");
  const general = available.map((table) => [table.tableId, {
    app_id: table.tableId,
    status: table.status,
    app_name: table.name,
    app_type: "pegasus",
    partition_count: table.partitionCount,
    replica_count: table.maxReplicaCount,
    create_time: table.createdAt,
    envs_count: table.envs.size,
  }]);
  const ids = new Set(available.map(({ tableId }) => tableId));
  const healthy = health.filter(({ tableId }) => ids.has(tableId)).map((row) => [row.tableId, {
    fully_healthy: row.healthy,
    unhealthy: row.unhealthy,
    write_unhealthy: row.writeUnhealthy,
    read_unhealthy: row.readUnhealthy,
  }]);
  return {
    json: {
      general_info: Object.fromEntries(general),
      ...(args.has("detail") ? { healthy_info: Object.fromEntries(healthy) } : {}),
      summary: { total_app_count: available.length },
    },
  };
}

function tableNamed({ tables }: MetaAnswer<"listTables">, name: string) {
  return tables.find((table) => table.name === name && table.status === "available");
}

function noTable(name: string): Answer {
  return problem(404, `Table "${name}" does not exist or is not available`);
}

async function app(
  options: MetaPathOptions,
  answer: MetaAnswer<"listTables">,
  request: Ask,
): Promise<Answer> {
  const name = request.args.get("name")!;
  const table = tableNamed(answer, name);
  if (table === undefined) return noTable(name);
  const general = {
    app_name: table.name,
    app_id: table.tableId,
    partition_count: table.partitionCount,
    max_replica_count: table.maxReplicaCount,
  };
  if (!request.args.has("detail")) return { json: { general } };
  const reply = await options.ask("queryConfig", { table: name, indices: [] });
  if (reply.answer === undefined) {
    return await refused(options, reply.error, reply.detail, request);
  }
  const { partitions } = reply.answer;
  const replicas = partitions.map((config) => [indexOf(config.partition), {
    pidx: indexOf(config.partition),
    ballot: config.ballot,
    replica_count: `${membersOf(config).length}/${config.maxReplicaCount}`,
    primary: config.primary,
    secondaries: config.secondaries,
  }]);
  const health = answer.health.find(({ tableId }) => tableId === table.tableId);
  return {
    json: {
      general,
      replicas: Object.fromEntries(replicas),
      nodes: countByNode(partitions),
      healthy: {
        fully_healthy_partition_count: health?.healthy,
        unhealthy_partition_count: health?.unhealthy,
        write_unhealthy_partition_count: health?.writeUnhealthy,
        read_unhealthy_partition_count: health?.readUnhealthy,
      },
    },
  };
}

function membersOf({ primary, secondaries }: PartitionConfig): string[] {
  return [primary, ...secondaries].filter((node) => node !== "");
}

function countByNode(partitions: readonly PartitionConfig[]): Record<string, unknown> {
  const counts: Record<string, { primary: number; secondary: number; total: number }> = {};
  for (const config of partitions) {
    for (const node of membersOf(config)) {
      const count = counts[node] ??= { primary: 0, secondary: 0, total: 0 };
      count.total++;
      if (node === config.primary) count.primary++;
      else count.secondary++;
    }
  }
  return counts;
}
