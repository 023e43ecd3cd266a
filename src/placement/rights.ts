// The names in the variables of a table that say who may use it. Pure. Invariant: a table that was closed to others
// stays closed when the last name goes. Rules: docs/SECURITY.md, "Rights".

import {
  ENV_OF_RIGHT,
  namesOf,
  NOBODY_LISTED,
  RIGHT_BY_NAME,
  RIGHT_ENVS,
  type RightEnv,
  type RightName,
  tableRights,
  type UserRecord,
} from "../schema/access.ts";
import type { TableInfo } from "../schema/types.ts";

/** Why a table cannot be given a name now: the user may be gone before the table is stored. */
export const USERS_BUSY = "Another user is being changed; try again";

/** Whether any right of the table is this user's. */
export function isNamed(envs: ReadonlyMap<string, string>, user: string): boolean {
  return Object.keys(RIGHT_ENVS).some((env) => namesOf(envs.get(env)).includes(user));
}

/** Why taking these rights away would not do what it says. */
export function revokeProblem(
  { name, envs: before }: TableInfo,
  after: ReadonlyMap<string, string>,
  user: string,
  rights: readonly RightName[],
): string | undefined {
  const { restricted, users } = tableRights(before);
  const had = users.get(user) ?? 0;
  for (const right of rights) {
    const bit = RIGHT_BY_NAME[right];
    if ((had & bit) === 0) {
      const hint = restricted || right === "admin"
        ? ""
        : `: the table is open to every user until somebody is granted read or write`;
      return `User "${user}" was not granted ${right} on table "${name}"${hint}`;
    }
    if (((tableRights(after).users.get(user) ?? 0) & bit) !== 0) {
      return `User "${user}" has ${right} as administrator of table "${name}": revoke admin`;
    }
  }
  return undefined;
}

/** Adds a name to the list of a right, or takes it out of every list that gives it. */
export function changeRight(
  envs: Map<string, string>,
  user: string,
  right: RightName,
  revoke: boolean,
): void {
  const own = ENV_OF_RIGHT[right];
  if (!revoke) {
    const names = namesOf(envs.get(own)).filter((name) => name !== NOBODY_LISTED);
    if (!names.includes(user)) envs.set(own, [...names, user].join(","));
    return;
  }
  if (right !== "admin" && namesOf(envs.get(ALLOWED)).includes(user)) {
    // Who is listed for both rights and loses one keeps the other.
    changeRight(envs, user, right === "read" ? "write" : "read", false);
    without(envs, ALLOWED, user);
  }
  without(envs, own, user);
}

const ALLOWED = "replica_access_controller.allowed_users";

/** Takes a name out of a list. A table that was closed to others stays so when the last name goes. */
function without(envs: Map<string, string>, env: RightEnv, user: string): void {
  const { restricted } = tableRights(envs);
  const left = namesOf(envs.get(env)).filter((name) => name !== user);
  if (left.length > 0) envs.set(env, left.join(","));
  else envs.delete(env);
  if (restricted && !tableRights(envs).restricted) envs.set(env, NOBODY_LISTED);
}

/**
 * The variables of a table that was dropped at `droppedAt`, Unix seconds, without the names that now are nobody's
 * or perhaps somebody else's: users that are gone, and users that were made since.
 */
export function withoutStrangers(
  before: ReadonlyMap<string, string>,
  users: ReadonlyMap<string, UserRecord>,
  droppedAt: number,
): Map<string, string> {
  const envs = new Map(before);
  for (const env of Object.keys(RIGHT_ENVS) as RightEnv[]) {
    for (const name of namesOf(before.get(env))) {
      const user = users.get(name);
      const isKnown = name === NOBODY_LISTED || (user !== undefined && user.createdAt < droppedAt);
      if (!isKnown) without(envs, env, name);
    }
  }
  return envs;
}
