// Which native batches are kept for another write, and that nothing of the write before stays in them.

import assert from "node:assert/strict";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import {
  KEPT_BYTES_MAX,
  KEPT_MAX,
  KeptBatches,
  type NativeBatch,
} from "../../../storage/level_batches.ts";

class FakeBatch implements NativeBatch {
  written: string[] = [];
  isClosed = false;
  failure: Error | undefined;
  #keys: string[] = [];

  _put(key: Uint8Array): void {
    this.#keys.push(String(key[0]));
  }
  _del(): void {}
  _clear(): void {
    this.#keys = [];
  }
  _write(): Promise<void> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    this.written.push(this.#keys.join());
    return Promise.resolve();
  }
  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

class Fixture {
  abandoned = 0;
  readonly made: FakeBatch[] = [];
  readonly kept = new KeptBatches((bytes) => this.abandoned += bytes);

  fill(database: object, key: number, bytes = 100) {
    const make = () => {
      this.made.push(new FakeBatch());
      return this.made.at(-1)!;
    };
    return this.kept.fill(database, make, (native) => {
      native._put(new Uint8Array([key]), new Uint8Array(0));
      return bytes;
    });
  }

  write(database: object, key: number, bytes = 100): Promise<void> {
    return this.kept.write(database, this.fill(database, key, bytes));
  }
}

Deno.test("A database writes with the batch it wrote last, and each operation once", async () => {
  const at = new Fixture();
  const [one, other] = [{}, {}];
  for (const key of [1, 2, 3]) await at.write(one, key);
  await at.write(other, 4);
  assert.deepEqual(at.made.map(({ written }) => written), [["1", "2", "3"], ["4"]]);
  assert.equal(at.abandoned, 0);
});

Deno.test("Of two batches on their way one is kept", async () => {
  const at = new Fixture();
  const database = {};
  const batches = [at.fill(database, 1), at.fill(database, 2)];
  for (const batch of batches) await at.kept.write(database, batch);
  await at.write(database, 3);
  assert.deepEqual(at.made.map(({ written }) => written), [["1", "3"], ["2"]]);
  assert.deepEqual(at.made.map(({ isClosed }) => isClosed), [false, true]);
  assert.equal(at.abandoned, 100);
});

Deno.test("A batch that failed is given up, whether in filling or in writing", async () => {
  const at = new Fixture();
  const database = {};
  const batch = at.fill(database, 1, 300);
  at.made[0]!.failure = new Error("disk");
  await assert.rejects(at.kept.write(database, batch), /disk/);
  await at.write(database, 2);
  assert.throws(() =>
    at.kept.fill(database, () => new FakeBatch(), () => {
      throw new Error("key");
    }), /key/);
  await at.write(database, 3);
  assert.deepEqual(at.made.map(({ written }) => written), [[], ["2"], ["3"]]);
  assert.deepEqual(at.made.map(({ isClosed }) => isClosed), [true, true, false]);
  assert.equal(at.abandoned, 400);
});

Deno.test("Large batches are not kept, and of idle ones those that wrote last", async () => {
  const at = new Fixture();
  await at.write({}, 1, KEPT_BYTES_MAX + 1);
  assert.equal(at.made[0]!.isClosed, true);
  const databases = Array.from({ length: KEPT_MAX + 1 }, () => ({}));
  for (const database of databases) await at.write(database, 2);
  assert.deepEqual(at.made.flatMap(({ isClosed }, i) => isClosed ? [i] : []), [0, 1]);
  at.kept.drop(databases.at(-1)!);
  assert.equal(at.made.at(-1)!.isClosed, true);
  assert.equal(at.abandoned, KEPT_BYTES_MAX + 1 + 200);
});

Deno.test("A real database takes nothing of an earlier batch with the next one", async () => {
  const dir = await Deno.makeTempDir();
  const engine = await openLevelEngine(dir);
  try {
    const key = (n: number) => new Uint8Array([1, n]);
    const put = (n: number) => engine.write([{ type: "put", key: key(n), value: key(n) }]);
    await put(1);
    // The kept batch writes 2, another one deletes 1: were 1 still in the kept one, 3 would bring it back.
    await Promise.all([put(2), engine.write([{ type: "del", key: key(1) }])]);
    await put(3);
    assert.deepEqual([1, 2, 3].map((n) => engine.get(key(n))?.[1]), [undefined, 2, 3]);
  } finally {
    await engine.close();
    await Deno.remove(dir, { recursive: true });
  }
});
