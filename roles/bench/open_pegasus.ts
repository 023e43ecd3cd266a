// A table of a pegasus cluster as the target of a benchmark: connects, and makes the table if there is none.

import { type Cluster, Err, openCluster, StoreError } from "../../src/client/mod.ts";
import { readClientSecurity } from "../client_security.ts";
import type { BenchOptions } from "./flags.ts";
import type { TablePlace } from "./other_table.ts";
import { PegasusTarget } from "./pegasus_target.ts";
import type { RowLayout } from "./row_layout.ts";

/** @throws {StoreError} If the cluster does not answer, or cannot have the table. */
export async function openPegasus(
  { meta, table }: TablePlace,
  options: BenchOptions,
  layout: RowLayout,
): Promise<PegasusTarget> {
  const security = await readClientSecurity(options);
  const cluster = await openCluster({
    meta: [...meta],
    timeoutMs: 10_000,
    role: "bench",
    ...security,
  });
  try {
    await ensureTable(cluster, table, options.partitions);
  } catch (cause) {
    await cluster.close();
    throw cause;
  }
  return new PegasusTarget(cluster, table, layout);
}

async function ensureTable(cluster: Cluster, table: string, partitions: number): Promise<void> {
  const { tables } = await cluster.admin.listTables("available");
  if (tables.some(({ name }) => name === table)) return;
  const alive = (await cluster.admin.listNodes()).filter((node) => node.alive).length;
  if (alive === 0) {
    throw new StoreError(Err.NOT_ENOUGH_MEMBER, "The cluster has no live replica server");
  }
  await cluster.admin.createTable(table, {
    partitionCount: partitions,
    replicaCount: Math.min(3, alive),
  });
}
