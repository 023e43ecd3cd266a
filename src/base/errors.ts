// Every error code of the system, once. A separate code exists only if some caller reacts differently.
// Numbers are frozen: never reused, never renumbered; they travel in frames and files.

/**
 * What a caller may conclude and do.
 *
 * - `none`: success.
 * - `never`: definitely not done; the same request would fail again.
 * - `backoff`: definitely not done; try again after a pause.
 * - `refreshRoute`: definitely not done; ask meta for the route, then try again.
 * - `unknownOutcome`: it may have happened. Only an exactly-once retry or a read is safe.
 */
export type Advice = "none" | "never" | "backoff" | "refreshRoute" | "unknownOutcome";

interface Row {
  readonly code: number;
  readonly advice: Advice;
  readonly meaning: string;
}

const TABLE = {
  OK: { code: 0, advice: "none", meaning: "Done" },

  // Data requests that were refused before anything happened.
  INVALID_STATE: {
    code: 1,
    advice: "refreshRoute",
    meaning: "This server is not the serving primary of the partition",
  },
  OBJECT_NOT_FOUND: {
    code: 2,
    advice: "refreshRoute",
    meaning: "This server has no replica of the partition",
  },
  NOT_ENOUGH_MEMBER: {
    code: 3,
    advice: "backoff",
    meaning: "Too few live replicas to accept a write",
  },
  BUSY: { code: 4, advice: "backoff", meaning: "A queue or rate limit is full" },
  CAPACITY_EXCEEDED: {
    code: 5,
    advice: "backoff",
    meaning: "Too many writes of the partition are in flight",
  },
  SPLITTING: { code: 6, advice: "backoff", meaning: "Reserved: the partition is being split" },
  PARENT_PARTITION_MISUSED: {
    code: 7,
    advice: "refreshRoute",
    meaning: "The key belongs to another partition",
  },
  INVALID_ARGUMENT: { code: 8, advice: "never", meaning: "The request breaks a documented rule" },
  INVALID_DATA: {
    code: 9,
    advice: "never",
    meaning: "A key, value or request is larger than allowed, or cannot be decoded",
  },
  OPERATION_DISABLED: {
    code: 10,
    advice: "never",
    meaning: "The operation is switched off for this table",
  },
  ACL_DENY: { code: 11, advice: "never", meaning: "The user may not do this" },
  HANDLER_NOT_FOUND: {
    code: 12,
    advice: "never",
    meaning: "The server does not know this request",
  },
  DISK_INSUFFICIENT: { code: 13, advice: "backoff", meaning: "A replica's disk is nearly full" },
  DISK_IO_ERROR: { code: 14, advice: "refreshRoute", meaning: "Reserved: a replica's disk fails" },
  SESSION_EXPIRED: {
    code: 15,
    advice: "unknownOutcome",
    meaning: "The partition no longer remembers this client session",
  },
  SCAN_CONTEXT_LOST: {
    code: 16,
    advice: "never",
    meaning: "The scan's server-side context is gone; open it again after the last row",
  },

  UNAUTHENTICATED: {
    code: 17,
    advice: "backoff",
    meaning: "The server does not accept who the caller says he is; it may hear of a new user soon",
  },

  // Outcomes nobody can know.
  TIMEOUT: { code: 20, advice: "unknownOutcome", meaning: "No answer within the deadline" },
  CONNECTION_LOST: {
    code: 21,
    advice: "unknownOutcome",
    meaning: "The connection broke before the answer",
  },
  OUTCOME_UNKNOWN: {
    code: 22,
    advice: "unknownOutcome",
    meaning: "The write was handed to replication and its fate is not known",
  },

  // Requests that certainly never left.
  CONNECT_FAILED: { code: 25, advice: "refreshRoute", meaning: "No connection to the server" },
  CLOSED: { code: 26, advice: "never", meaning: "The client or server is closed" },
  CANCELLED: {
    code: 27,
    advice: "never",
    meaning: "The caller gave up before the request was sent",
  },

  // Meta.
  APP_NOT_EXIST: { code: 30, advice: "never", meaning: "No such table" },
  APP_EXIST: { code: 31, advice: "never", meaning: "A table of this name exists" },
  BUSY_CREATING: { code: 32, advice: "backoff", meaning: "The table is being created" },
  BUSY_DROPPING: { code: 33, advice: "backoff", meaning: "The table is being dropped" },
  FORWARD_TO_OTHERS: {
    code: 34,
    advice: "refreshRoute",
    meaning: "This meta server is not the leader",
  },
  SERVICE_NOT_ACTIVE: { code: 35, advice: "backoff", meaning: "The meta leader is still starting" },
  UNDER_RECOVERY: {
    code: 36,
    advice: "backoff",
    meaning: "Metadata is being rebuilt from replica servers",
  },
  STATE_FREEZED: {
    code: 37,
    advice: "backoff",
    meaning: "The meta function level forbids this now",
  },
  INVALID_VERSION: {
    code: 38,
    advice: "refreshRoute",
    meaning: "The ballot of the request is not the next one",
  },
  STORE_FAILED: {
    code: 39,
    advice: "backoff",
    meaning: "The coordination store did not accept the change",
  },

  // Between replicas.
  VERSION_OUTDATED: { code: 50, advice: "refreshRoute", meaning: "The sender's ballot is old" },
  TRY_AGAIN: { code: 51, advice: "backoff", meaning: "Not ready for this message yet" },
  INACTIVE_STATE: {
    code: 52,
    advice: "backoff",
    meaning: "The replica is between two configurations",
  },
  GAP: { code: 53, advice: "backoff", meaning: "An earlier prepare is missing" },
  WRONG_SIGNATURE: {
    code: 54,
    advice: "never",
    meaning: "The learner's signature is not the current one",
  },
  INCONSISTENT_STATE: {
    code: 55,
    advice: "backoff",
    meaning: "The primary has not finished reconciliation",
  },
  LEARN_SOURCE_LOST: {
    code: 56,
    advice: "backoff",
    meaning: "The image or log being copied is no longer held",
  },

  // Transport and protocol.
  PROTOCOL_ERROR: {
    code: 60,
    advice: "unknownOutcome",
    meaning: "The peer sent bytes that are not our protocol",
  },
  PROTOCOL_VERSION: {
    code: 61,
    advice: "never",
    meaning: "The peer speaks another protocol version or belongs to another cluster",
  },
  FRAME_TOO_LARGE: { code: 62, advice: "never", meaning: "The message exceeds the frame limit" },
  INTERNAL: {
    code: 63,
    advice: "unknownOutcome",
    meaning: "A bug or broken environment; see the server's log",
  },
} as const satisfies Record<string, Row>;

