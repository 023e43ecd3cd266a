// Expired rows leave the engine, and no living row does.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { SILENT } from "../../../src/observe/logger.ts";
import { MultiPut, Put } from "../../../src/schema/client_rpc.ts";
import { decodeKey, USER_KEYS_END, USER_KEYS_START } from "../../../src/schema/key_format.ts";
import { encodeValue } from "../../../src/schema/value_format.ts";
import type { ReplicaDriver } from "../../../roles/replica/replica_driver.ts";
import { Sweeper } from "../../../roles/replica/sweeper.ts";
import type { WriteCall } from "../../../roles/replica/write_calls.ts";
import type { Engine } from "../../../storage/engine.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";
import { key } from "./reads_fixture.ts";
import { LeadShard, WRITE_HEAD } from "./shard_fixture.ts";

/** Sort keys that are stored, expired or not. */
async function stored(engine: Engine): Promise<string[]> {
  const iterator = engine.range({ gte: USER_KEYS_START, lt: USER_KEYS_END });
  const names: string[] = [];
  for (;;) {
    const entries = await iterator.next(1000);
    if (entries.length === 0) break;
    for (const [raw] of entries) names.push(fromUtf8(decodeKey(raw)!.sortKey));
  }
  await iterator.close();
  return names;
}

async function fill(shard: LeadShard, names: readonly string[], expireTs: number): Promise<void> {
  const rows = names.map((name) => ({ sortKey: utf8(name), value: utf8("v") }));
  await shard.must(MultiPut, { ...WRITE_HEAD, hashKey: utf8("h"), rows, expireTs });
}

/** Lets time pass until the pass that runs, or the next one, is over. */
async function pass(shard: LeadShard, passes = shard.host.sweeper.counters.passes + 1) {
  for (let i = 0; i < 3000 && shard.host.sweeper.counters.passes < passes; i++) {
    shard.pass(250);
    await shard.settle();
  }
  assert.equal(shard.host.sweeper.counters.passes, passes, "The pass ends");
}

