// The control part of a replica server towards meta: what its beacons tell, and what it says when they are refused.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { loggerOf } from "../../../src/observe/logger.ts";
import { SERVER_DEFAULTS } from "../../../src/replication/server_io.ts";
import type { CallDone, RpcClient } from "../../../src/rpc/contract.ts";
import { Beacon } from "../../../src/schema/meta_rpc.ts";
import type { RequestOf, ResponseOf, Rpc } from "../../../src/schema/rpc.ts";
import { LeaseGate } from "../../../roles/replica/control_link.ts";
import { ServerDriver } from "../../../roles/replica/server_driver.ts";

type BeaconDone = CallDone<ResponseOf<typeof Beacon>>;

Deno.test("ServerDriver tells how long its lease is, and where to look when it is not admitted", () => {
  const clock = { now: () => ({ mono: 0, wall: 0 }) };
  const beacons: { request: RequestOf<typeof Beacon>; done: BeaconDone }[] = [];
  const client = {
    start: (
      _to: string,
      rpc: Rpc<unknown, unknown>,
      request: unknown,
      _ms: number,
      done: unknown,
    ) => {
      if (rpc.code !== Beacon.code) return;
      beacons.push({ request: request as RequestOf<typeof Beacon>, done: done as BeaconDone });
    },
  } as unknown as RpcClient;
  const lines: string[] = [];
  const driver = new ServerDriver({
    ...{
      node: "r1:1",
      incarnation: 7,
      metas: ["m1:1"],
      shardPorts: [1],
      httpPort: 0,
      clock,
      client,
    },
    settings: { ...SERVER_DEFAULTS, leaseMs: 20_000 },
    logger: loggerOf((level, message) => lines.push(`${level} ${message}`)),
    lease: new LeaseGate(clock),
    labels: new Map(),
    command: () => {},
  });
  driver.tick();
  const [{ request, done }] = beacons as [(typeof beacons)[0]];
  assert.equal(request.leaseMs, 20_000);
  done(Err.OK, {
    ...{ sentAt: 0, isLeader: true, leader: "m1:1", allowed: false, syncHint: 0 },
    ...{ store: "s", wantsStored: false },
  }, "");
  assert.equal(driver.state, "disconnected");
  assert.match(lines.join("\n"), /warn Meta does not admit this server; the leader's log says why/);
});
