// Meta's state as it is stored: one node per table, one per partition, as JSON that an operator can
// read with the store's own tools. Invariant: what is read back is checked field by field; unknown
// fields of a newer version are an error, because writing the node again would lose them. See
// docs/meta.md, "What is stored".

import { fromHex, fromUtf8, toHex, utf8 } from "../base/bytes.ts";
import { formatPartition, indexOf, type PartitionId, type TableId, tableOf } from "../base/ids.ts";
import { type UserRecord, userRecord } from "../schema/access.ts";
import type { StoredValue } from "./io.ts";
import {
  type PartitionConfig,
  partitionConfig,
  type TableInfo,
  tableInfo,
} from "../schema/types.ts";

/** Version of the layout. */
const LAYOUT = 1;

/** Parent of all tables. */
export const TABLES_PATH = "/tables";
/** Name of the cluster and version of the layout. */
export const CLUSTER_PATH = "/cluster";

/** Servers that an operator drains. */
export const DRAINED_PATH = "/drained";

/** Servers that are gone for good, though partitions remember them as lost members. */
export const FORGOTTEN_PATH = "/forgotten";

/** Servers that get no new replica. */
export const BLACK_LIST_PATH = "/blacklist";

/** Everybody who has a name. */
export const USERS_PATH = "/users";

/** Node of a table. */
export function tablePath(table: TableId): string {
  return `${TABLES_PATH}/${table}`;
}

/** Node of a partition. */
export function partitionPath(partition: PartitionId): string {
  return `${TABLES_PATH}/${tableOf(partition)}/${indexOf(partition)}`;
}

/** What a path names. */
export type PathName =
  | { readonly kind: "cluster" | "tables" | "other" }
  | { readonly kind: "table"; readonly table: TableId }
  | { readonly kind: "partition"; readonly table: TableId; readonly index: number };

/** The inverse of the path functions. */
export function parsePath(path: string): PathName {
  if (path === CLUSTER_PATH) return { kind: "cluster" };
  if (path === TABLES_PATH) return { kind: "tables" };
  const match = /^\/tables\/([1-9]\d{0,9})(?:\/(\d{1,5}))?$/.exec(path);
  if (match === null) return { kind: "other" };
  const table = Number(match[1]);
  if (match[2] === undefined) return { kind: "table", table };
  return { kind: "partition", table, index: Number(match[2]) };
}

/** Which store this is, and what it may be taken for. */
export interface Identity {
  /** Made with the store; replica servers keep it. "" in a store of before there were identities. */
  readonly store: string;
  /** Identities it had before: servers that know one of them belong to it. */
  readonly former: readonly string[];
  /** Tables are being rebuilt from replica servers: what is stored of them is not whole. */
  readonly recovering: boolean;
  /** Version of the node. */
  readonly version: number;
}

const CLUSTER_KEYS = ["layout", "cluster", "store", "former", "recovering"];

/** Bytes of the cluster node. */
export function clusterValue(
  cluster: string,
  { store, former, recovering }: Omit<Identity, "version">,
): Uint8Array {
  return toJson({ layout: LAYOUT, cluster, store, former, recovering });
}

/** @throws {Error} If the bytes are not a cluster node. */
export function readIdentity({ value, version }: StoredValue): Identity {
  const plain = fromJson(value, "cluster", CLUSTER_KEYS);
  const { store = "", former = [], recovering = false } = plain;
  const areTexts = Array.isArray(former) && former.every((id) => typeof id === "string");
  if (typeof store === "string" && areTexts && typeof recovering === "boolean") {
    return { store, former, recovering, version };
  }
  throw new Error("The stored cluster has an identity that cannot be read");
}

/** Why this store is not ours; `undefined` if it is. */
export function clusterMismatch(value: Uint8Array, cluster: string): string | undefined {
  const { layout, cluster: stored } = fromJson(value, "cluster", CLUSTER_KEYS);
  if (layout !== LAYOUT) return `The store has layout ${layout}, this version knows ${LAYOUT}`;
  if (stored !== cluster) return `The store belongs to cluster "${stored}", not to "${cluster}"`;
  return undefined;
}

/** Bytes of a node that lists servers. */
export function nodeListValue(nodes: readonly string[]): Uint8Array {
  return toJson({ nodes });
}

/** @throws {Error} If the bytes are not a list of servers. */
export function readNodeList({ path, value }: StoredValue): string[] {
  const { nodes } = fromJson(value, `list "${path}"`, ["nodes"]);
  if (Array.isArray(nodes) && nodes.every((node) => typeof node === "string")) return nodes;
  throw new Error(`The stored "${path}" is not a list of addresses`);
}

