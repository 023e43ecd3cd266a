// One replica server towards meta: beacons, the lease, config sync, proposals, garbage. Pure: a driver
// (roles/replica/server_driver.ts, or the simulator) performs the effects in order and feeds results back.
// Invariants: replicas hear `contact: false` before the lease ends on either clock, and `contact: true`
// only after a config sync succeeded under a valid lease, so nobody acts on a configuration that meta
// replaced while this server was out of contact. Rules: docs/meta.md, "Failure detector" and "Config sync".

import type { Now } from "../base/clock.ts";
import { Err } from "../base/errors.ts";
import type { NodeId, PartitionId } from "../base/ids.ts";
import type { Beacon, ConfigProposalMessage, ConfigSync } from "../schema/meta_rpc.ts";
import type { ResponseOf } from "../schema/rpc.ts";
import type { PartitionConfig, ReplicaReport } from "../schema/types.ts";
import type { Core } from "./io.ts";
import { Lease } from "./lease.ts";
import type { ContactState, ServerEffect, ServerEvent, ServerSettings } from "./server_io.ts";

/** Beacons whose answers still count; older ones could not prolong the lease any more. */
const BEACONS_REMEMBERED = 64;
/** Least pause between two config syncs of a server that is about to end, ms; it looks at every tick. */
const LEAVE_SYNC_MS = 50;
/** It does not wait for a meta that fails so often. */
const LEAVE_FAILURES_MAX = 20;
/** So many failures is one where nobody listens at the address of the only meta: a whole cluster stops. */
const LEAVE_REFUSAL_WEIGHT = 5;

/** See the file comment. */
export class ServerCore implements Core<ServerEvent, ServerEffect> {
  readonly #self: NodeId;
  readonly #incarnation: number;
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
  /** This server is about to end; and whether it was told that nothing is left to wait for. */
  #leaving = false;
  #left = false;
  #leaveFailures = 0;

  /** @param options `metas`: at least one "host:port"; the order is the order of trying. */
  constructor(
    options: {
      self: NodeId;
      incarnation: number;
      metas: readonly string[];
      settings: ServerSettings;
    },
  ) {
    this.#self = options.self;
    this.#incarnation = options.incarnation;
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

  /** Whether meta is told that this server is about to end. */
  get leaving(): boolean {
    return this.#leaving;
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
      case "leave":
        return this.#leave(now, out);
    }
  }

  /** Asks meta to give away what this server leads, until meta says that nothing is left (meta.md, "Leaving"). */
  #leave(now: Now, out: ServerEffect[]): void {
    this.#leaving = true;
    // Without meta nobody can take over.
    if (this.#state !== "connected") return this.#onLeft(false, out);
    // One that is on its way has not said it.
    this.#syncAttempt = 0;
    this.#nextSyncAt = now.mono;
    this.#maybeSync(now, out);
  }

  #onLeft(handedOver: boolean, out: ServerEffect[]): void {
    if (this.#left) return;
    this.#left = true;
    out.push({ kind: "left", handedOver });
  }

  /** A config sync failed. */
  #onLeaveFailure(error: number, out: ServerEffect[]): void {
    if (error === Err.BUSY) return;
    const isNobodyThere = error === Err.CONNECT_FAILED && this.#metas.length === 1;
    this.#leaveFailures += isNobodyThere ? LEAVE_REFUSAL_WEIGHT : 1;
    if (this.#leaveFailures >= LEAVE_FAILURES_MAX) this.#onLeft(false, out);
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
    if (this.#leaving) this.#onLeft(false, out);
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
    if (reply.wantsStored) out.push({ kind: "reportStored", to: this.#target });
    if (!reply.allowed) {
      out.push({ kind: "note", event: "notAllowed", details: { leader: this.#target } });
      return;
    }
    if (newest) this.#onLeader(now, out);
    // A lease granted by an earlier leader stays valid: a new one waits a full grace period (meta.md, "Failure detector").
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
      const pause = this.#leaving
        ? LEAVE_SYNC_MS
        : event.error === Err.BUSY
        ? configSyncBusyMs
        : configSyncRetryMs;
      this.#nextSyncAt = now.mono + pause;
      out.push({ kind: "note", event: "syncFailed", details: { error: event.error } });
      if (this.#leaving) this.#onLeaveFailure(event.error, out);
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
    if (!this.#leaving) return;
    this.#nextSyncAt = now.mono + LEAVE_SYNC_MS;
    if (event.answer.handOver === 0) this.#onLeft(true, out);
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
    // One for an earlier life may have been sent before this server lost what it stored (§12.7).
    if (proposal.incarnation !== 0 && proposal.incarnation !== this.#incarnation) return;
    if (proposal.nodes.length > 0) out.push({ kind: "nodes", nodes: proposal.nodes });
    out.push({ kind: "tables", tables: [proposal.table] });
    out.push({ kind: "proposal", proposal });
  }
}
