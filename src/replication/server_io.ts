// What goes into the state machine of a replica server (server.ts) and what comes out of it, and its settings.

import type { PartitionId } from "../base/ids.ts";
import type { Beacon, ConfigProposalMessage, ConfigSync } from "../schema/meta_rpc.ts";
import type { ResponseOf } from "../schema/rpc.ts";
import type { NodeAddress, PartitionConfig, ReplicaReport, TableInfo } from "../schema/types.ts";

/** Intervals of the worker half of the failure detector. All in ms. */
export interface ServerSettings {
  readonly beaconIntervalMs: number;
  /** A beacon unanswered for so long counts as failed, and the next meta of the list is tried. */
  readonly beaconTimeoutMs: number;
  /** Shortest pause between two beacons while the leader is being looked for. */
  readonly metaSwitchMs: number;
  /** What one acknowledged beacon grants, counted from its sending. Must be below meta's grace period. */
  readonly leaseMs: number;
  /** Unused end of the lease. */
  readonly leaseSafetyMs: number;
  /** Replicas are told so long before the lease ends; at least the longest pause between two ticks. */
  readonly lookaheadMs: number;
  readonly configSyncIntervalMs: number;
  /** Pause after meta answered BUSY. */
  readonly configSyncBusyMs: number;
  /** Pause after any other failure, and the shortest pause between two syncs that were asked for. */
  readonly configSyncRetryMs: number;
  readonly configSyncTimeoutMs: number;
  /** An inactive replica that meta has not listed for so long is closed; its data stays. */
  readonly absentCloseMs: number;
  /** A server that is asked to end waits so long for others to take over what it leads; 0 = it does not ask them. */
  readonly handOverMs: number;
}

/** Defaults of {@link ServerSettings}. */
export const SERVER_DEFAULTS: ServerSettings = {
  beaconIntervalMs: 1000,
  beaconTimeoutMs: 700,
  metaSwitchMs: 200,
  leaseMs: 5000,
  leaseSafetyMs: 250,
  lookaheadMs: 250,
  configSyncIntervalMs: 10_000,
  configSyncBusyMs: 500,
  configSyncRetryMs: 200,
  configSyncTimeoutMs: 5000,
  absentCloseMs: 600_000,
  handOverMs: 5000,
};

/** `connecting`: the lease holds, but meta has not yet said what this server should serve. */
export type ContactState = "disconnected" | "connecting" | "connected";

export type ServerEvent =
  /** Time passes. At least every `lookaheadMs`. */
  | { readonly kind: "tick" }
  /** How the beacon of this attempt ended; `reply` is present if `error` is 0. */
  | {
    readonly kind: "beaconReply";
    readonly attempt: number;
    readonly error: number;
    readonly reply: ResponseOf<typeof Beacon> | undefined;
  }
  /** How the config sync of this attempt ended; `reported` is what the request said. */
  | {
    readonly kind: "syncReply";
    readonly attempt: number;
    readonly error: number;
    readonly reported: readonly ReplicaReport[];
    readonly answer: ResponseOf<typeof ConfigSync> | undefined;
  }
  | { readonly kind: "proposal"; readonly proposal: ConfigProposalMessage }
  /** A replica's view differs from meta's, or a replica was opened or closed. */
  | { readonly kind: "requestConfigSync" }
  /** The process is asked to end: others shall lead first what this server leads. Answered by `left`. */
  | { readonly kind: "leave" };

export type ServerEffect =
  /** Send a beacon, at once; report `beaconReply` with the attempt. */
  | {
    readonly kind: "beacon";
    readonly to: string;
    readonly attempt: number;
    readonly sentAt: number;
  }
  /** Collect the reports of all stored replicas and send them; report `syncReply`. */
  | { readonly kind: "configSync"; readonly to: string; readonly attempt: number }
  /** The lease was prolonged: reads and writes check these deadlines, each on its own clock. */
  | { readonly kind: "lease"; readonly deadlineMono: number; readonly deadlineWall: number }
  /** Tell the leader everything that is stored here. It asks again until it knows. */
  | { readonly kind: "reportStored"; readonly to: string }
  /** Tell every replica (`metaContact`), and replicas opened later. */
  | { readonly kind: "contact"; readonly connected: boolean }
  | { readonly kind: "nodes"; readonly nodes: readonly NodeAddress[] }
  | { readonly kind: "tables"; readonly tables: readonly TableInfo[] }
  /** Meta's newest configuration of a partition this server stores; `self` may be no member. */
  | { readonly kind: "config"; readonly config: PartitionConfig }
  /** Meta counts on a replica that was not reported. If it is really not stored, ask to be removed. */
  | { readonly kind: "missing"; readonly config: PartitionConfig }
  /** Hand to the replica; ASSIGN_PRIMARY of a partition without history may create it. */
  | { readonly kind: "proposal"; readonly proposal: ConfigProposalMessage }
  /** Close the replica and keep its data. */
  | { readonly kind: "closeReplica"; readonly partition: PartitionId }
  /** Meta has no use for this stored replica: close it if it is inactive, and set its data aside. */
  | { readonly kind: "garbage"; readonly partition: PartitionId }
  /** This server may end: meta has nothing left to give to others (`handedOver`), or is away. Once. */
  | { readonly kind: "left"; readonly handedOver: boolean }
  /** For logs. */
  | {
    readonly kind: "note";
    readonly event: "contact" | "leader" | "notAllowed" | "syncFailed";
    readonly details: Readonly<Record<string, unknown>>;
  };
