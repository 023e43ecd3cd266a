// What is wrong with a cluster, in words that say what it means and what is hit, worst first. An operator
// who reads only this list knows whether to act. Pure. Levels: "critical" = somebody cannot read or write,
// or a server is lost; "warning" = a second failure would hurt; "info" = it heals by itself.

import type { HotspotRow } from "../../meta/watching.ts";
import type { NodeView, Overview, PartitionView, TableView } from "./overview.ts";

/** See the file comment. */
export interface Problem {
  readonly level: "critical" | "warning" | "info";
  readonly text: string;
}

type Cluster = Pick<Overview, "level" | "warning" | "nodes" | "tables" | "hotspots">;

/** How many times its share a server may lead. */
const SPREAD_MAX = 1.5;
/** Named of many partitions. */
const EXAMPLES_MAX = 6;
/** Share of a disk that should stay free. */
const DISK_FREE_MIN = 0.1;

/** Everything that is wrong; empty if nothing is. */
export function problemsOf(cluster: Cluster): Problem[] {
  const problems: Problem[] = [
    ...cluster.warning === "" ? [] : [{ level: "critical" as const, text: cluster.warning }],
    ...cluster.nodes.flatMap((node) => ofNode(node)),
    ...cluster.tables.flatMap((table) => ofTable(table)),
    ...ofServerCount(cluster),
    ...ofLevel(cluster),
    ...cluster.hotspots.map(ofHotspot),
    ...ofSpread(cluster),
  ];
  const order = ["critical", "warning", "info"];
  return problems.sort((a, b) => order.indexOf(a.level) - order.indexOf(b.level));
}

function ofNode(node: NodeView): Problem[] {
  const { alive, draining, numbers, diskTotalBytes, diskFreeBytes } = node;
  if (!alive) {
    const seconds = Math.round(node.beaconAgeMs / 1000);
    return [{
      level: "critical",
      text: `Server ${node.node} is dead: last heard of ${duration(seconds)} ago` +
        (node.replicas > 0 ? `, still a member of ${count(node.replicas, "partition")}` : ""),
    }];
  }
  const problems: Problem[] = [];
  if (draining) {
    const left = node.replicas === 0
      ? "nothing is left on it"
      : `still a member of ${count(node.replicas, "partition")}`;
    problems.push({ level: "info", text: `Server ${node.node} is being drained: ${left}` });
  }
  if (numbers?.logFailed) {
    const text = `Server ${node.node} lost its log after a failed write: restart it`;
    problems.push({ level: "critical", text });
  }
  if (numbers?.diskFull) {
    const text = `Server ${node.node} takes no writes: a disk is full`;
    problems.push({ level: "critical", text });
  }
  for (const disk of node.badDisks) {
    problems.push({ level: "warning", text: `Server ${node.node}: data directory ${disk}` });
  }
  if (diskTotalBytes > 0 && diskFreeBytes / diskTotalBytes < DISK_FREE_MIN) {
    const percent = Math.floor(100 * diskFreeBytes / diskTotalBytes);
    problems.push({
      level: "warning",
      text: `Server ${node.node} has only ${percent} % of its disk free`,
    });
  }
  return problems;
}

/** "4 seconds", "3 minutes", "2 hours". */
function duration(seconds: number): string {
  if (seconds < 120) return count(seconds, "second");
  if (seconds < 7200) return count(Math.floor(seconds / 60), "minute");
  return count(Math.floor(seconds / 3600), "hour");
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function ofTable({ name, partitions, maxReplicaCount }: TableView): Problem[] {
  const problems: Problem[] = [];
  const tell = (level: Problem["level"], hit: readonly PartitionView[], what: string) => {
    if (hit.length === 0) return;
    const share = `${hit.length} of ${count(partitions.length, "partition")}`;
    problems.push({ level, text: `Table ${name}: ${share} ${what} (${examples(hit)})` });
  };
  const having = (health: PartitionView["health"]) =>
    partitions.filter((partition) => partition.health === health);
  tell("critical", having("unreadable"), "without a primary, no reads and no writes");
  tell("critical", having("unwritable"), "with too few members, reads only, no writes");
  const members = `with fewer than ${maxReplicaCount} members, reads and writes work`;
  tell("warning", having("degraded"), members);
  const learning = partitions.filter(({ learners }) => learners.length > 0);
  tell("info", learning, "being copied to another server");
  return problems;
}

/** Tables that cannot be healed before there are more servers. */
function ofServerCount({ nodes, tables }: Cluster): Problem[] {
  const alive = nodes.filter((node) => node.alive).length;
  const short = tables.filter(({ maxReplicaCount, partitions }) =>
    alive < maxReplicaCount && partitions.some(({ health }) => health === "degraded")
  );
  if (short.length === 0) return [];
  const named = short.slice(0, EXAMPLES_MAX).map(({ name }) => name).join(", ");
  const names = short.length > EXAMPLES_MAX ? `${named}, ...` : named;
  const wanted = Math.max(...short.map(({ maxReplicaCount }) => maxReplicaCount));
  const verb = short.length === 1 ? "Table" : "Tables";
  const text = `${verb} ${names}: ${wanted} members are wanted, but only ` +
    `${count(alive, "server")} ${alive === 1 ? "is" : "are"} alive: start another one`;
  return [{ level: "warning", text }];
}

function examples(hit: readonly PartitionView[]): string {
  const named = hit.slice(0, EXAMPLES_MAX).map(({ partition }) => partition).join(", ");
  return hit.length > EXAMPLES_MAX ? `${named}, ...` : named;
}

function ofHotspot(hotspot: HotspotRow): Problem {
  const { app_name: table, gpid, partition_index: index, kind, rate, score } = hotspot;
  const text =
    `Partition ${gpid} of table ${table} is hot: ${rate} ${kind}s per second, ${score} deviations ` +
    `above the others; "detect_hotkey ${table} ${index}${
      kind === "write" ? " -t write" : ""
    }" finds the key`;
  return { level: "warning", text };
}

/** Some servers lead much more than their share. */
function ofSpread({ nodes, tables }: Cluster): Problem[] {
  const partitions = tables.reduce((sum, table) => sum + table.partitions.length, 0);
  const able = nodes.filter(({ alive, draining }) => alive && !draining);
  const [most] = able.toSorted((a, b) => b.primaries - a.primaries);
  if (most === undefined || able.length < 2) return [];
  const share = partitions / able.length;
  if (most.primaries <= share * SPREAD_MAX + 1) return [];
  const text =
    `Server ${most.node} leads ${most.primaries} of ${count(partitions, "partition")}, ` +
    `its share is ${Math.round(share)}: "balance" spreads them`;
  return [{ level: "info", text }];
}

function ofLevel({ level }: Cluster): Problem[] {
  if (level === "steady" || level === "lively") return [];
  const text = `Meta cures nothing while its function level is "${level}"`;
  return [{ level: level === "stopped" ? "critical" : "warning", text }];
}
