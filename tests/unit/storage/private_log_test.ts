// Writing, rolling, collecting and reading back of the private log, against a plain model where it
// pays. What it calls synced must survive every power loss. docs/log_format.md, "Writing" and
// "Collecting".

import assert from "node:assert/strict";
import fc from "fast-check";
import { FilesError } from "../../../src/base/files.ts";
import { Prng } from "../../../src/base/prng.ts";
import { decodeMutation } from "../../../src/schema/mutation.ts";
import type { LogRecord } from "../../../storage/log.ts";
import { RECONCILE_END_NONE } from "../../../storage/log_format.ts";
import { openPrivateLog } from "../../../storage/private_log.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";
import { ballotRecord, copyRecord, mutationRecord } from "./log_fixture.ts";

const DIR = "/data/replicas/1.0/log.1";

async function open(files: MemoryFiles, segmentBytes = 1 << 20) {
  const records: LogRecord[] = [];
  const opened = await openPrivateLog(
    { files, dir: DIR, generation: 1, segmentBytes },
    (record) => records.push(copyRecord(record)),
  );
  return { ...opened, records };
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function versions(payloads: Uint8Array[] | undefined): string[] | undefined {
  return payloads?.map((bytes) => {
    const mutation = decodeMutation(bytes)!;
    return `${mutation.decree}@${mutation.ballot}`;
  });
}

Deno.test("PrivateLog queues, writes, syncs, and says exactly what is synced", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files);
  assert.equal(log.firstDecree, Infinity);
  for (const i of range(1, 5)) log.append(mutationRecord(i));
  assert.equal(files.counters.writes, 0);
  assert.equal(log.firstDecree, 1);
  log.write();
  log.write();
  assert.equal(log.syncedSequence, 0);
  assert.equal(log.lastSequence, 5);
  const running = log.sync();
  log.append(mutationRecord(6));
  await running;
  assert.equal(log.syncedSequence, 5);
  await log.close();
  assert.equal(log.syncedSequence, 6);
  const again = await open(files);
  assert.deepEqual(again.records, range(1, 6).map((i) => mutationRecord(i)));
  assert.equal(again.log.syncedSequence, 6);
});

Deno.test("PrivateLog refuses a sequence that does not follow", async () => {
  const { log } = await open(new MemoryFiles());
  log.append(mutationRecord(1));
  assert.throws(() => log.append(mutationRecord(3)), /not the next one/);
});

Deno.test("PrivateLog keeps what it synced over rolls and power losses", async () => {
  for (let seed = 0; seed < 200; seed++) {
    const prng = new Prng(seed);
    const files = new MemoryFiles();
    let synced = 0;
    for (let life = 0; life < 3; life++) {
      const { log, records, damage } = await open(files, 500);
      assert.deepEqual(damage, [], `seed ${seed}`);
      assert.deepEqual(records.map((r) => r.sequence), range(1, records.length));
      assert.ok(records.length >= synced, `seed ${seed}: ${records.length} of ${synced} synced`);
      assert.equal(log.lastSequence, records.length);
      assert.equal(log.syncedSequence, records.length);
      let pending: Promise<void> | undefined;
      for (let step = 0; step < 15; step++) {
        for (let i = prng.below(5); i > 0; i--) {
          log.append(mutationRecord(log.lastSequence + 1, { bytes: prng.below(200) }));
        }
        if (prng.chance(0.5)) log.write();
        if (prng.chance(0.4)) pending = log.sync().catch(() => {});
        for (let i = prng.below(5); i > 0; i--) await Promise.resolve();
      }
      synced = log.syncedSequence;
      files.powerLoss(prng);
      files.fault = () => {
        throw new FilesError("io", "Cannot do it: the process is dead");
      };
      await pending;
      await log.close().catch(() => {});
      files.fault = () => {};
    }
  }
});

Deno.test("PrivateLog collects old segments down to the reserve and never the newest", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 400);
  for (const i of range(1, 40)) {
    log.append(mutationRecord(i, { bytes: 60 }));
    if (i % 2 === 0) await log.sync();
  }
  const count = files.list(DIR).length;
  assert.ok(count >= 8, `${count} segments`);
  assert.equal(await log.collect(0, 0), 0);
  assert.equal(await log.collect(Infinity, log.bytes), 0);
  const some = await log.collect(20, 0);
  assert.ok(some > 2 && some < count);
  const first = log.firstDecree;
  assert.ok(first > 10 && first <= 21, `firstDecree is ${first}`);
  assert.deepEqual(await log.readMutations(first - 1, 40, 1e9), undefined);
  assert.equal((await log.readMutations(first, 40, 1e9))?.length, 41 - first);
  await log.collect(Infinity, 0);
  assert.ok(files.list(DIR).length <= 1);
  await log.close();
  files.powerLoss(new Prng(1));

  const again = await open(files, 400);
  assert.deepEqual(again.damage, []);
  assert.equal(again.log.lastSequence, 40);
  assert.equal(again.previousSequence, 40 - again.records.length);
  assert.equal(again.previousDecree, 40 - again.records.length);
});

