// The embedded store passes the coordinator suite, and keeps its promises over crashes and failing
// disks.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { FilesError } from "../../src/base/files.ts";
import { Prng } from "../../src/base/prng.ts";
import type { LeadershipEvent } from "../../src/coordination/coordinator.ts";
import { EmbeddedCoordinator } from "../../src/coordination/embedded.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import { MemoryFiles } from "../sim/memory_files.ts";
import { coordinatorSuite, create, elected, set } from "./coordinator_suite.ts";

const DIR = "/data/meta";
const LOG = `${DIR}/store.log`;

coordinatorSuite({
  name: "EmbeddedCoordinator in memory",
  create: async () => {
    const files = new MemoryFiles();
    return {
      open: () => EmbeddedCoordinator.open({ files, dir: DIR, compactBytes: 200 }),
      destroy: async () => {},
    };
  },
});

coordinatorSuite({
  name: "EmbeddedCoordinator on disk",
  create: async () => {
    const root = Deno.makeTempDirSync();
    return {
      open: () => EmbeddedCoordinator.open({ files: diskFiles, dir: `${root}/meta` }),
      destroy: () => Deno.remove(root, { recursive: true }),
    };
  },
});

async function filled(files: MemoryFiles, count: number, compactBytes?: number): Promise<void> {
  const store = await open(files, compactBytes);
  const epoch = await elected(store);
  await store.multi([create("/a", "0")], epoch);
  for (let i = 1; i < count; i++) await store.multi([set("/a", `${i}`, i - 1)], epoch);
  await store.close();
}

function open(files: MemoryFiles, compactBytes?: number): Promise<EmbeddedCoordinator> {
  return EmbeddedCoordinator.open({
    files,
    dir: DIR,
    ...(compactBytes === undefined ? {} : { compactBytes }),
  });
}

Deno.test("EmbeddedCoordinator keeps what it confirmed over power losses, with and without compaction", async () => {
  for (let seed = 0; seed < 60; seed++) {
    const prng = new Prng(`power ${seed}`);
    const files = new MemoryFiles();
    let confirmed = -1;
    let lastEpoch = 0;
    for (let life = 0; life < 4; life++) {
      const store = await open(files, 300);
      const epoch = await elected(store);
      assert.ok(epoch > lastEpoch, `Seed ${seed}: epoch ${epoch} after ${lastEpoch}`);
      lastEpoch = epoch;
      const node = await store.get("/a");
      const version = node?.version ?? -1;
      assert.ok(version >= confirmed, `Seed ${seed}: version ${version}, confirmed ${confirmed}`);
      if (node === undefined) await store.multi([create("/a", "v0")], epoch);
      else assert.equal(fromUtf8(node.value), `v${version}`);
      confirmed = Math.max(0, version);
      const writes = prng.below(12);
      for (let i = 0; i < writes; i++) {
        await store.multi([set("/a", `v${confirmed + 1}`, confirmed)], epoch);
        confirmed++;
      }
      // One more, cut off somewhere on its way to the disk.
      const cut = store.multi([set("/a", `v${confirmed + 1}`, confirmed)], epoch).catch(() => {});
      const turns = prng.below(4);
      for (let i = 0; i < turns; i++) await Promise.resolve();
      files.powerLoss(prng);
      await cut;
    }
  }
});

Deno.test("EmbeddedCoordinator drops a torn tail and goes on", async () => {
  const files = new MemoryFiles();
  await filled(files, 3);
  const whole = files.durableBytes(LOG);
  for (const lost of [1, 5, 13]) {
    files.overwrite(LOG, whole.slice(0, whole.length - lost));
    const store = await open(files);
    assert.equal((await store.get("/a"))?.version, 1);
    const epoch = await elected(store);
    await store.multi([set("/a", "again", 1)], epoch);
    await store.close();
    const after = await open(files);
    assert.deepEqual(await after.get("/a"), { path: "/a", value: utf8("again"), version: 2 });
    await after.close();
  }
});

Deno.test("EmbeddedCoordinator refuses damage before its last block", async () => {
  const files = new MemoryFiles();
  await filled(files, 5);
  const bytes = files.durableBytes(LOG);
  bytes[20]! ^= 1;
  files.overwrite(LOG, bytes);
  await assert.rejects(open(files), /damaged at byte 16/);
  bytes[20]! ^= 1;
  files.overwrite(LOG, bytes);
  await (await open(files)).close();
});

