// One replica server towards meta: beacons, the lease, config sync, proposals, garbage. Pure: a driver
// (roles/replica/server_driver.ts, or the simulator) performs the effects in order and feeds results back.
// Invariants: replicas hear `contact: false` before the lease ends on either clock, and `contact: true`
// only after a config sync succeeded under a valid lease, so nobody acts on a configuration that meta
// replaced while this server was out of contact. Rules: docs/protocol.md, "Beacons" (meta.md §3, §4).

import type { Now } from "../base/clock.ts";
import { Err } from "../base/errors.ts";
import type { NodeId, PartitionId } from "../base/ids.ts";
import type { Beacon, ConfigProposalMessage, ConfigSync } from "../schema/meta_rpc.ts";
import type { ResponseOf } from "../schema/rpc.ts";
import type { NodeAddress, PartitionConfig, ReplicaReport, TableInfo } from "../schema/types.ts";
import type { Core } from "./io.ts";
import { Lease } from "./lease.ts";

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
  | { readonly kind: "requestConfigSync" };

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
  /** For logs. */
  | {
    readonly kind: "note";
    readonly event: "contact" | "leader" | "notAllowed" | "syncFailed";
    readonly details: Readonly<Record<string, unknown>>;
  };

/** Beacons whose answers still count; older ones could not prolong the lease any more. */
const BEACONS_REMEMBERED = 64;

/** See the file comment. */
export class ServerCore implements Core<ServerEvent, ServerEffect> {
  readonly #self: NodeId;
  readonly #metas: readonly string[];
  readonly #settings: ServerSettings;
  readonly #lease: Lease;
  #state: ContactState = "disconnected";

  /** Where the next beacon goes, and who acknowledged the last one ("" = nobody yet). */
  #target: string;
  #leader = "";
  #attempt = 0;
  #nextBeaconAt = -Infinity;
  #lastBeaconAt = -Infinity;
  #timeoutAt = Infinity;
  /** When each unanswered beacon was sent. Invariant: at most BEACONS_REMEMBERED, ascending attempts. */
  readonly #sent = new Map<number, Now>();

  /** The outstanding config sync's attempt; 0 = none. */
  #syncAttempt = 0;
  #syncAttempts = 0;
  #syncStartedAt = -Infinity;
  #nextSyncAt = Infinity;
  /** Something happened after the outstanding sync collected its reports: sync once more. */
  #syncAgain = false;
  #syncHint: number | undefined = undefined;
  /** Since when an inactive stored replica is missing in meta's answers. */
  readonly #absentSince = new Map<PartitionId, number>();

  /** @param options `metas`: at least one "host:port"; the order is the order of trying. */
  constructor(
    options: { self: NodeId; metas: readonly string[]; settings: ServerSettings },
  ) {
    this.#self = options.self;
    this.#metas = options.metas;
    this.#settings = options.settings;
    this.#lease = new Lease(options.settings.leaseMs, options.settings.leaseSafetyMs);
    this.#target = options.metas[0] ?? "";
  }

  get state(): ContactState {
    return this.#state;
  }

  /** Where requests to meta should go: the leader as far as known. */
  get leader(): string {
    return this.#target;
  }

  /** Monotonic deadline of the lease, for tests and status pages. */
  get leaseDeadlineMono(): number {
    return this.#lease.deadlineMono;
  }

  step(event: ServerEvent, now: Now, out: ServerEffect[]): void {
    // Before anything else: after a pause the first event may be any, and the lease may be long over.
    this.#checkLease(now, out);
    switch (event.kind) {
      case "tick":
        return this.#onTick(now, out);
      case "beaconReply":
        return this.#onBeaconReply(event.attempt, event.error, event.reply, now, out);
      case "syncReply":
        return this.#onSyncReply(event, now, out);
      case "proposal":
        return this.#onProposal(event.proposal, out);
      case "requestConfigSync":
        return this.#wantSync(now);
    }
  }

