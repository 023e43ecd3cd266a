// The stored tree as the state of a new reign. Invariant: a tree that is not exactly what a leader
// of this cluster writes is refused as a whole; nothing is guessed. See docs/meta.md, "What is
// stored".

import { PARTITION_INDEX_END, partitionId, type TableId } from "../base/ids.ts";
import type { MetaEvent, StoredValue } from "./io.ts";
import { type MetaState, type NodeList, type Reign, write } from "./meta_state.ts";
import {
  BLACK_LIST_PATH,
  CLUSTER_PATH,
  clusterMismatch,
  clusterValue,
  DRAINED_PATH,
  FORGOTTEN_PATH,
  parsePath,
  readIdentity,
  readNodeList,
  readPartition,
  readTable,
  readUsers,
  TABLES_PATH,
  USERS_PATH,
} from "./stored.ts";

type Loaded = Extract<MetaEvent, { kind: "loaded" }>;

/**
 * Fills the reign's state; an empty store is prepared first. `done` runs when everything is there.
 *
 * @returns Why the tree cannot be used; `undefined` if it can.
 */
export function loadCluster(
  s: MetaState,
  reign: Reign,
  { nodes, newStoreId }: Loaded,
  done: () => void,
): string | undefined {
  const cluster = nodes.find(({ path }) => path === CLUSTER_PATH);
  if (cluster === undefined) {
    const foreign = nodes.find(({ path }) => parsePath(path).kind !== "other");
    if (foreign !== undefined) return `The store has "${foreign.path}" but not "${CLUSTER_PATH}"`;
    const fresh = { store: newStoreId, former: [], recovering: false };
    write(s, reign, [
      { op: "create", path: CLUSTER_PATH, value: clusterValue(s.clusterName, fresh) },
      { op: "create", path: TABLES_PATH, value: new Uint8Array(0) },
    ], () => {
      reign.identity = { ...fresh, version: 0 };
      done();
    });
    return undefined;
  }
  try {
    const mismatch = clusterMismatch(cluster.value, s.clusterName);
    if (mismatch !== undefined) return mismatch;
    reign.identity = readIdentity(cluster);
    // Half a recovery is no state of a cluster: its nodes only wait to be replaced.
    if (reign.identity.recovering) reign.leftovers = nodes.filter(isTableNode);
    else readTables(s, reign, nodes);
    const drained = nodes.find(({ path }) => path === DRAINED_PATH);
    if (drained !== undefined) reign.drained = listOf(drained);
    const forgotten = nodes.find(({ path }) => path === FORGOTTEN_PATH);
    if (forgotten !== undefined) reign.forgotten = listOf(forgotten);
    const blackList = nodes.find(({ path }) => path === BLACK_LIST_PATH);
    if (blackList !== undefined) reign.blackList = listOf(blackList);
    const users = nodes.find(({ path }) => path === USERS_PATH);
    if (users !== undefined) {
      const byName = new Map(readUsers(users.value).map((user) => [user.name, user]));
      reign.users = { byName, version: users.version, busy: false };
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
  if (reign.identity.store === "") giveIdentity(s, reign, newStoreId, done);
  else done();
  return undefined;
}

function listOf(stored: StoredValue): NodeList {
  return { nodes: new Set(readNodeList(stored)), version: stored.version, busy: false };
}

/** For a store of before there were identities. */
function giveIdentity(
  s: MetaState,
  reign: Reign,
  newStoreId: string,
  done: () => void,
): void {
  const next = { ...reign.identity, store: newStoreId };
  const value = clusterValue(s.clusterName, next);
  const { version } = reign.identity;
  write(s, reign, [{ op: "set", path: CLUSTER_PATH, value, version }], ([stored]) => {
    reign.identity = { ...next, version: stored! };
    done();
  });
}

function isTableNode({ path }: StoredValue): boolean {
  const { kind } = parsePath(path);
  return kind === "table" || kind === "partition";
}

function readTables(s: MetaState, reign: Reign, nodes: readonly StoredValue[]): void {
  const tables: { id: TableId; node: StoredValue }[] = [];
  const partitions = new Map<number, StoredValue>();
  for (const node of nodes) {
    const name = parsePath(node.path);
    if (name.kind === "table") tables.push({ id: name.table, node });
    else if (name.kind === "partition") {
      if (name.index >= PARTITION_INDEX_END) throw new Error(`Unexpected node "${node.path}"`);
      partitions.set(partitionId(name.table, name.index), node);
    }
  }
  tables.sort((a, b) => a.id - b.id);
  for (const { id, node } of tables) {
    const info = readTable(node.value, id);
    const table = reign.cluster.putTable(info, node.version);
    for (let index = 0; index < info.partitionCount; index++) {
      const stored = partitions.get(partitionId(id, index));
      if (stored === undefined) {
        // They are written in order, so what is missing is the rest.
        if (info.status === "creating") break;
        throw new Error(`Partition ${index} of table ${id} is not stored`);
      }
      const config = readPartition(stored.value, partitionId(id, index));
      reign.cluster.addPartition(table, config, stored.version);
      const partition = table.partitions[index]!;
      // When they were lost is forgotten: they get the whole delay again.
      partition.dropped = config.lastDrops.map((lost) => ({ node: lost, at: s.now.mono }));
    }
  }
}
