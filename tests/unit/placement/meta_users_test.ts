// Stories of MetaCore: users, and the rights they have on tables.

import assert from "node:assert/strict";
import { Rank, type RightName, type Verifier } from "../../../src/schema/access.ts";
import { forbidden } from "../../../roles/meta/authorize.ts";
import type { MetaRequest } from "../../../src/placement/io.ts";
import { readUsers, USERS_PATH } from "../../../src/placement/stored.ts";
import { Err, World } from "./world.ts";

const KEY = new Uint8Array(32).fill(9);
const VERIFIER: Verifier = { salt: KEY, iterations: 15_000, storedKey: KEY, serverKey: KEY };
const PREFIX = "replica_access_controller.";

function put(name: string, admin = false, verifier: Verifier | undefined = VERIFIER) {
  return { name, action: "create" as const, admin, verifier };
}

function grant(user: string, rights: RightName[], table: string, revoke = false) {
  return { user, rights, table, revoke };
}

/** A world with table "t" and users ada and eve. */
function peopled(): World {
  const w = new World(3);
  const options = { partitionCount: 1, maxReplicaCount: 3, envs: new Map<string, string>() };
  w.ok("createTable", { name: "t", ...options, successIfExists: false });
  for (const name of ["ada", "eve"]) w.ok("putUser", put(name));
  return w;
}

function envs(w: World): Record<string, string> {
  const { tables } = w.ok("listTables", { status: undefined });
  return Object.fromEntries(
    [...tables[0]!.envs].map(([key, value]) => [key.replace(PREFIX, ""), value]),
  );
}

Deno.test("Users are stored before they are shown, survive the leader, and hint every server", () => {
  const w = new World(2);
  const hints = () => [...w.core.reign!.detector.nodes].map(({ syncHint }) => syncHint);
  const before = hints();
  w.holdStore = true;
  const token = w.send("putUser", put("ada", true));
  assert.equal(w.ok("listUsers", {}).users.length, 0);
  assert.equal(w.ask("putUser", put("eve"))?.error, Err.BUSY, "one change at a time");
  w.release();
  assert.equal(w.answer(token)?.error, 0);
  w.holdStore = false;
  assert.deepEqual(hints(), before.map((hint) => hint + 1));
  assert.deepEqual(readUsers(w.tree.get(USERS_PATH)!.value).map(({ name }) => name), ["ada"]);
  const { version } = w.ok("syncUsers", { version: 0 }).access!;
  assert.equal(w.ok("syncUsers", { version }).access, undefined, "nothing new");
  w.restartMeta();
  const [ada] = w.ok("listUsers", {}).users;
  assert.deepEqual([ada?.name, ada?.admin, ada?.hasPassword], ["ada", true, true]);
  assert.deepEqual(w.ok("syncUsers", { version: 0 }).access!.users[0]!.verifier, VERIFIER);
});

Deno.test("Users with impossible names, verifiers or fates are refused with a reason", () => {
  const w = peopled();
  const refused = (error: number, reason: RegExp, answer = w.ask("putUser", put("x"))) => {
    assert.equal(answer?.error, error);
    assert.match(answer!.detail, reason);
  };
  refused(Err.INVALID_ARGUMENT, /User name ""/, w.ask("putUser", put("")));
  refused(Err.INVALID_ARGUMENT, /User name "@cluster"/, w.ask("putUser", put("@cluster")));
  refused(Err.INVALID_ARGUMENT, /exists/, w.ask("putUser", put("ada")));
  const weak = { ...VERIFIER, iterations: 1 };
  refused(Err.INVALID_ARGUMENT, /verifier/, w.ask("putUser", put("bob", false, weak)));
  const change = { ...put("bob"), action: "password" as const };
  refused(Err.OBJECT_NOT_FOUND, /does not exist/, w.ask("putUser", change));
  refused(Err.OBJECT_NOT_FOUND, /does not exist/, w.ask("dropUser", { name: "bob" }));
  refused(Err.OBJECT_NOT_FOUND, /does not exist/, w.ask("grant", grant("bob", ["read"], "t")));
  refused(Err.INVALID_ARGUMENT, /Without a table/, w.ask("grant", grant("ada", ["read"], "")));
  refused(Err.APP_NOT_EXIST, /"no"/, w.ask("grant", grant("ada", ["read"], "no")));
  w.ok("grant", grant("ada", ["read"], "t"));
  refused(Err.INVALID_ARGUMENT, /rights on t: revoke/, w.ask("dropUser", { name: "ada" }));
  w.ok("grant", grant("ada", ["read"], "t", true));
  w.ok("dropUser", { name: "ada" });
  assert.deepEqual(w.ok("listUsers", {}).users.map(({ name }) => name), ["eve"]);
});

Deno.test("Granting and revoking moves names between lists, and never opens a table by revoking", () => {
  const w = peopled();
  w.ok("grant", grant("ada", ["read", "write"], "t"));
  w.ok("grant", grant("eve", ["read"], "t"));
  assert.deepEqual(envs(w), { read_users: "ada,eve", write_users: "ada" });
  w.ok("grant", grant("ada", ["read", "write"], "t", true));
  w.ok("grant", grant("eve", ["read"], "t", true));
  assert.equal(Object.values(envs(w)).join(), "-", "closed to everybody");
  w.ok("grant", grant("eve", ["read"], "t"));
  assert.equal(envs(w)["read_users"], "eve");
  // Who is listed for both rights keeps the one that was not taken.
  w.ok("updateTableEnvs", { table: "t", action: "clear", set: new Map(), keys: [] });
  const both = new Map([[`${PREFIX}allowed_users`, "ada,eve"]]);
  w.ok("updateTableEnvs", { table: "t", action: "set", set: both, keys: [] });
  w.ok("grant", grant("ada", ["write"], "t", true));
  assert.deepEqual(envs(w), { allowed_users: "eve", read_users: "ada" });
});

