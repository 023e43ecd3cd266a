// Recovery of whole shards from real files on a forgetful disk, with a plain model of what was
// logged: what was confirmed is there, in the right versions, or the replica is condemned; never a
// wrong record. docs/log_format.md, "Replay".

import assert from "node:assert/strict";
import { type Files, FilesError } from "../../../src/base/files.ts";
import { Prng } from "../../../src/base/prng.ts";
import { decodeMutation, type Mutation } from "../../../src/schema/mutation.ts";
import { type LogRecord, type PrivateLog, RecordKind } from "../../../storage/log.ts";
import { decodeBallot } from "../../../storage/log_format.ts";
import {
  type RecoveredShard,
  recoverShard,
  removeForeignSharedLogs,
} from "../../../storage/recover_shard.ts";
import type { StoragePlan } from "../../../storage/data_dir.ts";
import { diskFiles } from "../../../storage/disk_files.ts";
import { ReplicaDir } from "../../../storage/replica_dir.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";
import { ballotRecord, mutationRecord, PARTITION } from "./log_fixture.ts";

function versions(mutations: readonly Mutation[]): string {
  return mutations.map(({ decree, ballot }) => `${decree}@${ballot}`).join(" ");
}

/** One replica of the simulated shard: everything ever logged, and what was confirmed. */
interface Model {
  readonly partition: number;
  generation: number;
  records: LogRecord[];
  confirmed: number;
  ballot: number;
  next: number;
}

/** What the first `count` records leave above `durable`, written as plainly as possible. */
function fold(records: readonly LogRecord[], count: number, durable: number): string {
  const kept = new Map<number, number>();
  for (const record of records.slice(0, count)) {
    if (record.kind === RecordKind.BALLOT) {
      const { ballot, reconcileEnd } = decodeBallot(record.payload)!;
      for (const [d, b] of kept) if (d > reconcileEnd && b < ballot) kept.delete(d);
    } else {
      const { ballot, decree } = decodeMutation(record.payload)!;
      if (decree > durable && (kept.get(decree) ?? 0) <= ballot) kept.set(decree, ballot);
    }
  }
  return [...kept].sort(([a], [b]) => a - b).map(([d, b]) => `${d}@${b}`).join(" ");
}

function nextRecord(model: Model, prng: Prng): LogRecord {
  const sequence = model.records.length + 1;
  const { partition, generation } = model;
  if (prng.chance(0.1)) {
    const reconcileEnd = Math.max(0, model.next - 1 - prng.below(4));
    model.next = reconcileEnd + 1;
    return { ...ballotRecord(sequence, ++model.ballot, reconcileEnd, partition), generation };
  }
  const decree = model.next++;
  const bytes = prng.below(300);
  return mutationRecord(sequence, { partition, generation, decree, ballot: model.ballot, bytes });
}

const SHARD_COUNT_MAX = 2;

const STORAGE = storageOf("/data", "/logs");

function storageOf(path: string, logDir: string): Omit<StoragePlan, "incarnation"> {
  const dataDirs = [{ tag: "a", path }, { tag: "b", path: `${path}/second` }];
  return { dataDirs, logDir, formerLogDirs: [], lostLog: "", wasClean: true, boot: "" };
}

async function openShard(files: Files, incarnation: number, prng: Prng, shardCount = 1) {
  const shards: RecoveredShard[] = [];
  for (let shard = 0; shard < shardCount; shard++) {
    shards.push(
      await recoverShard({
        files,
        storage: STORAGE,
        shard,
        shardCount,
        incarnation,
        fsync: "group",
        sharedSegmentBytes: 800 + prng.below(3000),
        privateSegmentBytes: 500 + prng.below(1000),
      }),
    );
  }
  await removeForeignSharedLogs(files, STORAGE, shardCount);
  return shards;
}

