// Answers about the cluster: routes, tables, servers. Pure reads of confirmed state; nothing here
// decides anything. See docs/meta.md, "Questions".

import { Err } from "../base/errors.ts";
import { NOBODY, type NodeId } from "../base/ids.ts";
import { minMembers } from "../schema/partition_config.ts";
import type { PartitionConfig } from "../schema/types.ts";
import type { Load, PartitionState, TableState } from "./cluster_state.ts";
import { membersOf } from "./config_change.ts";
import type { MetaAnswer, MetaBody, Token } from "./io.ts";
import { foreignText, recoveryHold } from "./recovery.ts";
import { isDrained } from "./drain.ts";
import { fail, levelNow, type MetaState, type Reign, reply } from "./meta_state.ts";

/** Why a table cannot be used now: an error and its detail; `undefined` if it can. */
export function unusable(
  table: TableState | undefined,
  name: string,
): { error: number; detail: string } | undefined {
  switch (table?.info.status) {
    case "available":
      return undefined;
    case "creating":
    case "recalling":
      return { error: Err.BUSY_CREATING, detail: `Table "${name}" is being created` };
    case "dropping":
      return { error: Err.BUSY_DROPPING, detail: `Table "${name}" is being dropped` };
    default:
      return { error: Err.APP_NOT_EXIST, detail: `Table "${name}" does not exist` };
  }
}

/** Routes. */
export function onQueryConfig(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"queryConfig">,
  token: Token,
): void {
  const table = reign.cluster.byName(request.table);
  const refusal = unusable(table, request.table);
  if (table === undefined || refusal !== undefined) {
    return fail(s, token, refusal!.error, refusal!.detail);
  }
  const { tableId, partitionCount } = table.info;
  const partitions: PartitionConfig[] = [];
  const members = new Set<NodeId>();
  const indices = request.indices.length === 0 ? table.partitions.keys() : request.indices;
  for (const index of indices) {
    const partition = table.partitions[index];
    if (partition === undefined) {
      const text = `Table "${request.table}" has ${partitionCount} partitions, asked for ${index}`;
      return fail(s, token, Err.INVALID_ARGUMENT, text);
    }
    partitions.push(partition.config);
    for (const node of membersOf(partition.config)) members.add(node);
  }
  const nodes = reign.detector.addresses(members);
  reply<"queryConfig">(s, token, { tableId, partitionCount, partitions, nodes });
}

/** Tables and their health. */
export function onListTables(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"listTables">,
  token: Token,
): void {
  const chosen = [...reign.cluster.tables.values()].filter(({ info, version }) =>
    version >= 0 && (request.status === undefined || info.status === request.status)
  );
  reply<"listTables">(s, token, {
    tables: chosen.map(({ info }) => info),
    health: chosen.map((table) => healthOf(reign, table)),
  });
}

/** How many partitions of a table are in which health. */
function healthOf(reign: Reign, table: TableState): MetaAnswer<"listTables">["health"][number] {
  let healthy = 0;
  let writeUnhealthy = 0;
  let readUnhealthy = 0;
  for (const partition of table.partitions) {
    const { members, hasPrimary } = aliveMembers(reign, partition);
    const { maxReplicaCount } = partition.config;
    if (hasPrimary && members >= maxReplicaCount) healthy++;
    if (!hasPrimary || members < minMembers(maxReplicaCount)) writeUnhealthy++;
    if (!hasPrimary) readUnhealthy++;
  }
  const unhealthy = table.partitions.length - healthy;
  return { tableId: table.info.tableId, healthy, unhealthy, writeUnhealthy, readUnhealthy };
}

function aliveMembers(
  reign: Reign,
  { config }: PartitionState,
): { members: number; hasPrimary: boolean } {
  const isAlive = (node: NodeId) => reign.detector.isAlive(node);
  const hasPrimary = config.primary !== NOBODY && isAlive(config.primary);
  return { members: membersOf(config).filter(isAlive).length, hasPrimary };
}

/** Servers. */
export function onListNodes(s: MetaState, reign: Reign, token: Token): void {
  const counts = countReplicas(reign);
  const nodes = [...reign.detector.nodes].map((state) => {
    const { replicas, primaries } = counts.get(state.node) ?? { replicas: 0, primaries: 0 };
    return {
      node: state.node,
      alive: state.alive,
      incarnation: state.incarnation,
      shardPorts: [...state.shardPorts],
      httpPort: state.httpPort,
      replicas,
      primaries,
      beaconAgeMs: Math.max(0, Math.round(s.now.mono - state.heardAt)),
      stats: state.stats && { ...state.stats, draining: isDrained(reign, state.node) },
      labels: new Map(state.labels),
    };
  });
  reply<"listNodes">(s, token, { nodes });
}

/** What the configurations say; unlike the load, without what is only proposed. */
function countReplicas(reign: Reign): Map<NodeId, Load> {
  const counts = new Map<NodeId, Load>();
  for (const table of reign.cluster.tables.values()) {
    for (const { config } of table.partitions) {
      for (const node of membersOf(config)) {
        let count = counts.get(node);
        if (count === undefined) counts.set(node, count = { replicas: 0, primaries: 0 });
        count.replicas++;
        if (node === config.primary) count.primaries++;
      }
    }
  }
  return counts;
}

/** What an operator must act on. */
function warnings(reign: Reign): [string, string][] {
  const texts = new Set([recoveryHold(reign) ?? "", foreignText(reign)]);
  texts.delete("");
  return texts.size === 0 ? [] : [["warning", [...texts].join("; ")]];
}

/** The cluster as a whole. */
export function onClusterInfo(s: MetaState, reign: Reign, token: Token): void {
  const { detector, cluster, epoch } = reign;
  let partitions = 0;
  let inFlight = 0;
  let proposals = 0;
  for (const table of cluster.tables.values()) {
    if (table.info.status !== "available") continue;
    partitions += table.partitions.length;
    for (const partition of table.partitions) {
      if (partition.inFlight !== undefined) inFlight++;
      if (partition.actions.length > 0) proposals++;
    }
  }
  reply<"clusterInfo">(s, token, {
    cluster: s.clusterName,
    metaServers: [...s.metaServers],
    primaryMeta: s.self,
    coordinator: s.coordinator,
    level: levelNow(s, reign),
    details: new Map([
      ["chosen_level", s.level],
      ["epoch", String(epoch)],
      ["store", reign.identity.store],
      ...warnings(reign),
      ["alive_nodes", `${detector.aliveCount}/${detector.knownCount}`],
      ["partitions", String(partitions)],
      ["changes_in_flight", String(inFlight)],
      ["partitions_being_cured", String(proposals)],
    ]),
  });
}
