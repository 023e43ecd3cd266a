// Who may do what: principals, ranks, users and the rights of tables, as pure data. The handshake
// (src/rpc/handshake.ts) finds out who somebody is; the rank that an RPC needs stands in its
// declaration (rpc.ts); what a user may do with a table follows from the table's variables.
// Invariant: whatever is not understood gives no right. docs/SECURITY.md; docs/protocol.md, "Who is it".

import { bool, bytes, list, type Of, optional, str, struct, u32, u53 } from "./field.ts";

/** How much somebody may do; more includes less. */
export const Rank = {
  /** Somebody with a name: what tables allow, and questions about the cluster. */
  USER: 1,
  /** An administrator: every table, every change of the cluster. */
  ADMIN: 2,
  /** A server of the cluster, or somebody who holds its secret. */
  SERVER: 3,
} as const;

/** Who is at the other end of a connection. */
export interface Principal {
  /** Name of the user, {@link CLUSTER_USER} for servers, "" for nobody in particular. */
  readonly name: string;
  /** One of {@link Rank}; changes when the user becomes an administrator, or is one no more. */
  rank: number;
}

/** The name under which holders of the cluster's secret or of a server certificate appear. */
export const CLUSTER_USER = "@cluster";

/** Everybody, where nobody is asked who he is. */
export const TRUSTED: Principal = { name: "", rank: Rank.SERVER };

/** Most users of one cluster: they are stored, and sent to servers, as a whole. */
export const USERS_MAX = 1000;

/** Names of users: what fits between the commas of a table variable. */
export const USER_NAME = /^[0-9A-Za-z_][0-9A-Za-z_.@-]{0,63}$/;

/** Why a name cannot be a user's; `undefined` if it can. */
export function userNameProblem(name: string): string | undefined {
  if (USER_NAME.test(name)) return undefined;
  return `User name ${JSON.stringify(name)}: expected 1 to 64 letters, digits, "_", ".", "-" or ` +
    `"@", the first a letter, a digit or "_"`;
}

/** What a server keeps instead of a password (RFC 5802, section 3). */
export const verifier = struct({
  salt: bytes,
  iterations: u32,
  storedKey: bytes,
  serverKey: bytes,
});
export type Verifier = Of<typeof verifier>;

export const userRecord = struct({
  name: str,
  admin: bool,
  /** Absent: the user has no password and comes with a certificate. */
  verifier: optional(verifier),
  /** Unix seconds. */
  createdAt: u53,
});
export type UserRecord = Of<typeof userRecord>;

/** All users. The version is that of the stored node; 0 = nobody was ever stored. */
export const accessState = struct({ version: u53, users: list(userRecord, USERS_MAX) });
export type AccessState = Of<typeof accessState>;

/** Before anybody said who there is. */
export const NO_USERS: AccessState = { version: 0, users: [] };

/** What a user may do with one table, as bits. */
export const Right = { READ: 1, WRITE: 2, ADMIN: 4 } as const;

/** Rights by their names in the shell and on the wire. */
export const RIGHT_BY_NAME = { read: Right.READ, write: Right.WRITE, admin: Right.ADMIN } as const;
export type RightName = keyof typeof RIGHT_BY_NAME;

/** The variables of a table that say who may do what; each a list of names with commas. */
export const RIGHT_ENVS = {
  "replica_access_controller.allowed_users": Right.READ | Right.WRITE,
  "replica_access_controller.read_users": Right.READ,
  "replica_access_controller.write_users": Right.WRITE,
  // Who may give rights has them all.
  "replica_access_controller.admin_users": Right.READ | Right.WRITE | Right.ADMIN,
} as const;
export type RightEnv = keyof typeof RIGHT_ENVS;

/** The variable behind a single right. */
export const ENV_OF_RIGHT: Readonly<Record<RightName, RightEnv>> = {
  read: "replica_access_controller.read_users",
  write: "replica_access_controller.write_users",
  admin: "replica_access_controller.admin_users",
};

/** Who may do what with a table. */
export interface TableRights {
  /** False: every user may read and write. */
  readonly restricted: boolean;
  /** Bits of {@link Right} by user. */
  readonly users: ReadonlyMap<string, number>;
}

/** Nobody but administrators: a table of which nothing is known yet. */
export const CLOSED_TABLE: TableRights = { restricted: true, users: new Map() };

/** Stands alone in a list that gives the right to nobody, and so closes the table to all users. */
export const NOBODY_LISTED = "-";

/** Names of a list with commas. */
export function namesOf(value: string | undefined): string[] {
  return (value ?? "").split(",").map((name) => name.trim()).filter((name) => name !== "");
}

/** The rights that the variables of a table give. */
export function tableRights(envs: ReadonlyMap<string, string>): TableRights {
  const users = new Map<string, number>();
  let restricted = false;
  for (const [env, bits] of Object.entries(RIGHT_ENVS)) {
    const names = namesOf(envs.get(env));
    // A table with administrators of its own is still open to everybody's reads and writes.
    if (names.length > 0 && (bits & Right.ADMIN) === 0) restricted = true;
    for (const name of names) users.set(name, (users.get(name) ?? 0) | bits);
  }
  return { restricted, users };
}

/** Whether somebody has all of the rights `needed`. Asked for every request: 20 ns. */
export function mayUse(rights: TableRights, who: Principal, needed: number): boolean {
  if (who.rank >= Rank.ADMIN) return true;
  if (!rights.restricted && (needed & Right.ADMIN) === 0) return true;
  return ((rights.users.get(who.name) ?? 0) & needed) === needed;
}

/** What to tell somebody who may not. */
export function denial(who: Principal, needed: number, table: string): string {
  const names = (Object.keys(RIGHT_BY_NAME) as RightName[])
    .filter((name) => (needed & RIGHT_BY_NAME[name]) !== 0);
  const verbs = names.map((name) => name === "admin" ? "administer" : name).join(" and ");
  return `User "${who.name}" may not ${verbs} table "${table}"; an administrator ` +
    `can allow it: grant ${who.name} ${names.join(",")} ${table}`;
}
