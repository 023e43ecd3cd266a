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
  const parsed = againstAddress === ""
    ? { ok: true, value: meta } as const
    : META.parse(againstAddress);
  if (!parsed.ok) {
    return `Flag "--against-address": expected ${parsed.expected}, got "${againstAddress}"`;
  }
  const other = { meta: parsed.value, table: againstTable === "" ? table : againstTable };
  if (other.table !== table || other.meta.join() !== meta.join()) return other;
  return 'Flag "--against pegasus" needs another table (--against-table), or the meta servers of another cluster ' +
    "(--against-address)";
}
