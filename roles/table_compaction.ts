// The rewriting of a table's files on all servers: started on each, then asked for. Used by the shell, and by the
// benchmark before it measures what it loaded.

import { parsePartition, tableOf } from "../src/base/ids.ts";
import type { Admin } from "../src/client/mod.ts";

/** How far one replica is. */
export interface ReplicaCompaction {
  readonly node: string;
  readonly gpid: string;
  readonly state: string;
  /** What a finished one was and is, as the server says it. */
  readonly detail: string;
}

/** Whether a replica has yet to end. */
export function isOpen({ state }: ReplicaCompaction): boolean {
  return state === "queued" || state === "running";
}

/** The servers that can be asked, by name. @throws {StoreError} No meta server answers */
export async function aliveNodes(admin: Admin): Promise<string[]> {
  const nodes = await admin.listNodes();
  return nodes.filter(({ alive }) => alive).map(({ node }) => node).sort();
}

/** Starts it on the servers. @throws {StoreError} A server refuses or does not answer */
export async function startCompaction(
  admin: Admin,
  nodes: readonly string[],
  tableId: number,
): Promise<void> {
  await Promise.all(nodes.map((node) => admin.remoteCommand(node, "compact", [String(tableId)])));
}

/** The table's replicas on a server, as it tells them. @throws {StoreError} It does not answer */
export async function compactionsOf(
  admin: Admin,
  node: string,
  tableId: number,
): Promise<ReplicaCompaction[]> {
  const output = await admin.remoteCommand(node, "compaction", []);
  const states: ReplicaCompaction[] = [];
  for (const line of output.split("\n")) {
    const [gpid = "", state = "", ...rest] = line.replace(/^shard \d+: /, "").split(" ");
    const partition = parsePartition(gpid);
    if (partition === undefined || tableOf(partition) !== tableId) continue;
    states.push({ node, gpid, state, detail: rest.join(" ") });
  }
  return states;
}