/** Name of an error, e.g. `"INVALID_STATE"`. */
export type ErrorName = keyof typeof TABLE;

/** Numeric error code as it travels; one of the values of {@link Err}. */
export type ErrorCode = (typeof TABLE)[ErrorName]["code"];

/** Error codes by name: `Err.TIMEOUT`. */
export const Err = Object.fromEntries(
  Object.entries(TABLE).map(([name, row]) => [name, row.code]),
) as { readonly [Name in ErrorName]: (typeof TABLE)[Name]["code"] };

const BY_CODE = new Map<number, { name: ErrorName } & Row>(
  (Object.entries(TABLE) as [ErrorName, Row][]).map(([name, row]) => [row.code, { name, ...row }]),
);

/** All rows in code order, for the generated documentation. */
export function errorTable(): { name: ErrorName; code: number; advice: Advice; meaning: string }[] {
  return [...BY_CODE.values()].sort((a, b) => a.code - b.code);
}

/** Name of a code; `"UNKNOWN_17"` for a code of a newer peer. */
export function errorName(code: number): string {
  return BY_CODE.get(code)?.name ?? `UNKNOWN_${code}`;
}

/** Meaning of a code in words. */
export function errorMeaning(code: number): string {
  return BY_CODE.get(code)?.meaning ?? "An error this version does not know";
}

/** What a caller may conclude from a code. A code we do not know proves nothing. */
export function adviceOf(code: number): Advice {
  return BY_CODE.get(code)?.advice ?? "unknownOutcome";
}

/**
 * The exception of every public API: a code of the table and a message for people.
 * Decide by `code` or {@link adviceOf}, never by the text.
 */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: number;
  /** The message without the name of the code: what travels in an answer. */
  readonly detail: string;

  constructor(code: number, message?: string, options?: { cause?: unknown }) {
    const detail = message ?? errorMeaning(code);
    super(`${errorName(code)}: ${detail}`, options);
    this.code = code;
    this.detail = detail;
  }

  /** `"not done"` proves that nothing happened; `"unknown"` proves nothing. */
  get outcome(): "not done" | "unknown" {
    return adviceOf(this.code) === "unknownOutcome" ? "unknown" : "not done";
  }
}
