// Stories of one replica server and its metas.

import { tableInfo } from "../../table_info.ts";
import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { SERVER_DEFAULTS } from "../../../src/replication/server_io.ts";
import type { PartitionConfig, ReplicaReport } from "../../../src/schema/types.ts";
import { Story } from "./server_story.ts";

const P = partitionId(1, 0);

function config(partition = P, primary = "r1"): PartitionConfig {
  return {
    partition,
    ballot: 3,
    primary,
    secondaries: [],
    lastDrops: [],
    maxReplicaCount: 3,
    committedHint: 0,
  };
}

function report(partition = P, status: ReplicaReport["status"] = "inactive"): ReplicaReport {
  return {
    partition,
    ballot: 3,
    status,
    committed: 0,
    lastPrepared: 0,
    maxPrepared: 0,
    durable: 0,
    applied: 0,
    bytes: 0,
    disk: "",
    mutationBallot: 0,
  };
}

const TABLE = tableInfo();

const REST = { table: TABLE, nodes: [], empty: false, incarnation: 7 };

Deno.test("ServerCore connects by a beacon and a config sync, in this order", () => {
  const story = new Story();
  story.pass(0);
  assert.equal(story.beacon().to, "m1");
  assert.equal(story.of("contact").length, 0);
  story.ack(story.beacon().attempt);
  assert.equal(story.core.state, "connecting");
  assert.deepEqual(story.of("lease").map((e) => e.deadlineMono), [4750]);
  story.sync([report()], { configs: [config()] });
  assert.equal(story.core.state, "connected");
  const kinds = story.effects.map((e) => e.kind).filter((k) => k !== "note");
  assert.deepEqual(kinds, ["contact", "config"]);
});

Deno.test("ServerCore counts the lease from the send time, not from the answer", () => {
  const story = new Story();
  story.pass(0);
  const { attempt } = story.beacon();
  story.mono += 650;
  story.wall += 650;
  story.ack(attempt);
  assert.equal(story.core.leaseDeadlineMono, 4750);
});

Deno.test("ServerCore is not reconnected by an answer that took longer than the lease", () => {
  const story = new Story();
  story.pass(0);
  const { attempt } = story.beacon();
  story.mono += 4600;
  story.wall += 4600;
  story.ack(attempt);
  assert.equal(story.core.state, "disconnected");
});

Deno.test("ServerCore tells the replicas before the lease ends", () => {
  const story = new Story().connect();
  story.pass(4499);
  assert.equal(story.of("contact").length, 0);
  story.pass(1);
  assert.deepEqual(story.of("contact"), [{ kind: "contact", connected: false }]);
  assert.ok(story.mono < story.core.leaseDeadlineMono);
});

Deno.test("ServerCore expires by the wall clock alone and by the monotonic clock alone", () => {
  const suspended = new Story().connect();
  suspended.wall += 60_000;
  suspended.step({ kind: "tick" });
  assert.equal(suspended.core.state, "disconnected");
  const steppedBack = new Story().connect();
  steppedBack.mono += 4800;
  steppedBack.wall -= 60_000;
  steppedBack.step({ kind: "tick" });
  assert.equal(steppedBack.core.state, "disconnected");
});

Deno.test("ServerCore resumed after a stop expires before it acts on anything buffered", () => {
  const story = new Story().connect();
  story.mono += 20_000;
  story.wall += 20_000;
  story.step({
    kind: "proposal",
    proposal: { change: "ASSIGN_PRIMARY", node: "r1", config: config(), ...REST },
  });
  assert.equal(story.of("proposal").length, 0);
  assert.deepEqual(story.of("contact"), [{ kind: "contact", connected: false }]);
});

Deno.test("ServerCore accepts proposals only when connected", () => {
  const story = new Story();
  story.pass(0);
  story.ack(story.beacon().attempt);
  const proposal = {
    change: "ASSIGN_PRIMARY" as const,
    node: "r1",
    config: config(),
    ...REST,
  };
  story.step({ kind: "proposal", proposal });
  assert.equal(story.of("proposal").length, 0);
  const connected = new Story().connect();
  connected.step({ kind: "proposal", proposal });
  assert.equal(connected.of("proposal").length, 1);
});

Deno.test("ServerCore ignores a proposal that was meant for an earlier life of its server", () => {
  const story = new Story().connect();
  const proposal = { change: "ASSIGN_PRIMARY", node: "r1", config: config(), ...REST } as const;
  story.step({ kind: "proposal", proposal: { ...proposal, incarnation: 6 } });
  assert.equal(story.of("proposal").length, 0);
  // An older meta server does not say.
  story.step({ kind: "proposal", proposal: { ...proposal, incarnation: 0 } });
  assert.equal(story.of("proposal").length, 1);
});

