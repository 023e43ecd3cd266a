// One replica server towards meta, step by step, for its tests.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { ServerCore } from "../../../src/replication/server.ts";
import {
  SERVER_DEFAULTS,
  type ServerEffect,
  type ServerEvent,
} from "../../../src/replication/server_io.ts";
import type { PartitionConfig, ReplicaReport } from "../../../src/schema/types.ts";

/** A server under test with its clocks and the effects of the last step. */
export class Story {
  readonly core: ServerCore;
  mono = 0;
  wall = 1_000_000;
  effects: ServerEffect[] = [];

  constructor(metas = ["m1", "m2"]) {
    this.core = new ServerCore({ self: "r1", incarnation: 7, metas, settings: SERVER_DEFAULTS });
  }

  step(event: ServerEvent): ServerEffect[] {
    this.effects = [];
    this.core.step(event, { mono: this.mono, wall: this.wall }, this.effects);
    return this.effects;
  }

  pass(ms: number): ServerEffect[] {
    this.mono += ms;
    this.wall += ms;
    return this.step({ kind: "tick" });
  }

  of<K extends ServerEffect["kind"]>(kind: K): Extract<ServerEffect, { kind: K }>[] {
    return this.effects.filter((e): e is Extract<ServerEffect, { kind: K }> => e.kind === kind);
  }

  beacon() {
    const [sent] = this.of("beacon");
    assert.ok(sent, "A beacon was due");
    return sent;
  }

  ack(
    attempt: number,
    reply: Partial<
      {
        leader: string;
        isLeader: boolean;
        allowed: boolean;
        syncHint: number;
        wantsStored: boolean;
      }
    > = {},
  ) {
    const always = { sentAt: 0, allowed: true, store: "", wantsStored: false };
    const full = { ...always, isLeader: true, leader: "", syncHint: 0, ...reply };
    return this.step({ kind: "beaconReply", attempt, error: Err.OK, reply: full });
  }

  sync(
    reported: ReplicaReport[] = [],
    answer: Partial<{ configs: PartitionConfig[]; garbage: number[]; handOver: number }> = {},
  ) {
    const [started] = this.of("configSync");
    assert.ok(started, "A config sync was due");
    const full = { configs: [], tables: [], garbage: [], nodes: [], handOver: 0, ...answer };
    const { attempt } = started;
    return this.step({ kind: "syncReply", attempt, error: Err.OK, reported, answer: full });
  }

  connect(): this {
    this.pass(0);
    this.ack(this.beacon().attempt);
    this.sync();
    assert.equal(this.core.state, "connected");
    return this;
  }

  /** Lives on with every beacon answered at once. */
  live(ms: number): void {
    const end = this.mono + ms;
    while (this.mono < end) {
      this.pass(100);
      const [beacon] = this.of("beacon");
      if (beacon !== undefined) this.ack(beacon.attempt);
    }
  }
}