Deno.test("PrivateLog reads the newest version of each decree and honours truncation", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 300);
  let sequence = 0;
  const put = (decree: number, ballot: number) =>
    log.append(mutationRecord(++sequence, { decree, ballot }));
  log.append(ballotRecord(++sequence, 1, RECONCILE_END_NONE));
  for (const decree of range(1, 8)) put(decree, 1);
  await log.sync();
  put(5, 2);
  put(6, 2);
  log.append(ballotRecord(++sequence, 2, 6));
  await log.sync();
  assert.deepEqual(versions(await log.readMutations(3, 6, 1e9)), ["3@1", "4@1", "5@2", "6@2"]);
  assert.equal(await log.readMutations(3, 7, 1e9), undefined);
  put(7, 2);
  const whole = ["1@1", "2@1", "3@1", "4@1", "5@2", "6@2", "7@2"];
  assert.deepEqual(versions(await log.readMutations(1, 7, 1e9)), whole);
  assert.deepEqual(versions(await log.readMutations(1, 7, 1)), ["1@1"]);
  assert.deepEqual(await log.readMutations(5, 4, 1), []);
  await log.close();
  const again = await open(files, 300);
  assert.deepEqual(versions(await again.log.readMutations(1, 7, 1e9)), whole);
  assert.equal(await again.log.readMutations(1, 8, 1e9), undefined);
});

Deno.test("PrivateLog reads any range as replay would keep it", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.record({ back: fc.nat(4), cut: fc.nat(5), write: fc.nat(2) }), { maxLength: 40 }),
      fc.nat(20),
      fc.nat(40),
      fc.nat(600),
      async (steps, start, length, bytesMax) => {
        const { log } = await open(new MemoryFiles(), 400);
        const model = new Map<number, number>();
        let sequence = 0;
        let ballot = 1;
        let next = 1;
        for (const { back, cut, write } of steps) {
          if (cut === 0) {
            const end = Math.max(0, next - 1 - back);
            log.append(ballotRecord(++sequence, ++ballot, end));
            for (const [decree] of model) if (decree > end) model.delete(decree);
            next = end + 1;
          } else {
            const decree = Math.max(1, next - (cut === 1 ? back : 0));
            if (decree < next) ballot++;
            log.append(mutationRecord(++sequence, { decree, ballot, bytes: cut * 20 }));
            model.set(decree, ballot);
            next = Math.max(next, decree + 1);
          }
          if (write === 1) log.write();
          if (write === 2) await log.sync();
        }
        const from = start + 1;
        const to = from + length;
        const read = versions(await log.readMutations(from, to, bytesMax));
        if (range(from, to).every((decree) => model.has(decree))) assert.ok(read !== undefined);
        read?.forEach((version, i) => assert.equal(version, `${from + i}@${model.get(from + i)}`));
      },
    ),
    { numRuns: 300 },
  );
});

Deno.test("PrivateLog is poisoned by a failed write or sync and says so every time", async () => {
  for (const operation of ["write", "sync", "syncDir"] as const) {
    const files = new MemoryFiles();
    const { log } = await open(files);
    log.append(mutationRecord(1));
    files.fault = (op) => {
      if (op === operation) throw new FilesError("io", "Cannot do it: injected");
    };
    await assert.rejects(log.sync(), /injected/);
    files.fault = () => {};
    assert.equal(log.poisoned, true);
    assert.equal(log.syncedSequence, 0);
    log.append(mutationRecord(2));
    assert.throws(() => log.write(), /injected/);
    await assert.rejects(log.sync(), /injected/);
    await log.close();
  }
});

Deno.test("PrivateLog that cannot remove a segment leaves no gap behind", async () => {
  const files = new MemoryFiles();
  const { log } = await open(files, 200);
  for (const i of range(1, 12)) {
    log.append(mutationRecord(i));
    await log.sync();
  }
  const before = files.list(DIR);
  assert.ok(before.length > 3, `${before.length} segments`);
  files.fault = (operation, path) => {
    if (operation === "remove" && path.endsWith(before[1]!)) throw new FilesError("io", "busy");
  };
  await assert.rejects(log.collect(12, 0), /busy/);
  assert.deepEqual(files.list(DIR), before.slice(1));
  await assert.rejects(log.collect(12, 0), /busy/);
  assert.deepEqual(files.list(DIR), before.slice(1), "what stands behind it stays as well");
  files.fault = () => {};
  assert.equal(await log.collect(12, 0), before.length - 2);
  await log.close();
  const again = await open(files, 200);
  assert.deepEqual(again.damage, []);
  await again.log.close();
});