/** Checks a recovered replica against its model and forgets what was lost legally. */
function check(model: Model, found: RecoveredShard["replicas"][number], label: string): void {
  const { recovery, dir, privateLog } = found;
  assert.ok(
    recovery.lastSequence >= model.confirmed,
    `${label}: ${recovery.lastSequence} of ${model.confirmed} confirmed records`,
  );
  assert.equal(
    versions(recovery.mutations),
    fold(model.records, recovery.lastSequence, dir.manifest.durable),
    label,
  );
  for (const mutation of recovery.mutations) {
    const original = model.records.find(({ kind, payload }) => {
      const m = kind === RecordKind.MUTATION ? decodeMutation(payload)! : undefined;
      return m?.decree === mutation.decree && m.ballot === mutation.ballot &&
        m.timestampUs === mutation.timestampUs;
    });
    assert.deepEqual(decodeMutation(original!.payload), mutation, label);
  }
  assert.equal(privateLog.lastSequence, recovery.lastSequence, label);
  assert.equal(privateLog.syncedSequence, recovery.lastSequence, label);
  model.records = model.records.slice(0, recovery.lastSequence);
  model.confirmed = recovery.lastSequence;
  const last = [...fold(model.records, Infinity, 0).matchAll(/(\d+)@/g)].at(-1);
  model.next = Number(last?.[1] ?? 0) + 1;
  model.ballot = recovery.ballot;
}

/** Random appends, syncs, checkpoints and collections on all replicas. */
async function work(
  shards: readonly RecoveredShard[],
  models: readonly Model[],
  prng: Prng,
): Promise<void> {
  const found = new Map(
    shards.flatMap((shard, s) =>
      shard.replicas.map((replica) =>
        [replica.dir.manifest.partition, { ...replica, shard: s }] as const
      )
    ),
  );
  const pending = shards.map(() => new Map<number, () => void>());
  shards.forEach(({ sharedLog }, s) => {
    sharedLog.onDurable = (position) => {
      for (const [p, confirm] of pending[s]!) {
        if (p > position) break;
        confirm();
        pending[s]!.delete(p);
      }
    };
  });
  const synced = (partition: number, generation: number): number => {
    const model = models.find((m) => m.partition === partition && m.generation === generation);
    const log: PrivateLog | undefined = found.get(partition)?.privateLog;
    return model === undefined || log === undefined ? Infinity : log.syncedSequence;
  };
  for (let step = 0; step < 25; step++) {
    for (const model of models) {
      const replica = found.get(model.partition);
      if (replica === undefined) continue;
      for (let i = prng.below(3); i > 0; i--) {
        const record = nextRecord(model, prng);
        model.records.push(record);
        const position = shards[replica.shard]!.sharedLog.append(record);
        pending[replica.shard]!.set(position, () => model.confirmed = record.sequence);
        replica.privateLog.append(record);
      }
      if (prng.chance(0.3)) replica.privateLog.write();
      if (prng.chance(0.15)) await replica.privateLog.sync();
      if (prng.chance(0.05)) await checkpoint(model, replica);
    }
    for (const { sharedLog } of shards) if (prng.chance(0.2)) await sharedLog.collect(synced);
    for (let i = prng.below(10); i > 0; i--) await Promise.resolve();
  }
}

/** The engine's part is only pretended: everything confirmed is durable in it. */
async function checkpoint(
  model: Model,
  { dir, privateLog }: RecoveredShard["replicas"][number],
): Promise<void> {
  const held = fold(model.records, model.confirmed, 0);
  const durable = Number([...held.matchAll(/(\d+)@/g)].at(-1)?.[1] ?? 0);
  // Only what no later truncation can take back may be durable; the model truncates at most 3
  // decrees.
  const safe = Math.max(dir.manifest.durable, durable - 8);
  const { ballot } = model;
  await dir.update({ durable: safe, ballot, syncedSequence: privateLog.syncedSequence });
  await privateLog.collect(safe, 0);
}

async function crash(
  files: MemoryFiles,
  shards: readonly RecoveredShard[],
  prng: Prng,
): Promise<void> {
  const stopped = shards.map(({ sharedLog }) => sharedLog);
  for (const log of stopped) log.onDurable = () => {};
  if (prng.chance(0.3)) files.processCrash();
  else files.powerLoss(prng);
  files.fault = () => {
    throw new FilesError("io", "Cannot do it: the process is dead");
  };
  for (const { sharedLog, replicas } of shards) {
    await sharedLog.close();
    for (const { privateLog } of replicas) await privateLog.close().catch(() => {});
  }
  files.fault = () => {};
}

