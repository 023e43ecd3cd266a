// Who gets the dashboard's page and its numbers, and who is sent elsewhere.

import assert from "node:assert/strict";
import { dashboardHandlers } from "../../../roles/http/dashboard/handlers.ts";
import { Router } from "../../../roles/http/route.ts";
import { DASHBOARD_ROUTES } from "../../../roles/http/routes.ts";
import type { MetaAsk, MetaReply } from "../../../roles/meta/meta_ask.ts";
import { Err } from "../../../src/base/errors.ts";
import type { MetaRequestName } from "../../../src/placement/io.ts";
import { NOTHING_WATCHED } from "./fake_watching.ts";

const LEADER = "10.0.0.2:34601";

function refusing(error: number, detail: string): MetaAsk {
  return <Name extends MetaRequestName>() =>
    Promise.resolve<MetaReply<Name>>({ error, detail, answer: undefined });
}

/** A cluster without servers and tables. */
const LEADING = ((name: MetaRequestName) => {
  const answers: Partial<Record<MetaRequestName, unknown>> = {
    clusterInfo: {
      cluster: "c",
      metaServers: [LEADER],
      primaryMeta: LEADER,
      coordinator: "",
      level: "steady",
      details: new Map(),
    },
    listNodes: { nodes: [] },
    listTables: { tables: [], health: [] },
  };
  return Promise.resolve({ error: Err.OK, detail: "", answer: answers[name] });
}) as unknown as MetaAsk;

async function get(ask: MetaAsk, target: string, httpPort = 8080) {
  const router = new Router("");
  const httpPortOf = () => Promise.resolve(httpPort);
  const dashboard = dashboardHandlers({
    ask,
    httpPortOf,
    watching: NOTHING_WATCHED,
    remote: () => Promise.resolve(""),
    changes: () => [],
  });
  router.add(DASHBOARD_ROUTES, dashboard);
  const answer = await router.answer("GET", new URL(target, "http://h"), "");
  return answer;
}

Deno.test("a standby sends browsers and questions to the leader's dashboard", async () => {
  const standby = refusing(Err.FORWARD_TO_OTHERS, LEADER);
  for (const path of ["/dashboard", "/meta/overview?table=t"]) {
    const { status, headers } = await get(standby, path);
    assert.deepEqual([status, headers?.["location"]], [307, `//10.0.0.2:8080${path}`]);
  }
  const { status } = await get(standby, "/dashboard/dashboard.js");
  assert.equal(status ?? 200, 200);
});

Deno.test("the page comes without a leader too, and its numbers say why they do not", async () => {
  for (const ask of [refusing(Err.FORWARD_TO_OTHERS, ""), refusing(Err.TIMEOUT, "No answer")]) {
    const page = await get(ask, "/dashboard");
    assert.match(page.contentType!, /^text\/html/);
    const { status, json } = await get(ask, "/meta/overview");
    assert.equal(status, 503);
    assert.match((json as { error: string }).error, /No leader is known|No answer/);
  }
  // The leader has no HTTP to be sent to.
  const page = await get(refusing(Err.FORWARD_TO_OTHERS, LEADER), "/dashboard", 0);
  assert.match(page.contentType!, /^text\/html/);
});

Deno.test("an empty cluster has an overview without problems", async () => {
  const { status, json } = await get(LEADING, "/meta/overview");
  const { cluster, leader, problems, tables } = json as Record<string, unknown>;
  assert.deepEqual([status ?? 200, cluster, leader, problems, tables], [200, "c", LEADER, [], []]);
});
