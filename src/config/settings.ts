// Every setting of the servers, declared once. The declaration gives the type, the flag, the key in the
// file, the check, the help and docs/config.md. Names are flags and keys (`prepareTimeoutMs` is
// `--prepare-timeout` and `prepare-timeout = "3s"`), unique within a role. Groups whose fields equal an
// interface of a core (ReplicaSettings, RpcSettings, ...) are handed to it as they are.

import { assert } from "../base/assert.ts";
import {
  type AnySetting,
  bool,
  bytes,
  choice,
  duration,
  hostPort,
  hostPorts,
  int,
  keyOf,
  text,
  type Values,
} from "./field.ts";

/** Server roles that read settings. */
export type ServerRole = "meta" | "replica";

/** Settings that belong together. */
export interface Group {
  readonly title: string;
  readonly roles: readonly ServerRole[];
  /** Goes before every name of the group: "rpc" makes `inflightMax` the flag `--rpc-inflight-max`. */
  readonly prefix?: string;
  readonly fields: Readonly<Record<string, AnySetting>>;
}

function group<const Fields extends Readonly<Record<string, AnySetting>>>(
  title: string,
  roles: readonly ServerRole[],
  fields: Fields,
  prefix?: string,
): Group & { readonly fields: Fields } {
  return prefix === undefined ? { title, roles, fields } : { title, roles, fields, prefix };
}

const BOTH: readonly ServerRole[] = ["meta", "replica"];

