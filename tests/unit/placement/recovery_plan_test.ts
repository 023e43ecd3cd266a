// Which tables and which leaders a rebuilt store gets: docs/meta.md, "Recovery".

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import type { Stock } from "../../../src/placement/io.ts";
import { planRecovery } from "../../../src/placement/recovery_plan.ts";
import type { ReplicaReport, TableInfo } from "../../../src/schema/types.ts";

function table(tableId: number, name: string, values: Partial<TableInfo> = {}): TableInfo {
  return {
    ...{ tableId, name, status: "available", partitionCount: 1, maxReplicaCount: 3 },
    ...{ envs: new Map(), createdAt: 100, droppedAt: 0, expiresAt: 0, revision: 1 },
    ...values,
  };
}

/** `mutation`: ballot of the newest mutation. */
function copy(
  ballot: number,
  mutation: number,
  prepared: number,
  committed: number,
  partition = partitionId(1, 0),
): ReplicaReport {
  return {
    ...{ partition, ballot, status: "inactive", committed, lastPrepared: prepared },
    ...{
      maxPrepared: prepared,
      durable: 0,
      applied: 0,
      bytes: 0,
      disk: "",
      mutationBallot: mutation,
    },
  };
}

function stock(node: string, replicas: ReplicaReport[], values: Partial<Stock> = {}): Stock {
  const rest = { incarnation: 1, store: "s", isServing: false, tables: [table(1, "t")] };
  return { node, ...rest, replicas, ...values };
}

function plan(
  stocks: readonly Stock[],
  options: Partial<Parameters<typeof planRecovery>[0]> = {},
) {
  return planRecovery({
    answers: new Map(stocks.map((each) => [each.node, each])),
    failures: new Map(),
    own: new Set(),
    skipBadNodes: false,
    skipLostPartitions: false,
    now: 1000,
    ...options,
  });
}

function first(stocks: readonly Stock[]) {
  const { tables, problems, lines } = plan(stocks);
  assert.deepEqual(problems, []);
  return { config: tables[0]!.configs[0]!, lines };
}

Deno.test("planRecovery gives a partition no member, the lost ones, and a ballot far above all", () => {
  const { config } = first([
    stock("a:1", [copy(7, 7, 10, 10)]),
    stock("b:1", [copy(6, 6, 8, 8)]),
    stock("c:1", [copy(7, 7, 12, 9)]),
  ]);
  assert.deepEqual(config.lastDrops, ["b:1", "a:1", "c:1"]);
  assert.deepEqual([config.primary, config.secondaries], ["", []]);
  assert.equal(config.ballot, 1007);
  assert.equal(config.committedHint, 10);
});

Deno.test("planRecovery prefers a later reign to a longer log", () => {
  // A lost primary logged up to 20 in ballot 5, alone. Its successor committed 15 in ballot 6. Both heard of 6.
  const { config, lines } = first([
    stock("a:1", [copy(6, 5, 20, 10)]),
    stock("b:1", [copy(6, 6, 15, 10)]),
  ]);
  assert.equal(config.lastDrops.at(-1), "b:1");
  assert.match(lines.join("\n"), /1\.0: b:1 leads with decree 15 .* up to 20 .* not committed/);
});

Deno.test("planRecovery trusts no ballot that a server knows from hearsay", () => {
  const { config } = first([
    stock("a:1", [copy(9, 3, 5, 5)]),
    stock("b:1", [copy(8, 8, 50, 50)]),
  ]);
  assert.equal(config.lastDrops.at(-1), "b:1");
});

Deno.test("planRecovery never chooses who lacks what somebody knows committed", () => {
  const { config } = first([
    stock("a:1", [copy(9, 9, 40, 30)]),
    stock("b:1", [copy(8, 8, 50, 45)]),
  ]);
  assert.equal(config.lastDrops.at(-1), "b:1");
});