/** Bytes of the node of users; bytes in it as hexadecimal digits. */
export function usersValue(users: readonly UserRecord[]): Uint8Array {
  return toJson({
    users: users.map(({ name, admin, createdAt, verifier }) => ({
      name,
      admin,
      createdAt,
      ...(verifier === undefined ? {} : {
        salt: toHex(verifier.salt),
        iterations: verifier.iterations,
        storedKey: toHex(verifier.storedKey),
        serverKey: toHex(verifier.serverKey),
      }),
    })),
  });
}

/** @throws {Error} If the bytes are not a list of users. */
export function readUsers(value: Uint8Array): UserRecord[] {
  const { users } = fromJson(value, "list of users", ["users"]);
  if (!Array.isArray(users)) throw new Error("The stored list of users is no list");
  return users.map((plain: Record<string, unknown>, i) => {
    const what = `user ${i}`;
    const known = fromJson(toJson(plain), what, [...USER_KEYS, ...VERIFIER_KEYS]);
    const [salt, iterations, stored, server] = VERIFIER_KEYS.map((key) => known[key]);
    const verifier = salt === undefined
      ? null
      : [keyOf(salt, what), iterations, keyOf(stored, what), keyOf(server, what)];
    return userRecord.read([known.name, known.admin, verifier, known.createdAt], what);
  });
}

const USER_KEYS = ["name", "admin", "createdAt"] as const;
const VERIFIER_KEYS = ["salt", "iterations", "storedKey", "serverKey"] as const;

function keyOf(digits: unknown, what: string): Uint8Array {
  const key = typeof digits === "string" ? fromHex(digits) : undefined;
  if (key !== undefined) return key;
  throw new Error(`The stored ${what} has a key that is not hexadecimal`);
}

const TABLE_KEYS = [
  "tableId",
  "name",
  "status",
  "partitionCount",
  "maxReplicaCount",
  "envs",
  "createdAt",
  "droppedAt",
  "expiresAt",
  "revision",
] as const satisfies readonly (keyof TableInfo)[];

const PARTITION_KEYS = [
  "ballot",
  "primary",
  "secondaries",
  "lastDrops",
  "maxReplicaCount",
  "committedHint",
] as const satisfies readonly (keyof PartitionConfig)[];

/** Bytes of a table node. */
export function tableValue(table: TableInfo): Uint8Array {
  return toJson({ ...pick(table, TABLE_KEYS), envs: Object.fromEntries(table.envs) });
}

/** @throws {Error} If the bytes are not a table. */
export function readTable(value: Uint8Array, id: TableId): TableInfo {
  const plain = fromJson(value, `table ${id}`, TABLE_KEYS);
  const envs = Object.entries(plain.envs as Record<string, unknown>);
  const list = TABLE_KEYS.map((key) => key === "envs" ? envs : plain[key]);
  // The last field came later.
  if (plain.revision === undefined) list.pop();
  const table = tableInfo.read(list, `table ${id}`);
  if (table.tableId !== id) throw new Error(`Table ${id} is stored as table ${table.tableId}`);
  return table;
}

/** Bytes of a partition node. */
export function partitionValue(config: PartitionConfig): Uint8Array {
  return toJson(pick(config, PARTITION_KEYS));
}

/** @throws {Error} If the bytes are not a configuration. */
export function readPartition(value: Uint8Array, partition: PartitionId): PartitionConfig {
  const what = `partition ${formatPartition(partition)}`;
  const plain = fromJson(value, what, PARTITION_KEYS);
  return partitionConfig.read([partition, ...PARTITION_KEYS.map((key) => plain[key])], what);
}

function pick<T, K extends keyof T>(value: T, keys: readonly K[]): Record<K, T[K]> {
  return Object.fromEntries(keys.map((key) => [key, value[key]])) as Record<K, T[K]>;
}

function toJson(value: unknown): Uint8Array {
  return utf8(JSON.stringify(value));
}

function fromJson(
  value: Uint8Array,
  what: string,
  keys: readonly string[],
): Record<string, unknown> {
  let plain: unknown;
  try {
    plain = JSON.parse(fromUtf8(value));
  } catch (cause) {
    throw new Error(`The stored ${what} is not JSON`, { cause });
  }
  if (typeof plain !== "object" || plain === null) {
    throw new Error(`The stored ${what} is no object`);
  }
  for (const key of Object.keys(plain)) {
    if (!keys.includes(key)) {
      throw new Error(
        `The stored ${what} has the unknown field "${key}": written by a newer version`,
      );
    }
  }
  return plain as Record<string, unknown>;
}
