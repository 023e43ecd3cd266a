// Identifiers shared by every floor. All of them are plain numbers or strings at run time; the brands
// only keep the compiler from mixing them up.

import { assert } from "./assert.ts";

declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]?: Name };

/** Number of a table; never reused. Bounds: 1 .. 2^31-1. */
export type TableId = Brand<number, "TableId">;

/**
 * One partition of one table ("gpid" in the original): `tableId * 65536 + index` in one safe integer,
 * so that it is a cheap Map key. Write it for people with {@link formatPartition}.
 */
export type PartitionId = Brand<number, "PartitionId">;

/** Version of a partition's configuration. +1 for every persisted change; 0 = never configured. */
export type Ballot = Brand<number, "Ballot">;

/** Sequence number of a mutation in one partition; the first is 1 and there are no gaps. */
export type Decree = Brand<number, "Decree">;

/** A server, named by the `host:port` it advertises. The empty string means "nobody". */
export type NodeId = Brand<string, "NodeId">;

/** Nobody: the primary of a partition that has none. */
export const NOBODY: NodeId = "";

/** Upper bound (exclusive) of a partition index, and of a table's partition count. */
export const PARTITION_INDEX_END = 65536;

/** Joins a table id and a partition index. */
export function partitionId(tableId: TableId, index: number): PartitionId {
  assert(index >= 0 && index < PARTITION_INDEX_END, "Partition index out of range", { index });
  return tableId * PARTITION_INDEX_END + index;
}

/** The table a partition belongs to. */
export function tableOf(partition: PartitionId): TableId {
  return Math.floor(partition / PARTITION_INDEX_END);
}

/** The index of a partition inside its table. */
export function indexOf(partition: PartitionId): number {
  return partition % PARTITION_INDEX_END;
}

/** `"1.3"` for partition 3 of table 1: the form used in logs, the shell and directory names. */
export function formatPartition(partition: PartitionId): string {
  return `${tableOf(partition)}.${indexOf(partition)}`;
}

/** The inverse of {@link formatPartition}; `undefined` if the text is not such a name. */
export function parsePartition(text: string): PartitionId | undefined {
  const match = /^([1-9]\d{0,9})\.(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const table = Number(match[1]);
  const index = Number(match[2]);
  if (table > 0x7fffffff || index >= PARTITION_INDEX_END) return undefined;
  return partitionId(table, index);
}
