// The balancer's plans as properties: they end, never cost a member, a host or a zone, and leave
// servers with equal shares.

import assert from "node:assert/strict";
import * as fc from "fast-check";
import { partitionId } from "../../../src/base/ids.ts";
import {
  afterMove,
  type BalanceNode,
  type BalancePartition,
  type BalanceView,
  planRound,
} from "../../../src/placement/balancer.ts";

const ROUNDS_MAX = 500;

/** A cluster with members placed at random; every server has a host of its own. */
const views: fc.Arbitrary<BalanceView> = fc.record({
  count: fc.integer({ min: 2, max: 7 }),
  zones: fc.integer({ min: 1, max: 3 }),
  tables: fc.array(
    fc.record({
      replicas: fc.integer({ min: 1, max: 4 }),
      picks: fc.array(fc.array(fc.nat(1000), { minLength: 7, maxLength: 7 }), {
        minLength: 1,
        maxLength: 12,
      }),
    }),
    { minLength: 1, maxLength: 4 },
  ),
}).map(({ count, zones, tables }) => {
  const nodes: BalanceNode[] = Array.from({ length: count }, (_, i) => ({
    node: `n${i}:1`,
    host: `h${i}`,
    zone: zones === 1 ? "" : `z${i % zones}`,
    drained: false,
  }));
  const partitions = tables.flatMap(({ replicas, picks }, t) =>
    picks.map((keys, index): BalancePartition => {
      const order = [...nodes.keys()].sort((a, b) => keys[a]! - keys[b]! || a - b);
      const [primary, ...secondaries] = order.slice(0, Math.min(replicas, count))
        .map((i) => `n${i}:1`);
      return { partition: partitionId(t + 1, index), table: t + 1, primary: primary!, secondaries };
    })
  );
  return { nodes, partitions };
});

function membersOf(p: BalancePartition): string[] {
  return [p.primary, ...p.secondaries];
}

function spreadOf(view: BalanceView, p: BalancePartition, what: "host" | "zone"): number {
  const value = (name: string) => view.nodes.find(({ node }) => node === name)![what];
  return new Set(membersOf(p).map(value)).size;
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
      assert.ok(membersOf(p).includes(move.from));
      assert.equal(p.primary === move.from, move.kind !== "copySecondary");
      assert.equal(p.secondaries.includes(move.to), move.kind === "movePrimary");
      assert.notEqual(p.primary, move.to);
      const next = afterMove(p, move);
      assert.equal(new Set(membersOf(next)).size, membersOf(p).length);
      for (const what of ["host", "zone"] as const) {
        assert.ok(spreadOf(start, next, what) >= spreadOf(start, p, what), what);
      }
      return next;
    });
    view = { ...view, partitions };
  }
  return assert.fail("it does not end");
}

function gap(view: BalanceView, count: (node: string) => number): number {
  const counts = view.nodes.filter(({ drained }) => !drained).map(({ node }) => count(node));
  return Math.max(...counts) - Math.min(...counts);
}

Deno.test("Balancer ends with equal shares of primaries and replicas", () => {
  fc.assert(
    fc.property(views, (start) => {
      const isLabelled = start.nodes.some(({ zone }) => zone !== "");
      const { nodes, partitions } = settle(start);
      if (isLabelled) return;
      for (const table of new Set(partitions.map((p) => p.table))) {
        const own = partitions.filter((p) => p.table === table);
        const primaries = (node: string) => own.filter((p) => p.primary === node).length;
        assert.ok(gap({ nodes, partitions }, primaries) <= 1, `primaries of table ${table}`);
      }
      const primaries = (node: string) => partitions.filter((p) => p.primary === node).length;
      assert.ok(gap({ nodes, partitions }, primaries) <= 1, "primaries");
      const replicas = (node: string) =>
        partitions.filter((p) => membersOf(p).includes(node)).length;
      assert.ok(gap({ nodes, partitions }, replicas) <= 1, "replicas");
    }),
    { numRuns: 300 },
  );
});

Deno.test("Balancer empties drained servers where the others have room", () => {
  fc.assert(
    fc.property(views, fc.nat(6), (start, pick) => {
      const drained = start.nodes[pick % start.nodes.length]!.node;
      const nodes = start.nodes.map((node) => ({
        ...node,
        zone: "",
        drained: node.node === drained,
      }));
      const { partitions } = settle({ ...start, nodes }, true);
      for (const p of partitions) {
        const hasRoom = membersOf(p).length < nodes.length;
        assert.equal(membersOf(p).includes(drained), !hasRoom);
        if (p.secondaries.length > 0) assert.notEqual(p.primary, drained);
      }
    }),
    { numRuns: 200 },
  );
});

Deno.test("Balancer never puts two replicas on one host", () => {
  const node = (name: string, host: string): BalanceNode => ({
    node: name,
    host,
    zone: "",
    drained: name === "a:1",
  });
  const nodes = [node("a:1", "x"), node("b:1", "y"), node("b:2", "y")];
  const p = { partition: partitionId(1, 0), table: 1, primary: "a:1", secondaries: ["b:1"] };
  const after = settle({ nodes, partitions: [p] });
  assert.deepEqual(
    membersOf(after.partitions[0]!),
    ["b:1", "a:1"],
    "it leads elsewhere, and stays",
  );
});

Deno.test("Balancer needs no copies where leaderships can be passed on", () => {
  const names = ["a:1", "b:1", "c:1"];
  const nodes = names.map((name) => ({ node: name, host: name, zone: "", drained: false }));
  const partitions = Array.from({ length: 9 }, (_, index) => ({
    partition: partitionId(1, index),
    table: 1,
    primary: "a:1",
    secondaries: ["b:1", "c:1"],
  }));
  const moves = planRound({ nodes, partitions }, 100);
  assert.equal(moves.length, 6);
  assert.ok(moves.every(({ kind }) => kind === "movePrimary"));
});
