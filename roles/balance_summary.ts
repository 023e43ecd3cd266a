// How far from equal shares the servers of a cluster are, as the original tells it: for cluster_info of the shell and
// /meta/cluster.

import type { BalanceMove, NodeInfo } from "../src/schema/meta_rpc.ts";

/** Moves that the balancer would make, and how the numbers of replicas scatter, by the original's names. */
export function balanceSummary(
  { next, isMore }: { readonly next: readonly BalanceMove[]; readonly isMore: boolean },
  nodes: readonly NodeInfo[],
): [name: string, value: string | number][] {
  const alive = nodes.filter((node) => node.alive);
  const count = (wanted: BalanceMove["kind"]) => next.filter(({ kind }) => kind === wanted).length;
  const counts = [
    `move_pri=${count("movePrimary")}`,
    `copy_pri=${count("copyPrimary")}`,
    `copy_sec=${count("copySecondary")}`,
    `total=${next.length}${isMore ? "+" : ""}`,
  ];
  return [
    ["balance_operation_count", counts.join(",")],
    ["primary_replica_count_stddev", deviation(alive.map(({ primaries }) => primaries))],
    ["total_replica_count_stddev", deviation(alive.map(({ replicas }) => replicas))],
  ];
}

/** Standard deviation, to two digits. */
function deviation(counts: readonly number[]): number {
  if (counts.length === 0) return 0;
  const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const squares = counts.reduce((sum, count) => sum + (count - mean) ** 2, 0);
  return Math.round(100 * Math.sqrt(squares / counts.length)) / 100;
}
