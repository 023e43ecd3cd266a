// The judge of a chaos run finds what is planted: rows that are lost or changed, members that differ, that do not
// answer or that are missing, and a run that saw nothing.

import assert from "node:assert/strict";
import { fromUtf8, utf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { MEMBERS, PARTITIONS } from "../../chaos/cluster.ts";
import { compareMembers, type Members, readWritten } from "../../chaos/verify.ts";

const NODES = ["r1", "r2", "r3"];
const ROWS = 120;
const WRITTEN = Array.from({ length: ROWS }, (_, i) => `once ${i}`);

/** Three members of every partition that hold the same rows, until a test changes something. */
class FakeMembers implements Members {
  readonly rows = new Map(NODES.map((node) => [node, new Map(WRITTEN.map((key) => [key, key]))]));
  /** How often a member does not answer. */
  readonly silent = new Map<string, number>();
  nodes = NODES;

  configs() {
    const [primary = "", ...secondaries] = this.nodes;
    return Promise.resolve(Array.from({ length: PARTITIONS }, (_, partition) => ({
      ...{ partition, ballot: 1, primary, secondaries },
      ...{ lastDrops: [], maxReplicaCount: MEMBERS, committedHint: 0 },
    })));
  }

  readAt(node: string, _partition: number, key: string): Promise<string | undefined> {
    const left = this.silent.get(node) ?? 0;
    this.silent.set(node, left - 1);
    if (left > 0) return Promise.reject(new StoreError(Err.TIMEOUT));
    return Promise.resolve(this.rows.get(node)!.get(key));
  }

  /** What the judge says. */
  async judge(waitMs = 0, written: string[] = WRITTEN) {
    const violations: string[] = [];
    const summary: string[] = [];
    const workload = { written, histories: new Map([["register", []]]), counters: [] };
    await compareMembers(this, workload, violations, summary, waitMs);
    return { violations, summary };
  }
}

Deno.test("compareMembers accepts equal members, and says what it compared", async () => {
  const { violations, summary } = await new FakeMembers().judge();
  assert.deepEqual(violations, []);
  assert.deepEqual(summary, [`V5 equal members: ${ROWS} rows compared, 1 that nobody has`]);
});

Deno.test("compareMembers finds a member that has another value, or none", async () => {
  const members = new FakeMembers();
  members.rows.get("r2")!.set("once 7", "another");
  members.rows.get("r3")!.delete("once 8");
  assert.deepEqual((await members.judge()).violations, [
    'V5: members differ, primary first, "once 7": ["once 7","another","once 7"]',
    'V5: members differ, primary first, "once 8": ["once 8","once 8",null]',
  ]);
});

Deno.test("compareMembers takes the same error of all members for no answer, and asks again", async () => {
  const members = new FakeMembers();
  for (const node of NODES) members.silent.set(node, Infinity);
  const { violations } = await members.judge();
  assert.match(violations[0]!, /members differ, .*"once 0": \["error TIMEOUT/);
  assert.match(violations.at(-1)!, /only 0 rows compared/);
  for (const node of NODES) members.silent.set(node, 50);
  assert.deepEqual((await members.judge(60_000)).violations, []);
});

Deno.test("compareMembers misses a member that is not there", async () => {
  const members = new FakeMembers();
  members.nodes = ["r1", "r2"];
  assert.match((await members.judge()).violations[0]!, /members differ/);
});

Deno.test("compareMembers does not count rows that nobody has", async () => {
  const members = new FakeMembers();
  for (const rows of members.rows.values()) rows.clear();
  const { violations, summary } = await members.judge();
  assert.deepEqual(violations, ["V5: only 0 rows compared, it proves nothing"]);
  assert.match(summary[0]!, new RegExp(`${ROWS + 1} that nobody has`));
  assert.match((await members.judge(0, [])).violations[0]!, /proves nothing/);
});

Deno.test("readWritten finds acknowledged rows that are lost or changed", async () => {
  const rows = new Map(WRITTEN.map((key) => [key, utf8(key)]));
  const table = {
    get: (hashKey: string | Uint8Array) =>
      Promise.resolve(rows.get(typeof hashKey === "string" ? hashKey : fromUtf8(hashKey))),
  };
  const judge = async () => {
    const violations: string[] = [];
    await readWritten({ written: WRITTEN, table }, violations, []);
    return violations;
  };
  assert.deepEqual(await judge(), []);
  rows.delete("once 3");
  rows.set("once 4", utf8("another"));
  assert.deepEqual(await judge(), [
    'V2: acknowledged row "once 3" is undefined',
    'V2: acknowledged row "once 4" is "another"',
  ]);
  for (const key of WRITTEN) rows.delete(key);
  assert.equal((await judge()).at(-1), `V2: and ${ROWS - 10} rows more`);
});
