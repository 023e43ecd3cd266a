// Files that the shell writes: they get their text whole, or stay as they were.

import assert from "node:assert/strict";
import { Err } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { createFile, type TextSink } from "../../../roles/shell/io.ts";
import { runShell } from "../../../roles/shell/main_shell.ts";
import { FakeCluster } from "../client/fake_cluster.ts";
import { memoryIo } from "./fake_shell.ts";

async function inDir(use: (dir: string) => Promise<void>): Promise<void> {
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pegasus-files-" }));
  try {
    await use(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function namesIn(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
}

Deno.test("a file is replaced when its text is whole, and stays as it was if it never is", async () => {
  await inDir(async (dir) => {
    const path = `${dir}/rows.txt`;
    Deno.writeTextFileSync(path, "old", { mode: 0o600 });
    Deno.symlinkSync(path, `${dir}/link.txt`);
    const givenUp = await createFile(path);
    await givenUp.write("ne");
    assert.equal(Deno.readTextFileSync(path), "old");
    await givenUp.discard();
    assert.equal(Deno.readTextFileSync(path), "old");
    assert.deepEqual(namesIn(dir), ["link.txt", "rows.txt"]);
    const whole = await createFile(`${dir}/link.txt`);
    await whole.write("ne");
    await whole.write("w");
    await whole.close();
    assert.equal(Deno.readTextFileSync(path), "new");
    assert.equal(
      Deno.lstatSync(`${dir}/link.txt`).isSymlink,
      true,
      "what it points to is replaced",
    );
    if (Deno.build.os !== "windows") assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.deepEqual(namesIn(dir), ["link.txt", "rows.txt"]);
    await assert.rejects(
      createFile(`${dir}/none/rows.txt`),
      /Cannot write ".*none\/rows.txt": No such/,
    );
    await assert.rejects(createFile(dir), /Cannot write/);
  });
});

Deno.test("a file that cannot be put into its place leaves nothing behind", async () => {
  await inDir(async (dir) => {
    const path = `${dir}/rows.txt`;
    const sink = await createFile(path);
    await sink.write("new");
    Deno.mkdirSync(path);
    await assert.rejects(sink.close(), /Cannot write ".*rows.txt"/);
    await sink.discard();
    assert.deepEqual(namesIn(dir), ["rows.txt"]);
  });
});

Deno.test("a pipe is written to at once", async () => {
  await inDir(async (dir) => {
    const path = `${dir}/pipe`;
    new Deno.Command("mkfifo", { args: [path] }).outputSync();
    const reading = Deno.readTextFile(path);
    const sink = await createFile(path);
    await sink.write("rows");
    await sink.close();
    assert.equal(await reading, "rows");
    assert.deepEqual(namesIn(dir), ["pipe"]);
  });
});

/** Exports table "t" of a cluster with two rows. @returns Status and error */
async function exportTo(
  createFile: (path: string) => Promise<TextSink>,
  fake: FakeCluster,
  table = "t",
): Promise<[status: number, err: string]> {
  const { io, printed } = memoryIo();
  const status = await runShell(["--table", table, "-e", "export rows.jsonl"], {
    io: { ...io, createFile },
    open: (options) => new Cluster(fake, options),
  });
  return [status, printed.err];
}

Deno.test("an export that fails gives its file up and says what went wrong first", async () => {
  const fake = new FakeCluster();
  fake.addTable("t", 1);
  const steps: string[] = [];
  const create = (text: (text: string) => Promise<void>) => (path: string) => {
    steps.push(`open ${path}`);
    return Promise.resolve({
      write: text,
      close: () => Promise.resolve(void steps.push("close")),
      discard: () => (steps.push("discard"), Promise.reject(new Error("The stream has failed"))),
    });
  };
  const full = create(() => Promise.reject(new Error("No space left on device")));
  const fits = create(() => Promise.resolve());
  const { io } = memoryIo();
  await runShell(["--table", "t", "-e", "set h a 1; set h b 2"], {
    io,
    open: (options) => new Cluster(fake, options),
  });
  fake.closed = false;
  assert.deepEqual(await exportTo(full, fake), [1, "ERROR: No space left on device\n"]);
  assert.deepEqual(steps.splice(0), ["open rows.jsonl", "discard"]);
  fake.closed = false;
  fake.scanBatch = 1;
  let hasFailed = false;
  fake.fault = ({ name }) => {
    hasFailed ||= name === "scan";
    return hasFailed ? { before: Err.ACL_DENY, detail: "no" } : undefined;
  };
  const [status, err] = await exportTo(fits, fake);
  assert.deepEqual([status, /ACL_DENY/.test(err)], [1, true], err);
  assert.deepEqual(steps.splice(0), ["open rows.jsonl", "discard"]);
  fake.closed = false;
  fake.fault = () => undefined;
  assert.match((await exportTo(fits, fake, "tt"))[1], /did you mean "t"/);
  assert.deepEqual(steps.splice(0), [], "without a table no file is touched");
  fake.closed = false;
  assert.equal((await exportTo(fits, fake))[0], 0);
  assert.deepEqual(steps.splice(0), ["open rows.jsonl", "close"]);
});
