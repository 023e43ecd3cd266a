// Manual compaction of the replicas of a shard.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import { Compactor } from "../../../roles/replica/compaction.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";
import { utf8 } from "../../../src/base/bytes.ts";

async function done(compactor: Compactor): Promise<string[]> {
  for (;;) {
    const lines = compactor.report().split("\n");
    if (lines.every((line) => !/ (queued|running)$/.test(line))) return lines;
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
  assert.equal(compactor.start(["1"]), 1);
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
  assert.equal(compactor.start(["1"]), 2);
  assert.equal(compactor.start(["1.1"]), 0);
  const lines = await done(compactor);
  assert.match(lines[0]!, /^1\.0 finished/);
  assert.equal(lines[1], "1.1 skipped");
  assert.equal(compactor.start([]), 3);
  await done(compactor);
});

Deno.test("Compactor refuses names that name nothing", () => {
  const compactor = new Compactor(new Map(), SILENT);
  assert.match(String(compactor.start(["temp"])), /"temp" names nothing/);
});
