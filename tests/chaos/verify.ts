// Verdict of a chaos run, from what clients saw: V1 registers are linearizable, V2 no acknowledged row is
// lost, V3 counters hold every acknowledged increment and no other, V4 pairs are never half, V5 all members
// hold the same. Every check also says how much it saw, because a run that saw nothing proves nothing.
// Page: docs/testing.md, "Chaos".

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { StoreError } from "../../src/base/errors.ts";
import { Get } from "../../src/schema/client_rpc.ts";
import { encodeKey, partitionIndexOf } from "../../src/schema/key_format.ts";
import { checkLinearizable } from "../sim/linearizability.ts";
import { type ChaosCluster, PARTITIONS } from "./cluster.ts";
import { PAIRS, SORT, type Workload } from "./workload.ts";

const TOGETHER = 50;
/** Followers hear of the last commit within the idle interval; a slow machine gets more. */
const EQUAL_MS = 20_000;
const COMPARED_MAX = 500;
const OK_MIN = 50;

/** What was looked at, in words. */
export interface Verdict {
  readonly violations: readonly string[];
  readonly summary: readonly string[];
}

/** Judges everything; the workload has stopped and the cluster is healthy. */
export async function verify(cluster: ChaosCluster, workload: Workload): Promise<Verdict> {
  const violations: string[] = [];
  const summary: string[] = [];
  judgeRegisters(workload, violations, summary);
  await readWritten(workload, violations, summary);
  await readCounters(workload, summary);
  for (let i = 0; i < PAIRS; i++) await workload.readPair(i);
  summary.push(`V4 pairs: ${workload.pairs.ok} answers`);
  await compareMembers(cluster, workload, violations, summary);
  const families = { registers: workload.registers, once: workload.once };
  const others = { increments: workload.increments, pairs: workload.pairs };
  for (const [name, { ok, notDone, unknown }] of Object.entries({ ...families, ...others })) {
    summary.push(`${name}: ${ok} ok, ${notDone} not done, ${unknown} unknown`);
    if (ok < OK_MIN) violations.push(`Only ${ok} operations on ${name}: the run proves nothing`);
  }
  return { violations: [...workload.violations, ...violations], summary };
}

/** V1. */
function judgeRegisters({ histories }: Workload, violations: string[], summary: string[]): void {
  let operations = 0;
  let unknown = 0;
  for (const [key, history] of histories) {
    operations += history.length;
    unknown += history.filter(({ result }) => result === undefined).length;
    const verdict = checkLinearizable(history);
    if (verdict === "linearizable") continue;
    violations.push(`V1: the history of "${key}" is ${verdict}:\n${JSON.stringify(history)}`);
  }
  summary.push(`V1 registers: ${histories.size}, ${operations} operations, ${unknown} unknown`);
}

/** V2. Rows that are missing or changed are told one by one, up to ten. */
export async function readWritten(
  { written, table }: Workload,
  violations: string[],
  summary: string[],
): Promise<void> {
  const wrong: string[] = [];
  await inGroups([...written], async (key) => {
    const value = await table.get(key, SORT, { timeoutMs: 30_000 });
    const found = value === undefined ? undefined : fromUtf8(value);
    if (found !== key) wrong.push(`V2: acknowledged row "${key}" is ${JSON.stringify(found)}`);
  });
  violations.push(...wrong.slice(0, 10));
  if (wrong.length > 10) violations.push(`V2: and ${wrong.length - 10} rows more`);
  summary.push(`V2 rows written once: ${written.length} read back`);
}

/** V3. */
async function readCounters(workload: Workload, summary: string[]): Promise<void> {
  for (const counter of workload.counters) {
    const value = await workload.table.get(counter.key, SORT, { timeoutMs: 30_000 });
    const number = Number(value === undefined ? "0" : fromUtf8(value));
    workload.checkCounter(counter, number);
    const { key, acknowledged, unknown } = counter;
    summary.push(`V3 ${key}: ${number}, ${acknowledged} acknowledged, ${unknown} unknown`);
  }
}

/** V5: every member answers like the primary once everything is quiet. */
async function compareMembers(
  cluster: ChaosCluster,
  workload: Workload,
  violations: string[],
  summary: string[],
): Promise<void> {
  const { written, histories, counters } = workload;
  const step = Math.max(1, Math.floor(written.length / COMPARED_MAX));
  const keys = [
    ...written.filter((_, i) => i % step === 0),
    ...[...histories.keys()].slice(-COMPARED_MAX),
    ...counters.map(({ key }) => key),
  ];
  const end = performance.now() + EQUAL_MS;
  let different: string[] = [];
  do {
    different = [];
    const configs = await cluster.configs();
    await inGroups(keys, async (key) => {
      const index = partitionIndexOf(utf8(key), utf8(SORT), PARTITIONS);
      const { partition, primary, secondaries } = configs[index]!;
      const values = await Promise.all(
        [primary, ...secondaries].map((node) => readAt(cluster, node, partition, key)),
      );
      if (new Set(values).size > 1) different.push(`"${key}": ${JSON.stringify(values)}`);
    });
  } while (different.length > 0 && performance.now() < end);
  violations.push(
    ...different.slice(0, 10).map((line) => `V5: members differ, primary first, ${line}`),
  );
  summary.push(`V5 equal members: ${keys.length} rows compared`);
}

async function readAt(
  { direct }: ChaosCluster,
  node: string,
  partition: number,
  key: string,
): Promise<string> {
  const request = {
    partition,
    stale: true,
    stalenessMaxMs: 0,
    key: encodeKey(utf8(key), utf8(SORT)),
  };
  try {
    const { value } = await direct.call(node, Get, request, 5000);
    return value === undefined ? "-" : fromUtf8(value);
  } catch (error) {
    if (error instanceof StoreError) return `error ${error.message}`;
    throw error;
  }
}

async function inGroups<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += TOGETHER) {
    await Promise.all(items.slice(i, i + TOGETHER).map(work));
  }
}
