// A server whose wall clock jumps: it must not serve on a lease that may be over, and it must not die of it.

import assert from "node:assert/strict";
import { LeaseGate } from "../../../roles/replica/control_link.ts";
import { ServerCore } from "../../../src/replication/server.ts";
import { SERVER_DEFAULTS, type ServerEffect } from "../../../src/replication/server_io.ts";
import { Err } from "../../../src/base/errors.ts";

const HOUR_MS = 3_600_000;

/** A server core and its gate under clocks that move by hand. */
class Story {
  mono = 1000;
  wall = 1_700_000_000_000;
  readonly clock = { now: () => ({ mono: this.mono, wall: this.wall }) };
  readonly gate = new LeaseGate(this.clock);
  readonly core = new ServerCore({
    self: "r1",
    incarnation: 7,
    metas: ["m1"],
    settings: SERVER_DEFAULTS,
  });
  readonly contacts: boolean[] = [];

  /** Lets time pass in ticks, with a meta that answers everything at once. */
  pass(ms: number): void {
    for (let passed = 0; passed < ms; passed += 50) {
      this.mono += 50;
      this.wall += 50;
      this.#step({ kind: "tick" });
    }
  }

  #step(event: Parameters<ServerCore["step"]>[0]): void {
    const effects: ServerEffect[] = [];
    this.core.step(event, this.clock.now(), effects);
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: ServerEffect): void {
    if (effect.kind === "lease") this.gate.set(effect.deadlineMono, effect.deadlineWall);
    if (effect.kind === "contact") this.contacts.push(effect.connected);
    if (effect.kind === "beacon") {
      const reply = { sentAt: 0, isLeader: true, leader: "", allowed: true, syncHint: 0 };
      const full = { ...reply, store: "", wantsStored: false };
      this.#step({ kind: "beaconReply", attempt: effect.attempt, error: Err.OK, reply: full });
    }
    if (effect.kind === "configSync") {
      const answer = { configs: [], tables: [], garbage: [], nodes: [], handOver: 0 };
      const { attempt } = effect;
      this.#step({ kind: "syncReply", attempt, error: Err.OK, reported: [], answer });
    }
  }
}

Deno.test("A server whose wall clock jumps ahead stops serving at once and is back with the next beacon", () => {
  const story = new Story();
  story.pass(2000);
  assert.equal(story.gate.held, true);
  story.wall += HOUR_MS;
  assert.equal(story.gate.held, false, "for every request, before any timer");
  story.pass(SERVER_DEFAULTS.beaconIntervalMs + 100);
  assert.equal(story.gate.held, true);
  assert.deepEqual(story.contacts, [true, false, true]);
});

Deno.test("A server whose wall clock jumps back never serves longer for it", () => {
  const story = new Story();
  story.pass(2000);
  story.wall -= HOUR_MS;
  assert.equal(story.gate.held, true, "the monotonic clock still knows");
  story.mono += SERVER_DEFAULTS.leaseMs;
  assert.equal(story.gate.held, false);
});
