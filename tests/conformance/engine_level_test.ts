// LevelDB passes the engine suite, and its flush, locks and error kinds are what the product relies on.

import assert from "node:assert/strict";
import { utf8 } from "../../src/base/bytes.ts";
import { EngineError } from "../../storage/engine.ts";
import { openLevelEngine } from "../../storage/level_engine.ts";
import { engineSuite } from "./engine_suite.ts";

const ROOT = Deno.makeTempDirSync({ prefix: "pegasus_level_" });
globalThis.addEventListener("unload", () => Deno.removeSync(ROOT, { recursive: true }));

engineSuite({
  name: "LevelEngine",
  open: () => openLevelEngine(Deno.makeTempDirSync({ dir: ROOT, prefix: "level_" })),
});

const isKind = (kind: string) => (error: unknown) =>
  error instanceof EngineError && error.kind === kind;

function tables(dir: string): string[] {
  return [...Deno.readDirSync(dir)].map((entry) => entry.name).filter((n) => n.endsWith(".ldb"));
}

/** A copy of the directory as a power loss right now could leave it: without the current log. */
function copyWithoutLog(dir: string): string {
  const copy = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_copy_" });
  for (const { name } of Deno.readDirSync(dir)) {
    if (name === "LOCK") continue;
    if (name.endsWith(".log")) Deno.writeFileSync(`${copy}/${name}`, new Uint8Array(0));
    else Deno.copyFileSync(`${dir}/${name}`, `${copy}/${name}`);
  }
  return copy;
}

Deno.test("LevelEngine flush makes a table that alone carries the rows", async () => {
  const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_flush_" });
  const engine = await openLevelEngine(dir);
  await engine.write([{ type: "put", key: utf8("a"), value: utf8("1") }]);
  assert.equal(tables(dir).length, 0);
  await engine.flush();
  assert.equal(tables(dir).length, 1);
  await engine.write([{ type: "put", key: utf8("b"), value: utf8("2") }]);
  const copy = await openLevelEngine(copyWithoutLog(dir));
  assert.notEqual(copy.get(utf8("a")), undefined);
  assert.equal(copy.get(utf8("b")), undefined);
  await copy.close();
  await engine.flush();
  assert.equal(tables(dir).length, 2);
  await engine.close();
});

Deno.test("LevelEngine flush reports that it could not switch logs", async () => {
  const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_blocked_" });
  const engine = await openLevelEngine(dir);
  await engine.write([{ type: "put", key: utf8("a"), value: utf8("1") }]);
  // Directories where the next log files would be: LevelDB cannot create them, and does not tell.
  for (let i = 4; i < 30; i++) {
    const name = `${dir}/${String(i).padStart(6, "0")}.log`;
    try {
      Deno.mkdirSync(name);
    } catch {
      // The current log.
    }
  }
  await assert.rejects(engine.flush(), isKind("io"));
  await engine.close();
});

Deno.test("LevelEngine flush reports a vanished directory", async () => {
  const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_gone_" });
  const engine = await openLevelEngine(dir);
  await engine.write([{ type: "put", key: utf8("a"), value: utf8("1") }]);
  Deno.removeSync(dir, { recursive: true });
  await assert.rejects(engine.flush(), isKind("io"));
  await engine.close();
});

Deno.test("LevelEngine makes tables of the size it was told, 4 MiB if of none", async () => {
  const counts: number[] = [];
  for (const options of [{ tableBytes: 1024 * 1024 }, {}]) {
    const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_size_" });
    const engine = await openLevelEngine(dir, { ...options, compression: false });
    // 6 MiB in two rounds of the same keys: tables that overlap are rewritten.
    for (const fill of [1, 2]) {
      for (let i = 0; i < 6; i++) {
        const value = new Uint8Array(16 * 1024).fill(fill);
        const batch = Array.from({ length: 64 }, (_, j) => ({
          ...{ type: "put" as const, key: utf8(`${i} ${String(j).padStart(2, "0")}`), value },
        }));
        await engine.write(batch);
      }
      await engine.flush();
    }
    await engine.compact(utf8("0"), utf8("9"));
    counts.push(tables(dir).length);
    await engine.close();
  }
  // A table ends behind the row with which it is full.
  assert.deepEqual(counts, [6, 2]);
});

Deno.test("LevelEngine keeps rows across a reopening", async () => {
  const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_reopen_" });
  const first = await openLevelEngine(dir);
  await first.write([{ type: "put", key: utf8("a"), value: utf8("1") }]);
  await first.close();
  const second = await openLevelEngine(dir, { createIfMissing: false });
  assert.notEqual(second.get(utf8("a")), undefined);
  await second.close();
});

Deno.test("LevelEngine refuses a directory that is open already", async () => {
  const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_lock_" });
  const engine = await openLevelEngine(dir);
  await assert.rejects(openLevelEngine(dir), isKind("locked"));
  await engine.close();
  await (await openLevelEngine(dir)).close();
});

Deno.test("LevelEngine calls a file that is named and missing damage", async () => {
  const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_named_" });
  await (await openLevelEngine(dir)).close();
  const named = Deno.readTextFileSync(`${dir}/CURRENT`);
  Deno.writeTextFileSync(`${dir}/CURRENT`, "MANIFEST-009999\n");
  await assert.rejects(openLevelEngine(dir), isKind("corruption"));
  Deno.writeTextFileSync(`${dir}/CURRENT`, named);
  await (await openLevelEngine(dir)).close();
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("LevelEngine reports damaged and missing databases by kind", async () => {
  const dir = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_bad_" });
  const engine = await openLevelEngine(dir);
  await engine.write([{ type: "put", key: utf8("a"), value: utf8("1") }]);
  await engine.flush();
  await engine.close();
  for (const table of tables(dir)) Deno.removeSync(`${dir}/${table}`);
  await assert.rejects(openLevelEngine(dir), isKind("corruption"));
  const empty = Deno.makeTempDirSync({ dir: ROOT, prefix: "level_empty_" });
  await assert.rejects(openLevelEngine(empty, { createIfMissing: false }), EngineError);
  const file = Deno.makeTempFileSync({ dir: ROOT });
  await assert.rejects(openLevelEngine(`${file}/db`), EngineError);
});
