// Who changed the cluster, from where, how it ended, and who was turned away. Plain entries, so that a
// shard's thread can hand its own to the control part. Invariants: nothing secret gets into an entry;
// changes are all kept, refusals and failures up to a rate, so that neither a stranger nor a user can fill the disk
// with them. docs/SECURITY.md, "Audit".

import { Err, errorName } from "../src/base/errors.ts";
import { LineLimit } from "../src/observe/line_limit.ts";
import type { Logger } from "../src/observe/logger.ts";
import { ASKING_COMMANDS } from "./remote_commands.ts";
import type { AuditedCall, CallAudit } from "../src/rpc/options.ts";
import { Rank } from "../src/schema/access.ts";

/** One entry. */
export interface AuditEntry {
  /** Name of the user, "@cluster" for whoever has the cluster's secret, "@token" that of HTTP, "" for nobody known. */
  readonly who: string;
  /** Where from; "http" for all of HTTP, whose server has its callers behind a door (http/front.ts). */
  readonly from: string;
  /** Name of the request, or "connect"; the path of HTTP. */
  readonly action: string;
  /** What was asked for; "" = it was refused before it was read. */
  readonly request: string;
  /** "OK", the name of the error, or "HTTP 404". */
  readonly outcome: string;
  readonly detail: string;
}

/** Takes an entry. */
export type AuditSink = (entry: AuditEntry) => void;

const REQUEST_CHARACTERS_MAX = 1000;
/** Refused callers, refused and failed requests kept, each kind: so many a second. */
const REFUSED_MAX = 20;

const monotonicMs = () => performance.now();

/** Entries of one kind up to a rate; the next one says how many were left out. */
function limited(sink: AuditSink, now: () => number): AuditSink {
  const limit = new LineLimit(REFUSED_MAX, 1000);
  return (entry) => {
    const held = limit.admit(`${entry.action} ${entry.outcome}`, now());
    if (held === 0) sink(entry);
    else if (held > 0) sink({ ...entry, detail: `${entry.detail} (and ${held} more like it)` });
  };
}

/** What the network tells, as entries. */
export function callAudit(sink: AuditSink, now = monotonicMs): CallAudit {
  const keep = limited(sink, now);
  return {
    ended(call) {
      if (isQuestion(call)) return;
      const entry = entryOf(call);
      // What fails for an administrator may have changed something all the same.
      const isChange = call.error !== Err.ACL_DENY && call.who.rank >= Rank.ADMIN;
      if (isChange || call.error === Err.OK) sink(entry);
      else keep(entry);
    },
    refused(from, detail) {
      const outcome = errorName(Err.UNAUTHENTICATED);
      keep({ who: "", from, action: "connect", request: "", outcome, detail });
    },
  };
}

/** A request over HTTP that needs the admin token, and how it ended. */
export interface AdminAsk {
  readonly path: string;
  /** With its question mark. */
  readonly query: string;
  readonly status: number;
  /** Whether the token was the right one. */
  readonly isAdmitted: boolean;
}

/** What HTTP tells, as entries. */
export function httpAudit(sink: AuditSink, now = monotonicMs): (ask: AdminAsk) => void {
  const keep = limited(sink, now);
  return ({ path: action, query, status, isAdmitted }) => {
    const same = { from: "http", action, detail: "" };
    if (!isAdmitted) {
      const outcome = errorName(Err.UNAUTHENTICATED);
      return keep({ ...same, who: "", request: "", outcome });
    }
    const outcome = status === 200 ? errorName(Err.OK) : `HTTP ${status}`;
    sink({ ...same, who: "@token", request: query.slice(0, REQUEST_CHARACTERS_MAX), outcome });
  };
}

/** Some requests ask or change, depending on what is in them. */
function isQuestion({ rpc, request, error }: AuditedCall): boolean {
  if (error !== Err.OK || typeof request !== "object" || request === null) return false;
  const { level, action, command } = request as Record<string, unknown>;
  return (rpc.name === "control_meta" && level === undefined) ||
    (rpc.name === "balance" && action === "status") ||
    (rpc.name === "detect_hotkey" && action === "query") ||
    (rpc.name === "remote_command" && ASKING_COMMANDS.has(String(command)));
}

function entryOf({ who, peer, rpc, request, error, detail }: AuditedCall): AuditEntry {
  return {
    who: who.name,
    from: peer,
    action: rpc.name,
    request: request === undefined ? "" : summary(request),
    outcome: errorName(error),
    detail: detail.slice(0, REQUEST_CHARACTERS_MAX),
  };
}

/** A request in words: no bytes, hence no keys, values or verifiers. */
function summary(request: unknown): string {
  const text = JSON.stringify(request, (_key, value: unknown) => {
    if (value instanceof Uint8Array) return `${value.length} bytes`;
    if (value instanceof Map) return Object.fromEntries(value);
    return typeof value === "bigint" ? value.toString() : value;
  });
  return text.length <= REQUEST_CHARACTERS_MAX
    ? text
    : `${text.slice(0, REQUEST_CHARACTERS_MAX)}... (${text.length} characters)`;
}

/**
 * Where the entries of a process go: to the file, or to the log if none is named.
 *
 * @throws {Error} If the file cannot be written.
 */
export function openAudit(path: string, logger: Logger): AuditSink {
  if (path === "") {
    return (entry) => {
      if (entry.outcome === "OK") logger.info("Change", { ...entry });
      else logger.warn("Refused or failed", { ...entry });
    };
  }
  const file = Deno.openSync(path, { append: true, create: true, mode: 0o600 });
  const encoder = new TextEncoder();
  return (entry) => {
    const line = `${JSON.stringify({ at: new Date().toISOString(), ...entry })}\n`;
    try {
      const bytes = encoder.encode(line);
      for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
    } catch (error) {
      logger.error("The audit file cannot be written", { path, error, ...entry });
    }
  };
}
