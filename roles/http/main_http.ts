// The HTTP side of a server process, put together. It listens before the server it reports on starts, so
// that its port can be told to meta with the first beacon; until the server has started, /readyz says so.

import type { LiveSettings } from "../../src/config/live.ts";
import type { Logger } from "../../src/observe/logger.ts";
import type { MetricRegistry } from "../../src/observe/metric.ts";
import type { METRICS } from "../../src/observe/metrics.ts";
import type { TlsMaterial } from "../../src/rpc/security.ts";
import { type AuditSink, httpAudit } from "../audit.ts";
import { watchProcess } from "./process_metrics.ts";
import { profileHandlers } from "./profile.ts";
import { type Answer, type Ask, type Handlers, problem, Router, type Routes } from "./route.ts";
import { COMMON_ROUTES } from "./routes.ts";
import { type RunningHttp, serveHttp } from "./server.ts";

/** What the HTTP side of a process is made from. */
export interface HttpOptions {
  /** "host:port"; port 0 takes a free one. */
  readonly listen: string;
  /** "" = read-only. */
  readonly adminToken: string;
  readonly role: string;
  readonly cluster: string;
  readonly version: string;
  readonly live: LiveSettings;
  readonly registry: MetricRegistry<typeof METRICS>;
  readonly logger: Logger;
  /** Where requests that need the token are kept, and those who do not have it. @default nowhere */
  readonly audit?: AuditSink;
  /** With it HTTP is HTTPS. */
  readonly tls?: TlsMaterial | undefined;
}

/** Why a server does not do its work now; "" if it does. */
export type Readiness = () => string | Promise<string>;

/** The HTTP side of a running process. */
export interface HttpSide {
  readonly address: string;
  readonly port: number;
  /** Adds paths of the role. */
  add<Declared extends Routes>(routes: Declared, handlers: Handlers<Declared>): void;
  /** Takes over what /readyz says. */
  setReadiness(readiness: Readiness): void;
  close(): Promise<void>;
}

/** Where a browser that asks for "/" wants to go. */
const DASHBOARD = "/dashboard";

/** Tokens shorter than this are refused: they can be guessed. */
const TOKEN_CHARACTERS_MIN = 16;

/**
 * Starts the HTTP side.
 *
 * @throws {Error} If the address cannot be listened on, or the token is too short.
 */
export async function startHttp(options: HttpOptions): Promise<HttpSide> {
  const { adminToken, registry, role, cluster, version, logger, audit = () => {} } = options;
  if (adminToken !== "" && adminToken.length < TOKEN_CHARACTERS_MIN) {
    throw new Error(
      `The admin token has ${adminToken.length} characters: expected ${TOKEN_CHARACTERS_MIN} or more`,
    );
  }
  const startedAt = Date.now();
  const router = new Router(adminToken, httpAudit(audit));
  let readiness: Readiness = () => "The server is starting";
  router.add(COMMON_ROUTES, commonHandlers(options, router, startedAt, () => readiness()));
  const unwatch = watchProcess(registry, { version, role, cluster, startedAt });
  let server: RunningHttp;
  try {
    server = await serveHttp(options.listen, router, logger, options.tls);
  } catch (error) {
    unwatch();
    throw error;
  }
  const { address, port } = server;
  return {
    address,
    port,
    add: (routes, handlers) => router.add(routes, handlers),
    setReadiness: (next) => {
      readiness = next;
    },
    close: async () => {
      unwatch();
      await server.close();
    },
  };
}

function commonHandlers(
  { role, cluster, version, live, registry, logger }: HttpOptions,
  router: Router,
  startedAt: number,
  readiness: Readiness,
): Handlers<typeof COMMON_ROUTES> {
  const profiles = profileHandlers();
  const started = { ms: startedAt, utc: new Date(startedAt).toISOString() };
  return {
    "/": ({ accept }) => {
      const paths = router.list();
      if (accept.includes("text/html") && paths.some(([path]) => path === DASHBOARD)) {
        return { status: 302, json: { location: DASHBOARD }, headers: { location: DASHBOARD } };
      }
      return { json: Object.fromEntries(paths.map(([path, r]) => [path, help(r)])) };
    },
    "/healthz": () => ({ json: { status: "alive" } }),
    "/readyz": async () => {
      const reason = await readiness();
      return reason === "" ? { json: { status: "ready" } } : problem(503, reason);
    },
    "/version": () => {
      const runtime = { deno: Deno.version.deno, v8: Deno.version.v8, target: Deno.build.target };
      return { json: { version, role, cluster, started: started.utc, ...runtime } };
    },
    "/recentStartTime": () => ({ json: { RecentStartTime: started } }),
    "/config": ({ args }) => {
      const name = args.get("name");
      if (name === undefined) return { json: allSettings(live) };
      const found = live.get(name);
      return typeof found === "string" ? problem(404, found) : { json: found };
    },
    "/configs": () => ({ json: allSettings(live) }),
    "/updateConfig": (ask) => {
      const answer = updateConfig(live, ask);
      if (answer.status === undefined) logger.warn("Setting changed over HTTP", logged(answer));
      return answer;
    },
    "/metrics": async () => ({ body: await registry.text(), contentType: registry.contentType }),
    "/pprof/cmdline": () => ({ body: [Deno.execPath(), ...Deno.args].join("\n") + "\n" }),
    "/pprof/heap": profiles.heap,
    "/pprof/profile": profiles.cpu,
  };
}

/** Every setting by its name. */
function allSettings(live: LiveSettings): Record<string, unknown> {
  return Object.fromEntries(live.list().map((setting) => [setting.name, setting]));
}

function logged({ json }: Answer): Record<string, unknown> {
  return json as Record<string, unknown>;
}

function updateConfig(live: LiveSettings, { args }: Ask): Answer {
  const [change, ...others] = args;
  if (change === undefined || others.length > 0) {
    return problem(400, `Got ${args.size} arguments: expected exactly one NAME=VALUE`);
  }
  const result = live.change(...change);
  switch (result.kind) {
    case "changed":
      return { json: { update_status: "ERR_OK", ...result } };
    case "unknown":
      return problem(404, result.reason);
    case "refused":
      return problem(400, result.reason);
  }
}

/** A path as the list shows it. */
function help(route: Routes[string]): Record<string, unknown> {
  const { brief, args, anyArgs, admin } = route;
  const words = Object.entries(args ?? {}).map(([name, { doc, required }]) =>
    [name, required ? doc : `${doc} (optional)`] as const
  );
  return {
    brief,
    ...(words.length > 0 ? { arguments: Object.fromEntries(words) } : {}),
    ...(anyArgs === undefined ? {} : { arguments: anyArgs }),
    ...(admin ? { admin: true } : {}),
  };
}
