// Logs on a full disk: nothing is reported that is not there, nothing is lost, and they go on when there is room.
// A sync that fails is another thing, also for want of space.

import assert from "node:assert/strict";
import { FilesError, isNoSpace } from "../../../src/base/files.ts";
import type { LogRecord, SharedLog } from "../../../storage/log.ts";
import { openPrivateLog } from "../../../storage/private_log.ts";
import { openSharedLog } from "../../../storage/shared_log.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";
import { copyRecord, mutationRecord } from "./log_fixture.ts";

const DIR = "/data/shared.0";
const PRIVATE = "/data/replicas/1.0/log.1";

async function openShared(files: MemoryFiles, segmentBytes = 1 << 20) {
  const records: LogRecord[] = [];
  const options = { files, dir: DIR, incarnation: 1, fsync: "group" as const, segmentBytes };
  const opened = await openSharedLog(options, (record) => records.push(copyRecord(record)));
  return { ...opened, records };
}

async function openPrivate(files: MemoryFiles, segmentBytes = 1 << 20) {
  const records: LogRecord[] = [];
  const opened = await openPrivateLog(
    { files, dir: PRIVATE, generation: 1, segmentBytes },
    (record) => records.push(copyRecord(record)),
  );
  return { ...opened, records };
}

function listen(log: SharedLog) {
  const seen = { durable: 0, full: 0, failed: "" };
  let changed = () => {};
  log.onDurable = (position) => (seen.durable = position, changed());
  log.onFull = () => (seen.full++, changed());
  log.onFailed = (error) => (seen.failed = error.message, changed());
  const until = async (isSo: () => boolean) => {
    while (!isSo()) await new Promise<void>((resolve) => changed = resolve);
  };
  return { seen, until };
}

const sequences = (records: readonly LogRecord[]) => records.map(({ sequence }) => sequence);

// With every number of free bytes: in the head of a segment, between blocks, in the middle of one.
for (const spare of [0, 1, 40, 100, 500]) {
  Deno.test(`SharedLog waits for room after ${spare} bytes and loses nothing`, async () => {
    const files = new MemoryFiles();
    const { log } = await openShared(files, 300);
    const { seen, until } = listen(log);
    for (let i = 1; i <= 3; i++) log.append(mutationRecord(i));
    await until(() => seen.durable === 3);
    files.bytesFree = spare;
    for (let i = 4; i <= 30; i++) log.append(mutationRecord(i));
    await until(() => seen.full > 1);
    const before = seen.durable;
    assert.equal(log.poisoned, false);
    log.append(mutationRecord(31));
    await until(() => seen.full > 2);
    assert.equal(seen.durable, before, "nothing is reported while there is no room");
    files.bytesFree = Infinity;
    await until(() => seen.durable === 31);
    await log.close();
    const again = await openShared(files, 300);
    assert.deepEqual(again.damage, []);
    assert.deepEqual(sequences(again.records), Array.from({ length: 31 }, (_, i) => i + 1));
    await again.log.close();
  });
}

Deno.test("SharedLog that is closed on a full disk ends, and leaves nothing half done", async () => {
  const files = new MemoryFiles();
  const { log } = await openShared(files);
  const { seen, until } = listen(log);
  files.bytesFree = 10;
  log.append(mutationRecord(1));
  await until(() => seen.full > 0);
  await log.close();
  assert.equal(seen.durable, 0);
  files.bytesFree = Infinity;
  const again = await openShared(files);
  assert.deepEqual([again.records, again.damage], [[], []]);
  await again.log.close();
});

Deno.test("SharedLog is poisoned by a sync that fails for want of space", async () => {
  const files = new MemoryFiles();
  const { log } = await openShared(files);
  const { seen, until } = listen(log);
  files.fault = (operation) => {
    if (operation === "sync") throw new FilesError("noSpace", "Cannot sync: disk full");
  };
  log.append(mutationRecord(1));
  await until(() => seen.failed !== "");
  assert.deepEqual([log.poisoned, seen.durable, seen.full], [true, 0, 0]);
  await log.close();
});

for (const spare of [0, 30, 100, 700]) {
  Deno.test(`PrivateLog waits for room after ${spare} bytes and loses nothing`, async () => {
    const files = new MemoryFiles();
    const { log } = await openPrivate(files, 300);
    for (let i = 1; i <= 3; i++) log.append(mutationRecord(i));
    await log.sync();
    files.bytesFree = spare;
    let refused = 0;
    for (let i = 4; i <= 30; i++) {
      log.append(mutationRecord(i));
      try {
        if (i % 2 === 0) log.write();
        else await log.sync();
      } catch (error) {
        assert(isNoSpace(error), String(error));
        refused++;
      }
    }
    assert(refused > 5, `refused ${refused} times`);
    assert.equal(log.poisoned, false);
    const synced = log.syncedSequence;
    files.bytesFree = Infinity;
    await log.sync();
    assert.equal(log.syncedSequence, 30);
    assert(synced < 30);
    await log.close();
    const again = await openPrivate(files, 300);
    assert.deepEqual(again.damage, []);
    assert.deepEqual(sequences(again.records), Array.from({ length: 30 }, (_, i) => i + 1));
    await again.log.close();
  });
}

Deno.test("PrivateLog is poisoned by a sync that fails for want of space, and says so as a failure", async () => {
  const files = new MemoryFiles();
  const { log } = await openPrivate(files);
  log.append(mutationRecord(1));
  files.fault = (operation) => {
    if (operation === "sync") throw new FilesError("noSpace", "Cannot sync: disk full");
  };
  const failure = await log.sync().then(() => undefined, (error: unknown) => error);
  assert(failure instanceof FilesError && !isNoSpace(failure));
  assert.equal(log.poisoned, true);
  await log.close();
});
