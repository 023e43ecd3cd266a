// The estimate of rows, on LevelDB itself: what it knows of its files is what the estimate is made of.

import assert from "node:assert/strict";
import { utf8 } from "../../../src/base/bytes.ts";
import { encodeKey, USER_KEYS_END, USER_KEYS_START } from "../../../src/schema/key_format.ts";
import { encodeValue } from "../../../src/schema/value_format.ts";
import type { Engine } from "../../../storage/engine.ts";
import { estimateRows } from "../../../storage/estimate.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";

const ALL = { start: USER_KEYS_START, end: USER_KEYS_END };
const NOW = 1000;

async function fill(engine: Engine, count: number, bytes: (i: number) => number): Promise<void> {
  for (let from = 0; from < count; from += 5000) {
    const ops = Array.from({ length: Math.min(5000, count - from) }, (_, n) => {
      const i = from + n;
      const value = crypto.getRandomValues(new Uint8Array(bytes(i)));
      // Many hash keys with few rows, and one with many.
      const key = i % 3 === 0
        ? encodeKey(utf8("big"), utf8(`row${i}`))
        : encodeKey(utf8(`user${i % 7919}`), utf8(String(i)));
      return { type: "put" as const, key, value: encodeValue(value, 0, 1) };
    });
    await engine.write(ops);
  }
}

async function withEngine(work: (engine: Engine) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-estimate-" });
  const engine = await openLevelEngine(dir, { writeBufferBytes: 1024 * 1024 });
  try {
    await work(engine);
  } finally {
    await engine.close();
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("estimateRows counts what is small, without expired rows", async () => {
  await withEngine(async (engine) => {
    assert.deepEqual(await estimateRows(engine, ALL, NOW), { rows: 0, exact: true });
    await fill(engine, 1000, () => 10);
    const put = (name: string, expireTs: number) => ({
      type: "put" as const,
      key: encodeKey(utf8("ttl"), utf8(name)),
      value: encodeValue(utf8("v"), expireTs, 1),
    });
    await engine.write([put("expired", NOW - 1), put("living", NOW + 1)]);
    assert.deepEqual(await estimateRows(engine, ALL, NOW), { rows: 1001, exact: true });
    // In memory still, so LevelDB knows no bytes: it is read to the end.
    await fill(engine, 3000, () => 10);
    assert.deepEqual(await estimateRows(engine, ALL, NOW), { rows: 3001, exact: true });
  });
});

Deno.test("estimateRows is near the truth for rows of any size, in tables and in memory", async () => {
  await withEngine(async (engine) => {
    const count = 60_000;
    // The first third small, the last one large: bytes are no measure of rows by themselves.
    await fill(engine, count, (i) => i < count / 3 ? 20 : i < 2 * count / 3 ? 100 : 300);
    for (const state of ["some in memory", "all in tables"]) {
      const { rows, exact } = await estimateRows(engine, ALL, NOW);
      assert.equal(exact, false);
      assert(rows > count / 2 && rows < count * 2, `${state}: ${rows} of ${count}`);
      await engine.flush();
    }
    await engine.compact(USER_KEYS_START, USER_KEYS_END);
    const { rows } = await estimateRows(engine, ALL, NOW);
    assert(rows > count * 0.7 && rows < count * 1.4, `compacted: ${rows} of ${count}`);
  });
});
