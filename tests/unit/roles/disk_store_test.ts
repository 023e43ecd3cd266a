// The store of one replica while its generation is replaced.

import assert from "node:assert/strict";
import { FilesError, isNoSpace } from "../../../src/base/files.ts";
import { partitionId } from "../../../src/base/ids.ts";
import { Prng } from "../../../src/base/prng.ts";
import { encodeMutation, type Mutation } from "../../../src/schema/mutation.ts";
import { applyOps } from "../../../storage/apply.ts";
import { GenerationSource } from "../../../storage/replica_dir.ts";
import { DiskSet } from "../../../roles/replica/disk_set.ts";
import { DiskStores } from "../../../roles/replica/disk_stores.ts";
import { openPrivateLog } from "../../../storage/private_log.ts";
import { EngineError } from "../../../storage/engine.ts";
import { ReplicaRecovery } from "../../../storage/recovery.ts";
import { ReplicaDir } from "../../../storage/replica_dir.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";

function emptyDisk(): MemoryFiles {
  const files = new MemoryFiles();
  files.makeDir("/data/replicas");
  return files;
}

/** Options of stores in one directory with room. */
function optionsOf(files: MemoryFiles) {
  const dirs = [{ tag: "d1", path: "/data" }];
  const space = () => ({ totalBytes: 1e12, freeBytes: 1e12 });
  return {
    ...{ files, privateSegmentBytes: 1000, privateReserveBytes: 0 },
    disks: new DiskSet({ files, dirs, reserveBytes: 0, space }),
    generations: new GenerationSource(1),
  };
}

Deno.test("DiskStore gives a checkpoint up whose generation an image has replaced", async () => {
  const files = emptyDisk();
  const stores = new DiskStores({
    ...optionsOf(files),
    openEngine: () => Promise.resolve(new MemoryEngine()),
  }, () => 0);
  const { store } = await stores.create(partitionId(1, 0), undefined);
  store.append({ kind: "ballot", ballot: 1, reconcileEnd: 0 });
  // The checkpoint waits for the log of the old generation, while an image is installed and the old one removed.
  const [before] = files.list("/data/replicas/1.0").filter((name) => name.startsWith("log."));
  let release = () => {};
  const held = new Promise<void>((resolve) => release = resolve);
  files.delay = (path) => path.includes(before!) ? held : Promise.resolve();
  const checkpoint = store.checkpoint({ decree: 0, ballot: 1, sessions: new Uint8Array(0) });
  const staged = await store.stage();
  await staged.commit(1, 0);
  staged.activate(Promise.resolve());
  files.removeDurably(`/data/replicas/1.0/${before}`);
  release();
  assert.equal(await checkpoint, false);
  // Its own generation is whole, and a checkpoint of it is one.
  files.delay = () => Promise.resolve();
  assert.equal(await store.checkpoint({ decree: 0, ballot: 1, sessions: new Uint8Array(0) }), true);
  await store.close();
});

Deno.test("DiskStores condemn a replica whose engine has applied another mutation than its log holds", async () => {
  const files = emptyDisk();
  const partition = partitionId(1, 0);
  let engine = new MemoryEngine();
  const stores = new DiskStores({
    ...optionsOf(files),
    openEngine: () => Promise.resolve(engine),
  }, () => 0);
  const mutation = (ballot: number, timestampUs: number): Mutation => {
    return { ballot, decree: 1, lastCommitted: 0, timestampUs, body: new Uint8Array(0) };
  };
  const { store } = await stores.create(partition, undefined);
  // A mutation that nobody else had; what was committed in its place went with the power, but the engine has it.
  store.append({ kind: "mutation", decree: 1, payload: encodeMutation(mutation(1, 111)) });
  await store.close();
  const reopen = async (applied: Mutation) => {
    engine = engine.survivor("process");
    engine.writeNow([...applyOps([applied], 0)]);
    const dir = ReplicaDir.open(files, "/data", partition);
    const { generation } = dir.manifest;
    const recovery = new ReplicaRecovery(dir.manifest);
    const opened = await openPrivateLog({ files, dir: dir.logPath, generation }, (record) => {
      recovery.privateRecord(record);
    });
    recovery.privateEnd(opened);
    return { dir, log: opened.log, result: recovery.result() };
  };
  const other = await reopen(mutation(3, 222));
  await assert.rejects(
    stores.open(other.dir, other.log, other.result),
    /The engine has applied another mutation 1 than the one in the logs/,
  );
  // The same one, prepared again under a larger ballot, is the same.
  const same = await reopen(mutation(3, 111));
  const { recovered } = await stores.open(same.dir, same.log, same.result);
  assert.equal(recovered.committed, 1);
});

