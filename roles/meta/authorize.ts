// What a user may ask meta: the rank of a request is checked by the network (src/schema/rpc.ts), what
// depends on a table or on the user himself is checked here, against the state the leader has stored.
// docs/SECURITY.md, "Rights".

import {
  denial,
  mayUse,
  type Principal,
  Rank,
  Right,
  tableRights,
} from "../../src/schema/access.ts";
import type { MetaRequest } from "../../src/placement/io.ts";
import type { MetaCore } from "../../src/placement/meta.ts";

/** Why somebody may not ask this; `undefined` if he may. */
export function forbidden(
  core: Pick<MetaCore, "reign">,
  request: MetaRequest,
  who: Principal | undefined,
): string | undefined {
  if (who === undefined || who.rank >= Rank.ADMIN) return undefined;
  switch (request.name) {
    case "queryConfig":
      return withoutAny(core, request.body.table, who);
    case "dropTable":
      return onTable(core, request.body.name, who);
    case "renameTable":
      return onTable(core, request.body.oldName, who);
    case "updateTableEnvs":
    case "setMaxReplicaCount":
      return onTable(core, request.body.table, who);
    case "grant":
      if (request.body.table !== "") return onTable(core, request.body.table, who);
      return `User "${who.name}" may not make administrators: only they can`;
    case "putUser": {
      const { action, name, verifier } = request.body;
      if (action === "password" && name === who.name && verifier !== undefined) return undefined;
      return `User "${who.name}" may change nobody's password but his own`;
    }
    default:
      return undefined;
  }
}

function envsOf({ reign }: Pick<MetaCore, "reign">, table: string) {
  return reign?.cluster.byName(table)?.info.envs;
}

/**
 * The table's administrators only, hence nobody if there is no such table: refusals are kept in the audit up to a
 * rate, while every failed change is. Who does not lead knows no table, and says that it does not lead.
 */
function onTable(
  core: Pick<MetaCore, "reign">,
  table: string,
  who: Principal,
): string | undefined {
  if (core.reign?.started !== true) return undefined;
  const envs = envsOf(core, table);
  if (envs !== undefined && mayUse(tableRights(envs), who, Right.ADMIN)) return undefined;
  return denial(who, Right.ADMIN, table);
}

/** Whoever may do something with the table may know where it is. */
function withoutAny(
  core: Pick<MetaCore, "reign">,
  table: string,
  who: Principal,
): string | undefined {
  const envs = envsOf(core, table);
  if (envs === undefined) return undefined;
  const rights = tableRights(envs);
  const some = [Right.READ, Right.WRITE].some((right) => mayUse(rights, who, right));
  return some ? undefined : denial(who, Right.READ, table);
}
