// The life of a table: created, changed, dropped, recalled. Invariants: a request is answered after
// what it did is stored; a step that a crash interrupts is continued by the next leader; a table's
// number is never used again. Creating and dropping are states in the store, so that every step is
// visible there. Rules: docs/meta.md, "Tables".

import { Err } from "../base/errors.ts";
import { NOBODY, partitionId } from "../base/ids.ts";
import type { PartitionConfig, TableInfo } from "../schema/types.ts";
import type { TableState } from "./cluster_state.ts";
import { droppedConfig, emptyConfig } from "./config_change.ts";
import type { MetaBody, StoreChange, Token } from "./io.ts";
import { allows } from "./levels.ts";
import {
  fail,
  levelNow,
  levelText,
  type MetaState,
  note,
  type Reign,
  reply,
  write,
} from "./meta_state.ts";
import { nameProblem } from "./names.ts";
import { foreignText } from "./recovery.ts";
import { partitionPath, partitionValue, tablePath, tableValue } from "./stored.ts";
import { checkEnv } from "./env_check.ts";
import { changeConfig } from "./update_config.ts";

/** Members a partition may have. */
const REPLICA_COUNT_MAX = 5;

/** Why a replica count cannot be had now; `undefined` if it can. */
export function replicaCountProblem(reign: Reign, count: number): string | undefined {
  if (count < 1 || count > REPLICA_COUNT_MAX) {
    return `Replica count ${count}: expected 1 to ${REPLICA_COUNT_MAX}`;
  }
  const { aliveCount } = reign.detector;
  if (count <= aliveCount) return undefined;
  const what = `Replica count ${count}: only ${aliveCount} servers are alive`;
  return reign.foreign.size > 0
    ? `${what}; ${foreignText(reign)}`
    : `${what}; start more or ask for fewer`;
}

/** Makes a table. */
export function onCreateTable(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"createTable">,
  token: Token,
): void {
  const { name, partitionCount, maxReplicaCount, envs } = request;
  const refuse = (error: number, detail: string) => fail(s, token, error, detail);
  const badName = nameProblem(name);
  if (badName !== undefined) return refuse(Err.INVALID_ARGUMENT, badName);
  const existing = reign.cluster.byName(name);
  if (existing !== undefined) return onExisting(s, existing, request, token);
  if (reign.names.has(name)) return refuse(Err.BUSY, `A table is getting the name "${name}" now`);
  if (!allows(levelNow(s, reign), "steady")) {
    return refuse(Err.STATE_FREEZED, levelText(s, reign));
  }
  for (const [key, value] of envs) {
    const problem = checkEnv(key, value);
    if (problem !== undefined) return refuse(Err.INVALID_ARGUMENT, problem);
  }
  const { partitionCountMax, storeBatch } = s.settings;
  if (partitionCount < 1 || partitionCount > partitionCountMax) {
    const text = `Partition count ${partitionCount}: expected 1 to ${partitionCountMax}`;
    return refuse(Err.INVALID_ARGUMENT, text);
  }
  const badCount = replicaCountProblem(reign, maxReplicaCount);
  if (badCount !== undefined) return refuse(Err.INVALID_ARGUMENT, badCount);
  const info: TableInfo = {
    tableId: reign.cluster.takeTableId(),
    name,
    status: "creating",
    partitionCount,
    maxReplicaCount,
    envs: new Map(envs),
    createdAt: Math.floor(s.now.wall / 1000),
    droppedAt: 0,
    expiresAt: 0,
    revision: 0,
  };
  reign.waiting.add(token);
  // The name is taken from now on, or a second request would make a second table of it.
  const table = reign.cluster.putTable(info, -1);
  table.busy = true;
  const first: StoreChange = {
    op: "create",
    path: tablePath(info.tableId),
    value: tableValue(info),
  };
  const rest = newPartitions(table, storeBatch);
  write(s, reign, [first, ...rest.changes], ([version]) => {
    table.version = version!;
    rest.apply(reign.cluster);
    continueCreate(s, reign, table, () => {
      reply<"createTable">(s, token, { tableId: info.tableId });
    });
  });
}

function onExisting(
  s: MetaState,
  table: TableState,
  request: MetaBody<"createTable">,
  token: Token,
): void {
  const { name, successIfExists, partitionCount, maxReplicaCount } = request;
  const { info } = table;
  if (info.status === "dropping") {
    return fail(s, token, Err.BUSY_DROPPING, `Table "${name}" is being dropped`);
  }
  if (info.status !== "available") {
    return fail(s, token, Err.BUSY_CREATING, `Table "${name}" is being created`);
  }
  if (!successIfExists) return fail(s, token, Err.APP_EXIST, `Table "${name}" exists`);
  if (info.partitionCount !== partitionCount || info.maxReplicaCount !== maxReplicaCount) {
    const has = `${info.partitionCount} partitions and replica count ${info.maxReplicaCount}`;
    return fail(s, token, Err.INVALID_ARGUMENT, `Table "${name}" exists with ${has}`);
  }
  reply<"createTable">(s, token, { tableId: info.tableId });
}

