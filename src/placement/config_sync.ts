// What a server stores against what meta wants it to store. Invariants: a server is never told that
// it is a member while its removal is being written (the answer is BUSY as a whole, rDSN #504); a
// replica is garbage only if its partition is whole without it, or its table was dropped and has
// expired; one that meta does not know is never touched. Rules: docs/meta.md, "Config sync".

import { Err } from "../base/errors.ts";
import { formatPartition, NOBODY, type NodeId, type PartitionId } from "../base/ids.ts";
import type { PartitionConfig, ReplicaReport, TableInfo } from "../schema/types.ts";
import type { PartitionState, TableState } from "./cluster_state.ts";
import { isMember, membersOf } from "./config_change.ts";
import { handOver } from "./cure.ts";
import type { MetaBody, Token } from "./io.ts";
import { allows } from "./levels.ts";
import { fail, levelNow, type MetaState, note, type Reign, reply } from "./meta_state.ts";

/** A server's report, answered with every partition it serves or stores. */
export function onConfigSync(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"configSync">,
  token: Token,
): void {
  const { node: name, incarnation, replicas } = request;
  const node = reign.detector.get(name);
  if (node === undefined || !node.alive || node.incarnation !== incarnation) {
    // It may be dead to us, its removal on the way; its next beacon settles who it is.
    return fail(s, token, Err.BUSY, "Send a beacon first");
  }
  node.stats = request.stats;
  const reported = new Map(replicas.map((report) => [report.partition, report]));
  learnReports(s, reign, name, reported);
  node.collected = true;
  reign.nextCureAt = Math.min(reign.nextCureAt, s.now.mono);

  const configs: PartitionConfig[] = [];
  const garbage: PartitionId[] = [];
  const tables = new Set<TableInfo>();
  for (const table of reign.cluster.tables.values()) {
    for (const partition of table.partitions) {
      const report = reported.get(partition.partition);
      const { config, inFlight } = partition;
      if (report === undefined && !isMember(config, name)) continue;
      // Perfect failure detector: not even the rest, because the asker takes the answer as a whole.
      const isLeaving = inFlight !== undefined && isMember(config, name) &&
        !isMember(inFlight.next, name);
      if (inFlight?.node === name || isLeaving) {
        return fail(s, token, Err.BUSY, "A change about the asker is being stored");
      }
      if (report !== undefined && isGarbage(s, reign, table, partition, name, report)) {
        garbage.push(partition.partition);
        continue;
      }
      configs.push(config);
      tables.add(table.info);
    }
  }
  const waiting = request.stats.draining ? handOver(s, reign, name) : 0;
  const nodes = reign.detector.addresses([...reign.detector.nodes].map((state) => state.node));
  reply<"configSync">(s, token, {
    ...{ configs, garbage, nodes, handOver: waiting },
    tables: [...tables],
  });
}

/** Remembers what the server holds; a replica outside the configuration may become a candidate. */
function learnReports(
  s: MetaState,
  reign: Reign,
  node: NodeId,
  reported: ReadonlyMap<PartitionId, ReplicaReport>,
): void {
  for (const table of reign.cluster.tables.values()) {
    for (const partition of table.partitions) {
      const report = reported.get(partition.partition);
      if (report === undefined) {
        partition.reports.delete(node);
        continue;
      }
      partition.reports.set(node, report);
      const isKnown = isMember(partition.config, node) ||
        partition.dropped.some((dropped) => dropped.node === node);
      // Reported candidates come before all that were seen leaving: those are newer.
      if (!isKnown) {
        partition.dropped = [{ node, at: -Infinity }, ...partition.dropped]
          .slice(-(partition.config.maxReplicaCount + 1));
      }
    }
  }
  for (const partition of reported.keys()) {
    if (reign.cluster.partition(partition) === undefined) {
      // Of another cluster, or of a table whose creation was never confirmed: an operator must
      // look.
      note(s, "unknownReplica", { node, partition: formatPartition(partition) });
    }
  }
}

function isGarbage(
  s: MetaState,
  reign: Reign,
  table: TableState,
  partition: PartitionState,
  node: NodeId,
  report: ReplicaReport,
): boolean {
  const { config, inFlight, actions } = partition;
  if (!allows(levelNow(s, reign), "steady") || isMember(config, node)) return false;
  if (inFlight !== undefined || actions.length > 0) return false;
  // Whoever holds data of a newer ballot than the store knows is evidence, not garbage.
  const isIdle = report.status === "inactive" || report.status === "error";
  if (!isIdle || report.ballot > config.ballot) return false;
  if (table.info.status === "dropped") return s.now.wall >= table.info.expiresAt * 1000;
  if (table.info.status !== "available" || config.primary === NOBODY) return false;
  const members = membersOf(config);
  if (s.now.mono - partition.wholeSince < s.settings.garbageDelayMs) return false;
  return members.length >= config.maxReplicaCount &&
    members.every((member) => reign.detector.isAlive(member));
}
