// A reader hands out one block per turn of the event loop, and the first one at once.

import assert from "node:assert/strict";
import { RangeReader } from "../../../roles/replica/range_reader.ts";
import type { EngineIterator, Entry } from "../../../storage/engine.ts";

const BLOCK_ROWS = 256;

/** So many rows, all of them at hand. */
function rows(count: number): EngineIterator {
  let left = count;
  return {
    next: (wanted) => {
      const now = Math.min(left, wanted);
      left -= now;
      return Promise.resolve(
        Array.from({ length: now }, (): Entry => [new Uint8Array(1), new Uint8Array(1)]),
      );
    },
    close: () => Promise.resolve(),
  };
}

/** Microtasks run as long as there are any. */
const microtasks = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

for (const readsAhead of [false, true]) {
  Deno.test(`RangeReader hands out one block per turn, readsAhead ${readsAhead}`, async () => {
    const works: (() => void)[] = [];
    const endOfTurn = (work: () => void) => void works.push(work);
    const reader = new RangeReader(rows(3 * BLOCK_ROWS - 1), { readsAhead, endOfTurn });
    let taken = 0;
    const reading = (async () => {
      while (await reader.fill()) while (reader.take() !== undefined) taken++;
    })();
    const seen: number[] = [];
    for (let turn = 0; turn < 3; turn++) {
      await microtasks();
      seen.push(taken);
      for (const work of works.splice(0)) work();
    }
    await reading;
    assert.deepEqual(seen, [BLOCK_ROWS, 2 * BLOCK_ROWS, 3 * BLOCK_ROWS - 1]);
    await reader.close();
  });
}

Deno.test("RangeReader does not wait for a turn where nobody tells it of one", async () => {
  const reader = new RangeReader(rows(2 * BLOCK_ROWS));
  let taken = 0;
  while (await reader.fill()) while (reader.take() !== undefined) taken++;
  assert.equal(taken, 2 * BLOCK_ROWS);
});
