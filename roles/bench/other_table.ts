// The table that `--against pegasus` compares with, as the flags name it.

import { hostPorts } from "../../src/config/field.ts";

/** Where a cluster is. */
export const META = hostPorts({ default: ["127.0.0.1:34601"], doc: "Meta servers" });

/** Which table, and where. */
export interface TablePlace {
  readonly meta: readonly string[];
  readonly table: string;
}

interface Flags extends TablePlace {
  readonly againstAddress: string;
  readonly againstTable: string;
}

/** @returns A text if the flags name the table itself, or an address that is none. */
export function otherTable(
  { meta, table, againstAddress, againstTable }: Flags,
): TablePlace | string {
  const other = { meta, table: againstTable === "" ? table : againstTable };
  if (againstAddress !== "") {
    const parsed = META.parse(againstAddress);
    return parsed.ok
      ? { ...other, meta: parsed.value }
      : `Flag "--against-address": expected ${parsed.expected}, got "${againstAddress}"`;
  }
  if (other.table !== table) return other;
  return 'Flag "--against pegasus" needs another table (--against-table), or the meta servers of another cluster ' +
    "(--against-address)";
}
