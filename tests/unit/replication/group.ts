// A replica group in memory, for stories about the state machine: cores, an immediate engine, a log that can be held
// back, messages that can be dropped or delayed, and a meta that persists configurations. No faults of its own:
// tests/sim/ has those.

import assert from "node:assert/strict";
import { fromUtf8, toHex, utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import {
  NEW_REPLICA,
  type RecoveredState,
  type ReplicaEffect,
  type ReplicaEvent,
  type ReplicaSettings,
} from "../../../src/replication/io.ts";
import { ReplicaCore } from "../../../src/replication/replica.ts";
import type { WriteOp } from "../../../src/replication/write_op.ts";
import type { ConfigChange, PartitionConfig } from "../../../src/schema/types.ts";
import type { Mutation } from "../../../src/schema/mutation.ts";
import type { PeerMessage } from "../../../src/schema/replica_rpc.ts";
import { applyTo, Member, newest, recover } from "./member.ts";

export const PARTITION = partitionId(1, 0);

export const SETTINGS: ReplicaSettings = {
  inflightMutationsMax: 8,
  mutationBytesMax: 1000,
  queuedWritesMax: 100,
  cacheMutationsMax: 20,
  cacheBytesMax: 1 << 20,
  prepareTimeoutMs: 3000,
  learnerPrepareTimeoutMs: 5000,
  prepareResendMs: 500,
  groupCheckIntervalMs: 2000,
  idleCommitMs: 500,
  reconfigureResendMs: 1000,
  learnRetryMs: 1000,
  checkpointIntervalMs: 1_000_000,
  checkpointDecrees: 1_000_000,
  minReplicaCount: 0,
  sessionsMax: 10,
  sessionResultsMax: 20,
};

export interface Reply {
  error: number;
  decree: number;
  result: string | undefined;
}

/** What a restart knows its log may lack. */
export type Doubt = Pick<RecoveredState, "mayLack" | "tornTail">;

/** See the file comment. */
export class Group {
  readonly members = new Map<string, Member>();
  readonly replies = new Map<string, Reply[]>();
  readonly inbox: { to: string; message: PeerMessage }[] = [];
  now = 1000;
  /** Limits and intervals of cores opened from now on. */
  settings: ReplicaSettings;
  /** What meta has persisted. */
  config: PartitionConfig = {
    partition: PARTITION,
    ballot: 0,
    primary: "",
    secondaries: [],
    lastDrops: [],
    maxReplicaCount: 3,
    committedHint: 0,
  };
  /** Drops messages for which it returns true. */
  drop: (to: string, message: PeerMessage) => boolean = () => false;
  metaDown = false;
  /** Nobody can read its log any more. */
  isLogLost = false;
  /** Where the next copies of learners fail. */
  copyFaults: ("source" | "here")[] = [];
  updates: string[] = [];

  constructor(names: string[], settings = SETTINGS) {
    this.settings = settings;
    for (const name of names) {
      const member = new Member(name);
      this.members.set(name, member);
      this.open(name, false);
    }
  }

  member(name: string): Member {
    return this.members.get(name)!;
  }

  core(name: string): ReplicaCore {
    const core = this.member(name).core;
    assert(core !== undefined, `${name} is down`);
    return core;
  }

  /** Starts a member's core from what survived. */
  open(name: string, existed: boolean, doubt: Doubt = {}): void {
    const member = this.member(name);
    member.core = new ReplicaCore({
      partition: PARTITION,
      self: name,
      incarnation: member.incarnation,
      settings: this.settings,
      translator: member,
      recovered: existed ? { ...recover(member), ...doubt } : NEW_REPLICA,
      maxReplicaCount: 3,
      logFirstDecree: () => member.logFirstDecree,
    }, this.time());
    member.connected = true;
    this.step(name, { kind: "metaContact", connected: true });
  }

  /** The process dies: memory is gone, unsynced appends are lost. */
  crash(name: string): void {
    const member = this.member(name);
    member.core = undefined;
    member.unsynced = [];
  }

  restart(name: string, doubt: Doubt = {}): void {
    this.member(name).incarnation++;
    this.open(name, true, doubt);
    this.step(name, { kind: "config", config: this.config });
    this.run();
  }

  time() {
    return { mono: this.now, wall: 1_700_000_000_000 + this.now };
  }

  step(name: string, event: ReplicaEvent): void {
    const member = this.member(name);
    if (member.core === undefined) return;
    const out: ReplicaEffect[] = [];
    member.core.step(event, this.time(), out);
    for (const effect of out) this.perform(member, effect);
  }

  perform(member: Member, effect: ReplicaEffect): void {
    const { name } = member;
    switch (effect.kind) {
      case "append":
        member.unsynced.push({ token: effect.token, record: effect.record });
        return;
      case "send":
        this.inbox.push({ to: effect.to, message: effect.message });
        return;
      case "apply":
        for (const mutation of effect.mutations) applyTo(member.rows, mutation);
        this.later(name, { kind: "applied", decree: effect.mutations.at(-1)!.decree });
        return;
      case "reply": {
        const list = this.replies.get(String(effect.token)) ?? [];
        const result = effect.result && fromUtf8(effect.result);
        list.push({ error: effect.error, decree: effect.decree, result });
        this.replies.set(String(effect.token), list);
        return;
      }
      case "checkpoint":
        member.durableRows = new Map(member.rows);
        member.durable = effect.decree;
        member.durableSessions = effect.sessions;
        this.later(name, { ...effect, kind: "checkpointed" });
        return;
      case "updateConfig":
        this.update(name, effect);
        return;
      case "fetchImage":
        if (this.failsCopy(name, effect.signature, false)) return;
        this.image(member, effect.from, effect.signature);
        return;
      case "fetchLog": {
        if (this.failsCopy(name, effect.signature, this.isLogLost)) return;
        const mutations: Mutation[] = [];
        for (let d = effect.first; d <= effect.last; d++) {
          mutations.push(newest(this.member(effect.from).log, d)!);
        }
        const { signature } = effect;
        this.later(name, { kind: "logFetched", signature, mutations, done: true });
        return;
      }
      case "note":
        member.notes.push(`${effect.event} ${JSON.stringify(effect.details)}`);
        return;
      case "close":
        member.notes.push(`close ${effect.reason}`);
        return;
      case "cancelFetch":
      case "requestConfigSync":
        return;
    }
  }

  failsCopy(learner: string, signature: number, isLost: boolean): boolean {
    const fault = isLost ? "source" : this.copyFaults.shift();
    if (fault === undefined) return false;
    const [local, reason] = fault === "here" ? [true, "I/O error"] : [false, "lost"];
    this.later(learner, { kind: "fetchFailed", signature, local, reason });
    return true;
  }

  readonly #later: { to: string; event: ReplicaEvent }[] = [];
  later(to: string, event: ReplicaEvent): void {
    this.#later.push({ to, event });
  }

  update(from: string, effect: Extract<ReplicaEffect, { kind: "updateConfig" }>): void {
    this.updates.push(`${effect.change} ${effect.node} ${effect.config.ballot}`);
    if (this.metaDown) return;
    const same = JSON.stringify(this.config) === JSON.stringify(effect.config);
    const next = effect.config.ballot === this.config.ballot + 1;
    if (next) this.config = effect.config;
    this.later(from, {
      kind: "configReply",
      attempt: effect.attempt,
      error: same || next ? Err.OK : Err.INVALID_VERSION,
      config: this.config,
    });
  }

  image(learner: Member, from: string, signature: number): void {
    const source = this.member(from);
    learner.rows = new Map(source.rows);
    learner.durableRows = new Map(source.rows);
    learner.log = [];
    learner.unsynced = [];
    learner.durable = source.core!.applied;
    learner.durableSessions = source.core!.sessionsImage;
    this.later(learner.name, {
      kind: "imageInstalled",
      signature,
      decree: learner.durable,
      sessions: learner.durableSessions,
    });
  }

  propose(to: string, change: ConfigChange, node: string): void {
    this.step(to, { kind: "proposal", change, node, config: this.config });
  }

  /** Delivers everything until nothing moves; each batch of messages ends with a flush. */
  run(): void {
    for (let round = 0; round < 1000; round++) {
      const events = this.#later.splice(0);
      for (const { to, event } of events) this.step(to, event);
      const messages = this.inbox.splice(0);
      for (const { to, message } of messages) {
        if (!this.drop(to, message)) this.step(to, { kind: "message", message });
      }
      let synced = 0;
      for (const member of this.members.values()) {
        this.step(member.name, { kind: "flush" });
        if (!member.holdLog) synced += this.sync(member);
      }
      if (events.length + messages.length + synced === 0 && this.inbox.length === 0) return;
    }
    assert.fail("The group never comes to rest");
  }

  sync(member: Member): number {
    const synced = member.unsynced.splice(0);
    for (const { record } of synced) member.log.push(record);
    const last = synced.at(-1);
    if (last !== undefined) this.step(member.name, { kind: "appended", token: last.token });
    return synced.length;
  }

  /** Lets time pass in ticks of 50 ms. */
  pass(ms: number): void {
    for (const end = this.now + ms; this.now < end;) {
      this.now += 50;
      for (const name of this.members.keys()) this.step(name, { kind: "tick" });
      this.run();
    }
  }

  write(to: string, token: string, op: WriteOp, session = 0, sequence = 0): void {
    const request = { token, op, session, sequence, answeredBelow: 0, bytes: 20 };
    this.step(to, { kind: "write", request });
  }

  put(to: string, token: string, key: string, value: string): void {
    const row = { key: utf8(key), value: utf8(value), expireTs: 0 };
    this.write(to, token, { kind: "put", rows: [row] });
  }

  reply(token: string): Reply | undefined {
    return this.replies.get(token)?.at(-1);
  }

  row(name: string, key: string): string | undefined {
    const value = this.member(name).rows.get(toHex(utf8(key)));
    return value && fromUtf8(value);
  }

  /** Brings a group up: the first name leads, the others are secondaries. */
  form(): void {
    const [first, ...others] = [...this.members.keys()];
    this.propose(first!, "ASSIGN_PRIMARY", first!);
    this.run();
    for (const other of others) {
      this.propose(first!, "ADD_SECONDARY", other);
      this.run();
      this.pass(100);
    }
    assert.deepEqual(this.config.secondaries, others);
    assert.equal(this.core(first!).status, "primary");
    this.notify();
  }

  /** Everybody hears the newest configuration (config sync). */
  notify(): void {
    for (const name of this.members.keys()) {
      this.step(name, { kind: "config", config: this.config });
    }
    this.run();
  }

  /** Meta's verdict on a dead node, and the takeover by `successor`. */
  failOver(dead: string, successor: string): void {
    const { config } = this;
    this.config = {
      ...config,
      ballot: config.ballot + 1,
      primary: config.primary === dead ? "" : config.primary,
      secondaries: config.secondaries.filter((n) => n !== dead),
      lastDrops: [...config.lastDrops, dead],
    };
    this.propose(successor, "UPGRADE_TO_PRIMARY", successor);
    this.run();
  }
}

/** A leads B and C. */
export function formed(settings = SETTINGS): Group {
  const group = new Group(["A", "B", "C"], settings);
  group.form();
  return group;
}