  #checkLease(now: Now, out: ServerEffect[]): void {
    if (this.#state === "disconnected") return;
    if (this.#lease.holds(now, this.#settings.lookaheadMs)) return;
    const was = this.#state;
    this.#state = "disconnected";
    this.#syncAttempt = 0;
    this.#nextSyncAt = Infinity;
    this.#absentSince.clear();
    if (was === "connected") out.push({ kind: "contact", connected: false });
    out.push({ kind: "note", event: "contact", details: { state: this.#state } });
  }

  #onTick(now: Now, out: ServerEffect[]): void {
    if (now.mono >= this.#timeoutAt) this.#tryNextMeta(now);
    if (now.mono >= this.#nextBeaconAt) this.#sendBeacon(now, out);
    this.#maybeSync(now, out);
  }

  #sendBeacon(now: Now, out: ServerEffect[]): void {
    const attempt = ++this.#attempt;
    this.#sent.set(attempt, now);
    this.#sent.delete(attempt - BEACONS_REMEMBERED);
    this.#lastBeaconAt = now.mono;
    this.#nextBeaconAt = now.mono + this.#settings.beaconIntervalMs;
    this.#timeoutAt = now.mono + this.#settings.beaconTimeoutMs;
    out.push({
      kind: "beacon",
      to: this.#target,
      attempt,
      sentAt: Math.max(0, Math.floor(now.mono)),
    });
  }

  #onBeaconReply(
    attempt: number,
    error: number,
    reply: ResponseOf<typeof Beacon> | undefined,
    now: Now,
    out: ServerEffect[],
  ): void {
    const sent = this.#sent.get(attempt);
    if (sent === undefined) return;
    this.#sent.delete(attempt);
    const newest = attempt === this.#attempt;
    if (newest) this.#timeoutAt = Infinity;
    if (error !== Err.OK || reply === undefined) {
      if (newest) this.#tryNextMeta(now);
      return;
    }
    if (!reply.isLeader) {
      if (newest) this.#redirect(reply.leader, now);
      return;
    }
    if (!reply.allowed) {
      out.push({ kind: "note", event: "notAllowed", details: { leader: this.#target } });
      return;
    }
    if (newest) this.#onLeader(now, out);
    // A lease granted by an earlier leader stays valid: a new one waits a full grace period (meta.md §4).
    if (!this.#lease.acknowledge(sent)) return;
    const { deadlineMono, deadlineWall } = this.#lease;
    out.push({ kind: "lease", deadlineMono, deadlineWall });
    this.#afterAck(reply.syncHint, now, out);
  }

  #onLeader(now: Now, out: ServerEffect[]): void {
    if (this.#leader === this.#target) return;
    this.#leader = this.#target;
    out.push({ kind: "note", event: "leader", details: { leader: this.#leader } });
    this.#syncHint = undefined;
    // A new leader knows nothing about what is stored where.
    this.#wantSync(now);
  }

  #afterAck(syncHint: number, now: Now, out: ServerEffect[]): void {
    const hinted = this.#syncHint !== undefined && this.#syncHint !== syncHint;
    this.#syncHint = syncHint;
    if (this.#state !== "disconnected") {
      if (hinted) this.#wantSync(now);
    } else if (this.#lease.holds(now, this.#settings.lookaheadMs)) {
      this.#state = "connecting";
      this.#nextSyncAt = now.mono;
      out.push({ kind: "note", event: "contact", details: { state: this.#state } });
    }
    this.#maybeSync(now, out);
  }

  /** "Not the leader": go where it points, at once but never in a tight circle between two metas. */
  #redirect(leader: string, now: Now): void {
    if (leader === "" || leader === this.#target) return this.#tryNextMeta(now);
    this.#target = leader;
    this.#nextBeaconAt = Math.max(now.mono, this.#lastBeaconAt + this.#settings.metaSwitchMs);
  }

  #tryNextMeta(now: Now): void {
    this.#timeoutAt = Infinity;
    const index = this.#metas.indexOf(this.#target);
    this.#target = this.#metas[(index + 1) % this.#metas.length] ?? this.#target;
    this.#nextBeaconAt = Math.max(now.mono, this.#lastBeaconAt + this.#settings.metaSwitchMs);
  }

  #wantSync(now: Now): void {
    if (this.#state === "disconnected") return;
    if (this.#syncAttempt !== 0) {
      this.#syncAgain = true;
      return;
    }
    const earliest = Math.max(now.mono, this.#syncStartedAt + this.#settings.configSyncRetryMs);
    this.#nextSyncAt = Math.min(this.#nextSyncAt, earliest);
  }

  #maybeSync(now: Now, out: ServerEffect[]): void {
    if (this.#state === "disconnected" || now.mono < this.#nextSyncAt) return;
    // The attempt tells a late answer from the current one: its reports would be outdated.
    this.#syncAttempt = ++this.#syncAttempts;
    this.#syncAgain = false;
    this.#syncStartedAt = now.mono;
    this.#nextSyncAt = now.mono + this.#settings.configSyncTimeoutMs;
    out.push({ kind: "configSync", to: this.#target, attempt: this.#syncAttempt });
  }

  #onSyncReply(
    event: Extract<ServerEvent, { kind: "syncReply" }>,
    now: Now,
    out: ServerEffect[],
  ): void {
    if (event.attempt !== this.#syncAttempt || this.#state === "disconnected") return;
    this.#syncAttempt = 0;
    const { configSyncBusyMs, configSyncRetryMs, configSyncIntervalMs } = this.#settings;
    if (event.error !== Err.OK || event.answer === undefined) {
      const pause = event.error === Err.BUSY ? configSyncBusyMs : configSyncRetryMs;
      this.#nextSyncAt = now.mono + pause;
      out.push({ kind: "note", event: "syncFailed", details: { error: event.error } });
      return;
    }
    this.#nextSyncAt = now.mono + (this.#syncAgain ? configSyncRetryMs : configSyncIntervalMs);
    this.#syncAgain = false;
    const { nodes, tables } = event.answer;
    if (nodes.length > 0) out.push({ kind: "nodes", nodes });
    if (tables.length > 0) out.push({ kind: "tables", tables });
    if (this.#state === "connecting") {
      this.#state = "connected";
      // First the contact, then at once the configurations: a replica does not act in between.
      out.push({ kind: "contact", connected: true });
      out.push({ kind: "note", event: "contact", details: { state: this.#state } });
    }
    this.#compare(event.reported, event.answer, now, out);
  }

  /** What is stored against what meta listed. */
  #compare(
    reported: readonly ReplicaReport[],
    answer: ResponseOf<typeof ConfigSync>,
    now: Now,
    out: ServerEffect[],
  ): void {
    const stored = new Set(reported.map((report) => report.partition));
    const listed = new Set<PartitionId>();
    for (const config of answer.configs) {
      listed.add(config.partition);
      if (stored.has(config.partition)) out.push({ kind: "config", config });
      else if (this.#isMember(config)) out.push({ kind: "missing", config });
    }
    // Only replicas that the request named can be garbage: one created since is unknown to this answer.
    const garbage = new Set(answer.garbage.filter((partition) => stored.has(partition)));
    for (const partition of garbage) out.push({ kind: "garbage", partition });
    for (const report of reported) {
      const { partition } = report;
      if (listed.has(partition) || report.status !== "inactive" || garbage.has(partition)) {
        this.#absentSince.delete(partition);
        continue;
      }
      const since = this.#absentSince.get(partition);
      if (since === undefined) this.#absentSince.set(partition, now.mono);
      else if (now.mono - since >= this.#settings.absentCloseMs) {
        this.#absentSince.delete(partition);
        out.push({ kind: "closeReplica", partition });
      }
    }
    for (const partition of this.#absentSince.keys()) {
      if (!stored.has(partition)) this.#absentSince.delete(partition);
    }
  }

  #isMember(config: PartitionConfig): boolean {
    return config.primary === this.#self || config.secondaries.includes(this.#self);
  }

  #onProposal(proposal: ConfigProposalMessage, out: ServerEffect[]): void {
    // Before the first sync this server may hold a view that meta has left behind.
    if (this.#state !== "connected") return;
    if (proposal.nodes.length > 0) out.push({ kind: "nodes", nodes: proposal.nodes });
    out.push({ kind: "tables", tables: [proposal.table] });
    out.push({ kind: "proposal", proposal });
  }
}