/** The next partitions of a table that is being created, at most `count`. */
function newPartitions(
  table: TableState,
  count: number,
): { changes: StoreChange[]; apply: (cluster: Reign["cluster"]) => void } {
  const { tableId, partitionCount, maxReplicaCount } = table.info;
  const first = table.partitions.length;
  const end = Math.min(partitionCount, first + count);
  const configs: PartitionConfig[] = [];
  for (let index = first; index < end; index++) {
    configs.push(emptyConfig(partitionId(tableId, index), maxReplicaCount));
  }
  return {
    changes: configs.map((config) => ({
      op: "create",
      path: partitionPath(config.partition),
      value: partitionValue(config),
    })),
    apply: (cluster) => {
      for (const config of configs) cluster.addPartition(table, config, 0);
    },
  };
}

/**
 * Writes the partitions that are missing, then declares the table available. Also after a restart.
 */
export function continueCreate(
  s: MetaState,
  reign: Reign,
  table: TableState,
  done: () => void,
): void {
  table.busy = true;
  if (table.partitions.length === table.info.partitionCount) {
    return writeTable(s, reign, table, { ...table.info, status: "available" }, () => {
      reign.nextCureAt = s.now.mono;
      done();
    });
  }
  const batch = newPartitions(table, s.settings.storeBatch);
  write(s, reign, batch.changes, () => {
    batch.apply(reign.cluster);
    continueCreate(s, reign, table, done);
  });
}

/**
 * Stores a table's new form, then makes it current. Members hear of it at their next sync, which is
 * soon.
 */
export function writeTable(
  s: MetaState,
  reign: Reign,
  table: TableState,
  change: TableInfo,
  done: () => void,
): void {
  table.busy = true;
  const next = { ...change, revision: table.info.revision + 1 };
  const path = tablePath(next.tableId);
  const value = tableValue(next);
  write(s, reign, [{ op: "set", path, value, version: table.version }], ([version]) => {
    reign.cluster.putTable(next, version!);
    table.busy = false;
    const { tableId, name, status } = next;
    note(s, "table", { tableId, name, status });
    for (const node of reign.detector.nodes) {
      if (reign.cluster.load(node.node, tableId).replicas > 0) node.syncHint++;
    }
    done();
  });
}

/** Drops a table; its data stays until the reserve is over. */
export function onDropTable(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"dropTable">,
  token: Token,
): void {
  const { name, reserveSeconds, successIfNotExists } = request;
  const table = reign.cluster.byName(name);
  if (table === undefined) {
    if (successIfNotExists) return reply<"dropTable">(s, token, { expiresAt: 0 });
    return fail(s, token, Err.APP_NOT_EXIST, `Table "${name}" does not exist`);
  }
  const refusal = busyReason(table);
  if (refusal !== undefined) return fail(s, token, refusal.error, refusal.detail);
  const seconds = Math.floor(s.now.wall / 1000);
  const reserve = reserveSeconds > 0 ? reserveSeconds : s.settings.dropReserveSeconds;
  const expiresAt = Math.min(Number.MAX_SAFE_INTEGER, seconds + reserve);
  reign.waiting.add(token);
  const next: TableInfo = { ...table.info, status: "dropping", droppedAt: seconds, expiresAt };
  writeTable(s, reign, table, next, () => {
    table.busy = true;
    continueDrop(s, reign, table, () => reply<"dropTable">(s, token, { expiresAt }));
  });
}

/**
 * Takes the members out of every partition, then declares the table dropped. Also after a restart.
 * Partitions with a change in flight are taken up when it has ended: {@link continueDrops} runs
 * again then.
 */
export function continueDrop(
  s: MetaState,
  reign: Reign,
  table: TableState,
  done: () => void,
): void {
  table.busy = true;
  reign.drops.set(table, done);
  continueDrops(s, reign);
}

/** Goes on with every table that is being dropped. */
export function continueDrops(s: MetaState, reign: Reign): void {
  for (const [table, done] of reign.drops) {
    let isClear = true;
    for (const partition of table.partitions) {
      const { config, inFlight } = partition;
      const isEmpty = config.primary === NOBODY && config.secondaries.length === 0;
      if (inFlight === undefined && isEmpty) continue;
      isClear = false;
      if (inFlight !== undefined) continue;
      reign.cluster.setActions(table, partition, []);
      changeConfig(s, reign, table, partition, "DROP_PARTITION", NOBODY, droppedConfig(config));
    }
    if (!isClear) continue;
    reign.drops.delete(table);
    writeTable(s, reign, table, { ...table.info, status: "dropped" }, done);
  }
}

/** Why nothing may be done with a table now; `undefined` if it may. */
export function busyReason(table: TableState): { error: number; detail: string } | undefined {
  const { name, status } = table.info;
  switch (status) {
    case "dropping":
      return { error: Err.BUSY_DROPPING, detail: `Table "${name}" is being dropped` };
    case "creating":
    case "recalling":
      return { error: Err.BUSY_CREATING, detail: `Table "${name}" is being created` };
    case "dropped":
      return { error: Err.APP_NOT_EXIST, detail: `Table "${name}" is dropped` };
    case "available":
      if (!table.busy) return undefined;
      return { error: Err.BUSY, detail: `Another change of table "${name}" is being stored` };
  }
}