/** All groups, in the order of the documentation. */
export const GROUPS = {
  process: group("Process", BOTH, {
    cluster: text({
      default: "onebox",
      pattern: /^[0-9A-Za-z._-]{1,64}$/,
      expected: "1 to 64 letters, digits, dots, dashes or underscores",
      clusterWide: true,
      doc: "Name of the cluster; servers and clients of another cluster are refused",
    }),
    logLevel: choice(["debug", "info", "warn", "error"], {
      default: "info",
      doc: "Least important lines that are logged",
    }),
    logFormat: choice(["text", "json"], {
      default: "text",
      doc: "Form of log lines and of the line that tells the address on stdout",
    }),
    logFile: text({
      default: "",
      doc: "File the log is appended to instead of stderr; empty = stderr",
    }),
  }),
  metaServer: group("Meta server", ["meta"], {
    listen: hostPort({
      default: "127.0.0.1:34601",
      doc: "Address to listen on; port 0 takes a free port, which the first line on stdout tells",
    }),
    http: hostPort({
      default: "",
      optional: true,
      doc: "Address of the HTTP interface; empty = none",
    }),
    dataDir: text({
      default: "data/meta",
      pattern: /./,
      expected: "a path",
      doc: "Directory of the state of this server; one process only",
    }),
  }),
  replicaServer: group("Replica server", ["replica"], {
    listen: hostPort({
      default: "127.0.0.1:34801",
      doc: "Address to listen on, and the server's name in the cluster: keep it across restarts",
    }),
    http: hostPort({
      default: "",
      optional: true,
      doc: "Address of the HTTP interface; empty = none",
    }),
    meta: hostPorts({
      default: ["127.0.0.1:34601"],
      doc: "Addresses of all meta servers",
    }),
    dataDir: text({
      default: "data/replica",
      pattern: /./,
      expected: "a path",
      doc: "Directory of tables and private logs; one process only",
    }),
    logDir: text({
      default: "",
      doc: "Directory of the shared logs, best on a disk of its own; empty = below data-dir",
    }),
    shards: int({
      default: 1,
      min: 1,
      max: 1,
      doc: "Threads that serve partitions",
    }),
  }),
  detector: group("Failure detection", BOTH, {
    beaconIntervalMs: duration({
      default: "1s",
      min: "10ms",
      max: "1m",
      clusterWide: true,
      doc: "A replica server shows a sign of life this often",
    }),
    leaseMs: duration({
      default: "5s",
      min: "50ms",
      max: "5m",
      clusterWide: true,
      doc: "How long a replica server may serve after its last acknowledged beacon was sent",
    }),
    graceMs: duration({
      default: "6s",
      min: "60ms",
      max: "6m",
      clusterWide: true,
      doc: "Meta declares a server dead after so long without a beacon; longer than the lease",
    }),
  }),
  placement: group("Placement", ["meta"], {
    failureCheckMs: duration({
      default: "500ms",
      min: "10ms",
      max: "1m",
      doc: "Meta looks for dead servers this often",
    }),
    cureIntervalMs: duration({
      default: "1s",
      min: "10ms",
      max: "10m",
      doc: "Meta looks this often for partitions that need another step towards health",
    }),
    replicaAssignDelayMs: duration({
      default: "30s",
      min: "0",
      max: "1d",
      doc: "A lost secondary is expected back for so long before another server gets its place",
    }),
    functionLevel: choice(["stopped", "blind", "freezed", "steady", "lively"], {
      default: "steady",
      doc: "What a new meta leader may do by itself: see docs/meta.md",
    }),
  }),
  contact: group("Contact with meta", ["replica"], {
    beaconTimeoutMs: duration({
      default: "700ms",
      min: "10ms",
      max: "1m",
      doc: "A beacon unanswered for so long has failed; the next meta server is asked",
    }),
    leaseSafetyMs: duration({
      default: "250ms",
      min: "1ms",
      max: "1m",
      doc: "End of the lease that is never used, for clocks that run at different rates",
    }),
    configSyncIntervalMs: duration({
      default: "10s",
      min: "50ms",
      max: "10m",
      doc: "What is stored is compared with meta's view this often",
    }),
    absentCloseMs: duration({
      default: "10m",
      min: "1s",
      max: "7d",
      doc: "An inactive replica that meta does not list is closed after so long; its data stays",
    }),
  }),
  replication: group("Replication", ["replica"], {
    inflightMutationsMax: int({
      default: 64,
      min: 1,
      max: 10_000,
      doc: "Mutations of one partition between their number and their commit",
    }),
    mutationBytesMax: bytes({
      default: "1MiB",
      min: "1KiB",
      max: "8MiB",
      doc: "Size at which writes gathered for one mutation are sent",
    }),
    queuedWritesMax: int({
      default: 10_000,
      min: 1,
      max: 1_000_000,
      doc: "Writes waiting in one partition; more are answered BUSY",
    }),
    cacheMutationsMax: int({
      default: 2000,
      min: 1,
      max: 1_000_000,
      doc: "Committed mutations kept in memory for learners",
    }),
    cacheBytesMax: bytes({
      default: "8MiB",
      min: "64KiB",
      max: "1GiB",
      doc: "Bytes of committed mutations kept in memory for learners, per partition",
    }),
    prepareTimeoutMs: duration({
      default: "3s",
      min: "20ms",
      max: "1m",
      doc: "A secondary that has not acknowledged for so long is removed",
    }),
    learnerPrepareTimeoutMs: duration({
      default: "5s",
      min: "20ms",
      max: "10m",
      doc: "The same for a learner",
    }),
    prepareResendMs: duration({
      default: "500ms",
      min: "5ms",
      max: "1m",
      doc: "A prepare unanswered for so long is sent again",
    }),
    groupCheckIntervalMs: duration({
      default: "10s",
      min: "20ms",
      max: "10m",
      doc: "A primary tells its group the configuration this often",
    }),
    idleCommitMs: duration({
      default: "1s",
      min: "10ms",
      max: "1m",
      doc: "Secondaries hear of the last commit after so long without writes",
    }),
    reconfigureResendMs: duration({
      default: "1s",
      min: "10ms",
      max: "1m",
      doc: "An unanswered request to meta for a new configuration is sent again after so long",
    }),
    learnRetryMs: duration({
      default: "1s",
      min: "10ms",
      max: "1m",
      doc: "A learner tries again after so long",
    }),
    checkpointIntervalMs: duration({
      default: "1m",
      min: "100ms",
      max: "1d",
      doc: "Applied writes are made durable in the engine at least this often",
    }),
    checkpointDecrees: int({
      default: 100_000,
      min: 1,
      doc: "Mutations after which a checkpoint is taken before its time",
    }),
    minReplicaCount: int({
      default: 0,
      min: 0,
      max: 5,
      clusterWide: true,
      doc: "Fewest live members to accept a write; 0 = more than half of the table's replicas",
    }),
    sessionsMax: int({
      default: 10_000,
      min: 1,
      max: 1_000_000,
      clusterWide: true,
      doc: "Client sessions one partition remembers for exactly-once writes",
    }),
    sessionResultsMax: int({
      default: 32_768,
      min: 1,
      max: 1_000_000,
      clusterWide: true,
      doc: "Results one partition remembers for exactly-once writes",
    }),
  }),
  logs: group("Write-ahead logs", ["replica"], {
    fsync: choice(["group", "none"], {
      default: "group",
      doc: "group: a write is acknowledged when it survives power loss; none: for comparison only",
    }),
    sharedLogSegmentBytes: bytes({
      default: "64MiB",
      min: "64KiB",
      max: "1GiB",
      doc: "Size at which a new file of the shared log is begun",
    }),
    privateLogSegmentBytes: bytes({
      default: "32MiB",
      min: "64KiB",
      max: "1GiB",
      doc: "Size at which a new file of a replica's private log is begun",
    }),
    privateLogSyncIntervalMs: duration({
      default: "1s",
      min: "10ms",
      max: "1m",
      doc: "Private logs are synced this often, which lets shared log files be deleted",
    }),
    privateLogReserveBytes: bytes({
      default: "64MiB",
      min: "0B",
      max: "64GiB",
      doc: "Private log kept for learners beyond what recovery needs, per replica",
    }),
  }),
  engine: group("Storage engine", ["replica"], {
    writeBufferBytes: bytes({
      default: "16MiB",
      min: "64KiB",
      max: "1GiB",
      doc: "Writes of one replica kept in memory before they go to a sorted file",
    }),
    blockCacheBytes: bytes({
      default: "32MiB",
      min: "0B",
      max: "64GiB",
      doc: "Cache of uncompressed blocks, per replica",
    }),
    compression: bool({
      default: true,
      doc: "Compress sorted files",
    }),
  }),
  rpc: group("Network", BOTH, {
    frameBytesMax: bytes({
      default: "16MiB",
      min: "64KiB",
      max: "256MiB",
      clusterWide: true,
      doc: "Largest message accepted or sent",
    }),
    inflightMax: int({
      default: 10_000,
      min: 1,
      max: 1_000_000,
      doc: "Unanswered calls of one connection; more are answered BUSY",
    }),
    sendBufferBytesMax: bytes({
      default: "16MiB",
      min: "64KiB",
      max: "1GiB",
      doc: "Bytes waiting in a connection before its reader is paused",
    }),
    connectTimeoutMs: duration({
      default: "2s",
      min: "10ms",
      max: "1m",
      doc: "Time to connect",
    }),
    frameTimeoutMs: duration({
      default: "10s",
      min: "10ms",
      max: "10m",
      doc: "Time in which a message that has begun must be complete",
    }),
    keepAliveMs: duration({
      default: "10s",
      min: "100ms",
      max: "10m",
      doc: "A silent connection is probed after so long and dropped after twice as long",
    }),
    reconnectMinMs: duration({
      default: "20ms",
      min: "1ms",
      max: "1m",
      doc: "First pause before connecting again; it doubles",
    }),
    reconnectMaxMs: duration({
      default: "1s",
      min: "1ms",
      max: "10m",
      doc: "Longest pause before connecting again",
    }),
    connectionsMax: int({
      default: 10_000,
      min: 1,
      max: 1_000_000,
      doc: "Connections accepted; more are refused",
    }),
  }, "rpc"),
} as const;

