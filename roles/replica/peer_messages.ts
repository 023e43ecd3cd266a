// Messages between replicas at the border of a shard: how they are registered, sent and taken over. The
// declaration belongs to the kind of a message by construction (PEER_RPC); the compiler cannot follow a union
// through it, so the casts are here and nowhere else. Rules: docs/protocol.md, "Replication".

import type { RpcClient, RpcServer } from "../../src/rpc/contract.ts";
import { PEER_RPC, type PeerMessage } from "../../src/schema/replica_rpc.ts";
import type { AnyRpc } from "../../src/schema/rpc.ts";

/** Hands every message of other replicas to `take`. */
export function registerPeers(server: RpcServer, take: (message: PeerMessage) => void): void {
  for (const [kind, rpc] of Object.entries(PEER_RPC)) {
    server.handle(rpc as AnyRpc, (body) => take({ kind, body } as unknown as PeerMessage));
  }
}

/** Sends a message; it may be lost. */
export function sendPeer(client: RpcClient, address: string, message: PeerMessage): void {
  client.send(address, PEER_RPC[message.kind] as AnyRpc, message.body);
}
