// The real disk and its twin keep the same contract (files_suite.ts). Below it what only one of
// them can show: power loss, failing syncs and a full disk on the twin, a lock between processes on
// the real one.

import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { FilesError } from "../../src/base/files.ts";
import { Prng } from "../../src/base/prng.ts";
import { diskFiles } from "../../storage/disk_files.ts";
import { makeDirDurable } from "../../storage/durable_dir.ts";
import { MemoryFiles } from "../sim/memory_files.ts";
import { filesSuite } from "./files_suite.ts";

filesSuite("diskFiles", () => {
  const root = Deno.makeTempDirSync();
  return { files: diskFiles, root, close: () => Deno.removeSync(root, { recursive: true }) };
});

filesSuite("MemoryFiles", () => {
  const files = new MemoryFiles();
  files.makeDir("/d");
  return { files, root: "/d", close: () => {} };
});

Deno.test("MemoryFiles keeps what was synced and only that for sure", async () => {
  let lost = 0;
  let partial = 0;
  for (let seed = 0; seed < 300; seed++) {
    const files = new MemoryFiles();
    await makeDirDurable(files, "/d/e");
    const file = files.open("/d/e/a", "create");
    await files.syncDir("/d/e");
    const first = new Uint8Array(700).fill(1);
    file.write(first, 0);
    await file.sync();
    file.write(new Uint8Array(3000).fill(2), 700);
    files.open("/d/e/b", "create");
    files.powerLoss(new Prng(seed));
    const bytes = files.readFile("/d/e/a");
    assert.deepEqual(bytes.subarray(0, 700), first);
    if (!files.exists("/d/e/b")) lost++;
    if (bytes.length > 700 && bytes.length < 3700) partial++;
    assert.throws(() => file.size(), FilesError);
  }
  assert.ok(lost > 50 && lost < 250, `entry lost in ${lost} of 300`);
  assert.ok(partial > 20, `torn in ${partial} of 300`);
});

Deno.test("MemoryFiles loses what a failed sync did not write", async () => {
  const files = new MemoryFiles();
  await makeDirDurable(files, "/d");
  const file = files.open("/d/a", "create");
  await files.syncDir("/d");
  file.write(utf8("lost"), 0);
  files.fault = (operation) => {
    if (operation === "sync") throw new FilesError("io", "Cannot sync: injected");
  };
  await assert.rejects(file.sync(), FilesError);
  files.fault = () => {};
  await file.sync();
  assert.deepEqual(files.readFile("/d/a"), utf8("lost"));
  files.powerLoss(new Prng(1));
  assert.equal(files.readFile("/d/a").length, 0);
});

Deno.test("MemoryFiles writes short on a full disk", () => {
  const files = new MemoryFiles();
  files.makeDir("/d");
  const file = files.open("/d/a", "create");
  files.bytesFree = 3;
  assert.throws(
    () => file.write(utf8("hello"), 0),
    (error) => error instanceof FilesError && error.kind === "noSpace",
  );
  assert.equal(file.size(), 3);
});

Deno.test("diskFiles locks a directory for the life of a process", async () => {
  const root = Deno.makeTempDirSync();
  const script = `${root}/hold.ts`;
  const module = new URL("../../storage/disk_files.ts", import.meta.url).href;
  Deno.writeTextFileSync(
    script,
    `import { diskFiles } from "${module}";
     diskFiles.lockDir("${root}");
     console.log("locked");
     await new Promise((resolve) => setTimeout(resolve, 60_000));`,
  );
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-read", "--allow-write", script],
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.getReader();
  await reader.read();
  assert.throws(
    () => diskFiles.lockDir(root),
    (error) => error instanceof FilesError && error.kind === "exists",
  );
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  diskFiles.lockDir(root).release();
  Deno.removeSync(root, { recursive: true });
});

Deno.test("MemoryFiles has discarded nothing when the process ends first", async () => {
  const files = new MemoryFiles();
  files.makeDir("/d/x");
  let go = () => {};
  files.delay = () => new Promise<void>((resolve) => go = resolve);
  const discarded = files.discard("/d/x");
  files.processCrash();
  go();
  await assert.rejects(discarded, FilesError);
  assert.deepEqual(files.list("/d"), ["x"]);
});
