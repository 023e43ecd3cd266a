// What every implementation of src/base/files.ts must do, run against the real disk and against its
// twin (files_test.ts). What the two cannot share, a machine that loses its power, is tested on the
// twin alone: docs/testing.md.

import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { type Files, FilesError, type FilesErrorKind } from "../../src/base/files.ts";

/** A fresh directory tree for one test. */
export interface FilesFixture {
  readonly files: Files;
  /** An existing, empty directory. */
  readonly root: string;
  close(): void;
}

/** Registers the suite. */
export function filesSuite(name: string, make: () => FilesFixture): void {
  const test = (what: string, body: (fixture: FilesFixture) => void | Promise<void>) =>
    Deno.test(`${name} ${what}`, async () => {
      const fixture = make();
      try {
        await body(fixture);
      } finally {
        fixture.close();
      }
    });

  test("reads back what was written at a position", async ({ files, root }) => {
    const file = files.open(`${root}/a`, "createNew");
    file.write(utf8("hello"), 0);
    file.write(utf8("world"), 10);
    assert.equal(file.size(), 15);
    const bytes = new Uint8Array(20);
    assert.equal(file.read(bytes, 0), 15);
    assert.deepEqual(bytes.subarray(0, 15), utf8("hello\0\0\0\0\0world"));
    assert.equal(file.read(bytes, 12), 3);
    assert.equal(file.read(bytes, 15), 0);
    assert.equal(file.read(bytes, 99), 0);
    await file.sync();
    file.syncNow();
    file.close();
    assert.equal(files.readFile(`${root}/a`).length, 15);
  });

  test("truncates and extends", ({ files, root }) => {
    const file = files.open(`${root}/a`, "create");
    file.write(utf8("hello"), 0);
    file.truncate(2);
    assert.equal(file.size(), 2);
    file.truncate(4);
    file.close();
    assert.deepEqual(files.readFile(`${root}/a`), new Uint8Array([104, 101, 0, 0]));
  });

  test("keeps to the open modes", ({ files, root }) => {
    fails(() => files.open(`${root}/a`, "read"), "notFound");
    fails(() => files.open(`${root}/a`, "write"), "notFound");
    fails(() => files.open(`${root}/no/a`, "create"), "notFound");
    files.open(`${root}/a`, "create").close();
    fails(() => files.open(`${root}/a`, "createNew"), "exists");
    const reader = files.open(`${root}/a`, "read");
    fails(() => reader.write(utf8("x"), 0), "io");
    reader.close();
    reader.close();
  });

  test("lists, renames and removes", async ({ files, root }) => {
    files.makeDir(`${root}/x/y`);
    files.makeDir(`${root}/x/y`);
    files.open(`${root}/x/b`, "create").close();
    files.open(`${root}/x/a`, "create").close();
    assert.deepEqual(files.list(`${root}/x`), ["a", "b", "y"]);
    assert.deepEqual(files.list(`${root}/no`), []);
    files.open(`${root}/x/y/inner`, "create").close();
    files.rename(`${root}/x/y`, `${root}/z`);
    assert.deepEqual(files.list(`${root}/z`), ["inner"]);
    assert.equal(files.exists(`${root}/x/y`), false);
    await files.syncDir(root);
    fails(() => files.rename(`${root}/no`, `${root}/q`), "notFound");
    files.remove(`${root}/x`);
    files.remove(`${root}/x`);
    assert.equal(files.exists(`${root}/x`), false);
    fails(() => files.readFile(`${root}/x/a`), "notFound");
    await assert.rejects(files.syncDir(`${root}/x`), FilesError);
  });

  test("discards files and trees, also absent ones", async ({ files, root }) => {
    files.makeDir(`${root}/x/y`);
    files.open(`${root}/x/y/inner`, "create").close();
    files.open(`${root}/kept`, "create").close();
    await files.discard(`${root}/x`);
    await files.discard(`${root}/x`);
    assert.deepEqual(files.list(root), ["kept"]);
    await files.discard(`${root}/kept`);
    assert.deepEqual(files.list(root), []);
  });

  test("replaces a file atomically", async ({ files, root }) => {
    await files.writeFileAtomic(`${root}/m`, utf8("a longer first version"));
    await files.writeFileAtomic(`${root}/m`, utf8("second"));
    assert.deepEqual(files.readFile(`${root}/m`), utf8("second"));
    assert.deepEqual(files.list(root), ["m"]);
    await assert.rejects(files.writeFileAtomic(`${root}/no/m`, utf8("x")), FilesError);
  });

  test("locks a directory once", ({ files, root }) => {
    const lock = files.lockDir(root);
    fails(() => files.lockDir(root), "exists");
    lock.release();
    lock.release();
    files.lockDir(root).release();
  });
}

function fails(action: () => unknown, kind: FilesErrorKind): void {
  assert.throws(action, (error) => error instanceof FilesError && error.kind === kind);
}
