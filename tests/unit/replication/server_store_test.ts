// A server whose data belongs to another store than the leader's: docs/meta.md, "Recovery".

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { ServerCore } from "../../../src/replication/server.ts";
import { SERVER_DEFAULTS, type ServerEffect } from "../../../src/replication/server_io.ts";

Deno.test("ServerCore that is not admitted gets no lease, and tells the leader what is stored if asked", () => {
  const core = new ServerCore({
    self: "r1",
    incarnation: 7,
    metas: ["m1"],
    settings: SERVER_DEFAULTS,
  });
  const step = (event: Parameters<ServerCore["step"]>[0], at: number) => {
    const effects: ServerEffect[] = [];
    core.step(event, { mono: at, wall: at }, effects);
    return effects;
  };
  const ack = (wantsStored: boolean, at: number) => {
    const beacon = step({ kind: "tick" }, at).find(({ kind }) => kind === "beacon");
    assert.ok(beacon?.kind === "beacon", "A beacon was due");
    const reply = {
      ...{ sentAt: 0, isLeader: true, leader: "m1", allowed: false, syncHint: 0 },
      ...{ store: "other", wantsStored },
    };
    return step({ kind: "beaconReply", attempt: beacon.attempt, error: Err.OK, reply }, at)
      .map(({ kind }) => kind);
  };
  assert.deepEqual(ack(false, 0), ["note"]);
  assert.deepEqual(ack(true, 2000), ["reportStored", "note"]);
  assert.equal(core.state, "disconnected");
});
