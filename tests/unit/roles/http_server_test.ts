// The HTTP side of a process over a real socket: what every server answers, and what it refuses.

import assert from "node:assert/strict";
import type { AuditEntry } from "../../../roles/audit.ts";
import { type HttpSide, startHttp } from "../../../roles/http/main_http.ts";
import { LiveSettings } from "../../../src/config/live.ts";
import { defaultSettings } from "../../../src/config/load.ts";
import { type Logger, loggerOf } from "../../../src/observe/logger.ts";
import { openMetrics } from "../../../src/observe/metrics.ts";

const TOKEN = "0123456789abcdef";

interface Parts {
  readonly http: HttpSide;
  readonly live: LiveSettings;
  readonly lines: string[];
  readonly kept: AuditEntry[];
  // deno-lint-ignore no-explicit-any
  get(target: string, init?: RequestInit): Promise<{ status: number; text: string; json: any }>;
}

async function withHttp(story: (parts: Parts) => Promise<void>, adminToken = TOKEN): Promise<void> {
  const lines: string[] = [];
  const kept: AuditEntry[] = [];
  const logger: Logger = loggerOf((level, message) => lines.push(`${level} ${message}`));
  const live = new LiveSettings("meta", defaultSettings());
  const http = await startHttp({
    listen: "127.0.0.1:0",
    adminToken,
    role: "meta",
    cluster: "test",
    version: "1.2.3",
    live,
    registry: openMetrics(),
    logger,
    audit: (entry) => kept.push(entry),
  });
  const get: Parts["get"] = async (target, init) => {
    const response = await fetch(`http://${http.address}${target}`, init);
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
    return { status: response.status, text, json: isJson ? JSON.parse(text) : undefined };
  };
  try {
    await story({ http, live, lines, kept, get });
  } finally {
    await http.close();
  }
}

const ADMIN = { headers: { authorization: `Bearer ${TOKEN}` } };

Deno.test("HTTP server tells its paths, health, versions and settings", async () => {
  await withHttp(async ({ get }) => {
    const paths = (await get("/")).json;
    assert.ok("/metrics" in paths && "/config" in paths);
    assert.equal((await get("/healthz")).status, 200);
    const { version, role, cluster } = (await get("/version")).json;
    assert.deepEqual([version, role, cluster], ["1.2.3", "meta", "test"]);
    assert.match((await get("/recentStartTime")).json.RecentStartTime.utc, /^\d{4}-.*Z$/);
    assert.deepEqual((await get("/config")).json, (await get("/configs")).json);
    const one = (await get("/config?name=log-level")).json;
    assert.deepEqual([one.value, one.mutable, one.section], ["info", true, "process"]);
    assert.deepEqual((await get("/configs")).json["log-level"], one);
    const unknown = await get("/config?name=log-levle");
    assert.equal(unknown.status, 404);
    assert.match(unknown.json.error, /did you mean "log-level"/);
  });
});

Deno.test("HTTP server is ready when its server says so, and tells why it is not", async () => {
  await withHttp(async ({ http, get }) => {
    assert.deepEqual(await get("/readyz").then(({ status, json }) => [status, json.error]), [
      503,
      "The server is starting",
    ]);
    http.setReadiness(() => Promise.resolve(""));
    assert.equal((await get("/readyz")).status, 200);
  });
});

