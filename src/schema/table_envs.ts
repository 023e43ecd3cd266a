// Environment variables of a table: which exist, what they may hold, and what they mean to a replica server.
// Names and meanings follow the original; an unknown one is refused, so that a typo does not look like a
// setting. Meta checks, stores and distributes them; replica servers act on those they know. Invariant: whatever
// `envProblem` lets pass, `parseTableEnvs` understands. See docs/data_api.md, "Table variables".

import { RIGHT_ENVS, type TableRights, tableRights, USER_NAME } from "./access.ts";

/**
 * Characters of a value, whatever its pattern: 200 names of users fit. All values of a table together are some
 * 100 KB, because meta's store takes 1 MB and one answer of meta holds many tables.
 */
const ENV_VALUE_MAX = 16 * 1024;

const BOOL = { pattern: /^(true|false)$/, expected: "true or false" };
const COUNT = { pattern: /^\d{1,9}$/, expected: "an integer from 0" };
const LONG = { pattern: /^\d{1,15}$/, expected: "an integer from 0" };
const RATE = String.raw`\d{1,12}[KM]?`;
// At most one of each, in any order.
const DELAY = String.raw`${RATE}\*delay\*\d{1,9}`;
const REJECT = String.raw`${RATE}\*reject\*\d{1,9}`;
const LIMITS = `${DELAY}|${REJECT}|${DELAY},${REJECT}|${REJECT},${DELAY}`;
const THROTTLE = {
  pattern: new RegExp(`^(${LIMITS})$`),
  expected: "like 100K*delay*20,200K*reject*20",
};
const TEXT = { pattern: /^[\s\S]{0,4096}$/, expected: "at most 4096 characters" };
const LEVEL = { pattern: /^(-1|[1-9]\d?)$/, expected: "-1 or a level from 1" };
const BOTTOMMOST = { pattern: /^(force|skip)$/, expected: "force or skip" };

const ONE_USER = USER_NAME.source.slice(1, -1);
const USERS = {
  pattern: new RegExp(`^(-|${ONE_USER}( *, *${ONE_USER}){0,199})?$`),
  expected: "at most 200 names of users with commas between them, or - for nobody",
};

const KNOWN: Readonly<Record<string, { readonly pattern: RegExp; readonly expected: string }>> = {
  "business.info": TEXT,
  "default_ttl": COUNT,
  "manual_compact.disabled": BOOL,
  "manual_compact.max_concurrent_running_count": COUNT,
  "manual_compact.once.trigger_time": LONG,
  "manual_compact.once.target_level": LEVEL,
  "manual_compact.once.bottommost_level_compaction": BOTTOMMOST,
  "manual_compact.periodic.trigger_time": {
    pattern: /^([01]?\d|2[0-3]):[0-5]\d(,([01]?\d|2[0-3]):[0-5]\d)*$/,
    expected: "times of day like 3:00,21:00",
  },
  "manual_compact.periodic.target_level": LEVEL,
  "manual_compact.periodic.bottommost_level_compaction": BOTTOMMOST,
  "replica.deny_client_request": {
    pattern: /^(timeout|reconfig)\*(all|write|read)$/,
    expected: "timeout or reconfig, *, all, write or read",
  },
  "replica.backup_request_throttling": THROTTLE,
  "replica.read_throttling": THROTTLE,
  "replica.read_throttling_by_size": {
    pattern: new RegExp(`^(${RATE}|${LIMITS})$`),
    expected: "like 100K or 100K*reject*20",
  },
  "replica.rocksdb_iteration_threshold_time_ms": LONG,
  "replica.write_throttling": THROTTLE,
  "replica.write_throttling_by_size": THROTTLE,
  "replica.slow_query_threshold": {
    pattern: /^([2-9]\d|[1-9]\d{2,11})$/,
    expected: "milliseconds from 20",
  },
  ...Object.fromEntries(Object.keys(RIGHT_ENVS).map((env) => [env, USERS])),
};

const ROCKSDB = "it tunes RocksDB, and the engine here is LevelDB";

/** Variables of the original that mean nothing here, and why: refused, so that nobody relies on them. */
const NOT_HERE: Readonly<Record<string, string>> = {
  "replica.rocksdb_block_cache_enabled": ROCKSDB,
  "replica.split.validate_partition_hash": "the owner of a key is always checked",
  "replica_access_controller.ranger_policies": "rights are given by user; see docs/SECURITY.md",
  "rocksdb.allow_ingest_behind": ROCKSDB,
  "rocksdb.checkpoint.reserve_min_count": ROCKSDB,
  "rocksdb.checkpoint.reserve_time_seconds": ROCKSDB,
  "rocksdb.num_levels": ROCKSDB,
  "rocksdb.usage_scenario": ROCKSDB,
  "user_specified_compaction":
    "rows end by their own life or default_ttl, or are removed with clear_data of the shell",
  "rocksdb.write_buffer_size":
    `${ROCKSDB}; for all tables of a server: --engine-write-buffer-bytes`,
};

/** Every variable and what it may hold, in words. */
export function knownTableEnvs(): [name: string, allowed: string][] {
  return Object.entries(KNOWN).map(([name, { expected }]) => [name, expected]);
}

