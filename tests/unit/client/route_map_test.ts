// The route map: answers of meta to addresses, and what may replace what.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import {
  readyCount,
  type RouteAnswer,
  shardAddress,
  updateRoutes,
} from "../../../src/client/route_map.ts";

function answer(tableId: number, ballots: number[], primaries: string[]): RouteAnswer {
  return {
    tableId,
    partitionCount: ballots.length,
    partitions: ballots.map((ballot, index) => ({
      partition: partitionId(tableId, index),
      ballot,
      primary: primaries[index]!,
      secondaries: ["c:9"],
      lastDrops: [],
      maxReplicaCount: 3,
      committedHint: 0,
    })),
    nodes: [{ node: "a:1", shardPorts: [101, 102] }, { node: "b:1", shardPorts: [1] }],
  };
}

Deno.test("shardAddress picks the shard by partition number modulo shards", () => {
  assert.equal(shardAddress("a:1", [101, 102], partitionId(1, 0)), "a:101");
  assert.equal(shardAddress("a:1", [101, 102], partitionId(1, 1)), "a:102");
  assert.equal(shardAddress("a:1", [101, 102, 103], partitionId(1, 0)), `a:${101 + 65536 % 3}`);
  assert.equal(shardAddress("a:1", [1], partitionId(7, 3)), "a:1");
  assert.equal(shardAddress("a:1", [], partitionId(7, 3)), "a:1");
  assert.equal(shardAddress("", [5], partitionId(7, 3)), "");
});

Deno.test("updateRoutes builds addresses and leaves the old picture alone", () => {
  const first = updateRoutes(undefined, answer(1, [3, 3], ["a:1", ""]));
  assert.equal(first.routes[0]!.primary, "a:101");
  assert.deepEqual(first.routes[0]!.members, ["a:101", "c:9"]);
  assert.equal(first.routes[1]!.primary, "");
  assert.equal(readyCount(first), 1);
  const second = updateRoutes(first, answer(1, [4, 4], ["b:1", "b:1"]));
  assert.equal(second.routes[0]!.primary, "b:1");
  assert.equal(readyCount(second), 2);
  assert.equal(first.routes[0]!.primary, "a:101");
});

Deno.test("updateRoutes ignores an older ballot, partition by partition", () => {
  const first = updateRoutes(undefined, answer(1, [5, 5], ["a:1", "a:1"]));
  const second = updateRoutes(first, answer(1, [4, 6], ["b:1", "b:1"]));
  assert.equal(second.routes[0]!.primary, "a:101");
  assert.equal(second.routes[1]!.primary, "b:1");
});

Deno.test("updateRoutes starts afresh for a re-created or split table", () => {
  const first = updateRoutes(undefined, answer(1, [5, 5], ["a:1", "a:1"]));
  const recreated = updateRoutes(first, answer(2, [1, 1], ["b:1", ""]));
  assert.equal(recreated.tableId, 2);
  assert.deepEqual(recreated.routes.map((r) => r.primary), ["b:1", ""]);
  const split = updateRoutes(first, answer(1, [1, 1, 1, 1], ["b:1", "b:1", "b:1", "b:1"]));
  assert.deepEqual(split.routes.map((r) => r.ballot), [1, 1, 1, 1]);
});

Deno.test("updateRoutes ignores partitions that are not of the table", () => {
  const odd = answer(1, [1, 1], ["a:1", "a:1"]);
  const stranger = { ...odd.partitions[0]!, partition: partitionId(9, 0) };
  const far = { ...odd.partitions[0]!, partition: partitionId(1, 7) };
  const map = updateRoutes(undefined, { ...odd, partitions: [stranger, far] });
  assert.equal(readyCount(map), 0);
});
