// Paths and arguments as declared, nothing else; what changes something needs the token.

import assert from "node:assert/strict";
import { type Answer, Router } from "../../../roles/http/route.ts";

const TOKEN = "correct-horse-battery";

function open(adminToken = "") {
  const router = new Router(adminToken);
  router.add({
    "/nodes": {
      brief: "Nodes",
      args: { name: { doc: "a name", required: true }, detail: { doc: "more" } },
    },
    "/plain": { brief: "Nothing to say" },
    "/change": { brief: "Change", anyArgs: "one", admin: true },
  }, {
    "/nodes": ({ args, target }) => ({ json: { ...Object.fromEntries(args), target } }),
    "/plain": () => ({ json: {} }),
    "/change": ({ args }) => ({ json: Object.fromEntries(args) }),
  });
  const ask = (target: string, method = "GET", authorization = "") =>
    router.answer(method, new URL(target, "http://host"), authorization);
  return { router, ask };
}

function errorOf({ json }: Answer): string {
  return (json as { error: string }).error;
}

Deno.test("Router hands declared arguments over, with and without a trailing slash", async () => {
  const { ask } = open();
  const expected = { name: "a b", detail: "", target: "/nodes?name=a%20b&detail" };
  assert.deepEqual(await ask("/nodes?name=a%20b&detail"), { json: expected });
  assert.deepEqual((await ask("/nodes/?name=a%20b&detail")).json, expected);
});

Deno.test("Router answers 404 with a suggestion", async () => {
  const { ask } = open();
  const answer = await ask("/node");
  assert.equal(answer.status, 404);
  assert.match(errorOf(answer), /Unknown path "\/node"; did you mean "\/nodes"\?/);
  assert.match(errorOf(await ask("/something/else")), /lists all/);
});

Deno.test("Router answers 400 to unknown, repeated and missing arguments", async () => {
  const { ask } = open();
  for (
    const [target, reason] of [
      ["/nodes?name=a&detial=1", /Unknown argument "detial" of \/nodes; did you mean "detail"/],
      ["/nodes?name=a&name=b", /Argument "name" is given twice/],
      ["/nodes?detail=1", /Argument "name" of \/nodes is missing: a name/],
      ["/plain?x=1", /Unknown argument "x" of \/plain: expected none/],
      ["/nodes?name=a&__proto__=1", /Unknown argument "__proto__"/],
    ] as const
  ) {
    const answer = await ask(target);
    assert.equal(answer.status, 400, target);
    assert.match(errorOf(answer), reason);
  }
});

Deno.test("Router answers 405 to methods that a path does not take", async () => {
  const { ask } = open(TOKEN);
  const answer = await ask("/plain", "POST");
  assert.equal(answer.status, 405);
  assert.deepEqual(answer.headers, { allow: "GET, HEAD" });
  assert.equal((await ask("/plain", "HEAD")).status, undefined);
  assert.equal((await ask("/change", "DELETE", `Bearer ${TOKEN}`)).status, 405);
});

Deno.test("Router is read-only without a token and asks for it otherwise", async () => {
  const readOnly = await open().ask("/change?a=1", "POST", "Bearer ");
  assert.equal(readOnly.status, 403);
  assert.match(errorOf(readOnly), /read-only.*--admin-token-file/);
  const { ask } = open(TOKEN);
  for (const wrong of ["", "Bearer", `Bearer ${TOKEN}x`, `Bearer ${TOKEN.slice(1)}`, TOKEN]) {
    const answer = await ask("/change?a=1", "POST", wrong);
    assert.equal(answer.status, 401, wrong);
    assert.deepEqual(answer.headers, { "www-authenticate": "Bearer" });
  }
  for (const method of ["GET", "POST"]) {
    assert.deepEqual((await ask("/change?a=1", method, `Bearer ${TOKEN}`)).json, { a: "1" });
  }
});