/** Values of all groups; those of groups a role does not read are the defaults. */
export type Settings = {
  readonly [Name in keyof typeof GROUPS]: Values<(typeof GROUPS)[Name]["fields"]>;
};

/** One setting with its place. */
export interface Declared {
  readonly group: keyof typeof GROUPS;
  readonly name: string;
  /** Flag without dashes, and key in the file. */
  readonly key: string;
  readonly field: AnySetting;
}

/** Settings of a role, or of all roles, in the order of the documentation. */
export function declaredSettings(role?: ServerRole): Declared[] {
  const all: Declared[] = [];
  for (const [groupName, { roles, prefix, fields }] of Object.entries<Group>(GROUPS)) {
    if (role !== undefined && !roles.includes(role)) continue;
    for (const [name, field] of Object.entries(fields)) {
      const key = prefix === undefined ? keyOf(name, field) : `${prefix}-${keyOf(name, field)}`;
      all.push({ group: groupName as keyof typeof GROUPS, name, key, field });
    }
  }
  const keys = new Set(all.map(({ key }) => key));
  assert(role === undefined || keys.size === all.length, "Two settings have one name", { role });
  return all;
}

/** What no single setting can check. @returns One message per broken rule. */
export function checkTogether(settings: Settings): string[] {
  const { beaconIntervalMs, leaseMs, graceMs } = settings.detector;
  const problems: string[] = [];
  if (graceMs <= leaseMs) {
    problems.push(
      `"grace" (${graceMs}ms) must be longer than "lease" (${leaseMs}ms): a server has to stop ` +
        `serving before meta gives its partitions away`,
    );
  }
  if (leaseMs < beaconIntervalMs * 2) {
    problems.push(
      `"lease" (${leaseMs}ms) must be at least twice "beacon-interval" (${beaconIntervalMs}ms): ` +
        `one lost beacon must not cost the lease`,
    );
  }
  if (settings.contact.leaseSafetyMs * 2 > leaseMs) {
    problems.push(
      `"lease-safety" (${settings.contact.leaseSafetyMs}ms) must be at most half of "lease" ` +
        `(${leaseMs}ms)`,
    );
  }
  if (settings.rpc.reconnectMinMs > settings.rpc.reconnectMaxMs) {
    problems.push(`"rpc-reconnect-min" must not exceed "rpc-reconnect-max"`);
  }
  return problems;
}
