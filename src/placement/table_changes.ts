// Changes of a table that exists: recall, rename, environment variables, replica count. Each is one
// versioned write of the table's node; what follows for the partitions is the guardian's work.
// Rules: docs/meta.md, "Tables".

import { Err } from "../base/errors.ts";
import type { TableInfo } from "../schema/types.ts";
import type { TableState } from "./cluster_state.ts";
import type { MetaBody, Token } from "./io.ts";
import { allows } from "./levels.ts";
import { fail, levelNow, levelText, type MetaState, type Reign, reply } from "./meta_state.ts";
import { checkEnv } from "./env_check.ts";
import { nameProblem } from "./names.ts";
import { USERS_BUSY, withoutStrangers } from "./rights.ts";
import { busyReason, replicaCountProblem, writeTable } from "./tables.ts";

/** The table of this name if it can be changed now; otherwise the request is refused. */
export function changeable(
  s: MetaState,
  reign: Reign,
  name: string,
  token: Token,
): TableState | undefined {
  const table = reign.cluster.byName(name);
  if (table === undefined) {
    fail(s, token, Err.APP_NOT_EXIST, `Table "${name}" does not exist`);
    return undefined;
  }
  const refusal = busyReason(table);
  if (refusal === undefined) return table;
  fail(s, token, refusal.error, refusal.detail);
  return undefined;
}

/** Stores the next description of a table; servers that hold it ask for it soon. */
export function changeTable(
  s: MetaState,
  reign: Reign,
  table: TableState,
  next: TableInfo,
  token: Token,
  done: () => void,
): void {
  reign.waiting.add(token);
  writeTable(s, reign, table, next, () => {
    reign.nextCureAt = s.now.mono;
    done();
  });
}

/** Undoes a drop; the partitions come back from the servers that had them last (cure rule 3). */
export function onRecallTable(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"recallTable">,
  token: Token,
): void {
  const { tableId } = request;
  const table = reign.cluster.tables.get(tableId);
  const refuse = (error: number, detail: string) => fail(s, token, error, detail);
  if (table === undefined) return refuse(Err.APP_NOT_EXIST, `Table ${tableId} does not exist`);
  const { status, expiresAt } = table.info;
  if (status === "dropping") {
    return refuse(Err.BUSY_DROPPING, `Table ${tableId} is being dropped`);
  }
  if (status !== "dropped") return refuse(Err.INVALID_ARGUMENT, `Table ${tableId} is not dropped`);
  if (s.now.wall >= expiresAt * 1000) {
    return refuse(Err.APP_NOT_EXIST, `Table ${tableId} expired; its data may be gone`);
  }
  if (table.busy) return refuse(Err.BUSY, `Table ${tableId} is being changed`);
  const name = request.newName === "" ? table.info.name : request.newName;
  const problem = nameProblem(name);
  if (problem !== undefined) return refuse(Err.INVALID_ARGUMENT, problem);
  if (isTaken(reign, name)) {
    return refuse(Err.INVALID_ARGUMENT, `Table "${name}" exists; recall under another name`);
  }
  // Whoever was dropped meanwhile must not leave rights to the next user of that name.
  if (reign.users.busy) return refuse(Err.BUSY, USERS_BUSY);
  const envs = withoutStrangers(table.info.envs, reign.users.byName, table.info.droppedAt);
  const lasting = { name, envs, droppedAt: 0, expiresAt: 0 };
  const next: TableInfo = { ...table.info, ...lasting, status: "available" };
  reign.names.add(name);
  changeTable(s, reign, table, next, token, () => {
    reign.names.delete(name);
    reply<"recallTable">(s, token, { table: table.info });
  });
}

/** Whether a table has the name, or is about to get it. */
function isTaken(reign: Reign, name: string): boolean {
  return reign.cluster.byName(name) !== undefined || reign.names.has(name);
}

/** Gives a table another name. */
export function onRenameTable(
  s: MetaState,
  reign: Reign,
  { oldName, newName }: MetaBody<"renameTable">,
  token: Token,
): void {
  const table = changeable(s, reign, oldName, token);
  if (table === undefined) return;
  const problem = nameProblem(newName);
  if (problem !== undefined) return fail(s, token, Err.INVALID_ARGUMENT, problem);
  if (isTaken(reign, newName)) {
    return fail(s, token, Err.INVALID_ARGUMENT, `Table "${newName}" exists`);
  }
  reign.names.add(newName);
  changeTable(s, reign, table, { ...table.info, name: newName }, token, () => {
    reign.names.delete(newName);
    reply<"renameTable">(s, token, {});
  });
}

/** Sets, deletes or clears environment variables. */
export function onUpdateTableEnvs(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"updateTableEnvs">,
  token: Token,
): void {
  const table = changeable(s, reign, request.table, token);
  if (table === undefined) return;
  const envs = new Map(table.info.envs);
  switch (request.action) {
    case "set":
      for (const [key, value] of request.set) {
        const problem = checkEnv(key, value);
        if (problem !== undefined) return fail(s, token, Err.INVALID_ARGUMENT, problem);
        envs.set(key, value);
      }
      break;
    case "delete":
      for (const key of request.keys) envs.delete(key);
      break;
    case "clear":
      for (const key of [...envs.keys()]) {
        const isMeant = request.keys.length === 0 ||
          request.keys.some((prefix) => key.startsWith(`${prefix}.`));
        if (isMeant) envs.delete(key);
      }
      break;
  }
  changeTable(s, reign, table, { ...table.info, envs }, token, () => {
    reply<"updateTableEnvs">(s, token, { envs });
  });
}

/**
 * Changes how many members a partition should have; members are then added or removed one by one.
 */
export function onSetMaxReplicaCount(
  s: MetaState,
  reign: Reign,
  { table: name, maxReplicaCount }: MetaBody<"setMaxReplicaCount">,
  token: Token,
): void {
  const table = changeable(s, reign, name, token);
  if (table === undefined) return;
  if (!allows(levelNow(s, reign), "steady")) {
    return fail(s, token, Err.STATE_FREEZED, levelText(s, reign));
  }
  const problem = replicaCountProblem(reign, maxReplicaCount);
  if (problem !== undefined) return fail(s, token, Err.INVALID_ARGUMENT, problem);
  const previous = table.info.maxReplicaCount;
  changeTable(s, reign, table, { ...table.info, maxReplicaCount }, token, () => {
    reply<"setMaxReplicaCount">(s, token, { previous });
  });
}
