// Changing the configuration of one partition, asked for by its primary or decided by meta.
// Invariants: one change of a partition is in flight at a time; nobody sees a configuration before
// the store confirmed it; the stored one is built here from the current one, so it differs exactly
// as the request's change and node say. Rules: docs/meta.md, "Changing a configuration".

import { Err } from "../base/errors.ts";
import { formatPartition, NOBODY, type NodeId } from "../base/ids.ts";
import { sameMembers } from "../schema/partition_config.ts";
import type { ConfigChange, PartitionConfig } from "../schema/types.ts";
import type { PartitionState, TableState } from "./cluster_state.ts";
import { mayAsk, membersOf, nextConfig, sameConfig } from "./config_change.ts";
import type { MetaBody, Token } from "./io.ts";
import { allows } from "./levels.ts";
import { levelNow, type MetaState, note, type Reign, reply, write } from "./meta_state.ts";
import { partitionPath, partitionValue } from "./stored.ts";

/** A request of a replica (rules 1-6). */
export function onUpdateConfig(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"updateConfig">,
  token: Token,
): void {
  const found = reign.cluster.partition(request.config.partition);
  if (found === undefined) return answer(s, token, Err.OBJECT_NOT_FOUND, undefined);
  const { table, partition } = found;
  const { config } = partition;
  const node = reign.detector.get(request.from);
  // A process that was declared dead, or was replaced by a newer one, has no say until it is back.
  if (node === undefined || !node.alive || request.incarnation < node.incarnation) return;
  const { inFlight } = partition;
  if (inFlight !== undefined) {
    // No answer (rule 4): the asker repeats. The repetition of what is being written gets its
    // answer.
    const { requested, from } = inFlight;
    const isSame = requested !== undefined && from === request.from &&
      inFlight.token !== undefined && sameConfig(requested, request.config);
    if (isSame) inFlight.token = token;
    return;
  }
  if (!allows(levelNow(s, reign), "steady")) return answer(s, token, Err.STATE_FREEZED, config);
  // Rule 2: the answer to the same request was lost.
  if (sameConfig(config, request.config)) return answer(s, token, Err.OK, config);
  if (table.info.status !== "available") return answer(s, token, Err.INVALID_VERSION, config);
  const next = acceptable(config, request);
  if (typeof next === "string") {
    const name = formatPartition(partition.partition);
    const { change, node, from } = request;
    note(s, "refusedChange", { partition: name, change, node, from, reason: next });
    return answer(s, token, Err.INVALID_VERSION, config);
  }
  if (isUnknownMember(reign, request)) return answer(s, token, Err.INVALID_VERSION, config);
  const { change, node: about, from } = request;
  begin(s, reign, table, partition, { change, node: about, from, next, request, token });
}

/** What the request makes of the configuration, or why it may not. */
function acceptable(
  current: PartitionConfig,
  request: MetaBody<"updateConfig">,
): PartitionConfig | string {
  const { change, node, from, config } = request;
  if (config.ballot !== current.ballot + 1) return `ballot ${config.ballot} is not the next one`;
  if (!mayAsk(current, change, node, from)) return "the asker is not in charge";
  const next = nextConfig(current, change, node);
  if (next === undefined) return "the change is impossible";
  if (!sameMembers(next, config)) return "the members are not what the change makes of them";
  return { ...next, committedHint: config.committedHint };
}

/** A new member must be alive, or it would have to be removed at once. */
function isUnknownMember(reign: Reign, request: MetaBody<"updateConfig">): boolean {
  const { change, node } = request;
  return change === "UPGRADE_TO_SECONDARY" && !reign.detector.isAlive(node);
}

function answer(
  s: MetaState,
  token: Token,
  error: number,
  config: PartitionConfig | undefined,
): void {
  reply<"updateConfig">(s, token, { error, config });
}

interface Change {
  readonly change: ConfigChange;
  readonly node: NodeId;
  readonly from: NodeId;
  readonly next: PartitionConfig;
  readonly request?: MetaBody<"updateConfig">;
  readonly token?: Token;
}

function begin(
  s: MetaState,
  reign: Reign,
  table: TableState,
  partition: PartitionState,
  change: Change,
): void {
  // A partition follows its table's replica count with its next change.
  const next = { ...change.next, maxReplicaCount: table.info.maxReplicaCount };
  const { node, from, token } = change;
  const requested = change.request?.config;
  partition.inFlight = { change: change.change, node, next, from, token, requested };
  const path = partitionPath(partition.partition);
  const value = partitionValue(next);
  write(
    s,
    reign,
    [{ op: "set", path, value, version: partition.version }],
    ([version]) => stored(s, reign, table, partition, version!),
  );
}

/** The store has it: now it is visible. */
function stored(
  s: MetaState,
  reign: Reign,
  table: TableState,
  partition: PartitionState,
  version: number,
): void {
  const { change, node, next, token } = partition.inFlight!;
  const before = partition.config;
  partition.inFlight = undefined;
  reign.cluster.applyConfig(table, partition, next, version, s.now.mono);
  note(s, "config", {
    partition: formatPartition(partition.partition),
    ballot: next.ballot,
    change,
    node,
    primary: next.primary,
    secondaries: next.secondaries.join(","),
  });
  if (token !== undefined) answer(s, token, Err.OK, next);
  hintMembers(reign, before, next);
  reign.touched.push({ table, partition });
}

/** Tells those who would not hear it from the partition's primary to sync. */
function hintMembers(reign: Reign, before: PartitionConfig, next: PartitionConfig): void {
  const after = membersOf(next);
  for (const node of membersOf(before)) {
    if (!after.includes(node) || next.primary === NOBODY) reign.detector.hint(node);
  }
}

/** Meta's own change: its outcome is told to nobody in particular. */
export function changeConfig(
  s: MetaState,
  reign: Reign,
  table: TableState,
  partition: PartitionState,
  change: ConfigChange,
  node: NodeId,
  next: PartitionConfig,
): void {
  begin(s, reign, table, partition, { change, node, from: NOBODY, next });
}

/**
 * A change that somebody who just died asked for is not answered any more. Its write may still
 * land; what follows builds on whatever was stored.
 */
export function cancelAnswer(partition: PartitionState, dead: NodeId): void {
  const { inFlight } = partition;
  if (inFlight !== undefined && inFlight.from === dead) inFlight.token = undefined;
}
