// The client's picture of one table: which address serves which partition. Immutable; `updateRoutes`
// returns the next picture, so that an operation may hold one without seeing it change. Invariant: the
// ballot of a partition never goes back while the table and its partition count stay the same, so an
// answer of an old meta leader cannot undo a newer one. See docs/client.md, "Routes".

import { type Ballot, indexOf, NOBODY, type NodeId, type PartitionId } from "../base/ids.ts";
import { partitionId, type TableId, tableOf } from "../base/ids.ts";
import type { QueryConfig } from "../schema/meta_rpc.ts";
import type { ResponseOf } from "../schema/rpc.ts";
import type { NodeAddress } from "../schema/types.ts";

/** Where one partition is served. Addresses are "host:port" of the shard; empty primary = nobody. */
export interface Route {
  readonly partition: PartitionId;
  readonly ballot: Ballot;
  readonly primary: string;
  /** Addresses of all members, primary first: for reads that may be stale. */
  readonly members: readonly string[];
}

/** All routes of one table; `routes[i].partition` has index i. */
export interface RouteMap {
  readonly tableId: TableId;
  readonly partitionCount: number;
  readonly routes: readonly Route[];
}

/** Answer of meta to a route query. */
export type RouteAnswer = ResponseOf<typeof QueryConfig>;

/**
 * The address of the shard of `node` that serves a partition.
 *
 * @param shardPorts Ports of the node's shards; partition p is served by port number p mod length.
 *   None, or the node's own port alone, means the node's own address.
 */
export function shardAddress(
  node: NodeId,
  shardPorts: readonly number[],
  partition: PartitionId,
): string {
  if (node === NOBODY || shardPorts.length === 0) return node;
  const colon = node.lastIndexOf(":");
  const port = shardPorts[partition % shardPorts.length]!;
  return `${colon < 0 ? node : node.slice(0, colon)}:${port}`;
}

/** The next picture after an answer of meta. */
export function updateRoutes(before: RouteMap | undefined, answer: RouteAnswer): RouteMap {
  const { tableId, partitionCount } = answer;
  const ports = portsByNode(answer.nodes);
  // A re-created or split table is another thing: nothing of the old picture may survive.
  const same = before !== undefined && before.tableId === tableId &&
    before.partitionCount === partitionCount;
  const routes: Route[] = same ? [...before.routes] : emptyRoutes(tableId, partitionCount);
  for (const config of answer.partitions) {
    const index = indexOf(config.partition);
    const known = routes[index];
    if (known === undefined || tableOf(config.partition) !== tableId) continue;
    if (config.ballot < known.ballot) continue;
    const addresses: string[] = [];
    for (const node of [config.primary, ...config.secondaries]) {
      if (node === NOBODY) continue;
      addresses.push(shardAddress(node, ports.get(node) ?? [], config.partition));
    }
    routes[index] = {
      partition: config.partition,
      ballot: config.ballot,
      primary: config.primary === NOBODY ? NOBODY : addresses[0]!,
      members: addresses,
    };
  }
  return { tableId, partitionCount, routes };
}

/** How many partitions have a primary. */
export function readyCount(map: RouteMap): number {
  let ready = 0;
  for (const route of map.routes) if (route.primary !== NOBODY) ready++;
  return ready;
}

function portsByNode(nodes: readonly NodeAddress[]): Map<NodeId, readonly number[]> {
  const ports = new Map<NodeId, readonly number[]>();
  for (const { node, shardPorts } of nodes) ports.set(node, shardPorts);
  return ports;
}

function emptyRoutes(tableId: TableId, partitionCount: number): Route[] {
  const routes: Route[] = [];
  for (let index = 0; index < partitionCount; index++) {
    const partition = partitionId(tableId, index);
    routes.push({ partition, ballot: 0, primary: NOBODY, members: [] });
  }
  return routes;
}
