// Servers come and go under load: shares become equal, nothing is lost, and no client that tries again until its
// deadline sees an error. scale_story.ts plays the same in any size.

import assert from "node:assert/strict";
import { playScale } from "./scale_story.ts";

function gapOf(counts: readonly number[]): number {
  return Math.max(...counts) - Math.min(...counts);
}

Deno.test("A cluster takes in a server and empties another while clients go on", async () => {
  const result = await playScale({ servers: 3, added: 1, tables: 2, partitions: 4 });
  assert.deepEqual([result.errors, result.wrong], [[], []]);
  for (const counts of [result.balanced, result.drained]) {
    assert.ok(gapOf(counts.map(({ primaries }) => primaries)) <= 1, JSON.stringify(counts));
    assert.ok(gapOf(counts.map(({ replicas }) => replicas)) <= 1, JSON.stringify(counts));
  }
  assert.equal(result.left, 0);
  assert.ok(result.figures["operations"]! > 50, "the load went on");
});
