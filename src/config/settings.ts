// Every setting of the servers, declared once. The declaration gives the type, the flag, the key in the
// file, the check, the help and docs/config.md. Names are flags and keys (`prepareTimeoutMs` is
// `--prepare-timeout` and `prepare-timeout = "3s"`), unique within a role. Groups whose fields equal an
// interface of a core (ReplicaSettings, RpcSettings) are handed to it as they are.

import { assert } from "../base/assert.ts";
import { DETECTOR, PROCESS, RPC } from "./common_settings.ts";
import { type AnySetting, keyOf, type Values } from "./field.ts";
import type { Group, ServerRole } from "./group.ts";
import { COLLECTOR, META_SERVER, PLACEMENT } from "./meta_settings.ts";
import {
  ASIDE,
  CONTACT,
  ENGINE,
  EXPIRY,
  LOGS,
  REPLICA_SERVER,
  REPLICATION,
  SCRUB,
} from "./replica_settings.ts";
import { SECURITY, securityProblems } from "./security_settings.ts";

/** All groups, in the order of the documentation. */
export const GROUPS = {
  process: PROCESS,
  security: SECURITY,
  metaServer: META_SERVER,
  replicaServer: REPLICA_SERVER,
  detector: DETECTOR,
  placement: PLACEMENT,
  collector: COLLECTOR,
  contact: CONTACT,
  replication: REPLICATION,
  logs: LOGS,
  engine: ENGINE,
  expiry: EXPIRY,
  scrub: SCRUB,
  aside: ASIDE,
  rpc: RPC,
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
  const problems = securityProblems(settings.security);
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
  for (const { listen, advertise } of [settings.metaServer, settings.replicaServer]) {
    if (advertise === "" && isWildcard(listen)) {
      problems.push(
        `"listen" (${listen}) is every address of this machine, which nobody can dial: name the ` +
          `one that others use with "advertise", such as --advertise 10.0.0.1:34801`,
      );
    }
    if (isWildcard(advertise)) {
      problems.push(`"advertise" (${advertise}) must be an address that others can dial`);
    }
  }
  return problems;
}

function isWildcard(address: string): boolean {
  return /^(0\.0\.0\.0|\[[0:]+\]|\*):\d+$/.test(address);
}
