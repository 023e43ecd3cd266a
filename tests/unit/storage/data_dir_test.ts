// Data directories of a process: which are used, which are not, and what a restart may believe of them. A
// replica in a directory that the server once went on without must never be used again.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { FilesError } from "../../../src/base/files.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import { DataDirs } from "../../../storage/data_dir.ts";
import {
  encodeChecked,
  LayoutError,
  listAside,
  listReplicas,
  type Manifest,
  ReplicaDir,
} from "../../../storage/replica_dir.ts";
import { copyReplica, UnsettledCopyError } from "../../../storage/replica_copy.ts";
import { recoverShard } from "../../../storage/recover_shard.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";

const DIRS = [{ tag: "a", path: "/a" }, { tag: "b", path: "/b" }, { tag: "c", path: "/c" }];
const PARTITION = partitionId(1, 3);
const MANIFEST: Manifest = {
  partition: PARTITION,
  generation: 7,
  ballot: 2,
  durable: 0,
  syncedSequence: 0,
  tableName: "users",
  partitionCount: 8,
  info: null,
  copies: 0,
};

function open(files: MemoryFiles, dirs = DIRS, nowSeconds = 0, logDir = ""): Promise<DataDirs> {
  return DataDirs.open(files, dirs, { logDir, nowSeconds });
}

function tags(dirs: DataDirs): string {
  return dirs.plan.dataDirs.map(({ tag }) => tag).join("");
}

function isLayoutError(kind: LayoutError["kind"]): (error: unknown) => boolean {
  return (error) => error instanceof LayoutError && error.kind === kind;
}

Deno.test("DataDirs start incarnations that grow over power losses and a wiped directory", async () => {
  const files = new MemoryFiles();
  let last = 0;
  for (let seed = 0; seed < 30; seed++) {
    const dirs = await open(files, DIRS.slice(0, 1 + seed % 3), seed === 10 ? 5000 : 0);
    assert.ok(dirs.plan.incarnation > last);
    last = dirs.plan.incarnation;
    await dirs.close(false);
    if (seed % 2 === 0) files.powerLoss(new Prng(seed));
    if (seed === 9) { for (const { path } of DIRS) files.remove(path); }
  }
  assert.ok(last >= 5000);
});

Deno.test("DataDirs admit one process and refuse what a newer program wrote", async () => {
  const files = new MemoryFiles();
  const first = await open(files);
  await assert.rejects(open(files), (error: FilesError) => error.kind === "exists");
  await assert.rejects(open(files, DIRS.slice(2)), (error: FilesError) => error.kind === "exists");
  await first.close(true);
  files.overwrite("/b/node", encodeChecked({ layout: 2 }));
  await assert.rejects(open(files), isLayoutError("newer"));
  // Nothing of the failed attempt is left locked.
  await assert.rejects(open(files), isLayoutError("newer"));
  files.overwrite("/b/node", utf8("what is this"));
  await assert.rejects(open(files, DIRS.slice(1, 2)), isLayoutError("unreadable"));
  const second = await open(files);
  assert.equal(tags(second), "ac", "one of several that is unreadable is left out");
  assert.match(second.bad[0]!.reason, /checksum/);
  await second.close(true);
});

Deno.test("DataDirs of one directory are those of earlier versions", async () => {
  const files = new MemoryFiles();
  files.makeDir("/a");
  await files.writeFileAtomic("/a/node", encodeChecked({ incarnation: 41 }));
  await ReplicaDir.create(files, "/a", MANIFEST);
  const dirs = await open(files, DIRS.slice(0, 2));
  assert.deepEqual([dirs.plan.incarnation, tags(dirs), dirs.plan.lostLog], [42, "ab", ""]);
  assert.deepEqual(listReplicas(files, "/a"), [PARTITION]);
});

