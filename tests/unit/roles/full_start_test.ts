// A server that starts on a full disk: what it cannot open yet is neither given up nor forgotten.

import assert from "node:assert/strict";
import { isNoSpace } from "../../../src/base/files.ts";
import { decodeMutation } from "../../../src/schema/mutation.ts";
import { EngineError, isEngineFull } from "../../../storage/engine.ts";
import { recoverShard } from "../../../storage/recover_shard.ts";
import { GenerationSource, ReplicaDir } from "../../../storage/replica_dir.ts";
import { openSharedLog } from "../../../storage/shared_log.ts";
import { DiskSet } from "../../../roles/replica/disk_set.ts";
import { DiskStores } from "../../../roles/replica/disk_stores.ts";
import { reportOf } from "../../../roles/replica/stored_info.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";
import { mutationRecord, PARTITION } from "../storage/log_fixture.ts";

/** A replica that a crash left with three records in the shared log, and none in its own. */
async function crashed(): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  files.makeDir("/data/replicas");
  await ReplicaDir.create(files, "/data", {
    ...{ partition: PARTITION, generation: 1, ballot: 1, durable: 0, syncedSequence: 0 },
    ...{ tableName: "t", partitionCount: 1, info: {}, copies: 0 },
  });
  const options = { files, dir: "/data/shared.0", incarnation: 1, fsync: "group" as const };
  const { log } = await openSharedLog(options, () => {});
  for (let i = 1; i <= 3; i++) log.append(mutationRecord(i, { lastCommitted: i - 1 }));
  await log.close();
  files.processCrash();
  return files;
}

function start(files: MemoryFiles, shardCount = 1) {
  const dataDirs = [{ tag: "d1", path: "/data" }];
  return recoverShard({
    ...{ files, shard: 0, shardCount, incarnation: 2 },
    fsync: "group",
    storage: {
      dataDirs,
      logDir: "/data",
      formerLogDirs: [],
      lostLog: "",
      wasClean: false,
      boot: "",
    },
  });
}

function storesOf(files: MemoryFiles, openEngine: () => Promise<MemoryEngine>): DiskStores {
  const dirs = [{ tag: "d1", path: "/data" }];
  const space = () => ({ totalBytes: 1e12, freeBytes: 1e12 });
  return new DiskStores({
    ...{ files, openEngine, privateSegmentBytes: 1000, privateReserveBytes: 0 },
    disks: new DiskSet({ files, dirs, reserveBytes: 0, space }),
    generations: new GenerationSource(2),
  }, () => 0);
}

Deno.test("A start on a full disk keeps what only the shared log holds, and opens the replica when there is room", async () => {
  const files = await crashed();
  files.bytesFree = 0;
  const { replicas, condemned, sharedLog } = await start(files);
  assert.deepEqual(condemned, []);
  const [found] = replicas;
  const { status, ballot, lastPrepared, committed, durable } = reportOf(found!);
  assert.deepEqual([status, ballot, lastPrepared, committed, durable], ["inactive", 1, 3, 2, 0]);
  let opened = 0;
  let isFull = false;
  const stores = storesOf(files, () => {
    opened++;
    return isFull
      ? Promise.reject(new EngineError("noSpace", "No space left on device"))
      : Promise.resolve(new MemoryEngine());
  });
  await assert.rejects(stores.openFound(found!), isNoSpace);
  await assert.rejects(stores.reopen(PARTITION), isNoSpace);
  assert.equal(opened, 0, "its log comes first");
  assert.match(stores.refusal(PARTITION, "d1") ?? "", /no room/);
  // The log finds room, the engine does not.
  files.bytesFree = Infinity;
  isFull = true;
  await assert.rejects(stores.reopen(PARTITION), isEngineFull);
  isFull = false;
  const replica = await stores.reopen(PARTITION);
  const decrees = replica?.recovered.tail.map(({ decree }) => decree);
  assert.deepEqual([decrees, replica?.recovered.committed], [[1, 2, 3], 2]);
  const [first] = (await replica!.store.readMutations(1, 3, 1))!;
  assert.equal(decodeMutation(first!)?.decree, 1, "its own log has them now");
  await replica!.store.close();
  await sharedLog.close();
});

Deno.test("A start on a full disk fails if the records of a log that goes find no room", async () => {
  const files = await crashed();
  files.bytesFree = 0;
  // With another number of shards the log may belong to somebody else who gives it back.
  files.rename("/data/shared.0", "/data/shared.1");
  await assert.rejects(start(files, 2), isNoSpace);
  assert.deepEqual(files.list("/data/replicas"), ["1.0"]);
});
