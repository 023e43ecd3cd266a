// Environment variables of a table: which exist and what they may hold. Names and meanings follow the original
// (admin.md §3); an unknown one is refused, so that a typo does not look like a setting. Meta stores and
// distributes them; replica servers act on those they know. See docs/meta.md, "Tables".

const BOOL = { pattern: /^(true|false)$/, expected: "true or false" };
const COUNT = { pattern: /^\d{1,9}$/, expected: "an integer from 0" };
const LONG = { pattern: /^\d{1,15}$/, expected: "an integer from 0" };
const THROTTLE = {
  pattern: /^(\d{1,12}[KM]?\*(delay|reject)\*\d{1,9})(,\d{1,12}[KM]?\*(delay|reject)\*\d{1,9})?$/,
  expected: "like 100K*delay*20,200K*reject*20",
};
const TEXT = { pattern: /^[\s\S]{0,4096}$/, expected: "at most 4096 characters" };
const LEVEL = { pattern: /^(-1|[1-9]\d?)$/, expected: "-1 or a level from 1" };
const BOTTOMMOST = { pattern: /^(force|skip)$/, expected: "force or skip" };

const KNOWN: Readonly<Record<string, { readonly pattern: RegExp; readonly expected: string }>> = {
  "business.info": TEXT,
  "default_ttl": COUNT,
  "manual_compact.disabled": BOOL,
  "manual_compact.max_concurrent_running_count": COUNT,
  "manual_compact.once.trigger_time": LONG,
  "manual_compact.once.target_level": LEVEL,
  "manual_compact.once.bottommost_level_compaction": BOTTOMMOST,
  "manual_compact.periodic.trigger_time": {
    pattern: /^\d{1,2}:\d{2}(,\d{1,2}:\d{2})*$/,
    expected: "times like 3:00,21:00",
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
    pattern: /^(\d{1,12}[KM]?|\d{1,12}[KM]?\*(delay|reject)\*\d{1,9})$/,
    expected: "like 100K or 100K*reject*20",
  },
  "replica.write_throttling": THROTTLE,
  "replica.write_throttling_by_size": THROTTLE,
  "replica.slow_query_threshold": {
    pattern: /^([2-9]\d|[1-9]\d{2,11})$/,
    expected: "milliseconds from 20",
  },
  "replica_access_controller.allowed_users": TEXT,
  "rocksdb.usage_scenario": {
    pattern: /^(normal|prefer_write|bulk_load)$/,
    expected: "normal, prefer_write or bulk_load",
  },
  "user_specified_compaction": TEXT,
};

/** Why a variable cannot be set so; `undefined` if it can. */
export function envProblem(key: string, value: string): string | undefined {
  const known = Object.hasOwn(KNOWN, key) ? KNOWN[key] : undefined;
  if (known === undefined) {
    const prefix = key.split(".")[0]!;
    const near = Object.keys(KNOWN).filter((name) => name.startsWith(prefix));
    const names = near.length > 0 ? near : Object.keys(KNOWN);
    return `Unknown table variable "${key}"; known are ${names.join(", ")}`;
  }
  if (known.pattern.test(value)) return undefined;
  return `Table variable "${key}" is "${value}": expected ${known.expected}`;
}