async function createReplicas(files: Files, count: number, dataDir = "/data"): Promise<Model[]> {
  const models: Model[] = [];
  for (let i = 0; i < count; i++) {
    const partition = PARTITION + i;
    // The last one is on the second disk.
    const path = storageOf(dataDir, "").dataDirs[i === 2 ? 1 : 0]!.path;
    await ReplicaDir.create(files, path, {
      partition,
      generation: 1,
      ballot: 1,
      durable: 0,
      syncedSequence: 0,
      tableName: "t",
      partitionCount: count,
      info: null,
      copies: 0,
    });
    models.push({ partition, generation: 1, records: [], confirmed: 0, ballot: 1, next: 1 });
  }
  return models;
}

Deno.test("recoverShard brings back everything confirmed over crashes", async () => {
  let collected = 0;
  for (let seed = 0; seed < 60; seed++) {
    const prng = new Prng(`recover ${seed}`);
    const files = new MemoryFiles();
    const models = await createReplicas(files, 3);
    for (let life = 1; life <= 4; life++) {
      const shards = await openShard(files, life, prng, 1 + prng.below(SHARD_COUNT_MAX));
      const label = `seed ${seed}, life ${life}`;
      assert.deepEqual(shards.flatMap((shard) => shard.condemned), [], label);
      assert.deepEqual(shards.flatMap((shard) => shard.damage), [], label);
      const replicas = shards.flatMap((shard) => shard.replicas);
      assert.equal(replicas.length, models.length, label);
      for (const model of models) {
        const found = replicas.find(({ dir }) => dir.manifest.partition === model.partition);
        check(model, found!, label);
      }
      await work(shards, models, prng);
      await crash(files, shards, prng);
      if (!files.exists("/logs/shared.0/log.0000000001")) collected++;
    }
  }
  assert.ok(collected > 10, `segments were collected in ${collected} lives`);
});

Deno.test("recoverShard condemns rather than lose or invent after bit rot", async () => {
  let condemned = 0;
  let clean = 0;
  let torn = 0;
  for (let seed = 0; seed < 150; seed++) {
    const prng = new Prng(`rot ${seed}`);
    const files = new MemoryFiles();
    const models = await createReplicas(files, 3);
    await work(await openShard(files, 1, prng), models, prng);
    const shards = await openShard(files, 2, prng);
    for (const shard of shards) shard.replicas.forEach((r, i) => check(models[i]!, r, "first"));
    await work(shards, models, prng);
    await crash(files, shards, prng);
    // One confirmed place breaks, half of the time in the last segment: its newest block cannot be told from a
    // torn one, but then the replica knows that it may lack something.
    const logs = [
      "/logs/shared.0",
      ...models.map((m) => {
        const index = m.partition - PARTITION;
        return `/data/${index === 2 ? "second/" : ""}replicas/1.${index}/log.1`;
      }),
    ];
    const dir = prng.pick(logs);
    const names = files.list(dir);
    if (names.length < 2) continue;
    const isLast = prng.chance(0.5);
    const path = `${dir}/${isLast ? names.at(-1) : names[prng.below(names.length - 1)]}`;
    files.flipBits(path, prng, 1 + prng.below(3));
    const [shard] = await openShard(files, 3, prng);
    for (const model of models) {
      const found = shard!.replicas.find((r) => r.dir.manifest.partition === model.partition);
      const given = shard!.condemned.some((c) => c.partition === model.partition);
      assert.notEqual(found === undefined, !given, `seed ${seed}`);
      if (found === undefined) condemned++;
      else if (isLast && found.recovery.tornTail) torn++;
      else {
        clean++;
        check(model, found, `seed ${seed}, ${path}`);
      }
    }
  }
  const counts = `${condemned} condemned, ${clean} clean, ${torn} torn`;
  assert.ok(condemned > 20 && clean > 100 && torn > 20, counts);
});