function names(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${String(i).padStart(4, "0")}`);
}

for (const kind of ["memory", "LevelDB"] as const) {
  Deno.test(`Sweeper deletes expired rows and no others (${kind})`, async () => {
    const dir = Deno.makeTempDirSync({ prefix: "pegasus_sweep_" });
    const engine = kind === "LevelDB" ? await openLevelEngine(`${dir}/engine`) : undefined;
    const shard = await LeadShard.start({
      sweepRowsPerSecond: 2000,
      ...(engine === undefined ? {} : { engine }),
    });
    const soon = shard.seconds + 60;
    await fill(shard, names("a", 300), soon);
    await fill(shard, names("b", 300), 0);
    await fill(shard, names("c", 300), shard.seconds + 100_000);
    await pass(shard);
    assert.equal((await stored(shard.store.engine)).length, 900, "Nothing is expired yet");
    await pass(shard);
    const left = await stored(shard.store.engine);
    assert.deepEqual(left, [...names("b", 300), ...names("c", 300)]);
    assert.equal(shard.host.sweeper.counters.deleted, 300);
    assert.equal(shard.host.sweeper.counters.examined, 1800);
    await shard.close();
    Deno.removeSync(dir, { recursive: true });
  });
}

Deno.test("Sweeper keeps to its rate, and never begins with a rate of 0", async () => {
  const shard = await LeadShard.start({ sweepRowsPerSecond: 100 });
  await fill(shard, names("a", 1000), 0);
  for (let i = 0; i < 40; i++) {
    shard.pass(50);
    await shard.settle();
  }
  const { examined } = shard.host.sweeper.counters;
  assert(examined > 100 && examined <= 200, `${examined} rows in 2 s`);
  await shard.close();
  const idle = await LeadShard.start({ sweepRowsPerSecond: 0 });
  await fill(idle, names("a", 10), 1);
  for (let i = 0; i < 40; i++) idle.pass(1000);
  await idle.settle();
  assert.equal((await stored(idle.store.engine)).length, 10);
  await idle.close();
});

Deno.test("Sweeper spares a row that is overwritten between its look and its write", async () => {
  const shard = await LeadShard.start({ sweepRowsPerSecond: 1000 });
  await fill(shard, ["gone", "saved"], shard.seconds - 5);
  const { engine } = shard.store;
  const range = engine.range.bind(engine);
  let overwrites = 0;
  // The sweeper has read both rows as expired; before it proposes them, one is written again.
  engine.range = (options) => {
    const iterator = range(options);
    return {
      close: () => iterator.close(),
      next: async (count, bytesMax) => {
        const entries = await iterator.next(count, bytesMax);
        if (entries.length > 0 && overwrites++ === 0) {
          const row = { key: key("h", "saved"), value: utf8("new"), expireTs: 0 };
          await shard.must(Put, { ...WRITE_HEAD, ...row });
        }
        return entries;
      },
    };
  };
  await pass(shard);
  engine.range = range;
  assert.equal(overwrites > 0, true);
  assert.deepEqual(await stored(engine), ["saved"]);
  assert.equal(shard.host.sweeper.counters.deleted, 1);
  await shard.close();
});

Deno.test("Sweeper looks again at rows whose deletion failed, in the same pass", async () => {
  const shard = await LeadShard.start({ sweepRowsPerSecond: 1000 });
  await fill(shard, names("a", 20), shard.seconds - 5);
  const [driver] = shard.host.drivers.values();
  const deliver = driver!.deliver.bind(driver);
  let failed = 0;
  driver!.deliver = (event) => {
    if (event.kind !== "write" || event.request.op.kind !== "sweep" || failed > 1) {
      return deliver(event);
    }
    failed++;
    (event.request.token as WriteCall).fail(Err.INVALID_STATE);
  };
  await pass(shard);
  assert.equal(failed, 2);
  assert.deepEqual(await stored(shard.store.engine), []);
  assert.equal(shard.host.sweeper.counters.deleted, 20);
  await shard.close();
});

Deno.test("Sweeper stands still without the lease", async () => {
  const shard = await LeadShard.start({ sweepRowsPerSecond: 1000 });
  await fill(shard, ["old"], shard.seconds - 5);
  for (let i = 0; i < 20; i++) {
    shard.now.mono += 10_000;
    shard.now.wall += 10_000;
    shard.host.tick();
    await shard.settle();
  }
  assert.deepEqual(await stored(shard.store.engine), ["old"]);
  await pass(shard);
  assert.deepEqual(await stored(shard.store.engine), []);
  await shard.close();
});

Deno.test("Sweeper rewrites stretches where much was deleted", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus_sweep_" });
  const engine = await openLevelEngine(`${dir}/engine`);
  const value = encodeValue(new Uint8Array(100).map((_, i) => i * 7), 1, 1);
  const all = names("n", 9999).concat(names("o", 5001));
  await engine.write(all.map((name) => ({ type: "put", key: key("h", name), value })));
  await engine.flush();
  const size = () => engine.approximateSize(USER_KEYS_START, USER_KEYS_END);
  const before = await size();
  const shard = await LeadShard.start({ sweepRowsPerSecond: 100_000, engine });
  await pass(shard);
  const { deleted, compactions } = shard.host.sweeper.counters;
  assert.deepEqual([deleted, compactions >= 2], [15_000, true]);
  assert(await size() < before / 2, `${before} bytes became ${await size()}`);
  await shard.close();
  Deno.removeSync(dir, { recursive: true });
});

/** A partition that is led here and holds so many rows, as far as a sweeper looks at it. */
function led(index: number, rows: number): ReplicaDriver {
  const keys = Array.from({ length: rows }, (_, i) => key("h", String(100_000 + i)));
  const engine = new MemoryEngine({}, {
    keys,
    values: keys.map(() => encodeValue(utf8("v"), 0, 1)),
  });
  const core = { readable: true, report: () => ({ maxPrepared: 0, applied: 0 }) };
  return { partition: partitionId(1, index), engine, core } as unknown as ReplicaDriver;
}

Deno.test("Sweeper comes to all of many partitions, and goes on with one while the others rest", async () => {
  const now = { mono: 0, wall: Date.UTC(2026, 0, 1) };
  const all = Array.from({ length: 100 }, (_, i) => led(i, i === 77 ? 60_000 : 1));
  const sweeper = new Sweeper({
    rowsPerSecond: 50_000,
    clock: { now: () => ({ ...now }) },
    logger: SILENT,
    drivers: new Map(all.map((driver) => [driver.partition, driver])),
    mayWrite: () => true,
    submit: () => assert.fail("Nothing is expired"),
  });
  const ticksUntil = async (isThere: () => boolean) => {
    let ticks = 0;
    for (; !isThere() && ticks < 1000; ticks++) {
      now.mono += 100;
      sweeper.tick();
      await new Promise((resolve) => setTimeout(resolve));
    }
    return ticks;
  };
  // Two steps for each of the small ones: one reads its row, one finds the end. The large one has its turns too.
  assert.equal(await ticksUntil(() => sweeper.counters.passes === 99), 200);
  const before = sweeper.counters.examined;
  // 5000 rows per tick, as the rate allows, though the others are looked at in between.
  const rest = Math.ceil((60_099 - before) / 5000);
  assert(rest > 8, `${before} rows`);
  // And 13 ticks until the large one is come to, and one for its end.
  const ticks = await ticksUntil(() => sweeper.counters.passes === 100);
  assert(ticks <= rest + 14, `${ticks} ticks instead of ${rest}`);
  await sweeper.close();
});
