// The balancer's plans as properties: they end, never cost a member, a host or a zone, and leave
// servers with equal shares.

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { partitionId } from "../../../src/base/ids.ts";
import { planAll, planRound } from "../../../src/placement/balancer.ts";
import {
  compareCrowding,
  type Crowding,
  crowdingOf,
  hostLimit,
  leastCrowding,
  placeOf,
} from "../../../src/placement/domains.ts";
import {
  afterMove,
  type BalanceNode,
  type BalancePartition,
  type BalanceView,
  membersIn,
} from "../../../src/placement/shares.ts";

const ROUNDS_MAX = 500;

function nodeOf(node: string, more: Partial<BalanceNode> = {}): BalanceNode {
  const place = placeOf(node, new Map());
  return { ...place, node, drained: false, full: false, shards: 1, ...more };
}

function partitionOf(
  table: number,
  index: number,
  [primary, ...secondaries]: readonly string[],
): BalancePartition {
  const partition = partitionId(table, index);
  return { partition, table, primary: primary!, secondaries, disks: new Map() };
}

/** Members placed at random on the given servers. */
function placed(
  arbitrary: fc.Arbitrary<BalanceNode[]>,
  replicas: (nodes: number) => fc.Arbitrary<number> = () => fc.integer({ min: 1, max: 4 }),
): fc.Arbitrary<BalanceView> {
  return arbitrary.chain((nodes) => {
    const keys = fc.array(fc.nat(1000), { minLength: nodes.length, maxLength: nodes.length });
    const table = fc.record({
      replicas: replicas(nodes.length),
      picks: fc.array(keys, { minLength: 1, maxLength: 12 }),
    });
    return fc.array(table, { minLength: 1, maxLength: 4 }).map((tables) => ({
      nodes,
      partitions: tables.flatMap(({ replicas: count, picks }, t) =>
        picks.map((key, index) => {
          const order = [...nodes.keys()].sort((a, b) => key[a]! - key[b]! || a - b);
          return partitionOf(t + 1, index, order.slice(0, count).map((i) => nodes[i]!.node));
        })
      ),
    }));
  });
}

/** Every server has a host of its own, and nothing else is said. */
const plain = fc.record({
  count: fc.integer({ min: 2, max: 7 }),
  shards: fc.integer({ min: 1, max: 4 }),
})
  .map(({ count, shards }) =>
    Array.from({ length: count }, (_, i) => nodeOf(`n${i}:1`, { host: `h${i}`, shards }))
  );

/** Hosts, racks and zones at random. */
const labelled = fc.array(fc.tuple(fc.nat(3), fc.nat(2), fc.nat(2)), { minLength: 2, maxLength: 7 })
  .map((places) =>
    places.map(([host, zone, rack], i) => {
      const labels = { host: `z${zone}-h${host}`, zone: `z${zone}`, rack: `r${rack}` };
      return nodeOf(`n${i}:1`, placeOf(`n${i}:1`, new Map(Object.entries(labels))));
    })
  );

/** As many servers in every zone, each on a host of its own. */
const symmetric = fc.tuple(fc.integer({ min: 2, max: 3 }), fc.integer({ min: 1, max: 3 })).map((
  [zones, each],
) =>
  Array.from({ length: zones * each }, (_, i) => {
    const labels = new Map([["zone", `z${i % zones}`], ["host", `h${i}`]]);
    return nodeOf(`n${i}:1`, placeOf(`n${i}:1`, labels));
  })
);

function crowdingIn({ nodes }: BalanceView, p: BalancePartition): Crowding {
  return crowdingOf(membersIn(p).map((name) => nodes.find(({ node }) => node === name)!));
}