Deno.test("Revoking what would still be allowed is refused", () => {
  const w = peopled();
  const detail = (...args: Parameters<typeof grant>) => w.ask("grant", grant(...args))!.detail;
  assert.match(detail("ada", ["read"], "t", true), /open to every user/);
  w.ok("grant", grant("ada", ["admin"], "t"));
  assert.match(detail("ada", ["read"], "t", true), /as administrator of table "t": revoke admin/);
  w.ok("grant", grant("ada", ["admin"], "t", true));
  assert.deepEqual(envs(w), {});
});

Deno.test("A recalled table gives nothing to users who took the names of others", () => {
  const w = peopled();
  for (const name of ["bob", "cid"]) w.ok("putUser", put(name));
  const { tableId } = w.ok("recallTable", { tableId: dropAfterGrants(w), newName: "" }).table;
  assert.deepEqual(envs(w), { write_users: "ada" });
  // Nobody else got in: the table was closed, and is.
  w.ok("grant", grant("ada", ["write"], "t", true));
  assert.deepEqual(envs(w), { write_users: "-" });
  assert.equal(tableId, 1);
});

/** Ada, bob and cid have rights; the table is dropped; bob is gone, and cid is somebody else now. */
function dropAfterGrants(w: World): number {
  w.ok("grant", grant("ada", ["write"], "t"));
  for (const name of ["bob", "cid"]) w.ok("grant", grant(name, ["read"], "t"));
  w.run(2000);
  w.ok("dropTable", { name: "t", reserveSeconds: 3600, successIfNotExists: false });
  w.run(2000);
  for (const name of ["bob", "cid"]) w.ok("dropUser", { name });
  w.ok("putUser", put("cid"));
  return w.ok("listTables", { status: "dropped" }).tables[0]!.tableId;
}

Deno.test("No table gets the name of a user who is being dropped, and the other way round", () => {
  const w = peopled();
  w.run(2000);
  w.holdStore = true;
  w.send("grant", grant("ada", ["read"], "t"));
  const error = (answer: { error: number } | undefined) => answer?.error;
  assert.equal(error(w.ask("dropUser", { name: "ada" })), Err.BUSY);
  w.release();
  w.send("dropUser", { name: "eve" });
  assert.equal(error(w.ask("grant", grant("eve", ["read"], "t"))), Err.BUSY);
  w.release();
  w.holdStore = false;
  assert.deepEqual(envs(w), { read_users: "ada" });
  const drop = { name: "t", reserveSeconds: 3600, successIfNotExists: false };
  w.ok("dropTable", drop);
  w.holdStore = true;
  w.send("dropUser", { name: "ada" });
  assert.equal(error(w.ask("recallTable", { tableId: 1, newName: "" })), Err.BUSY);
  w.release();
  w.holdStore = false;
  w.ok("recallTable", { tableId: 1, newName: "" });
  assert.deepEqual(envs(w), { read_users: "-" });
});

Deno.test("What a user may ask meta follows from the table and from who he is", () => {
  const w = peopled();
  w.ok("grant", grant("ada", ["admin"], "t"));
  w.ok("grant", grant("ada", ["read"], "t"));
  const may = (name: string, request: MetaRequest, rank: number = Rank.USER) =>
    forbidden(w.core, request, { name, rank }) === undefined;
  const table = { table: "t", action: "clear" as const, set: new Map(), keys: [] };
  const asks: [MetaRequest, boolean, boolean][] = [
    [{ name: "queryConfig", body: { table: "t", indices: [] } }, true, false],
    [{ name: "updateTableEnvs", body: table }, true, false],
    [{ name: "setMaxReplicaCount", body: { table: "t", maxReplicaCount: 1 } }, true, false],
    [{ name: "renameTable", body: { oldName: "t", newName: "u" } }, true, false],
    [{ name: "grant", body: grant("eve", ["read"], "t") }, true, false],
    [{ name: "grant", body: grant("ada", ["admin"], "") }, false, false],
    [{ name: "putUser", body: { ...put("ada"), action: "password" } }, true, false],
    [{ name: "putUser", body: put("new") }, false, false],
    [{ name: "listNodes", body: {} }, true, true],
    // What is not there is for meta itself to say.
    [{ name: "queryConfig", body: { table: "no", indices: [] } }, true, true],
  ];
  for (const changed of ["u", "t"]) {
    // Neither who may nor what is told depends on whether there is such a table.
    const drop = { name: changed, reserveSeconds: 0, successIfNotExists: true };
    const who = { name: "eve", rank: Rank.USER };
    const reason = forbidden(w.core, { name: "dropTable", body: drop }, who);
    assert.match(reason!, new RegExp(`"eve" may not administer table "${changed}"; an admin`));
  }
  for (const [request, ada, eve] of asks) {
    assert.equal(may("ada", request), ada, `ada ${request.name}`);
    assert.equal(may("eve", request), eve, `eve ${request.name}`);
    assert.equal(may("root", request, Rank.ADMIN), true, request.name);
  }
  assert.equal(
    forbidden(w.core, { name: "queryConfig", body: { table: "t", indices: [] } }, undefined),
    undefined,
  );
  // Who does not lead says so, and not that there is no such table.
  w.event({ kind: "lost", reason: "test" });
  assert.equal(may("eve", { name: "renameTable", body: { oldName: "t", newName: "u" } }), true);
});
