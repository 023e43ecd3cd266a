// Applied mutations kept for learners: the blocks they are copied to go from one cache to the next, their bytes do not.

import assert from "node:assert/strict";
import { BLOCK_BYTES } from "../../../src/base/block_pool.ts";
import { Prng } from "../../../src/base/prng.ts";
import { MutationCache } from "../../../src/replication/mutation_cache.ts";

const SIZES = [1, 40, 700, 12_000, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1];

/** A cache, and the first byte and length of all that it should hold by decree. */
class Kept {
  readonly cache: MutationCache;
  readonly model = new Map<number, { readonly fill: number; readonly length: number }>();

  constructor(low: number) {
    this.cache = new MutationCache(low);
  }

  push(fill: number, length: number): void {
    const decree = this.cache.high + 1;
    this.cache.push(decree, new Uint8Array(length).fill(fill));
    this.model.set(decree, { fill, length });
  }

  shift(): void {
    this.model.delete(this.cache.low + 1);
    this.cache.shift();
  }

  check(): void {
    const { cache, model } = this;
    let bytes = 0;
    for (let decree = cache.low + 1; decree <= cache.high; decree++) {
      const { fill, length } = model.get(decree)!;
      assertFilled(cache.get(decree), fill, length);
      bytes += length;
    }
    assert.equal(cache.high - cache.low, model.size);
    assert.equal(cache.bytes, bytes);
    assert.equal(cache.get(cache.low), undefined);
    assert.equal(cache.get(cache.high + 1), undefined);
  }
}

function assertFilled(bytes: Uint8Array | undefined, fill: number, length: number): void {
  assert.equal(bytes?.length, length);
  assert(bytes.every((byte) => byte === fill), `not all ${fill}`);
}

Deno.test("MutationCache: several caches that share blocks hold what each was given", () => {
  const random = new Prng(7);
  const all = [new Kept(0), new Kept(41), new Kept(1_000_000)];
  for (let n = 0; n < 3000; n++) {
    const kept = random.pick(all);
    const { size } = kept.model;
    if (random.chance(size / 40)) { for (let i = random.below(size + 2); i > 0; i--) kept.shift(); }
    else kept.push(n % 251, random.pick(SIZES));
    if (n % 20 === 0) { for (const each of all) each.check(); }
  }
});

Deno.test("MutationCache: what it handed out stays as it was when its block is used again", () => {
  const kept = new Kept(0);
  for (let n = 0; n < 20; n++) kept.push(n, 30_000);
  const before = Array.from({ length: 20 }, (_, n) => kept.cache.get(n + 1));
  for (let n = 0; n < 20; n++) kept.shift();
  for (let n = 0; n < 20; n++) kept.push(200 + n, 30_000);
  before.forEach((bytes, n) => assertFilled(bytes, n, 30_000));
  kept.check();
});
