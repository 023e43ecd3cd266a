// A table as meta describes it, for tests that need one and care for few of its properties.

import type { TableInfo } from "../src/schema/types.ts";

/** Table 1, "t", with one partition of three members, but for `changes`. */
export function tableInfo(changes: Partial<TableInfo> = {}): TableInfo {
  return {
    tableId: 1,
    name: "t",
    status: "available",
    partitionCount: 1,
    maxReplicaCount: 3,
    envs: new Map(),
    createdAt: 0,
    droppedAt: 0,
    expiresAt: 0,
    revision: 0,
    ...changes,
  };
}