Deno.test("recoverShard makes durable what a process that ended left in the page cache", async () => {
  const manifest = {
    ...{ partition: PARTITION, generation: 1, ballot: 0, durable: 0, syncedSequence: 0 },
    ...{ tableName: "t", partitionCount: 1, info: null, copies: 0 },
  };
  const never = new Promise<void>(() => {});
  // The process ends before it can sync the name of a replica, its manifest, or the directory of a log.
  const REPLICA = "/data/replicas/1.0";
  for (const cut of ["/data/replicas", REPLICA, "/logs"]) {
    for (let seed = 0; seed < 30; seed++) {
      const prng = new Prng(`cut ${cut} ${seed}`);
      const files = new MemoryFiles();
      files.makeDir("/logs");
      files.makeDir("/data/replicas");
      for (const path of ["/", "/data"]) await files.syncDir(path);
      const life = async () => {
        const dir = await ReplicaDir.create(files, "/data", manifest);
        await dir.update({ ballot: 7 });
        await openShard(files, 1, prng);
      };
      files.delay = (path) => path === cut && files.exists(REPLICA) ? never : Promise.resolve();
      life();
      for (let turn = 0; turn < 200; turn++) await null;
      files.processCrash();
      files.delay = () => Promise.resolve();
      const [second] = await openShard(files, 2, prng);
      const found = second!.replicas.map(({ dir }) => dir.manifest.ballot);
      // It goes on, and what it writes is confirmed; then the power fails.
      const record = mutationRecord(1, { decree: 1, bytes: 10 });
      const durable = new Promise<number>((resolve) => second!.sharedLog.onDurable = resolve);
      second!.sharedLog.append(record);
      await durable;
      files.powerLoss(prng);
      const [third] = await openShard(files, 3, prng);
      const label = `cut ${cut}, seed ${seed}`;
      assert.deepEqual(third!.replicas.map(({ dir }) => dir.manifest.ballot), found, label);
      assert.equal(third!.replicas[0]?.recovery.lastSequence, 1, label);
    }
  }
});

Deno.test("recoverShard condemns an unreadable manifest and removes the unborn", async () => {
  const files = new MemoryFiles();
  const prng = new Prng(1);
  await createReplicas(files, 2);
  files.makeDir("/data/replicas/2.0.new/data.1");
  files.flipBits("/data/replicas/1.0/manifest", prng, 1);
  const [shard] = await openShard(files, 1, prng);
  assert.deepEqual(shard!.condemned.map(({ partition }) => partition), [PARTITION]);
  assert.match(shard!.condemned[0]!.reason, /checksum is wrong/);
  assert.equal(shard!.replicas.length, 1);
  assert.equal(files.exists("/data/replicas/2.0.new"), false);
});

Deno.test("recoverShard takes nothing of an earlier life of the same partition", async () => {
  const files = new MemoryFiles();
  const prng = new Prng(2);
  const [model] = await createReplicas(files, 1);
  const shards = await openShard(files, 1, prng);
  await work(shards, [model!], prng);
  await crash(files, shards, prng);
  await ReplicaDir.open(files, "/data", PARTITION).moveAside("err", 1);
  await ReplicaDir.create(files, "/data", {
    partition: PARTITION,
    generation: 2,
    ballot: 1,
    durable: 0,
    syncedSequence: 0,
    tableName: "t",
    partitionCount: 1,
    info: null,
    copies: 0,
  });
  const [shard] = await openShard(files, 2, prng);
  assert.deepEqual(shard!.replicas[0]!.recovery.mutations, []);
  assert.equal(await shard!.sharedLog.collect(() => 0) >= 0, true);
});

Deno.test("recoverShard works on the real disk", async () => {
  const dataDir = Deno.makeTempDirSync();
  const prng = new Prng(5);
  const models = await createReplicas(diskFiles, 3, dataDir);
  const open = (incarnation: number) =>
    recoverShard({
      files: diskFiles,
      storage: storageOf(dataDir, dataDir),
      shard: 0,
      shardCount: 1,
      incarnation,
      fsync: "group",
      sharedSegmentBytes: 2000,
      privateSegmentBytes: 1000,
    });
  for (let life = 1; life <= 3; life++) {
    const shard = await open(life);
    assert.deepEqual([shard.condemned, shard.damage], [[], []]);
    shard.replicas.forEach((replica, i) => check(models[i]!, replica, `life ${life}`));
    await work([shard], models, prng);
    await shard.sharedLog.close();
    for (const { privateLog } of shard.replicas) await privateLog.close();
  }
  Deno.removeSync(dataDir, { recursive: true });
});
