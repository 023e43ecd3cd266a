// Manual compaction of the replicas of a shard.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import { CompactionTimer, wallTime } from "../../../roles/replica/compaction_timer.ts";
import { Compactor } from "../../../roles/replica/compaction.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";
import { utf8 } from "../../../src/base/bytes.ts";

async function done(compactor: Compactor): Promise<string[]> {
  for (const end = performance.now() + 60_000;;) {
    const lines = compactor.report().split("\n");
    if (lines.every((line) => !/ (queued|running)$/.test(line))) return lines;
    assert(performance.now() < end, compactor.report());
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("Compactor gives the space of deleted rows back", async () => {
  const dir = Deno.makeTempDirSync();
  const engine = await openLevelEngine(dir);
  const value = crypto.getRandomValues(new Uint8Array(1000));
  const keys = Array.from({ length: 5000 }, (_, i) => encodeKey(utf8("h"), utf8(`s${i}`)));
  await engine.write(keys.map((key) => ({ type: "put", key, value })));
  await engine.flush();
  await engine.write(keys.map((key) => ({ type: "del", key })));
  await engine.flush();
  const compactor = new Compactor(new Map([[partitionId(1, 0), { engine }]]), SILENT);
  assert.equal(compactor.start([partitionId(1, 0)]), 1);
  const [line] = await done(compactor);
  const [, before, after] = /^1\.0 finished (\d+) -> (\d+) bytes/.exec(line!)!;
  assert(Number(before) > 1_000_000 && Number(after) < 100_000, line);
  await engine.close();
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("Compactor takes the replicas it is told, one after the other, and skips closed ones", async () => {
  const replicas = new Map([
    [partitionId(1, 0), { engine: new MemoryEngine() }],
    [partitionId(1, 1), { engine: undefined }],
    [partitionId(2, 0), { engine: new MemoryEngine() }],
  ]);
  const compactor = new Compactor(replicas, SILENT);
  assert.equal(compactor.start([partitionId(1, 0), partitionId(1, 1)]), 2);
  assert.equal(compactor.start([partitionId(1, 1)]), 0);
  const lines = await done(compactor);
  assert.match(lines[0]!, /^1\.0 finished/);
  assert.equal(lines[1], "1.1 skipped");
  assert.equal(compactor.start(replicas.keys()), 3);
  await done(compactor);
});

Deno.test("Compactor goes on after it was told of nothing, or only of closed replicas", async () => {
  const partition = partitionId(1, 0);
  const replicas = new Map([[partition, { engine: new MemoryEngine() }]]);
  const compactor = new Compactor(replicas, SILENT);
  assert.equal(compactor.start([]), 0);
  assert.equal(compactor.start([partitionId(9, 9)]), 1);
  await done(compactor);
  assert.equal(compactor.start([]), 0);
  assert.equal(compactor.start([partition]), 1);
  const lines = await done(compactor);
  assert.match(lines[1]!, /^1\.0 finished/);
});

const MINUTE = 60_000;
const NONE = { disabled: false, onceAt: 0, minutes: [] };

/** Asks at minutes of one day. */
function asked(rule: Partial<typeof NONE> | { minutes: number[] }, ...minutes: number[]): number[] {
  const at = (minute: number) => ({ ms: minute * MINUTE, minuteOfDay: minute % 1440 });
  const timer = new CompactionTimer(at(minutes[0]!));
  return minutes.slice(1).filter((minute) =>
    timer.due([[1, { ...NONE, ...rule }]], at(minute)).length > 0
  );
}

Deno.test("CompactionTimer obeys a time once, when it has come, and none of before the start", () => {
  assert.deepEqual(asked({ onceAt: 105 * 60 }, 100, 104, 105, 106, 200), [105]);
  assert.deepEqual(asked({ onceAt: 99 * 60 }, 100, 101), []);
  assert.deepEqual(asked({ onceAt: 105 * 60, disabled: true }, 100, 106), []);
  const timer = new CompactionTimer({ ms: 0, minuteOfDay: 0 });
  const due = (onceAt: number, ms: number) =>
    timer.due([[1, { ...NONE, onceAt }]], { ms, minuteOfDay: 0 });
  assert.deepEqual([due(1, 1000), due(1, 2000), due(2, 3000)], [[1], [], [1]]);
});

Deno.test("CompactionTimer obeys times of day, also across midnight and long pauses", () => {
  assert.deepEqual(asked({ minutes: [180] }, 178, 179, 180, 181, 400), [180]);
  assert.deepEqual(asked({ minutes: [180] }, 100, 250, 251), [250], "the machine slept");
  assert.deepEqual(asked({ minutes: [0, 1439] }, 1438, 1439, 1440, 1441), [1439, 1440]);
  assert.deepEqual(asked({ minutes: [180] }, 180, 180, 181), [], "it began before");
  assert.equal(wallTime(new Date(2026, 0, 2, 3, 4).getTime()).minuteOfDay, 184);
});
