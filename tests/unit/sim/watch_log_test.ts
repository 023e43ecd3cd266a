// What the simulator's judge believes to be durable on one server.

import { assertThrows } from "@std/assert";
import { NEW_REPLICA, type RecoveredState } from "../../../src/replication/io.ts";
import { RecordKind } from "../../../storage/log.ts";
import { Violation } from "../../sim/env.ts";
import { ballotPayload } from "../../sim/sim_replica.ts";
import { HeldLog } from "../../sim/watch_log.ts";

const FOUND: RecoveredState = { ...NEW_REPLICA, ballot: 6, existed: true };

/** A log in which ballots 6 and 7 were promised durably. */
function promised(): HeldLog {
  const log = new HeldLog();
  for (const ballot of [6, 7]) {
    const payload = ballotPayload(ballot, 0);
    const head = { partition: 1, generation: 0, sequence: ballot, decree: 0 };
    log.add({ ...head, kind: RecordKind.BALLOT, payload });
  }
  return log;
}

Deno.test("a promise that was durable must be found after a restart", () => {
  assertThrows(() => promised().checkRecovered("r1", FOUND), Violation, "ballot went back");
});

Deno.test("a promise in flipped bits is not expected by the restarts that follow", () => {
  const log = promised();
  log.restore(FOUND, true, true);
  log.checkRecovered("r1", FOUND);
});

Deno.test("without fsync a promise counts although the power took it", () => {
  const log = promised();
  log.restore(FOUND, false, false);
  assertThrows(() => log.checkRecovered("r1", FOUND), Violation, "ballot went back");
});
