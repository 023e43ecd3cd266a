// A meta server that does not lead sends callers on, or says why it cannot.

import assert from "node:assert/strict";
import { metaHandlers, metaReadiness } from "../../../roles/http/meta_paths.ts";
import { Router } from "../../../roles/http/route.ts";
import { META_ROUTES } from "../../../roles/http/routes.ts";
import type { MetaAsk, MetaReply } from "../../../roles/meta/meta_ask.ts";
import { askOf } from "../../../roles/meta/meta_ask.ts";
import { Err } from "../../../src/base/errors.ts";
import type { MetaRequest, MetaRequestName } from "../../../src/placement/io.ts";
import type { IncomingCall } from "../../../src/rpc/contract.ts";
import { NOTHING_WATCHED } from "./fake_watching.ts";

function refusing(error: number, detail: string): MetaAsk {
  return <Name extends MetaRequestName>() =>
    Promise.resolve<MetaReply<Name>>({ error, detail, answer: undefined });
}

async function ask(meta: MetaAsk, target: string, httpPort = 0) {
  const router = new Router("");
  const asked: string[] = [];
  const httpPortOf = (address: string) => {
    asked.push(address);
    return Promise.resolve(httpPort);
  };
  router.add(
    META_ROUTES,
    metaHandlers({
      ask: meta,
      httpPortOf,
      watching: NOTHING_WATCHED,
      remote: () => Promise.resolve(""),
    }),
  );
  const { status, headers, json } = await router.answer("GET", new URL(target, "http://h"), "");
  return {
    status,
    location: headers?.["location"],
    error: (json as { error?: string }).error,
    asked,
  };
}

Deno.test("a standby meta server redirects to the leader's HTTP server, with the query", async () => {
  const standby = refusing(Err.FORWARD_TO_OTHERS, "10.0.0.2:34601");
  const answer = await ask(standby, "/meta/app?name=a%20b&detail", 8080);
  assert.equal(answer.status, 307);
  assert.equal(answer.location, "//10.0.0.2:8080/meta/app?name=a%20b&detail");
  assert.deepEqual(answer.asked, ["10.0.0.2:34601"]);
});

Deno.test("a standby meta server that cannot send callers on says why", async () => {
  const standby = refusing(Err.FORWARD_TO_OTHERS, "10.0.0.2:34601");
  const silent = await ask(standby, "/meta/nodes");
  assert.deepEqual([silent.status, silent.error], [
    503,
    "The leader 10.0.0.2:34601 tells no HTTP address",
  ]);
  const lost = await ask(refusing(Err.FORWARD_TO_OTHERS, ""), "/meta/nodes", 8080);
  assert.deepEqual([lost.status, lost.error], [503, "No leader is known"]);
  const loading = await ask(refusing(Err.SERVICE_NOT_ACTIVE, ""), "/meta/nodes", 8080);
  assert.deepEqual([loading.status, loading.error], [503, "The meta leader is still starting"]);
});

Deno.test("metaReadiness() wants a leader, here or elsewhere", async () => {
  const readiness = (meta: MetaAsk) => metaReadiness({ ask: meta });
  assert.equal(await readiness(refusing(Err.FORWARD_TO_OTHERS, "10.0.0.2:34601")), "");
  assert.equal(await readiness(refusing(Err.FORWARD_TO_OTHERS, "")), "No leader is known");
  assert.match(await readiness(refusing(Err.SERVICE_NOT_ACTIVE, "")), /still starting/);
});

Deno.test("askOf() gives the answer or the refusal of the core", async () => {
  const requests: MetaRequest[] = [];
  const meta = askOf({
    request: (request, call) => {
      requests.push(request);
      if (request.name === "listNodes") (call as IncomingCall<unknown>).reply({ nodes: [] });
      else call.fail(Err.APP_NOT_EXIST, "No such table");
    },
  });
  assert.deepEqual(await meta("listNodes", {}), { error: 0, detail: "", answer: { nodes: [] } });
  assert.deepEqual(await meta("queryConfig", { table: "t", indices: [] }), {
    error: Err.APP_NOT_EXIST,
    detail: "No such table",
    answer: undefined,
  });
  assert.deepEqual(requests.map(({ name }) => name), ["listNodes", "queryConfig"]);
});
