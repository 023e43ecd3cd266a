// Directories that were moved aside go when their time is over, a few files at a time, and nothing else goes.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { AsideCleaner, expiredAside } from "../../../roles/replica/aside_cleaner.ts";
import { listAside } from "../../../storage/replica_dir.ts";
import { MemoryFiles } from "../../sim/memory_files.ts";

const DAY_MS = 86_400_000;
const SETTINGS = { garbageKeepMs: DAY_MS, damagedKeepMs: 7 * DAY_MS };
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

async function make(files: MemoryFiles, name: string, count: number): Promise<void> {
  const path = `/d/replicas/${name}`;
  files.makeDir(`${path}/data.1`);
  files.makeDir(`${path}/log.1`);
  await files.writeFileAtomic(`${path}/manifest`, utf8("m"));
  for (let i = 0; i < count; i++) await files.writeFileAtomic(`${path}/data.1/${i}`, utf8("x"));
}

Deno.test("expiredAside keeps garbage for a day, damaged replicas for a week, anything else for ever", () => {
  const dir = (reason: string) => ({ path: reason, partition: 1, reason, timestamp: 1000 });
  const all = ["gar", "err", "ori"].map(dir);
  const after = (ms: number) =>
    expiredAside(all, SETTINGS, 1_000_000 + ms).map(({ reason }) => reason);
  assert.deepEqual(after(DAY_MS - 1), []);
  assert.deepEqual(after(DAY_MS), ["gar"]);
  assert.deepEqual(after(7 * DAY_MS), ["gar", "err"]);
  assert.deepEqual(after(1000 * DAY_MS), ["gar", "err"]);
});

Deno.test("AsideCleaner removes what is over in small steps, and touches no replica", async () => {
  const files = new MemoryFiles();
  await make(files, "1.0", 3);
  await make(files, "1.1.gar.1000", 100);
  await make(files, "1.2.err.1000", 1);
  await make(files, "1.3.gar.200000", 1);
  const cleaner = new AsideCleaner({
    files,
    dataDirs: () => ["/missing", "/d"],
    settings: () => SETTINGS,
    wall: () => 1_000_000 + DAY_MS,
    logger: SILENT,
  });
  let steps = 0;
  while (cleaner.step() < 1000) steps++;
  assert.ok(steps >= 6, `${steps} steps`);
  assert.deepEqual(listAside(files, "/d").map(({ reason }) => reason), ["err", "gar"]);
  assert.deepEqual(files.list("/d/replicas"), ["1.0", "1.2.err.1000", "1.3.gar.200000"]);
  assert.equal(files.list("/d/replicas/1.0/data.1").length, 3);
});
