// The log file rotates by size, keeps a bounded number of files, and follows a file that others move.

import assert from "node:assert/strict";
import { LogFile } from "../../../roles/log_file.ts";

function withFile(body: (dir: string, path: string) => void): void {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-log-" });
  try {
    body(dir, `${dir}/server.log`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

function filesIn(dir: string): Record<string, string> {
  const found = [...Deno.readDirSync(dir)].map(({ name }) => name).sort();
  return Object.fromEntries(found.map((name) => [name, Deno.readTextFileSync(`${dir}/${name}`)]));
}

Deno.test("LogFile puts a full file aside and keeps so many", () => {
  withFile((dir, path) => {
    Deno.writeTextFileSync(path, "old\n");
    const log = new LogFile({ path, bytesMax: 10, filesMax: 2, now: () => 0 });
    for (const line of ["one\n", "two\n", "three\n", "a line longer than a file\n", "six\n"]) {
      log.write(line);
    }
    log.close();
    assert.deepEqual(filesIn(dir), {
      "server.log": "six\n",
      "server.log.1": "a line longer than a file\n",
      "server.log.2": "two\nthree\n",
    });
  });
});

Deno.test("LogFile follows a file that was moved away", () => {
  withFile((dir, path) => {
    let now = 0;
    const log = new LogFile({ path, bytesMax: 1000, filesMax: 1, now: () => now });
    log.write("one\n");
    Deno.renameSync(path, `${dir}/taken.log`);
    log.write("two\n");
    now += 1000;
    log.write("three\n");
    log.close();
    assert.deepEqual(filesIn(dir), { "server.log": "three\n", "taken.log": "one\ntwo\n" });
  });
});

Deno.test("LogFile goes on in a file that cannot be put aside, says so once, and tries again", () => {
  withFile((dir, path) => {
    let now = 0;
    const told: string[] = [];
    const onStuck = () => {
      told.push("stuck");
      log.write("stuck\n");
    };
    const log = new LogFile({ path, bytesMax: 5, filesMax: 3, now: () => now, onStuck });
    for (const line of ["one\n", "two\n"]) log.write(line);
    // A directory in the way of the file that is put aside.
    Deno.renameSync(`${path}.1`, `${path}.2`);
    Deno.mkdirSync(`${path}.1/x`, { recursive: true });
    Deno.mkdirSync(`${path}.3/x`, { recursive: true });
    for (const line of ["three\n", "four\n"]) log.write(line);
    now += 60_000;
    log.write("five\n");
    assert.equal(told.length, 1);
    assert.equal(Deno.readTextFileSync(path), "two\nstuck\nthree\nfour\nfive\n");
    for (const number of [1, 3]) Deno.removeSync(`${path}.${number}`, { recursive: true });
    log.write("six\n");
    now += 60_000;
    log.write("seven\n");
    log.close();
    assert.deepEqual(filesIn(dir), {
      "server.log": "seven\n",
      "server.log.1": "two\nstuck\nthree\nfour\nfive\nsix\n",
      "server.log.2": "one\n",
    });
  });
});

Deno.test("LogFile moves no more files than needed: an attempt that failed costs no old one", () => {
  withFile((dir, path) => {
    const log = new LogFile({ path, bytesMax: 5, filesMax: 3, now: () => 0 });
    for (const line of ["one\n", "two\n", "three\n", "four\n"]) log.write(line);
    // What an attempt leaves that could move everything but the file itself.
    Deno.removeSync(`${path}.3`);
    Deno.renameSync(`${path}.2`, `${path}.3`);
    Deno.renameSync(`${path}.1`, `${path}.2`);
    log.write("five\n");
    log.close();
    assert.deepEqual(filesIn(dir), {
      "server.log": "five\n",
      "server.log.1": "four\n",
      "server.log.2": "three\n",
      "server.log.3": "two\n",
    });
  });
});
