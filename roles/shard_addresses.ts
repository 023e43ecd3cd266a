// Where the shards of a replica server listen: at its host, each at its own port.

import type { NodeInfo } from "../src/schema/meta_rpc.ts";

/** Addresses of the shards of a server, in their order. */
export function shardAddresses(
  { node, shardPorts }: Pick<NodeInfo, "node" | "shardPorts">,
): string[] {
  const host = node.slice(0, node.lastIndexOf(":"));
  return shardPorts.map((port) => `${host}:${port}`);
}
