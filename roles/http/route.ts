// How an HTTP path is declared and found. The declaration gives the check of method and arguments, the list
// at "/", the page docs/http.md and the answer to a wrong path. Invariant: a handler sees only arguments
// that were declared, each at most once, and a path that changes something only with the admin token.

import { suggestion } from "../../src/config/suggest.ts";
import { timingSafeEqual } from "node:crypto";
import type { AdminAsk } from "../audit.ts";

/** One query argument. */
export interface Argument {
  readonly doc: string;
  /** @default false */
  readonly required?: boolean;
}

/** A declared path. */
export interface Route {
  readonly brief: string;
  /** @default none */
  readonly args?: Readonly<Record<string, Argument>>;
  /** Any arguments, described in these words; they reach the handler unchecked. */
  readonly anyArgs?: string;
  /** Only with the admin token; answers POST too. */
  readonly admin?: boolean;
}

/** Declared paths. */
export type Routes = Readonly<Record<string, Route>>;

/** What a handler is asked. */
export interface Ask {
  readonly args: ReadonlyMap<string, string>;
  /** Path and query as asked, for redirects. */
  readonly target: string;
  /** The Accept header, "" if absent. */
  readonly accept: string;
}

/** What a handler answers. */
export interface Answer {
  /** @default 200 */
  readonly status?: number;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: string | ReadableStream<Uint8Array>;
  /** @default JSON, or plain text with `body` */
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers one path. A throw is logged and answered 500. */
export type Handler = (ask: Ask) => Answer | Promise<Answer>;

/** A handler for every declared path. */
export type Handlers<Declared extends Routes> = { readonly [Path in keyof Declared]: Handler };

/** An error with its reason, as JSON. */
export function problem(status: number, error: string): Answer {
  return { status, json: { error } };
}

interface Bound {
  readonly route: Route;
  readonly handler: Handler;
}

/** See the file comment. */
export class Router {
  readonly #bound = new Map<string, Bound>();
  readonly #adminToken: string;
  readonly #audit: (ask: AdminAsk) => void;

  /**
   * @param adminToken "" = this server is read-only.
   * @param audit Is told every request for a path that needs the token.
   */
  constructor(adminToken: string, audit: (ask: AdminAsk) => void = () => {}) {
    this.#adminToken = adminToken;
    this.#audit = audit;
  }

  /** Adds declared paths with their handlers. */
  add<Declared extends Routes>(routes: Declared, handlers: Handlers<Declared>): void {
    for (const [path, route] of Object.entries(routes)) {
      this.#bound.set(path, { route, handler: handlers[path]! });
    }
  }

  /** Paths with their declarations, sorted. */
  list(): [string, Route][] {
    const list = [...this.#bound].map(([path, { route }]): [string, Route] => [path, route]);
    return list.sort(([a], [b]) => a < b ? -1 : 1);
  }

  /** Answers a request. `authorization`, `accept`: the headers, "" if absent. */
  async answer(method: string, url: URL, authorization: string, accept = ""): Promise<Answer> {
    const path = url.pathname.length > 1 ? url.pathname.replace(/\/+$/, "") : "/";
    const bound = this.#bound.get(path);
    if (bound === undefined) {
      const hint = suggestion(path, this.#bound.keys());
      return problem(404, `Unknown path "${path}"${hint || "; / lists all"}`);
    }
    const { route } = bound;
    const allowed = route.admin ? ["GET", "POST"] : ["GET", "HEAD"];
    if (!allowed.includes(method)) {
      const reason = `Method ${method} is not allowed for ${path}: expected ${
        allowed.join(" or ")
      }`;
      return { ...problem(405, reason), headers: { allow: allowed.join(", ") } };
    }
    if (!route.admin) return await this.#run(bound, path, url, accept);
    const refusal = this.#refusal(authorization);
    let status = 500;
    try {
      const answer = refusal ?? await this.#run(bound, path, url, accept);
      status = answer.status ?? 200;
      return answer;
    } finally {
      this.#audit({ path, query: url.search, status, isAdmitted: refusal === undefined });
    }
  }

  async #run({ route, handler }: Bound, path: string, url: URL, accept: string): Promise<Answer> {
    const args = readArgs(path, route, url.searchParams);
    if (typeof args === "string") return problem(400, args);
    return await handler({ args, target: `${path}${url.search}`, accept });
  }

  #refusal(authorization: string): Answer | undefined {
    if (this.#adminToken === "") {
      return problem(
        403,
        "This server is read-only: start it with --admin-token-file to allow this",
      );
    }
    const given = new TextEncoder().encode(authorization);
    const expected = new TextEncoder().encode(`Bearer ${this.#adminToken}`);
    if (given.length === expected.length && timingSafeEqual(given, expected)) return undefined;
    const reason = 'The admin token is needed: send it as "Authorization: Bearer TOKEN"';
    return { ...problem(401, reason), headers: { "www-authenticate": "Bearer" } };
  }
}

/** The arguments, or what is wrong with them. */
function readArgs(
  path: string,
  route: Route,
  given: URLSearchParams,
): ReadonlyMap<string, string> | string {
  const declared = route.args ?? {};
  const args = new Map<string, string>();
  for (const [name, value] of given) {
    if (args.has(name)) return `Argument "${name}" is given twice`;
    if (route.anyArgs === undefined && !Object.hasOwn(declared, name)) {
      const names = Object.keys(declared);
      const hint = suggestion(name, names);
      const expected = names.length === 0 ? "none" : names.join(", ");
      return `Unknown argument "${name}" of ${path}${hint || `: expected ${expected}`}`;
    }
    args.set(name, value);
  }
  for (const [name, { required, doc }] of Object.entries(declared)) {
    if (required && !args.has(name)) return `Argument "${name}" of ${path} is missing: ${doc}`;
  }
  return args;
}