Deno.test("DataDirs go on without a missing directory, and never believe it when it is back", async () => {
  const files = new MemoryFiles();
  await (await open(files)).close(true);
  await ReplicaDir.create(files, "/b", MANIFEST);
  files.rename("/b", "/unmounted");
  const without = await open(files);
  assert.equal(tags(without), "ac");
  assert.match(without.bad[0]!.reason, /"\/b" is empty.*is the disk mounted\?/);
  assert.equal(files.exists("/b"), false, "nothing is written where a disk is missing");
  await without.close(true);
  const still = await open(files);
  assert.equal(tags(still), "ac", "also at the next start");
  assert.equal(await still.exclude("c", "broken"), true);
  await still.close(true);
  files.rename("/c", "/replaced");
  const one = await open(files);
  assert.equal(tags(one), "a", "an empty place is no new disk after a loss at run time either");
  await one.close(true);
  files.rename("/replaced", "/c");
  files.rename("/unmounted", "/b");
  const again = await open(files);
  assert.equal(tags(again), "abc");
  assert.deepEqual(listReplicas(files, "/b"), []);
  assert.deepEqual(listAside(files, "/b").map(({ reason }) => reason), ["err"]);
  await again.close(true);
  files.remove("/c");
  const renamed = await open(files, [...DIRS.slice(0, 2), { tag: "new", path: "/c" }]);
  assert.deepEqual(renamed.bad, [], "a new disk under a new tag");
});

Deno.test("DataDirs exclude a directory that breaks, over a power loss in any moment", async () => {
  let excluded = 0;
  for (let seed = 0; seed < 60; seed++) {
    const files = new MemoryFiles();
    const prng = new Prng(seed);
    const dirs = await open(files);
    await ReplicaDir.create(files, "/b", MANIFEST);
    let calls = 1 + prng.below(12);
    files.fault = (_operation, path) => {
      if (path.startsWith("/b")) throw new FilesError("io", "broken");
      if (--calls <= 0) throw new FilesError("io", "the machine stops");
    };
    const done = await dirs.exclude("b", "broken").then((is) => is, () => false);
    files.powerLoss(prng);
    files.fault = () => {};
    const again = await open(files);
    assert.equal(tags(again), "abc");
    if (!done) continue;
    excluded++;
    assert.deepEqual(listReplicas(files, "/b"), [], `seed ${seed}`);
  }
  assert.ok(excluded > 10 && excluded < 60, `${excluded} excluded`);
});

Deno.test("DataDirs keep a broken directory until its loss is noted elsewhere", async () => {
  const files = new MemoryFiles();
  const dirs = await open(files);
  files.fault = () => {
    throw new FilesError("io", "nothing works");
  };
  await assert.rejects(dirs.exclude("b", "broken"), FilesError);
  assert.deepEqual([dirs.good.map(({ tag }) => tag), dirs.bad], [["a", "b", "c"], []]);
  files.fault = () => {};
  assert.equal(await dirs.exclude("b", "broken"), true);
  assert.deepEqual(dirs.bad.map(({ tag }) => tag), ["b"]);
});

Deno.test("DataDirs keep every replica over a power loss while they are opened", async () => {
  for (let seed = 0; seed < 60; seed++) {
    const files = new MemoryFiles();
    const prng = new Prng(seed);
    await (await open(files)).close(true);
    for (const { path } of DIRS) await ReplicaDir.create(files, path, MANIFEST);
    let calls = 1 + prng.below(12);
    files.fault = () => {
      if (--calls <= 0) throw new FilesError("io", "the machine stops");
    };
    await open(files).catch(() => {});
    files.powerLoss(prng);
    files.fault = () => {};
    const again = await open(files);
    const kept = again.plan.dataDirs.map(({ path }) => listReplicas(files, path).length);
    assert.deepEqual([tags(again), ...kept], ["abc", 1, 1, 1], `seed ${seed}`);
  }
});

Deno.test("DataDirs use a full disk, and do not start if nothing can be written", async () => {
  const files = new MemoryFiles();
  await (await open(files)).close(true);
  const full = new FilesError("noSpace", "full");
  files.fault = (operation, path) => {
    if (operation === "write" && path.startsWith("/b")) throw full;
  };
  const dirs = await open(files);
  assert.deepEqual([tags(dirs), dirs.bad], ["abc", []]);
  await dirs.close(false);
  files.fault = (operation) => {
    if (operation === "write") throw full;
  };
  await assert.rejects(open(files), full);
});

