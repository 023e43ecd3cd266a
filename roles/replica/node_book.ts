// Where the shards of every replica server listen. A partition lives on shard `partition mod shards` of a
// server; a server nobody has described yet is assumed to have one shard, at its own address.

import type { NodeId, PartitionId } from "../../src/base/ids.ts";
import type { NodeAddress } from "../../src/schema/types.ts";

/** See the file comment. */
export class NodeBook {
  readonly #shards = new Map<NodeId, string[]>();
  readonly #nodes = new Map<string, NodeId>();

  /** Takes newer descriptions; nodes that are not mentioned stay. */
  update(nodes: readonly NodeAddress[]): void {
    for (const { node, shardPorts } of nodes) {
      const host = node.slice(0, node.lastIndexOf(":"));
      const addresses = shardPorts.map((port) => `${host}:${port}`);
      for (const address of this.#shards.get(node) ?? []) this.#nodes.delete(address);
      this.#shards.set(node, addresses);
      for (const address of addresses) this.#nodes.set(address, node);
    }
  }

  /** "host:port" that serves `partition` on `node`. */
  address(node: NodeId, partition: PartitionId): string {
    const addresses = this.#shards.get(node);
    if (addresses === undefined || addresses.length === 0) return node;
    return addresses[partition % addresses.length]!;
  }

  /** The node behind the address of one of its shards. */
  nodeOf(address: string): NodeId {
    return this.#nodes.get(address) ?? address;
  }
}
