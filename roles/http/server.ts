// The HTTP server of a process: status, metrics, settings, profiles, for people and monitoring. It shares
// the event loop with the data path, so answers are small and made on demand. Invariants: a request never
// fails the process; answers are not cached by anybody. Paths: docs/http.md.

import type { Logger } from "../../src/observe/logger.ts";
import type { TlsMaterial } from "../../src/rpc/security.ts";
import { type Front, type FrontLimits, openFront } from "./front.ts";
import { type Answer, problem, type Router } from "./route.ts";

/** A listening HTTP server. */
export interface RunningHttp {
  /** Bound "host:port". */
  readonly address: string;
  readonly port: number;
  /** Ends idle connections at once and others within half a second. */
  close(): Promise<void>;
}

/** Requests that run; each is an answer in memory. */
const RUNNING_MAX = 64;
/** Answers that run get so long to end. */
const CLOSE_GRACE_MS = 500;

/**
 * Listens on "host:port"; port 0 takes a free one.
 *
 * @throws {Error} If the address cannot be listened on.
 */
export async function serveHttp(
  listen: string,
  router: Router,
  logger: Logger,
  tls?: TlsMaterial,
  limits?: FrontLimits,
): Promise<RunningHttp> {
  const stop = new AbortController();
  let running = 0;
  const handle = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    if (running >= RUNNING_MAX) return respond(problem(503, "Too many requests are running"));
    running++;
    try {
      const authorization = request.headers.get("authorization") ?? "";
      const accept = request.headers.get("accept") ?? "";
      return respond(await router.answer(request.method, url, authorization, accept));
    } catch (error) {
      logger.error("HTTP request failed", { path: url.pathname, error });
      return respond(problem(500, "The request failed; see the server's log"));
    } finally {
      running--;
    }
  };
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    signal: stop.signal,
    onListen: () => {},
    onError: () => respond(problem(500, "The request failed")),
  }, handle);
  const end = async () => {
    // Keep-alive connections would hold a polite shutdown open.
    const timer = setTimeout(() => stop.abort(), CLOSE_GRACE_MS);
    await server.shutdown();
    clearTimeout(timer);
  };
  let front: Front;
  try {
    const options = { logger, tls, ...(limits === undefined ? {} : { limits }) };
    front = await openFront(listen, `127.0.0.1:${server.addr.port}`, options);
  } catch (error) {
    await end();
    throw error;
  }
  const close = async () => {
    await end();
    await front.close();
  };
  let closing: Promise<void> | undefined;
  const { address } = front;
  const port = Number(address.slice(address.lastIndexOf(":") + 1));
  return { address, port, close: () => closing ??= close() };
}

/** An answer as HTTP. */
function respond({ status = 200, json, body, contentType, headers }: Answer): Response {
  const isJson = body === undefined;
  const text = isJson ? JSON.stringify(json ?? {}, plain, 2) + "\n" : body;
  return new Response(text, {
    status,
    headers: {
      "content-type": contentType ??
        (isJson ? "application/json; charset=utf-8" : "text/plain; charset=utf-8"),
      "cache-control": "no-store",
      "x-content-type-options": "nosniff",
      ...headers,
    },
  });
}

/** Maps, big integers and bytes in JSON. */
function plain(_key: string, value: unknown): unknown {
  if (value instanceof Map) return Object.fromEntries(value);
  if (typeof value === "bigint") return value.toString();
  return value instanceof Uint8Array ? `${value.length} bytes` : value;
}
