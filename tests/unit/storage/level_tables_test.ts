// Damage in the table files of a real LevelDB is found before it is opened, wherever it is; tables that a crash
// left behind unfinished are none.

import assert from "node:assert/strict";
import { crc32c } from "../../../src/base/crc.ts";
import { Prng } from "../../../src/base/prng.ts";
import { EngineError } from "../../../storage/engine.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { tablesOf } from "../../../storage/level_manifest.ts";
import { damagedTable } from "../../../storage/level_tables.ts";

const FOOTER_BYTES = 48;

/** A database of rows that compress and rows that do not, all in tables. */
async function makeDatabase(compression: boolean): Promise<{ dir: string; tables: string[] }> {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-tables-" });
  const engine = await openLevelEngine(dir, { compression });
  const random = new Prng("tables");
  for (let batch = 0; batch < 3; batch++) {
    await engine.write(Array.from({ length: 300 }, (_, i) => {
      const value = new Uint8Array(200).fill(i);
      if (i % 2 === 0) value.forEach((_, j) => value[j] = random.below(256));
      const key = new TextEncoder().encode(`key ${batch} ${String(i).padStart(5, "0")}`);
      return { type: "put", key, value };
    }));
    await engine.flush();
  }
  await engine.close();
  const tables = [...Deno.readDirSync(dir)].map(({ name }) => name)
    .filter((name) => name.endsWith(".ldb"));
  return { dir, tables };
}

Deno.test("crc32c() has the value of the standard", () => {
  const bytes = new TextEncoder().encode("123456789");
  assert.equal(crc32c(bytes), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(0)), 0);
});

for (const compression of [true, false]) {
  Deno.test(`damagedTable() finds every flipped bit, compressed: ${compression}`, async () => {
    const { dir, tables } = await makeDatabase(compression);
    assert.ok(tables.length > 0);
    assert.deepEqual([...tablesOf(dir)!].sort(), tables.map((name) => parseInt(name)).sort());
    assert.equal(await damagedTable(dir), undefined);
    const random = new Prng("flips");
    for (const name of tables) {
      const path = `${dir}/${name}`;
      const sound = Deno.readFileSync(path);
      for (let i = 0; i < 100; i++) {
        const damaged = sound.slice();
        const at = random.below(sound.length - FOOTER_BYTES);
        damaged[at]! ^= 1 << random.below(8);
        Deno.writeFileSync(path, damaged);
        assert.match((await damagedTable(dir)) ?? "", /Table .* is damaged/, `${name}, byte ${at}`);
      }
      for (const length of [0, 10, FOOTER_BYTES, sound.length - 1]) {
        Deno.writeFileSync(path, sound.subarray(0, length));
        assert.ok(await damagedTable(dir) !== undefined, `${name} cut to ${length} bytes`);
      }
      Deno.writeFileSync(path, sound);
    }
    assert.equal(await damagedTable(dir), undefined);
    Deno.removeSync(dir, { recursive: true });
  });
}

Deno.test("A database with a table that cannot be read is refused as the engine's own failure", async () => {
  const { dir, tables } = await makeDatabase(true);
  const path = `${dir}/${tables[0]}`;
  Deno.removeSync(path);
  Deno.mkdirSync(path);
  await assert.rejects(openLevelEngine(dir), (error: Error) => {
    return error instanceof EngineError && error.kind === "io" && error.message.includes(path);
  });
  Deno.removeSync(dir, { recursive: true });
});

Deno.test("A database with a damaged table is refused, with an unfinished one that is not its own opened", async () => {
  const { dir, tables } = await makeDatabase(true);
  Deno.writeTextFileSync(`${dir}/999999.ldb`, "half a table");
  assert.equal(await damagedTable(dir), undefined);
  await (await openLevelEngine(dir)).close();
  const path = `${dir}/${tables[0]}`;
  const bytes = Deno.readFileSync(path);
  bytes[20]! ^= 4;
  Deno.writeFileSync(path, bytes);
  await assert.rejects(openLevelEngine(dir), (error: Error) => {
    return error instanceof EngineError && error.kind === "corruption" &&
      /is damaged/.test(error.message);
  });
  Deno.removeSync(dir, { recursive: true });
});
