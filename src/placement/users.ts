// Users and the rights of tables, as meta keeps them. Invariants: users are one stored node, changed
// by one write at a time; a right of a table is a name in one of its variables, so that it survives
// with the table and travels with it; a user cannot be dropped while a table names it, and a recalled
// table names nobody who came later, so that nobody inherits rights by taking an old name. Rules:
// docs/meta.md, "Users".

import { Err } from "../base/errors.ts";
import {
  type AccessState,
  RIGHT_ENVS,
  userNameProblem,
  type UserRecord,
  USERS_MAX,
} from "../schema/access.ts";
import { envProblem } from "../schema/table_envs.ts";
import type { MetaBody, Token } from "./io.ts";
import { fail, type MetaState, note, type Reign, reply, write } from "./meta_state.ts";
import { changeRight, isNamed, revokeProblem, USERS_BUSY } from "./rights.ts";
import { USERS_PATH, usersValue } from "./stored.ts";
import { changeable, changeTable } from "./table_changes.ts";

/** What a reign knows of users. */
export interface Users {
  readonly byName: ReadonlyMap<string, UserRecord>;
  /** Of the stored node; -1 = nothing is stored. */
  readonly version: number;
  /** A change is being stored. */
  busy: boolean;
}

/** Nobody was ever stored. */
export function noUsers(): Users {
  return { byName: new Map(), version: -1, busy: false };
}

/** As servers are told. */
export function accessStateOf({ byName, version }: Users): AccessState {
  return { version: version + 1, users: [...byName.values()] };
}

/** Stores the next users; `done` runs when they are. */
function store(
  s: MetaState,
  reign: Reign,
  token: Token,
  next: ReadonlyMap<string, UserRecord>,
  done: () => void,
): void {
  const { users } = reign;
  if (users.busy) return fail(s, token, Err.BUSY, USERS_BUSY);
  users.busy = true;
  reign.waiting.add(token);
  const value = usersValue([...next.values()]);
  const { version } = users;
  const change = version < 0
    ? { op: "create" as const, path: USERS_PATH, value }
    : { op: "set" as const, path: USERS_PATH, value, version };
  write(s, reign, [change], ([stored]) => {
    reign.users = { byName: next, version: stored!, busy: false };
    for (const node of reign.detector.nodes) node.syncHint++;
    note(s, "users", { users: next.size });
    done();
  });
}

/** Makes a user, or gives one another password. */
export function onPutUser(
  s: MetaState,
  reign: Reign,
  { name, action, admin, verifier }: MetaBody<"putUser">,
  token: Token,
): void {
  const { byName } = reign.users;
  const known = byName.get(name);
  const problem = userNameProblem(name);
  if (problem !== undefined) return fail(s, token, Err.INVALID_ARGUMENT, problem);
  if (action === "password" && known === undefined) return unknown(s, token, name);
  if (action === "create" && known !== undefined) {
    const text = `User "${name}" exists; set_password changes its password`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  if (known === undefined && byName.size >= USERS_MAX) {
    return fail(s, token, Err.BUSY, `There are ${USERS_MAX} users already, which is the most`);
  }
  const wrong = verifier !== undefined &&
    (verifier.salt.length < 8 || verifier.salt.length > 64 || verifier.storedKey.length !== 32 ||
      verifier.serverKey.length !== 32 || verifier.iterations < 4096 ||
      verifier.iterations > 200_000);
  if (wrong) return fail(s, token, Err.INVALID_ARGUMENT, "The verifier has wrong lengths");
  const record = known === undefined
    ? { name, admin, verifier, createdAt: Math.floor(s.now.wall / 1000) }
    : { ...known, verifier };
  const next = new Map(byName).set(name, record);
  store(s, reign, token, next, () => reply<"putUser">(s, token, {}));
}

function unknown(s: MetaState, token: Token, name: string): void {
  fail(s, token, Err.OBJECT_NOT_FOUND, `User "${name}" does not exist; list_users names all`);
}

/** Removes a user. */
export function onDropUser(
  s: MetaState,
  reign: Reign,
  { name }: MetaBody<"dropUser">,
  token: Token,
): void {
  if (!reign.users.byName.has(name)) return unknown(s, token, name);
  const all = [...reign.cluster.tables.values()];
  // What is being stored may name the user.
  if (all.some(({ busy }) => busy)) {
    return fail(s, token, Err.BUSY, "A table is being changed; try again");
  }
  const tables = all.filter(({ info }) => info.status !== "dropped" && isNamed(info.envs, name))
    .map(({ info }) => info.name);
  if (tables.length > 0) {
    const text = `User "${name}" has rights on ${tables.join(", ")}: revoke them first`;
    return fail(s, token, Err.INVALID_ARGUMENT, text);
  }
  const next = new Map(reign.users.byName);
  next.delete(name);
  store(s, reign, token, next, () => reply<"dropUser">(s, token, {}));
}

/** Everybody, without what would help to guess passwords. */
export function onListUsers(s: MetaState, reign: Reign, token: Token): void {
  const users = [...reign.users.byName.values()]
    .map(({ name, admin, verifier, createdAt }) => {
      return { name, admin, hasPassword: verifier !== undefined, createdAt };
    })
    .sort((a, b) => a.name < b.name ? -1 : 1);
  reply<"listUsers">(s, token, { users });
}

/** Tells a server whom it may let in. */
export function onSyncUsers(
  s: MetaState,
  reign: Reign,
  { version }: MetaBody<"syncUsers">,
  token: Token,
): void {
  const access = accessStateOf(reign.users);
  reply<"syncUsers">(s, token, { access: access.version === version ? undefined : access });
}

/** Gives or takes rights. */
export function onGrant(
  s: MetaState,
  reign: Reign,
  request: MetaBody<"grant">,
  token: Token,
): void {
  const { user, rights, table: name, revoke } = request;
  const record = reign.users.byName.get(user);
  // Rights of somebody who is gone can still be taken away.
  if (record === undefined && !(revoke && name !== "")) return unknown(s, token, user);
  if (name === "") {
    if (rights.length !== 1 || rights[0] !== "admin") {
      const text = "Without a table only admin can be given: name the table for read and write";
      return fail(s, token, Err.INVALID_ARGUMENT, text);
    }
    const next = new Map(reign.users.byName).set(user, { ...record!, admin: !revoke });
    return store(s, reign, token, next, () => reply<"grant">(s, token, {}));
  }
  // The user may be gone before the table is stored.
  if (reign.users.busy) return fail(s, token, Err.BUSY, USERS_BUSY);
  const table = changeable(s, reign, name, token);
  if (table === undefined) return;
  const envs = new Map(table.info.envs);
  for (const right of rights) changeRight(envs, user, right, revoke);
  const problem = revoke
    ? revokeProblem(table.info, envs, user, rights)
    : Object.keys(RIGHT_ENVS).map((env) => envProblem(env, envs.get(env) ?? "")).find((p) => p);
  if (problem !== undefined) return fail(s, token, Err.INVALID_ARGUMENT, problem);
  changeTable(s, reign, table, { ...table.info, envs }, token, () => {
    reply<"grant">(s, token, {});
  });
}
