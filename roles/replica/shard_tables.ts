// What a shard knows of tables, as meta told it with the last config sync: names, partition counts, variables.
// A table that nobody has told about yet is known only by what its replicas have stored with them.

import { type PartitionId, type TableId, tableOf } from "../../src/base/ids.ts";
import {
  type CompactionRule,
  parseTableEnvs,
  type TableEnvs,
} from "../../src/schema/table_envs.ts";
import type { TableInfo } from "../../src/schema/types.ts";
import type { ReplicaDriver } from "./replica_driver.ts";

/** The newest description of each table. */
export function newestTables(tables: readonly TableInfo[]): TableInfo[] {
  const newest = new Map<TableId, TableInfo>();
  for (const table of tables) {
    const known = newest.get(table.tableId);
    if (known === undefined || table.revision > known.revision) newest.set(table.tableId, table);
  }
  return [...newest.values()];
}

/** See the file comment. */
export class ShardTables {
  readonly #tables = new Map<TableId, { readonly info: TableInfo; readonly envs: TableEnvs }>();

  /** Takes newer descriptions; tables that are not mentioned stay. */
  update(tables: readonly TableInfo[]): void {
    for (const info of tables) {
      this.#tables.set(info.tableId, { info, envs: parseTableEnvs(info.envs) });
    }
  }

  /** The table of a partition. */
  of(partition: PartitionId): TableInfo | undefined {
    return this.#tables.get(tableOf(partition))?.info;
  }

  /** When tables are to be compacted. */
  *compactionRules(): Generator<readonly [TableId, CompactionRule]> {
    for (const [tableId, { envs }] of this.#tables) yield [tableId, envs.compaction];
  }

  /** Whether a table must not be compacted. */
  forbidsCompaction(tableId: TableId): boolean {
    return this.#tables.get(tableId)?.envs.compaction.disabled ?? false;
  }

  /** Name of a table. */
  nameOf(tableId: TableId): string | undefined {
    return this.#tables.get(tableId)?.info.name;
  }

  /** Names of all known tables. */
  names(): Map<TableId, string> {
    return new Map([...this.#tables].map(([tableId, { info }]) => [tableId, info.name]));
  }

  /** Tells a replica about its table. */
  describe(driver: ReplicaDriver): void {
    const table = this.#tables.get(tableOf(driver.partition));
    if (table !== undefined) driver.describe(table.info, table.envs);
  }
}
