// Group commit, rolling, collection, poisoning and torn tails of the shared log. What it reported
// durable must survive every power loss, and a broken place that had been confirmed must be
// reported. docs/log_format.md, "Writing" and "Reading".

import assert from "node:assert/strict";
import fc from "fast-check";
import { crc32 } from "../../../src/base/crc.ts";
import { FilesError } from "../../../src/base/files.ts";
import { Prng } from "../../../src/base/prng.ts";
import type { LogDamage, LogRecord, SharedLog } from "../../../storage/log.ts";
import { LogFormatError, type SegmentHead } from "../../../storage/log_format.ts";
import { openSharedLog } from "../../../storage/shared_log.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";
import { copyRecord, mutationRecord, restoreTree, tree } from "./log_fixture.ts";

const DIR = "/log/shared.0";

interface Opened {
  log: SharedLog;
  records: LogRecord[];
  damage: LogDamage[];
  heads: SegmentHead[];
}

async function open(
  files: MemoryFiles,
  segmentBytes = 1 << 20,
  fsync: "group" | "none" = "group",
): Promise<Opened> {
  const records: LogRecord[] = [];
  const heads: SegmentHead[] = [];
  const { log, damage } = await openSharedLog(
    {
      files,
      dir: DIR,
      incarnation: 1,
      fsync,
      segmentBytes,
      observer: { segment: (head) => heads.push(head) },
    },
    (record) => records.push(copyRecord(record)),
  );
  return { log, records, damage, heads };
}

function durable(log: SharedLog, position: number): Promise<void> {
  return new Promise((resolve, reject) => {
    log.onDurable = (p) => {
      if (p >= position) resolve();
    };
    log.onFailed = reject;
  });
}

/** Appends records in groups and waits for each group. */
async function appendGroups(log: SharedLog, groups: readonly LogRecord[][]): Promise<void> {
  for (const group of groups) {
    let position = 0;
    for (const record of group) position = log.append(record);
    await durable(log, position);
  }
}

function sequences(records: readonly LogRecord[]): number[] {
  return records.map((record) => record.sequence);
}

Deno.test("SharedLog shares one sync among all records of a group", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files);
  await appendGroups(log, [[mutationRecord(1)]]);
  const syncs = files.counters.syncs;
  const reports: number[] = [];
  let release = () => {};
  files.delay = () => new Promise((resolve) => release = resolve);
  for (let i = 2; i <= 51; i++) log.append(mutationRecord(i));
  assert.equal(reports.length, 0);
  const first = durable(log, 51);
  const second = new Promise<void>((resolve) => {
    const inner = log.onDurable;
    log.onDurable = (position) => {
      reports.push(position);
      inner(position);
      if (position === 101) resolve();
    };
  });
  await Promise.resolve().then(() => {}).then(() => {});
  for (let i = 52; i <= 101; i++) log.append(mutationRecord(i));
  files.delay = () => Promise.resolve();
  release();
  await first;
  await second;
  assert.deepEqual(reports, [51, 101]);
  assert.equal(files.counters.syncs - syncs, 2);
  await log.close();
  assert.deepEqual(
    sequences((await open(files)).records),
    [...Array(101).keys()].map((i) => i + 1),
  );
});

Deno.test("SharedLog tells how many records share a group, its bytes and its time", async () => {
  const groups: number[][] = [];
  let now = 0;
  let sequence = 0;
  const { log } = await openSharedLog({
    files: new MemoryFiles(),
    dir: DIR,
    incarnation: 1,
    fsync: "group",
    groups: {
      now: () => now += 3,
      synced: (records, bytes, ms) => groups.push([records, Number(bytes > records * 10), ms]),
    },
  }, () => {});
  for (const size of [3, 1]) {
    let last = 0;
    for (let i = 0; i < size; i++) last = log.append(mutationRecord(++sequence));
    await durable(log, last);
  }
  await log.close();
  assert.deepEqual(groups, [[3, 1, 3], [1, 1, 3]]);
});

Deno.test("SharedLog with fsync none reports after the write and never syncs a group", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 1 << 20, "none");
  await appendGroups(log, [[mutationRecord(1)]]);
  const syncs = files.counters.syncs;
  await appendGroups(log, [[mutationRecord(2)], [mutationRecord(3)]]);
  assert.equal(files.counters.syncs, syncs);
  await log.close();
  files.processCrash();
  assert.deepEqual(sequences((await open(files)).records), [1, 2, 3]);
});

