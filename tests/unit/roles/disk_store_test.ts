// The store of one replica while its generation is replaced.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { GenerationSource } from "../../../storage/replica_dir.ts";
import { DiskSet } from "../../../roles/replica/disk_set.ts";
import { DiskStores } from "../../../roles/replica/disk_stores.ts";
import { MemoryEngine } from "../../sim/memory_engine.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";

Deno.test("DiskStore gives a checkpoint up whose generation an image has replaced", async () => {
  const files = new MemoryFiles();
  files.makeDir("/data/replicas");
  const dirs = [{ tag: "d1", path: "/data" }];
  const space = () => ({ totalBytes: 1e12, freeBytes: 1e12 });
  const stores = new DiskStores({
    ...{ files, privateSegmentBytes: 1000, privateReserveBytes: 0 },
    disks: new DiskSet({ files, dirs, reserveBytes: 0, space }),
    generations: new GenerationSource(1),
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