Deno.test("EmbeddedCoordinator refuses a damaged snapshot", async () => {
  const files = new MemoryFiles();
  await filled(files, 10, 100);
  const path = `${DIR}/store.snapshot`;
  const bytes = files.durableBytes(path);
  bytes[bytes.length - 1]! ^= 1;
  files.overwrite(path, bytes);
  await assert.rejects(open(files), /store\.snapshot": damaged/);
});

Deno.test("EmbeddedCoordinator accepts nothing after a failed fsync and gives up its reign", async () => {
  const files = new MemoryFiles();
  const store = await open(files);
  const events: LeadershipEvent[] = [];
  const epoch = await elected(store, events);
  await store.multi([create("/a", "1")], epoch);
  files.fault = (operation) => {
    if (operation === "sync") throw new FilesError("io", "Cannot sync: injected");
  };
  await assert.rejects(store.multi([set("/a", "2", 0)], epoch), { kind: "unknown" });
  files.fault = () => {};
  await assert.rejects(store.multi([set("/a", "3", 0)], epoch), { kind: "closed" });
  await assert.rejects(store.get("/a"), { kind: "closed" });
  assert.equal(store.leaderUntil(), -Infinity);
  assert.equal(events.at(-1)?.kind, "lost");
  await store.close();
});

Deno.test("EmbeddedCoordinator shows a change only when it is durable", async () => {
  const files = new MemoryFiles();
  const store = await open(files);
  const epoch = await elected(store);
  await store.multi([create("/a", "1")], epoch);
  let release = () => {};
  files.delay = () => new Promise((resolve) => release = resolve);
  const write = store.multi([set("/a", "2", 0)], epoch);
  let seen: string | undefined;
  const read = store.get("/a").then((node) => seen = fromUtf8(node!.value));
  for (let i = 0; i < 50; i++) await Promise.resolve();
  assert.equal(seen, undefined);
  release();
  await Promise.all([write, read]);
  assert.equal(seen, "2");
  files.delay = () => Promise.resolve();
  await store.close();
});

Deno.test("EmbeddedCoordinator covers concurrent groups with one fsync", async () => {
  const files = new MemoryFiles();
  const store = await open(files);
  const epoch = await elected(store);
  const before = files.counters.syncs;
  await Promise.all(Array.from({ length: 100 }, (_, i) => store.multi([create(`/n${i}`)], epoch)));
  assert.equal(files.counters.syncs - before, 1);
  await store.close();
});

Deno.test("EmbeddedCoordinator is used by one process and one campaign at a time", async () => {
  const files = new MemoryFiles();
  const store = await open(files);
  await assert.rejects(open(files), /locked/);
  const events: LeadershipEvent[] = [];
  const first = await elected(store, events);
  const second = await elected(store);
  assert.equal(second, first + 1);
  assert.equal(events.at(-1)?.kind, "lost");
  await assert.rejects(store.multi([create("/a")], first), { kind: "notLeader" });
  await store.close();
  await (await open(files)).close();
});

Deno.test("EmbeddedCoordinator waits for room on a full disk, and still leads", async () => {
  for (const spare of [0, 20, 60]) {
    const files = new MemoryFiles();
    let told = () => {};
    const full = new Promise<void>((resolve) => told = resolve);
    const store = await EmbeddedCoordinator.open({ files, dir: DIR, onFull: () => told() });
    const epoch = await elected(store);
    await store.multi([create("/a", "0")], epoch);
    files.bytesFree = spare;
    let isDone = false;
    const waiting = store.multi([set("/a", "1".repeat(100), 0)], epoch).then(() => isDone = true);
    await full;
    assert.deepEqual([isDone, store.leaderUntil()], [false, Infinity]);
    files.bytesFree = Infinity;
    await waiting;
    await store.close();
    const again = await open(files);
    assert.equal(fromUtf8((await again.get("/a"))!.value), "1".repeat(100));
    await again.close();
  }
});

Deno.test("EmbeddedCoordinator that is closed on a full disk says that the change is unknown", async () => {
  const files = new MemoryFiles();
  let told = () => {};
  const full = new Promise<void>((resolve) => told = resolve);
  const store = await EmbeddedCoordinator.open({ files, dir: DIR, onFull: () => told() });
  const epoch = await elected(store);
  files.bytesFree = 10;
  const refused = assert.rejects(store.multi([create("/a", "0")], epoch), { kind: "unknown" });
  await full;
  await store.close();
  await refused;
  files.bytesFree = Infinity;
  const again = await open(files);
  assert.equal(await again.get("/a"), undefined);
  await again.close();
});