Deno.test("SharedLog rolls, carries its table forward and collects oldest first", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 1000);
  const groups = Array.from({ length: 30 }, (_, i) => [
    mutationRecord(i + 1, { bytes: 100 }),
    mutationRecord(i + 1, { partition: 65537, generation: 9, bytes: 100 }),
  ]);
  await appendGroups(log, groups);
  const names = files.list(DIR);
  assert.ok(names.length >= 8, `${names.length} segments`);
  await log.close();

  const { log: again, records, heads, damage } = await open(files, 1000);
  assert.deepEqual(damage, []);
  assert.deepEqual(records, groups.flat());
  const table = heads[1]!.table;
  assert.equal(table.length, 2);
  assert.ok(table.every((entry) => entry.sequence === table[0]!.sequence && entry.sequence > 0));

  assert.equal(await again.collect(() => 0), 0);
  const bytes = again.bytes;
  assert.equal(await again.collect((p) => p === 65537 ? Infinity : table[0]!.sequence), 1);
  assert.ok(again.bytes < bytes);
  assert.equal(files.list(DIR)[0], names[1]);
  await appendGroups(again, [[mutationRecord(31)]]);
  assert.equal(await again.collect(() => Infinity), names.length - 1);
  assert.equal(files.list(DIR).length, 1);
  await again.close();
  files.powerLoss(new Prng(1));
  assert.deepEqual(sequences((await open(files)).records), [31]);
});

Deno.test("SharedLog counts records queued during a roll to the next segment", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 1);
  await appendGroups(log, [[mutationRecord(1)]]);
  let appended = false;
  const done = durable(log, 3);
  files.delay = async () => {
    // The second record's write is over when the first file with content is synced.
    const size = files.list(DIR).map((name) => files.readFile(`${DIR}/${name}`).length).at(-1)!;
    if (appended || size < 150) return;
    appended = true;
    log.append(mutationRecord(3));
  };
  log.append(mutationRecord(2));
  await done;
  await log.close();
  assert.equal(appended, true);
  const { heads } = await open(files);
  assert.deepEqual(heads.map((head) => head.table[0]?.sequence), [undefined, 1, 2]);
});

for (const operation of ["write", "sync", "syncDir", "open"] as const) {
  Deno.test(`SharedLog is poisoned for ever by a failed ${operation}`, async () => {
    const files = new MemoryFiles();
    const { log } = await open(files, 1);
    await appendGroups(log, [[mutationRecord(1)]]);
    const failures: Error[] = [];
    const reports: number[] = [];
    log.onDurable = (position) => reports.push(position);
    const failed = new Promise<void>((resolve) => {
      log.onFailed = (error) => {
        failures.push(error);
        resolve();
      };
    });
    files.fault = (op) => {
      if (op === operation) throw new FilesError("io", "Cannot do it: injected");
    };
    assert.equal(log.append(mutationRecord(2)), 2);
    await failed;
    files.fault = () => {};
    assert.equal(log.poisoned, true);
    assert.equal(log.append(mutationRecord(3)), 3);
    await log.close();
    assert.equal(failures.length, 1);
    assert.deepEqual(reports, []);
  });
}

Deno.test("SharedLog recovers everything it reported durable after a power loss", async () => {
  let torn = 0;
  for (let seed = 0; seed < 150; seed++) {
    const prng = new Prng(seed);
    const files = new MemoryFiles();
    let expected: LogRecord[] = [];
    let next = 1;
    for (let life = 0; life < 3; life++) {
      const { log, records, damage } = await open(files, 600 + prng.below(3000));
      assert.deepEqual(damage, [], `seed ${seed}`);
      assert.ok(records.length >= expected.length, `seed ${seed}: lost confirmed records`);
      if (records.length > expected.length) torn++;
      const kept = records.at(-1)?.sequence ?? 0;
      assert.deepEqual(sequences(records), [...Array(kept).keys()].map((i) => i + 1));
      next = kept + 1;
      let confirmed = 0;
      const first = next;
      log.onDurable = (position) => confirmed = position;
      const appended: LogRecord[] = [];
      for (let step = 0; step < 20; step++) {
        for (let i = prng.below(4); i >= 0; i--) {
          const record = mutationRecord(next++, { bytes: prng.below(900) });
          appended.push(record);
          log.append(record);
        }
        for (let i = prng.below(8); i > 0; i--) await Promise.resolve();
      }
      expected = [...records, ...appended.slice(0, confirmed)];
      assert.equal(first + appended.length, next);
      files.powerLoss(prng);
      // The dead process must not reach the new disk.
      files.fault = () => {
        throw new FilesError("io", "Cannot do it: the process is dead");
      };
      log.onDurable = () => {};
      await log.close();
      files.fault = () => {};
    }
  }
  assert.ok(torn > 10, `unconfirmed records survived ${torn} times`);
});

