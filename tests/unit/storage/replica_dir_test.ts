// Directories and manifests are whole or absent, whatever crashes and whenever; incarnations and
// generations only grow, and a ballot never goes back. The rules are those of
// docs/storage_layout.md, "Directories".

import assert from "node:assert/strict";
import { FilesError } from "../../../src/base/files.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import {
  encodeChecked,
  GenerationSource,
  LayoutError,
  listAside,
  listReplicas,
  type Manifest,
  moveReplicaAside,
  ReplicaDir,
} from "../../../storage/replica_dir.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";

const PARTITION = partitionId(1, 3);
const MANIFEST: Manifest = {
  partition: PARTITION,
  generation: 7,
  ballot: 2,
  durable: 0,
  syncedSequence: 0,
  tableName: "users",
  partitionCount: 8,
  info: { envs: { "a.b": "c" } },
  copies: 0,
};

function isLayoutError(kind: LayoutError["kind"]): (error: unknown) => boolean {
  return (error) => error instanceof LayoutError && error.kind === kind;
}

Deno.test("ReplicaDir is created, found and read back", async () => {
  const files = new MemoryFiles();
  const dir = await ReplicaDir.create(files, "/data", MANIFEST);
  assert.equal(dir.path, "/data/replicas/1.3");
  assert.equal(dir.enginePath, "/data/replicas/1.3/data.7");
  assert.equal(dir.logPath, "/data/replicas/1.3/log.7");
  await assert.rejects(ReplicaDir.create(files, "/data", MANIFEST), FilesError);
  await dir.update({ ballot: 5, durable: 44, syncedSequence: 60 });
  files.powerLoss(new Prng(1));
  assert.deepEqual(listReplicas(files, "/data"), [PARTITION]);
  const { manifest } = ReplicaDir.open(files, "/data", PARTITION);
  assert.deepEqual(manifest, { ...MANIFEST, ballot: 5, durable: 44, syncedSequence: 60 });
  assert.ok(files.exists(dir.enginePath) && files.exists(dir.logPath));
});

Deno.test("ReplicaDir is whole or absent whenever its creation stops", async () => {
  let present = 0;
  for (let seed = 0; seed < 100; seed++) {
    const files = new MemoryFiles();
    const prng = new Prng(seed);
    let calls = 1 + prng.below(12);
    files.fault = () => {
      if (--calls <= 0) throw new FilesError("io", "Cannot do it: the machine stops");
    };
    const done = await ReplicaDir.create(files, "/data", MANIFEST).then(() => true, () => false);
    files.powerLoss(prng);
    files.fault = () => {};
    const found = listReplicas(files, "/data");
    if (found.length === 0) {
      assert.equal(done, false);
      await ReplicaDir.create(files, "/data", MANIFEST);
      continue;
    }
    present++;
    assert.deepEqual(ReplicaDir.open(files, "/data", PARTITION).manifest, MANIFEST);
  }
  assert.ok(present > 5 && present < 95, `present ${present} times`);
});

Deno.test("ReplicaDir switches generations in one step and drops the old one", async () => {
  for (let seed = 0; seed < 60; seed++) {
    const files = new MemoryFiles();
    const dir = await ReplicaDir.create(files, "/data", MANIFEST);
    const prng = new Prng(seed);
    const next = await dir.prepareGeneration(9);
    files.open(`${next.enginePath}/x`, "create").close();
    await files.syncDir(next.enginePath);
    let calls = 1 + prng.below(8);
    files.fault = () => {
      if (--calls <= 0) throw new FilesError("io", "Cannot do it: the machine stops");
    };
    try {
      await dir.commitGeneration(9, { ballot: 3, durable: 100 });
      await dir.dropOldGenerations();
    } catch (error) {
      assert.ok(error instanceof FilesError);
    }
    files.powerLoss(prng);
    files.fault = () => {};
    const again = ReplicaDir.open(files, "/data", PARTITION);
    if (again.manifest.generation === 9) {
      assert.deepEqual(again.manifest, { ...MANIFEST, generation: 9, ballot: 3, durable: 100 });
      assert.deepEqual(files.list(again.enginePath), ["x"]);
    } else {
      assert.deepEqual(again.manifest, MANIFEST);
    }
    assert.ok(files.exists(again.enginePath) && files.exists(again.logPath));
    await again.dropOldGenerations();
    assert.equal(files.list(again.path).filter((name) => name !== "manifest.tmp").length, 3);
  }
});