Deno.test("ServerCore keeps the lease across a change of the leader and syncs with the new one", () => {
  const story = new Story().connect();
  story.pass(1000);
  const first = story.beacon();
  story.step({
    kind: "beaconReply",
    attempt: first.attempt,
    error: Err.CONNECT_FAILED,
    reply: undefined,
  });
  assert.equal(story.core.state, "connected");
  assert.equal(story.core.leaseDeadlineMono, 4750);
  story.pass(SERVER_DEFAULTS.metaSwitchMs);
  assert.equal(story.beacon().to, "m2");
  story.ack(story.beacon().attempt, { isLeader: false, leader: "m9" });
  story.pass(SERVER_DEFAULTS.metaSwitchMs);
  assert.equal(story.beacon().to, "m9");
  assert.equal(story.of("contact").length, 0);
  story.ack(story.beacon().attempt);
  assert.equal(story.of("configSync")[0]?.to, "m9");
  assert.equal(story.core.leaseDeadlineMono, 1400 + 4750);
});

Deno.test("ServerCore tries the next meta when a beacon stays unanswered", () => {
  const story = new Story();
  story.pass(0);
  story.pass(SERVER_DEFAULTS.beaconTimeoutMs);
  assert.equal(story.beacon().to, "m2");
  story.pass(SERVER_DEFAULTS.beaconTimeoutMs);
  assert.equal(story.beacon().to, "m1");
});

Deno.test("ServerCore bounds the beacons while two metas point at each other", () => {
  const story = new Story();
  let sent = 0;
  for (let i = 0; i < 1000; i++) {
    story.pass(1);
    const [beacon] = story.of("beacon");
    if (beacon === undefined) continue;
    sent++;
    story.ack(beacon.attempt, { isLeader: false, leader: beacon.to === "m1" ? "m2" : "m1" });
  }
  assert.ok(sent >= 4 && sent <= 6, `${sent} beacons in a second`);
});

Deno.test("ServerCore syncs again 500 ms after BUSY, and every 10 s", () => {
  const story = new Story();
  story.pass(0);
  story.ack(story.beacon().attempt);
  const attempt = story.of("configSync")[0]!.attempt;
  story.step({ kind: "syncReply", attempt, error: Err.BUSY, reported: [], answer: undefined });
  story.pass(499);
  assert.equal(story.of("configSync").length, 0);
  story.pass(1);
  story.sync();
  assert.equal(story.core.state, "connected");
  const from = story.mono;
  let syncedAt = 0;
  while (syncedAt === 0 && story.mono < from + 11_000) {
    story.pass(100);
    if (story.of("configSync").length > 0) syncedAt = story.mono;
    const [beacon] = story.of("beacon");
    if (beacon !== undefined) story.ack(beacon.attempt);
  }
  assert.equal(syncedAt - from, 10_000);
});

Deno.test("ServerCore syncs when the hint of meta changes and when a replica asks", () => {
  const story = new Story().connect();
  story.pass(1000);
  story.ack(story.beacon().attempt, { syncHint: 7 });
  assert.equal(story.of("configSync").length, 1);
  story.sync();
  story.step({ kind: "requestConfigSync" });
  story.pass(SERVER_DEFAULTS.configSyncRetryMs);
  assert.equal(story.of("configSync").length, 1);
});

Deno.test("ServerCore repeats a sync that was asked for while one was under way", () => {
  const story = new Story();
  story.pass(0);
  story.ack(story.beacon().attempt);
  const started = story.effects;
  story.step({ kind: "requestConfigSync" });
  story.effects = started;
  story.sync();
  story.pass(SERVER_DEFAULTS.configSyncRetryMs);
  assert.equal(story.of("configSync").length, 1);
});

Deno.test("ServerCore ignores the answer to a sync of before the contact was lost", () => {
  const story = new Story();
  story.pass(0);
  story.ack(story.beacon().attempt);
  const attempt = story.of("configSync")[0]!.attempt;
  story.pass(4500);
  story.ack(story.beacon().attempt);
  assert.equal(story.core.state, "connecting");
  const answer = { configs: [], tables: [], garbage: [], nodes: [], handOver: 0 };
  story.step({ kind: "syncReply", attempt, error: Err.OK, reported: [], answer });
  assert.equal(story.core.state, "connecting");
});

Deno.test("ServerCore reports a replica that meta counts on and nobody stores", () => {
  const story = new Story();
  story.pass(0);
  story.ack(story.beacon().attempt);
  story.sync([], { configs: [config()] });
  assert.deepEqual(story.of("missing").map((e) => e.config.partition), [P]);
  assert.equal(story.of("config").length, 0);
});

Deno.test("ServerCore treats as garbage only what the request named", () => {
  const story = new Story();
  story.pass(0);
  story.ack(story.beacon().attempt);
  story.sync([report()], { garbage: [P, partitionId(1, 1)] });
  assert.deepEqual(story.of("garbage").map((e) => e.partition), [P]);
});

Deno.test("ServerCore closes an inactive replica after meta has not listed it for ten minutes", () => {
  const story = new Story().connect();
  let closed = 0;
  let learner = 0;
  for (let seconds = 0; seconds < 700; seconds++) {
    story.live(1000);
    story.step({ kind: "requestConfigSync" });
    story.pass(SERVER_DEFAULTS.configSyncRetryMs);
    if (story.of("configSync").length === 0) continue;
    story.sync([report(), report(partitionId(1, 1), "learner")]);
    for (const effect of story.of("closeReplica")) {
      if (effect.partition === P) closed = closed === 0 ? story.mono : closed;
      else learner++;
    }
  }
  assert.ok(closed >= 600_000 && closed < 620_000, `closed at ${closed}`);
  assert.equal(learner, 0);
});
