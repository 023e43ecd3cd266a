// A shard in a thread of its own: its steps, what goes wrong in it, and the signs of life.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import type { ShardCommand } from "../../../roles/replica/control_link.ts";
import { LeaseGate } from "../../../roles/replica/control_link.ts";
import type { ShardPlan } from "../../../roles/replica/shard_link.ts";
import { OPEN } from "../../../src/rpc/security.ts";
import { NO_SCRUB } from "../../../roles/replica/scrubber.ts";
import { ShardThread } from "../../../roles/replica/shard_thread.ts";
import { beat, makeMemory, Watch } from "../../../roles/replica/shared_memory.ts";

function planIn(dataDir: string): ShardPlan {
  return {
    shard: 1,
    shardCount: 2,
    storage: {
      incarnation: 1,
      dataDirs: [{ tag: "data1", path: dataDir }],
      logDir: dataDir,
      formerLogDirs: [],
      lostLog: "",
      wasClean: true,
      boot: "",
    },
    reserveBytes: 0,
    stopBytes: 0,
    cluster: "test",
    listen: "127.0.0.1:0",
    advertise: "",
    replication: {} as ShardPlan["replication"],
    logs: {
      fsync: "group",
      sharedLogSegmentBytes: 65536,
      privateLogSegmentBytes: 65536,
      privateLogSyncIntervalMs: 1000,
      privateLogReserveBytes: 0,
    },
    engine: {},
    sweepRowsPerSecond: 0,
    scrub: NO_SCRUB,
    rpc: {},
    security: OPEN,
    dialMap: new Map(),
    httpPort: 0,
    version: "",
    startedAt: 0,
  };
}

async function withThread(
  story: (thread: ShardThread, faults: Error[], memory: SharedArrayBuffer) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus_thread_" });
  const faults: Error[] = [];
  const memory = makeMemory(2);
  const thread = await ShardThread.start({
    plan: planIn(dir),
    memory,
    logger: SILENT,
    report: () => {},
    audit: () => {},
    remote: () => Promise.resolve(""),
    onFault: (error) => faults.push(error),
  });
  try {
    await story(thread, faults, memory);
  } finally {
    await thread.close();
    Deno.removeSync(dir, { recursive: true });
  }
}

async function until(ready: () => boolean): Promise<void> {
  const end = performance.now() + 20_000;
  while (!ready()) {
    assert.ok(performance.now() < end, "Waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("ShardThread takes its steps, shows life, answers and closes", () =>
  withThread(async (thread, faults, memory) => {
    await assert.rejects(thread.view(), /does not listen yet/);
    await thread.recover();
    assert.equal(await thread.open(), 0);
    assert.match(await thread.listen("127.0.0.1:1"), /^127\.0\.0\.1:\d+$/);
    assert.deepEqual((await thread.view()).replicas, []);
    const names = (await thread.metrics()).map(({ name }) => name);
    assert.ok(names.includes("pegasus_log_shared_bytes"), names.join(", "));
    await assert.rejects(thread.remote("nothing", []), { code: Err.INVALID_ARGUMENT });
    const watch = new Watch(memory);
    const beats = new Int32Array(memory, 16);
    const before = Atomics.load(beats, 1);
    await until(() => Atomics.load(beats, 1) > before);
    assert.equal(watch.look().kind, "well");
    assert.deepEqual(faults, []);
  }));

Deno.test("ShardThread reports an exception nobody caught, once, and answers nothing more", () =>
  withThread(async (thread, faults) => {
    await thread.recover();
    await thread.open();
    await thread.listen("127.0.0.1:1");
    thread.command({ kind: "config" } as unknown as ShardCommand);
    thread.command({ kind: "config" } as unknown as ShardCommand);
    const looking = assert.rejects(thread.view(), /Shard 1 failed: Uncaught exception/);
    await until(() => faults.length > 0);
    await looking;
    await assert.rejects(thread.view(), /Shard 1 failed/);
    assert.equal(faults.length, 1);
    assert.match(faults[0]!.message, /Shard 1 failed: Uncaught exception: TypeError/);
  }));

Deno.test("Watch finds the thread that stands still, and sees it come back", () => {
  const memory = makeMemory(3);
  const watch = new Watch(memory);
  const look = (living: readonly number[]) => {
    for (const shard of living) beat(memory, shard);
    return watch.look();
  };
  for (let i = 0; i < 200; i++) assert.equal(look([0, 1, 2]).kind, "well");
  for (let i = 0; i < 99; i++) assert.equal(look([0, 2]).kind, "well");
  assert.deepEqual(look([0, 2]), { kind: "stuck", shard: 1 });
  assert.equal(look([0, 1, 2]).kind, "well");
  for (let i = 0; i < 1199; i++) assert.notEqual(look([1, 2]).kind, "lost");
  assert.deepEqual(look([1, 2]), { kind: "lost", shard: 0 });
});

Deno.test("LeaseGate of a thread whose clock began later never holds longer than the writer's", () => {
  const memory = makeMemory(1);
  let mono = 10_000;
  const writer = new LeaseGate({ now: () => ({ mono, wall: 0 }) }, memory);
  // This thread's clock began at 9000 of the writer's; the distance was measured 2 ms too large.
  const reader = new LeaseGate({ now: () => ({ mono: mono - 9000, wall: 0 }) }, memory, 9002);
  assert.equal(reader.held, false);
  writer.set(15_000, 100);
  assert.equal(reader.held, true);
  assert.equal(reader.remainingMs, 100);
  mono = 14_997;
  assert.equal(reader.held, true);
  mono = 14_999;
  assert.equal(reader.held, false);
  assert.equal(writer.held, true);
  mono = 15_000;
  assert.equal(writer.held, false);
});
