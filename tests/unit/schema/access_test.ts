// Who may do what with a table, and who may send which request.

import assert from "node:assert/strict";
import {
  CLOSED_TABLE,
  mayUse,
  Rank,
  Right,
  tableRights,
  userNameProblem,
} from "../../../src/schema/access.ts";
import { RPC_BY_CODE } from "../../../src/schema/registry.ts";

const PREFIX = "replica_access_controller.";

function rights(envs: Record<string, string>) {
  return tableRights(new Map(Object.entries(envs).map(([key, value]) => [PREFIX + key, value])));
}

function user(name: string, rank: number = Rank.USER) {
  return { name, rank };
}

Deno.test("mayUse: a table without lists is open to every user, but not its administration", () => {
  const open = rights({});
  assert.equal(mayUse(open, user("ada"), Right.READ | Right.WRITE), true);
  assert.equal(mayUse(open, user("ada"), Right.ADMIN), false);
  assert.equal(mayUse(open, user("ada", Rank.ADMIN), Right.ADMIN), true);
});

Deno.test("mayUse: each list gives its right and closes the table to others", () => {
  const closed = rights({ read_users: "ada", write_users: "bob", admin_users: "eve" });
  assert.equal(mayUse(closed, user("ada"), Right.READ), true);
  assert.equal(mayUse(closed, user("ada"), Right.WRITE), false);
  assert.equal(mayUse(closed, user("bob"), Right.WRITE), true);
  assert.equal(mayUse(closed, user("bob"), Right.READ | Right.WRITE), false);
  assert.equal(mayUse(closed, user("eve"), Right.READ | Right.WRITE | Right.ADMIN), true);
  assert.equal(mayUse(closed, user("mallory"), Right.READ), false);
  assert.equal(mayUse(closed, user(""), Right.READ), false);
  const both = rights({ allowed_users: "ada", read_users: "bob" });
  assert.equal(mayUse(both, user("ada"), Right.READ | Right.WRITE), true);
  assert.equal(mayUse(both, user("bob"), Right.WRITE), false);
});

Deno.test("mayUse: administrators of a table do not close it", () => {
  const open = rights({ admin_users: "eve" });
  assert.equal(mayUse(open, user("ada"), Right.READ | Right.WRITE), true);
  assert.equal(mayUse(open, user("ada"), Right.ADMIN), false);
  assert.equal(mayUse(open, user("eve"), Right.ADMIN), true);
});

Deno.test("mayUse: a table nobody has described yet is closed to users", () => {
  assert.equal(mayUse(CLOSED_TABLE, user("ada"), Right.READ), false);
  assert.equal(mayUse(CLOSED_TABLE, user("root", Rank.ADMIN), Right.READ), true);
});

Deno.test("userNameProblem keeps out what lists and logs could misread", () => {
  for (const good of ["ada", "svc-1.billing", "a@b", "_x"]) {
    assert.equal(userNameProblem(good), undefined, good);
  }
  for (const bad of ["", "@cluster", "a,b", "a b", "-x", "é", "x".repeat(65), "a\nb"]) {
    assert.notEqual(userNameProblem(bad), undefined, bad);
  }
});

Deno.test("every RPC between servers is for servers, and what nobody thought of is not for users", () => {
  const forUsers: string[] = [];
  for (const { name, code, rank, kind } of RPC_BY_CODE.values()) {
    if (kind === "oneway") assert.equal(rank, Rank.SERVER, name);
    if (code >= 200 && code < 300) assert.equal(rank, Rank.SERVER, name);
    if (code >= 150 && rank === Rank.USER) forUsers.push(name);
  }
  for (const name of ["beacon", "config_sync", "update_config"]) {
    assert.ok(
      [...RPC_BY_CODE.values()].some((rpc) => rpc.name === name && rpc.rank === Rank.SERVER),
    );
  }
  // The table decides about those that change one: roles/meta/handlers.ts.
  const known = [
    "query_config",
    "drop_table",
    "rename_table",
    "list_tables",
    "update_table_envs",
    "set_max_replica_count",
    "list_nodes",
    "cluster_info",
    "put_user",
    "grant",
  ];
  for (const name of forUsers) assert.ok(known.includes(name), `${name} is open to every user`);
});