Deno.test("DataDirs say when shared logs of an unclean stop are gone", async () => {
  const files = new MemoryFiles();
  const first = await open(files);
  assert.equal(first.plan.logDir, "/a");
  await recoverShard({
    files,
    storage: first.plan,
    shard: 0,
    shardCount: 1,
    incarnation: first.plan.incarnation,
    fsync: "group",
  });
  await first.close(false);
  // Another place now: the old one is still read.
  const moved = await open(files, DIRS, 0, "/log");
  assert.deepEqual([moved.plan.lostLog, moved.plan.formerLogDirs], ["", ["/a"]]);
  files.makeDir("/log/shared.0");
  await moved.close(false);
  files.remove("/log");
  const lost = await open(files, DIRS, 0, "/log");
  assert.match(lost.plan.lostLog, /not in "\/log" any more/);
  await ReplicaDir.create(files, "/b", MANIFEST);
  const { condemned, replicas } = await recoverShard({
    files,
    storage: lost.plan,
    shard: 0,
    shardCount: 1,
    incarnation: lost.plan.incarnation,
    fsync: "group",
  });
  assert.deepEqual(condemned, [{
    partition: PARTITION,
    dataDir: "/b",
    reason: lost.plan.lostLog,
  }]);
  assert.deepEqual(replicas, []);
  await lost.close(true);
  files.remove("/log");
  assert.equal((await open(files, DIRS, 0, "/log")).plan.lostLog, "", "a clean stop needs no log");
});

/** Counts the files that are open. */
function countOpen(files: MemoryFiles): () => number {
  let count = 0;
  const open = files.open.bind(files);
  files.open = (path, mode) => {
    const file = open(path, mode);
    const close = file.close.bind(file);
    count++;
    file.close = () => {
      count--;
      close();
    };
    return file;
  };
  return () => count;
}

Deno.test("copyReplica() leaves one whole replica whenever the machine stops", async () => {
  let copied = 0;
  for (let seed = 0; seed < 120; seed++) {
    const files = new MemoryFiles();
    const prng = new Prng(seed);
    const { plan } = await open(files, DIRS.slice(0, 2));
    const dir = await ReplicaDir.create(files, "/a", MANIFEST);
    const rows = utf8("rows ".repeat(1000));
    await files.writeFileAtomic(`${dir.enginePath}/000001.ldb`, rows);
    let calls = 1 + prng.below(30);
    files.fault = () => {
      if (--calls <= 0) throw new FilesError("io", "the machine stops");
    };
    const opened = countOpen(files);
    const outcome = await copyReplica(files, PARTITION, { from: "/a", to: "/b" }).then(
      () => "done",
      (error) => error instanceof UnsettledCopyError ? "unsettled" : "failed",
    );
    assert.equal(opened(), 0, `seed ${seed}`);
    if (outcome === "unsettled") continue;
    const done = outcome === "done";
    if (done) copied++;
    files.fault = () => {};
    if (seed % 2 === 0) files.powerLoss(prng);
    const shard = { files, storage: plan, shard: 0, shardCount: 1, incarnation: 9 } as const;
    const { replicas, condemned } = await recoverShard({ ...shard, fsync: "group" });
    assert.deepEqual(condemned, [], `seed ${seed}`);
    assert.equal(replicas.length, 1, `seed ${seed}`);
    const [found] = replicas;
    assert.equal(found!.dir.dataDir, done ? "/b" : "/a", `seed ${seed}`);
    assert.deepEqual(files.readFile(`${found!.dir.enginePath}/000001.ldb`), rows, `seed ${seed}`);
  }
  assert.ok(copied > 20 && copied < 110, `${copied} copied`);
});

Deno.test("DataDirs keep the identity of meta's store over restarts and power losses", async () => {
  const files = new MemoryFiles();
  const first = await open(files);
  assert.equal(first.store, "");
  await first.adoptStore("abc");
  files.powerLoss(new Prng(1));
  const second = await open(files, DIRS.slice(0, 2));
  assert.equal(second.store, "abc");
  await second.adoptStore("def");
  await second.close(true);
  assert.equal((await open(files)).store, "def");
});