/** Plans and performs rounds until nothing is left to do, and checks every move. */
function settle(start: BalanceView, drainOnly = false): BalanceView {
  let view = start;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const moves = planRound(view, 10, drainOnly);
    if (moves.length === 0) return view;
    const names = new Set(moves.map(({ partition }) => partition));
    assert.equal(names.size, moves.length, "one move per partition and round");
    const partitions = view.partitions.map((p) => {
      const move = moves.find(({ partition }) => partition === p.partition);
      if (move === undefined) return p;
      assert.ok(membersIn(p).includes(move.from));
      assert.equal(p.primary === move.from, move.kind !== "copySecondary");
      assert.equal(p.secondaries.includes(move.to), move.kind === "movePrimary");
      assert.notEqual(p.primary, move.to);
      const target = view.nodes.find(({ node }) => node === move.to)!;
      assert.ok(!target.drained);
      assert.ok(move.kind === "movePrimary" || !target.full);
      const next = afterMove(p, move);
      assert.equal(new Set(membersIn(next)).size, membersIn(p).length);
      assert.ok(compareCrowding(crowdingIn(view, next), crowdingIn(view, p)) <= 0, "crowding");
      return next;
    });
    view = { ...view, partitions };
  }
  return assert.fail("it does not end");
}

/** Every count of primaries and replicas, per table and in all, is within 1. */
function checkEven({ nodes, partitions }: BalanceView): void {
  const primaries = (own: BalancePartition[]) => (node: string) =>
    own.filter((p) => p.primary === node).length;
  const replicas = (own: BalancePartition[]) => (node: string) =>
    own.filter((p) => membersIn(p).includes(node)).length;
  const view = { nodes, partitions };
  for (const table of new Set(partitions.map((p) => p.table))) {
    const own = partitions.filter((p) => p.table === table);
    assert.ok(gap(view, primaries(own)) <= 1, `primaries of table ${table}`);
  }
  assert.ok(gap(view, primaries([...partitions])) <= 1, "primaries");
  assert.ok(gap(view, replicas([...partitions])) <= 1, "replicas");
}

function gap(view: BalanceView, count: (node: string) => number): number {
  const counts = view.nodes.filter(({ drained }) => !drained).map(({ node }) => count(node));
  return Math.max(...counts) - Math.min(...counts);
}

Deno.test("Balancer ends with equal shares of primaries and replicas", () => {
  fc.assert(fc.property(placed(plain), (start) => checkEven(settle(start))), { numRuns: 300 });
});

