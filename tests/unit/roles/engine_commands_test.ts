// Maintenance commands on what replicas have stored.

import assert from "node:assert/strict";
import { engineCommands, type StoredReplica } from "../../../roles/replica/engine_commands.ts";
import { runRemote } from "../../../roles/remote_commands.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { systemClock } from "../../../src/base/clock.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { encodeValue } from "../../../src/schema/value_format.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";

/** A replica whose checkpoint takes a moment. */
function replica(index: number): StoredReplica & { core: { applied: number; durable: number } } {
  const core = { applied: 7, durable: 3 };
  return {
    ...{ partition: partitionId(1, index), closed: false, engine: new MemoryEngine(), core },
    deliver: ({ kind }) => {
      assert.equal(kind, "checkpointDue");
      setTimeout(() => core.durable = 7, 5);
    },
  };
}

Deno.test("checkpoint answers when what was applied is durable", async () => {
  const [open, closed] = [replica(0), { ...replica(1), closed: true }];
  const commands = engineCommands(() => [open, closed], systemClock);
  assert.equal(await runRemote(commands, "checkpoint", []), "1.0 durable 7\n1.1 is closed");
  assert.equal(open.core.durable, 7);
});

Deno.test("estimate-rows tells a line for each replica, and why it cannot", async () => {
  const one = replica(0);
  const value = encodeValue(utf8("v"), 0, 1);
  await one.engine!.write([{ type: "put", key: encodeKey(utf8("h"), utf8("s")), value }]);
  const commands = engineCommands(() => [one, replica(1)], systemClock);
  assert.deepEqual(
    (await runRemote(commands, "estimate-rows", [])).split("\n").map((line) => JSON.parse(line)),
    [{ partition: "1.0", rows: 1, exact: true }, { partition: "1.1", rows: 0, exact: true }],
  );
  const busy = engineCommands(() => [{ ...one, engine: undefined }], systemClock);
  await assert.rejects(runRemote(busy, "estimate-rows", []), /TRY_AGAIN: The engine of 1.0/);
  assert.equal(await runRemote(commands, "data-version", []), "1.0 1\n1.1 1");
});