Deno.test("ReplicaDir leaves a generation alone that is being filled while an earlier one goes", async () => {
  const files = new MemoryFiles();
  const dir = await ReplicaDir.create(files, "/data", MANIFEST);
  await dir.prepareGeneration(9);
  await dir.commitGeneration(9, { ballot: 3, durable: 100 });
  const next = await dir.prepareGeneration(10);
  await dir.dropOldGenerations("earlier");
  assert.ok(files.exists(next.enginePath) && files.exists(next.logPath));
  assert.deepEqual(files.list(dir.path), ["data.10", "data.9", "log.10", "log.9", "manifest"]);
  // A restart before it was committed gives it up.
  const again = ReplicaDir.open(files, "/data", PARTITION);
  await again.dropOldGenerations();
  assert.deepEqual(files.list(dir.path), ["data.9", "log.9", "manifest"]);
});

Deno.test("ReplicaDir keeps all values of overlapping updates", async () => {
  const files = new MemoryFiles();
  const dir = await ReplicaDir.create(files, "/data", MANIFEST);
  await Promise.all([
    dir.update({ durable: 9 }),
    dir.update({ ballot: 4 }),
    dir.update({ ballot: 5 }),
  ]);
  assert.deepEqual(ReplicaDir.open(files, "/data", PARTITION).manifest, dir.manifest);
  assert.deepEqual(dir.manifest, { ...MANIFEST, durable: 9, ballot: 5 });
});

Deno.test("ReplicaDir refuses a ballot that goes back", async () => {
  const dir = await ReplicaDir.create(new MemoryFiles(), "/data", MANIFEST);
  await assert.rejects(dir.update({ ballot: 1 }), /ballot goes back/);
});

Deno.test("ReplicaDir tells an unreadable manifest from a newer one", async () => {
  const files = new MemoryFiles();
  const dir = await ReplicaDir.create(files, "/data", MANIFEST);
  const path = `${dir.path}/manifest`;
  const good = files.readFile(path);
  const open = () => ReplicaDir.open(files, "/data", PARTITION);
  for (let at = 0; at < good.length; at++) {
    for (const mask of [1, 0x20]) {
      const bad = good.slice();
      bad[at]! ^= mask;
      files.overwrite(path, bad);
      assert.throws(open, isLayoutError("unreadable"), `byte ${at}`);
    }
    files.overwrite(path, good.slice(0, at));
    assert.throws(open, isLayoutError("unreadable"));
  }
  files.overwrite(path, encodeChecked({ ...MANIFEST, partition: "1.4" }));
  assert.throws(open, /belongs to partition 1.4/);
  files.overwrite(path, encodeChecked({ ...MANIFEST, partition: "1.3", ballot: -1 }));
  assert.throws(open, isLayoutError("unreadable"));
  files.overwrite(path, encodeChecked({ layout: 2 }));
  assert.throws(open, isLayoutError("newer"));
  files.remove(path);
  assert.throws(open, isLayoutError("unreadable"));
});

Deno.test("ReplicaDir moves aside and removes", async () => {
  const files = new MemoryFiles();
  const dir = await ReplicaDir.create(files, "/data", MANIFEST);
  assert.equal(await dir.moveAside("err", 1700), "/data/replicas/1.3.err.1700");
  await ReplicaDir.create(files, "/data", MANIFEST);
  const second = await moveReplicaAside(files, "/data", PARTITION, {
    reason: "err",
    timestamp: 1700,
  });
  assert.equal(second, "/data/replicas/1.3.err.1701");
  files.powerLoss(new Prng(3));
  assert.deepEqual(listReplicas(files, "/data"), []);
  assert.deepEqual(listAside(files, "/data").map(({ timestamp }) => timestamp), [1700, 1701]);
  const third = await ReplicaDir.create(files, "/data", MANIFEST);
  await third.remove();
  files.powerLoss(new Prng(4));
  assert.deepEqual(listReplicas(files, "/data"), []);
});

Deno.test("GenerationSource never repeats a number in later incarnations", () => {
  const first = new GenerationSource(1_800_000_000);
  const generations = [first.next(), first.next()];
  const later = new GenerationSource(1_800_000_001).next();
  assert.ok(generations[0]! < generations[1]! && generations[1]! < later);
  assert.ok(Number.isSafeInteger(later));
});

Deno.test("ReplicaDir refuses a durable decree that goes back, except with other rows", async () => {
  const files = new MemoryFiles();
  const dir = await ReplicaDir.create(files, "/data", MANIFEST);
  const { ballot, generation, durable } = dir.manifest;
  await dir.update({ durable: durable + 5 });
  await assert.rejects(dir.update({ durable: durable + 4 }), /durable goes back/);
  assert.equal(ReplicaDir.open(files, "/data", PARTITION).manifest.durable, durable + 5);
  await dir.prepareGeneration(generation + 1);
  await dir.commitGeneration(generation + 1, { ballot, durable });
  assert.equal(dir.manifest.durable, durable);
});