Deno.test("DiskStores remember over an end in order that a replica may lack something", async () => {
  const files = emptyDisk();
  const partition = partitionId(1, 0);
  const engine = new MemoryEngine();
  const storesOf = (boot: string, wasUnsynced: boolean) =>
    new DiskStores({
      ...{ ...optionsOf(files), boot, wasUnsynced },
      openEngine: () => Promise.resolve(engine.survivor("process")),
    }, () => 0);
  const open = async (boot: string, wasUnsynced: boolean) => {
    const dir = ReplicaDir.open(files, "/data", partition);
    const recovery = new ReplicaRecovery(dir.manifest);
    const { generation } = dir.manifest;
    const opened = await openPrivateLog({ files, dir: dir.logPath, generation }, () => {});
    recovery.privateEnd(opened);
    return storesOf(boot, wasUnsynced).open(dir, opened.log, recovery.result());
  };
  const created = await storesOf("b1", false).create(partition, undefined);
  await created.store.close();
  // Another start of the operating system, after an end that was not in order.
  const doubted = await open("b2", true);
  assert.equal(doubted.recovered.mayLack, true);
  await doubted.store.close();
  const again = await open("b2", false);
  assert.equal(
    again.recovered.mayLack,
    true,
    "the server ended in order, and the replica is what it was",
  );
  // Somebody vouches for it.
  await again.store.checkpoint({ decree: 0, ballot: 0, sessions: new Uint8Array(0), whole: true });
  await again.store.close();
  const whole = await open("b2", true);
  assert.equal(whole.recovered.mayLack, false);
  await whole.store.close();
});

Deno.test("DiskStore closes its engine on a full disk, and its log when there is room, with nothing missing", async () => {
  const files = emptyDisk();
  const partition = partitionId(1, 0);
  const engines: MemoryEngine[] = [];
  const stores = new DiskStores({
    ...optionsOf(files),
    openEngine: () => {
      engines.push(engines.at(-1)?.survivor("process") ?? new MemoryEngine());
      return Promise.resolve(engines.at(-1)!);
    },
  }, () => 0);
  const { store } = await stores.create(partition, undefined);
  store.append({ kind: "ballot", ballot: 6, reconcileEnd: 0 });
  store.writeLog();
  store.append({ kind: "ballot", ballot: 7, reconcileEnd: 0 });
  files.bytesFree = 0;
  for (let i = 0; i < 2; i++) await assert.rejects(store.close(), isNoSpace);
  await assert.rejects(engines[0]!.write([]), { kind: "closed" });
  files.bytesFree = Infinity;
  await store.close();
  for (const path of ["/", "/data"]) await files.syncDir(path);
  files.powerLoss(new Prng("full"));
  const again = await stores.reopen(partition);
  assert.equal(again?.recovered.ballot, 7);
  await again?.store.close();
});

Deno.test("DiskStores move a replica aside that turns out to be damaged when it is opened again", async () => {
  for (const damage of ["engine", "manifest"]) {
    const files = emptyDisk();
    const partition = partitionId(1, 0);
    let isDamaged = false;
    const stores = new DiskStores({
      ...optionsOf(files),
      openEngine: () =>
        isDamaged
          ? Promise.reject(new EngineError("corruption", "A table is damaged"))
          : Promise.resolve(new MemoryEngine()),
    }, () => 5000);
    const { store } = await stores.create(partition, undefined);
    await store.close();
    if (damage === "engine") isDamaged = true;
    else files.overwrite("/data/replicas/1.0/manifest", new Uint8Array([1, 2, 3]));
    assert.equal(await stores.reopen(partition), undefined, damage);
    assert.deepEqual(files.list("/data/replicas"), ["1.0.err.5"]);
    assert.equal(stores.locate(partition), "");
  }
});

Deno.test("DiskStore leaves no engine open of a generation whose log cannot be made", async () => {
  const files = emptyDisk();
  const engines: MemoryEngine[] = [];
  const stores = new DiskStores({
    ...optionsOf(files),
    openEngine: () => {
      engines.push(new MemoryEngine());
      if (engines.length === 2) {
        files.fault = () => {
          throw new FilesError("io", "The disk is gone");
        };
      }
      return Promise.resolve(engines.at(-1)!);
    },
  }, () => 0);
  const { store } = await stores.create(partitionId(1, 0), undefined);
  await assert.rejects(store.stage(), /gone/);
  await assert.rejects(engines[1]!.write([]), { kind: "closed" });
  files.fault = () => {};
  await store.close();
});