Deno.test("planRecovery takes the newest description of a table", () => {
  const tables = [table(1, "old", { revision: 3 })];
  const newer = [table(1, "new", { revision: 4, maxReplicaCount: 2 })];
  const { tables: [rebuilt] } = plan([
    stock("a:1", [copy(1, 1, 1, 1)], { tables: newer }),
    stock("b:1", [copy(1, 1, 1, 1)], { tables }),
  ]);
  assert.deepEqual([rebuilt!.info.name, rebuilt!.configs[0]!.maxReplicaCount], ["new", 2]);
});

Deno.test("planRecovery keeps dropped tables dropped and finishes those that were being made", () => {
  const tables = [table(1, "a", { status: "dropped" }), table(2, "b", { status: "creating" })];
  const replicas = [copy(1, 1, 1, 1), copy(1, 1, 1, 1, partitionId(2, 0))];
  const { tables: rebuilt } = plan([stock("a:1", replicas, { tables })]);
  assert.deepEqual(rebuilt.slice(0, 2).map(({ info }) => info.status), ["dropped", "available"]);
});

Deno.test("planRecovery renames the older of two living tables with one name", () => {
  const tables = [table(1, "x"), table(4, "x"), table(5, "x", { status: "dropped" })];
  const replicas = [1, 4, 5].map((id) => copy(1, 1, 1, 1, partitionId(id, 0)));
  const { tables: rebuilt, lines } = plan([stock("a:1", replicas, { tables })]);
  assert.deepEqual(rebuilt.slice(0, 3).map(({ info }) => info.name), ["x__1", "x", "x"]);
  assert.match(lines.join("\n"), /Two tables have the name "x"/);
});

Deno.test("planRecovery reserves the numbers that only lost servers know", () => {
  const { tables } = plan([stock("a:1", [copy(1, 1, 1, 1)])]);
  const holder = tables.at(-1)!;
  assert.equal(holder.info.name, "__drop_holder__101");
  assert.deepEqual([holder.info.status, holder.configs.length], ["dropped", 0]);
});

Deno.test("planRecovery plans nothing while something is missing or in doubt", () => {
  const whole = stock("a:1", [copy(1, 1, 1, 1)]);
  const problem = (...args: Parameters<typeof plan>) => plan(...args).problems.join("\n");
  const failures = new Map([["b:1", "no report"]]);
  assert.match(problem([whole], { failures }), /b:1 does not answer/);
  assert.equal(problem([whole], { failures, skipBadNodes: true }), "");
  assert.match(problem([{ ...whole, isServing: true }]), /a:1 still holds a lease/);
  // A server that came to the empty store has its lease from the leader that plans.
  const fresh = stock("d:1", [], { store: "e", isServing: true, tables: [] });
  assert.equal(problem([whole, fresh], { own: new Set(["e"]) }), "");
  assert.match(problem([whole, fresh]), /d:1 still holds a lease/);
  const other = { ...whole, node: "b:1", store: "other" };
  assert.match(problem([whole, other]), /different stores.*s: a:1; other: b:1/);
  assert.match(problem([stock("a:1", [], { tables: [] })]), /nothing to rebuild/);
  const two = { ...whole, node: "b:1", tables: [table(1, "t", { partitionCount: 2 })] };
  assert.match(problem([whole, two]), /Table 1 has 2 partitions on b:1 and 1 on a:1/);
});

Deno.test("planRecovery makes a lost partition empty only if it is told to", () => {
  const half = stock("a:1", [copy(4, 4, 1, 1)], { tables: [table(1, "t", { partitionCount: 2 })] });
  assert.match(plan([half]).problems.join(), /No server holds a replica of 1\.1/);
  const { tables, problems } = plan([half], { skipLostPartitions: true });
  assert.deepEqual(problems, []);
  assert.deepEqual([tables[0]!.configs[1]!.ballot, tables[0]!.configs[1]!.lastDrops], [0, []]);
});