Deno.test("HTTP server tells metrics of the process as Prometheus text", async () => {
  await withHttp(async ({ http, get }) => {
    const response = await fetch(`http://${http.address}/metrics`);
    assert.match(response.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
    const text = await response.text();
    assert.match(
      text,
      /^pegasus_build_info\{version="1\.2\.3",role="meta",cluster="test",.*\} 1$/m,
    );
    assert.match(text, /^process_resident_memory_bytes \d{7,}$/m);
    assert.match(text, /^pegasus_event_loop_delay_seconds_count \d+$/m);
    assert.equal((await get("/metrics?x=1")).status, 400);
  });
});

Deno.test("/updateConfig changes a mutable setting, and says why it does not change others", async () => {
  await withHttp(async ({ live, lines, get }) => {
    const seen: string[] = [];
    live.onChange(({ process }) => seen.push(process.logLevel));
    const changed = await get("/updateConfig?log-level=debug", { method: "POST", ...ADMIN });
    assert.deepEqual([changed.status, changed.json.before, changed.json.now], [
      200,
      "info",
      "debug",
    ]);
    assert.deepEqual(seen, ["debug"]);
    assert.equal((await get("/config?name=log-level")).json.value, "debug");
    assert.deepEqual(lines, ["warn Setting changed over HTTP"]);
    for (
      const [target, status, reason] of [
        ["?log-level=loud", 400, /got "loud", expected one of: debug/],
        ["?cluster=other", 400, /only at a start.*log-level/],
        ["?log-levle=info", 404, /did you mean "log-level"/],
        ["?log-level=info&grace=7s", 400, /Got 2 arguments: expected exactly one/],
        ["", 400, /Got 0 arguments/],
      ] as const
    ) {
      const refused = await get(`/updateConfig${target}`, ADMIN);
      assert.equal(refused.status, status, target);
      assert.match(refused.json.error, reason);
    }
    assert.equal((await get("/updateConfig?log-level=info")).status, 401);
    assert.deepEqual(seen, ["debug"]);
  });
});

Deno.test("HTTP server without a token refuses changes and profiles", async () => {
  await withHttp(async ({ get }) => {
    for (const path of ["/updateConfig?log-level=debug", "/pprof/heap", "/pprof/profile"]) {
      assert.equal((await get(path, ADMIN)).status, 403, path);
    }
  }, "");
});

Deno.test("startHttp refuses a token that can be guessed", async () => {
  await assert.rejects(withHttp(() => Promise.resolve(), "short"), /5 characters: expected 16/);
});

Deno.test("HTTP server profiles the processor, one profile at a time", async () => {
  await withHttp(async ({ get }) => {
    assert.equal((await get("/pprof/profile?seconds=0", ADMIN)).status, 400);
    const first = get("/pprof/profile?seconds=1", ADMIN);
    let second = await get("/pprof/profile?seconds=1", ADMIN);
    const results = [(await first).status, second.status].sort();
    assert.deepEqual(results, [200, 409]);
    const profile = (await first).status === 200 ? await first : second;
    assert.ok(Array.isArray(profile.json.nodes) && profile.json.nodes.length > 0);
    second = await get("/pprof/heap", ADMIN);
    assert.equal(second.status, 200);
    assert.ok(second.json.snapshot.node_count > 1000);
  });
});

Deno.test("HTTP server answers 500 when a handler fails, and goes on", async () => {
  await withHttp(async ({ http, lines, get }) => {
    http.add({ "/boom": { brief: "Fails" } }, {
      "/boom": () => {
        throw new Error("a secret");
      },
    });
    const answer = await get("/boom");
    assert.equal(answer.status, 500);
    assert.doesNotMatch(answer.text, /secret/);
    assert.deepEqual(lines, ["error HTTP request failed"]);
    assert.equal((await get("/healthz")).status, 200);
  });
});

Deno.test("HTTP server keeps what was done with the token, and who came without it", async () => {
  await withHttp(async ({ http, kept, get }) => {
    http.add({ "/boom": { brief: "Fails", admin: true } }, {
      "/boom": () => {
        throw new Error("broken");
      },
    });
    await get("/config");
    await get("/updateConfig?log-level=debug", ADMIN);
    await get("/updateConfig?log-level=loud", ADMIN);
    await get("/boom", ADMIN);
    await get("/updateConfig?a=secret", { headers: { authorization: "Bearer 0123456789abcdeX" } });
    assert.deepEqual(
      kept.map(({ who, from, action, request, outcome }) => [who, from, action, request, outcome]),
      [
        ["@token", "http", "/updateConfig", "?log-level=debug", "OK"],
        ["@token", "http", "/updateConfig", "?log-level=loud", "HTTP 400"],
        ["@token", "http", "/boom", "", "HTTP 500"],
        ["", "http", "/updateConfig", "", "UNAUTHENTICATED"],
      ],
    );
  });
});