/** Why a variable cannot be set so; `undefined` if it can. */
export function envProblem(key: string, value: string): string | undefined {
  const known = Object.hasOwn(KNOWN, key) ? KNOWN[key] : undefined;
  if (known === undefined) {
    const reason = Object.hasOwn(NOT_HERE, key) ? NOT_HERE[key] : undefined;
    if (reason !== undefined) return `Table variable "${key}" cannot be set: ${reason}`;
    const prefix = key.split(".")[0]!;
    const near = Object.keys(KNOWN).filter((name) => name.startsWith(prefix));
    const names = near.length > 0 ? near : Object.keys(KNOWN);
    return `Unknown table variable "${key}"; known are ${names.join(", ")}`;
  }
  if (value.length > ENV_VALUE_MAX) {
    return `Table variable "${key}" has ${value.length} characters: expected ${known.expected}, ` +
      `at most ${ENV_VALUE_MAX} characters`;
  }
  if (known.pattern.test(value)) return undefined;
  return `Table variable "${key}" is "${value}": expected ${known.expected}`;
}

/** One half of a throttle: from `units` per second on, requests wait or are refused after `ms`. */
export interface RateStep {
  /** For the whole table; each partition gets its share. */
  readonly units: number;
  readonly ms: number;
}

/** `100K*delay*20,200K*reject*20`, taken apart. At least one half is there. */
export interface RateLimit {
  readonly delay: RateStep | undefined;
  readonly reject: RateStep | undefined;
}

/** Which client requests are turned away: without an answer (`timeout`), or to another server (`reconfig`). */
export interface DenyRule {
  readonly mode: "timeout" | "reconfig";
  readonly what: "all" | "read" | "write";
}

/** What the variables of a table tell its replicas. */
export interface TableEnvs {
  /** TTL of rows written without one, seconds; 0 = none. */
  readonly defaultTtlSeconds: number;
  readonly rights: TableRights;
  readonly deny: DenyRule | undefined;
  /** Requests per second. */
  readonly reads: RateLimit | undefined;
  readonly staleReads: RateLimit | undefined;
  readonly writes: RateLimit | undefined;
  /** Bytes of keys and values per second. */
  readonly writeBytes: RateLimit | undefined;
  /** Bytes returned per second; 0 = no limit. */
  readonly readBytes: number;
  /** Reads that take longer are logged, ms; `undefined` = the server's default. */
  readonly slowReadMs: number | undefined;
  /** Time one range read may take, ms; 0 = any, `undefined` = the server's default. */
  readonly rangeTimeMs: number | undefined;
  readonly compaction: CompactionRule;
}

/** When the replicas of a table are compacted without being told so. */
export interface CompactionRule {
  readonly disabled: boolean;
  /** Once, as soon as this time has come, Unix seconds; 0 = never. */
  readonly onceAt: number;
  /** Every day at these minutes after midnight, server's time. */
  readonly minutes: readonly number[];
}

/** Nothing set. */
export const NO_ENVS: TableEnvs = parseTableEnvs(new Map());

/** Reads the variables of a table; one that cannot be read counts as not set. */
export function parseTableEnvs(envs: ReadonlyMap<string, string>): TableEnvs {
  const valid = (key: string): string | undefined => {
    const value = envs.get(key);
    return value === undefined || envProblem(key, value) !== undefined ? undefined : value;
  };
  const limit = (key: string) => parseLimit(valid(key));
  const number = (key: string) => {
    const value = valid(key);
    return value === undefined ? undefined : Number(value);
  };
  return {
    defaultTtlSeconds: number("default_ttl") ?? 0,
    rights: tableRights(envs),
    deny: parseDeny(valid("replica.deny_client_request")),
    reads: limit("replica.read_throttling"),
    staleReads: limit("replica.backup_request_throttling"),
    writes: limit("replica.write_throttling"),
    writeBytes: limit("replica.write_throttling_by_size"),
    readBytes: parseReadBytes(valid("replica.read_throttling_by_size")),
    slowReadMs: number("replica.slow_query_threshold"),
    rangeTimeMs: number("replica.rocksdb_iteration_threshold_time_ms"),
    compaction: {
      disabled: valid("manual_compact.disabled") === "true",
      onceAt: number("manual_compact.once.trigger_time") ?? 0,
      minutes: parseTimesOfDay(valid("manual_compact.periodic.trigger_time")),
    },
  };
}

function parseTimesOfDay(value: string | undefined): number[] {
  return (value ?? "").split(",").filter((time) => time !== "").map((time) => {
    const [hours, minutes] = time.split(":");
    return 60 * Number(hours) + Number(minutes);
  });
}

function parseDeny(value: string | undefined): DenyRule | undefined {
  if (value === undefined) return undefined;
  const [mode, what] = value.split("*") as [DenyRule["mode"], DenyRule["what"]];
  return { mode, what };
}

function parseLimit(value: string | undefined): RateLimit | undefined {
  if (value === undefined) return undefined;
  let delay: RateStep | undefined;
  let reject: RateStep | undefined;
  for (const part of value.split(",")) {
    const [rate, kind, ms] = part.split("*") as [string, string, string];
    const step = { units: parseRate(rate), ms: Number(ms) };
    if (kind === "delay") delay = step;
    else reject = step;
  }
  return { delay, reject };
}

/** Of the long form only the reject half counts: there is nothing to delay once the bytes are read. */
function parseReadBytes(value: string | undefined): number {
  if (value === undefined) return 0;
  return value.includes("*") ? parseLimit(value)?.reject?.units ?? 0 : parseRate(value);
}

/** K = 1024, M = 1024 * 1024, for requests as for bytes. */
function parseRate(text: string): number {
  const factor = text.endsWith("K") ? 1024 : text.endsWith("M") ? 1024 * 1024 : 1;
  return Number(factor === 1 ? text : text.slice(0, -1)) * factor;
}