Deno.test("Balancer ends under any labels, and spreads members over hosts as far as there are", () => {
  fc.assert(
    fc.property(placed(labelled), (start) => {
      const { nodes, partitions } = settle(start);
      const hosts = new Set(nodes.map(({ host }) => host));
      for (const p of partitions) {
        const members = membersIn(p);
        for (const host of hosts) {
          const here = members.filter((name) => nodes.find((n) => n.node === name)!.host === host);
          const others = nodes.filter((n) => !members.includes(n.node) && n.host !== host);
          // A host keeps more than its share only if the others have no server left.
          const isOver = here.length > hostLimit(members.length, hosts.size);
          if (!isOver) continue;
          const taken = (other: string) =>
            members.filter((name) => nodes.find((n) => n.node === name)!.host === other).length;
          assert.ok(others.every((n) => taken(n.host) + 1 >= here.length), `${host} holds ${here}`);
        }
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("Balancer ends with full spread over zones of equal size, and with equal shares", () => {
  const count = (nodes: number) => fc.integer({ min: 1, max: Math.min(3, nodes) });
  fc.assert(
    fc.property(placed(symmetric, count), (start) => {
      const end = settle(start);
      const zones = new Set(end.nodes.map(({ zone }) => zone)).size;
      for (const p of end.partitions) {
        const least = leastCrowding(end.nodes, membersIn(p).length);
        assert.equal(compareCrowding(crowdingIn(end, p), least), 0, "spread");
      }
      if (end.partitions.every((p) => membersIn(p).length === zones)) checkEven(end);
    }),
    { numRuns: 300 },
  );
});

Deno.test("Balancer's whole plan ends where its rounds end", () => {
  fc.assert(
    fc.property(placed(plain), (start) => {
      let partitions = start.partitions;
      const moves = planAll(start, 10_000);
      for (const move of moves) {
        partitions = partitions.map((p) => p.partition === move.partition ? afterMove(p, move) : p);
      }
      const end = { ...start, partitions };
      checkEven(end);
      assert.deepEqual(planRound(end, 10), []);
      assert.ok(planAll(start, 3).length <= 3 + start.nodes.length, "as far as it may look");
    }),
    { numRuns: 100 },
  );
});

Deno.test("Balancer evens out shards by exchanging leaderships", () => {
  // a leads what its first shard serves, b what its second one does.
  const nodes = ["a:1", "b:1"].map((name) => nodeOf(name, { host: name, shards: 2 }));
  const partitions = Array.from(
    { length: 12 },
    (_, i) => partitionOf(1, i, i % 2 === 0 ? ["a:1", "b:1"] : ["b:1", "a:1"]),
  );
  const end = settle({ nodes, partitions });
  checkEven(end);
  for (const { node } of nodes) {
    for (const shard of [0, 1]) {
      const led = end.partitions.filter((p) => p.primary === node && p.partition % 2 === shard);
      assert.equal(led.length, 3);
    }
  }
});

Deno.test("Balancer chooses what relieves a full shard, then a full disk", () => {
  const names = ["a:1", "b:1", "c:1"];
  const nodes = names.map((name) => nodeOf(name, { host: name, shards: 2 }));
  const disk = (i: number) => i < 6 ? "d1" : "d2";
  // a and b hold everything, most of it on the first disk.
  const partitions = Array.from({ length: 8 }, (_, i) => ({
    ...partitionOf(1, i, i % 2 === 0 ? ["a:1", "b:1"] : ["b:1", "a:1"]),
    disks: new Map([["a:1", disk(i)], ["b:1", disk(i)]]),
  }));
  const end = settle({ nodes, partitions });
  checkEven(end);
  const moved = end.partitions.filter((p) => membersIn(p).includes("c:1"));
  const shards = [0, 1].map((shard) => moved.filter((p) => p.partition % 2 === shard).length);
  assert.ok(Math.abs(shards[0]! - shards[1]!) <= 1, String(shards));
  assert.ok(moved.filter((p) => p.disks.get("a:1") === "d1").length >= 4);
});

Deno.test("Balancer gives nothing to a server without room, but leaderships", () => {
  const names = ["a:1", "b:1", "c:1"];
  const nodes = names.map((name) => nodeOf(name, { host: name, full: name !== "a:1" }));
  const partitions = Array.from({ length: 6 }, (_, i) => partitionOf(1, i, ["a:1", "b:1"]));
  const end = settle({ nodes, partitions });
  assert.deepEqual(names.map((n) => end.partitions.filter((p) => p.primary === n).length), [
    3,
    3,
    0,
  ]);
});

Deno.test("Balancer empties drained servers where the others have room", () => {
  fc.assert(
    fc.property(placed(plain), fc.nat(6), (start, pick) => {
      const drained = start.nodes[pick % start.nodes.length]!.node;
      const nodes = start.nodes.map((node) => ({ ...node, drained: node.node === drained }));
      const { partitions } = settle({ ...start, nodes }, true);
      for (const p of partitions) {
        const hasRoom = membersIn(p).length < nodes.length;
        assert.equal(membersIn(p).includes(drained), !hasRoom);
        if (p.secondaries.length > 0) assert.notEqual(p.primary, drained);
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("Balancer never puts two replicas on one host, and parts those that are", () => {
  const drained = nodeOf("a:1", { host: "x", drained: true });
  const nodes = [drained, nodeOf("b:1", { host: "y" }), nodeOf("b:2", { host: "y" })];
  const partitions = [partitionOf(1, 0, ["a:1", "b:1"])];
  const after = settle({ nodes, partitions });
  assert.deepEqual(
    membersIn(after.partitions[0]!),
    ["b:1", "a:1"],
    "it leads elsewhere, and stays",
  );
  const shared = {
    nodes: [...nodes, nodeOf("c:1", { host: "z" })],
    partitions: [
      partitionOf(1, 0, ["b:1", "b:2"]),
    ],
  };
  assert.deepEqual(membersIn(settle(shared).partitions[0]!), ["b:1", "c:1"]);
  assert.deepEqual(settle(shared, true), shared, "nobody asked for it");
});

Deno.test("Balancer needs no copies where leaderships can be passed on", () => {
  const names = ["a:1", "b:1", "c:1"];
  const nodes = names.map((name) => nodeOf(name, { host: name }));
  const partitions = Array.from({ length: 9 }, (_, index) => partitionOf(1, index, names));
  const moves = planRound({ nodes, partitions }, 100);
  assert.equal(moves.length, 6);
  assert.ok(moves.every(({ kind }) => kind === "movePrimary"));
});
