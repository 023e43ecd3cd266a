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

Deno.test("LogFile goes on when the disk refuses", () => {
  withFile((dir, path) => {
    const log = new LogFile({ path, bytesMax: 5, filesMax: 1, now: () => 0 });
    log.write("one\n");
    // A directory in the way of the file that is put aside.
    Deno.mkdirSync(`${path}.1/x`, { recursive: true });
    log.write("two\n");
    Deno.removeSync(`${path}.1`, { recursive: true });
    log.write("three\n");
    log.close();
    assert.deepEqual(filesIn(dir), { "server.log": "three\n", "server.log.1": "one\n" });
  });
});
