// What the manifest of a replica keeps of its table and its history, so that meta's store can be rebuilt from
// replica servers (docs/meta.md, "Recovery"). It may have been written by another version: whatever cannot be
// read is unknown.

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { type Ballot, tableOf } from "../../src/base/ids.ts";
import { readTable, tableValue } from "../../src/placement/stored.ts";
import type { ReplicaReport, TableInfo } from "../../src/schema/types.ts";
import type { RecoveredReplica } from "../../storage/recover_shard.ts";
import type { Manifest } from "../../storage/replica_dir.ts";

/** Replicas a table has if nothing else is known. */
const REPLICA_COUNT_UNKNOWN = 3;

/** See the file comment. */
export interface StoredInfo {
  readonly maxReplicaCount: number;
  readonly tableName: string;
  /** The table as meta stores it; absent = not yet told. */
  readonly table?: unknown;
  /** Ballot under which the newest image was installed; its mutations are in no log. */
  readonly imageBallot: Ballot;
}

/** Fields of a manifest that describe the table. */
export function describeTable(
  table: TableInfo,
  imageBallot: Ballot,
): Pick<Manifest, "tableName" | "partitionCount"> & { readonly info: StoredInfo } {
  const { name: tableName, partitionCount, maxReplicaCount } = table;
  const plain: unknown = JSON.parse(fromUtf8(tableValue(table)));
  return {
    tableName,
    partitionCount,
    info: { maxReplicaCount, tableName, imageBallot, table: plain },
  };
}

/** The table of a stored replica: as meta told it, or what its directory says by itself. */
export function tableOfManifest(
  { partition, tableName, partitionCount, info }: Manifest,
): TableInfo {
  const tableId = tableOf(partition);
  const { table } = fieldsOf(info);
  try {
    if (table !== undefined) return readTable(utf8(JSON.stringify(table)), tableId);
  } catch {
    // Written by another version.
  }
  return {
    ...{ tableId, name: tableName, status: "available", partitionCount, envs: new Map() },
    maxReplicaCount: maxReplicaCountOf(info),
    ...{ createdAt: 0, droppedAt: 0, expiresAt: 0, revision: 0 },
  };
}

export function maxReplicaCountOf(info: unknown): number {
  const count = Number(fieldsOf(info).maxReplicaCount);
  return Number.isInteger(count) && count > 0 ? count : REPLICA_COUNT_UNKNOWN;
}

/** See {@link StoredInfo}; 0 = no image was installed. */
export function imageBallotOf(info: unknown): Ballot {
  const ballot = Number(fieldsOf(info).imageBallot);
  return Number.isSafeInteger(ballot) && ballot > 0 ? ballot : 0;
}

/** What is known of a replica that was found at the start and is not open. */
export function reportOf(
  { dir, recovery }: RecoveredReplica,
): Omit<ReplicaReport, "disk"> {
  const { partition, durable, info } = dir.manifest;
  const { ballot, committed, mutations } = recovery;
  let lastPrepared = durable;
  for (const { decree } of mutations) if (decree === lastPrepared + 1) lastPrepared++;
  const maxPrepared = mutations.at(-1)?.decree ?? durable;
  const mutationBallot = Math.max(recovery.mutationBallot, imageBallotOf(info));
  const decrees = { committed, lastPrepared, maxPrepared, durable, applied: durable };
  return { partition, ballot, status: "inactive", ...decrees, mutationBallot, bytes: 0 };
}

function fieldsOf(info: unknown): Partial<Record<keyof StoredInfo, unknown>> {
  return typeof info === "object" && info !== null ? info : {};
}