Deno.test("SharedLog gives a prefix for every truncation of its last segment", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files);
  const groups = Array.from({ length: 6 }, (_, i) => [mutationRecord(i + 1, { bytes: 10 })]);
  await appendGroups(log, groups);
  await log.close();
  const [name, bytes] = [...tree(files, DIR)][0]!;
  let longest = -1;
  for (let size = 0; size <= bytes.length; size++) {
    for (const zeros of [0, 600]) {
      const cut = new Uint8Array(size + zeros);
      cut.set(bytes.subarray(0, size));
      const disk = new MemoryFiles();
      await restoreTree(disk, DIR, new Map([[name, cut]]));
      const { records, damage, log } = await open(disk);
      assert.deepEqual(damage, [], `truncated to ${size} and ${zeros} zeros`);
      assert.deepEqual(records, groups.flat().slice(0, records.length));
      assert.ok(records.length >= longest);
      longest = records.length;
      await appendGroups(log, [[mutationRecord(records.length + 1)]]);
      await log.close();
      const again = await open(disk);
      assert.equal(again.records.length, records.length + 1);
      assert.deepEqual(again.damage, []);
    }
  }
  assert.equal(longest, 6);
});

Deno.test("SharedLog reports damage wherever confirmed bytes are broken", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 500);
  const groups = Array.from({ length: 12 }, (_, i) => [mutationRecord(i + 1, { bytes: 60 })]);
  await appendGroups(log, groups);
  await log.close();
  const original = tree(files, DIR);
  const names = [...original.keys()];
  await fc.assert(
    fc.asyncProperty(
      fc.nat(names.length - 1),
      fc.nat(2000),
      fc.integer({ min: 1, max: 255 }),
      async (segment, at, mask) => {
        const name = names[segment]!;
        const bytes = original.get(name)!.slice();
        bytes[at % bytes.length]! ^= mask;
        const disk = new MemoryFiles();
        await restoreTree(disk, DIR, new Map([...original, [name, bytes]]));
        const { records, damage } = await open(disk);
        // Never a wrong record, and never a silent loss but of the very last block.
        for (const record of records) assert.deepEqual(record, groups[record.sequence - 1]![0]);
        const lost = 12 - records.length;
        assert.ok(lost <= 1, `${lost} records lost by one byte`);
        const tailOnly = segment === names.length - 1 && records.at(-1)?.sequence === 11;
        assert.equal(damage.length > 0 || tailOnly, true, "Silent loss");
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("SharedLog reports a missing and a shortened segment", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 300);
  await appendGroups(
    log,
    Array.from({ length: 9 }, (_, i) => [mutationRecord(i + 1, { bytes: 60 })]),
  );
  await log.close();
  const names = files.list(DIR);
  const original = tree(files, DIR);
  const missing = new MemoryFiles();
  await restoreTree(missing, DIR, new Map([...original].filter(([name]) => name !== names[1])));
  assert.equal((await open(missing)).damage.length, 2);
  const short = new MemoryFiles();
  const first = original.get(names[0]!)!;
  // Cut at a block boundary: nothing in the file itself is wrong.
  const record = 28 + 40 + 32 + 60;
  await restoreTree(
    short,
    DIR,
    new Map([...original, [names[0]!, first.slice(0, first.length - record)]]),
  );
  assert.match((await open(short)).damage[0]!.reason, /shorter/);
});

Deno.test("SharedLog refuses a segment of a newer format", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files);
  await appendGroups(log, [[mutationRecord(1)]]);
  await log.close();
  const [name, bytes] = [...tree(files, DIR)][0]!;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint16(8, 2, true);
  view.setUint32(4, crc32(bytes.subarray(8, view.getUint32(12, true))), true);
  files.overwrite(`${DIR}/${name}`, bytes);
  await assert.rejects(open(files), LogFormatError);
});
