// What administrators and users ask meta about users and rights. Codes 350-359. Passwords do not
// travel: whoever sets one sends what a server keeps of it (access.ts, `verifier`).

import { accessState, verifier } from "./access.ts";
import { bool, choice, list, type Of, optional, str, struct, u53 } from "./field.ts";
import { defineRpc } from "./rpc.ts";

/** Makes a user, or gives one another password. A user may change his own. */
export const PutUser = defineRpc({
  code: 350,
  name: "put_user",
  access: "user",
  audited: true,
  request: {
    name: str,
    action: choice("create", "password"),
    /** With `create`: the user is an administrator. */
    admin: bool,
    /** Absent: the user comes with a certificate. */
    verifier: optional(verifier),
  },
  response: {},
});

/** Removes a user; refused while tables name it. */
export const DropUser = defineRpc({
  code: 351,
  name: "drop_user",
  request: { name: str },
  response: {},
});

/** A user as shown to administrators. */
export const userInfo = struct({ name: str, admin: bool, hasPassword: bool, createdAt: u53 });
export type UserInfo = Of<typeof userInfo>;

export const ListUsers = defineRpc({
  code: 352,
  name: "list_users",
  audited: false,
  request: {},
  response: { users: list(userInfo, 10_000) },
});

/** A replica server, after each config sync: whom may I let in? */
export const SyncUsers = defineRpc({
  code: 354,
  name: "sync_users",
  access: "server",
  request: { /** Of the users the asker knows. */ version: u53 },
  response: { /** Absent: they are still the same. */ access: optional(accessState) },
});

/** Gives or takes rights: of one table, or (table "", right admin) of the whole cluster. */
export const Grant = defineRpc({
  code: 353,
  name: "grant",
  access: "user",
  audited: true,
  request: {
    user: str,
    rights: list(choice("read", "write", "admin"), 3),
    table: str,
    revoke: bool,
  },
  response: {},
});
