// Verdict of a chaos run, from what clients saw: V1 registers are linearizable, V2 no acknowledged row is
// lost, V3 counters hold every acknowledged increment and no other, V4 pairs are never half, V5 all members
// hold the same. Every check also says how much it saw, because a run that saw nothing proves nothing.
// Page: docs/testing.md, "Chaos".

import { fromUtf8, utf8 } from "../../src/base/bytes.ts";
import { StoreError } from "../../src/base/errors.ts";
import type { PartitionConfig, Table } from "../../src/client/mod.ts";
import { Get } from "../../src/schema/client_rpc.ts";
import { encodeKey, partitionIndexOf } from "../../src/schema/key_format.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { checkLinearizable } from "../sim/linearizability.ts";
import { type ChaosCluster, MEMBERS, PARTITIONS } from "./cluster.ts";
import { PAIRS, SORT, type Workload } from "./workload.ts";

const TOGETHER = 50;
/** Followers hear of the last commit within the idle interval; a slow machine gets more. */
const EQUAL_MS = 20_000;
const COMPARED_MAX = 500;
/** Rows that members must have been asked for, and have. */
const COMPARED_MIN = 50;
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
  await compareMembers(membersOf(cluster), workload, violations, summary);
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
  { written, table }: { readonly written: readonly string[]; readonly table: Pick<Table, "get"> },
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

/** What V5 asks a cluster. */
export interface Members {
  configs(): Promise<readonly PartitionConfig[]>;
  /** The row as one member has it, however old. @throws {StoreError} If the member does not answer. */
  readAt(node: string, partition: number, key: string): Promise<string | undefined>;
}

/**
 * V5: every member answers like the primary once everything is quiet. An error and a missing member are no
 * answer, and rows that nobody has are not counted as compared.
 *
 * @param waitMs Until members that differ must be equal.
 */
export async function compareMembers(
  members: Members,
  { written, histories, counters }: Pick<Workload, "written" | "histories" | "counters">,
  violations: string[],
  summary: string[],
  waitMs = EQUAL_MS,
): Promise<void> {
  const step = Math.max(1, Math.floor(written.length / COMPARED_MAX));
  let left = [
    ...written.filter((_, i) => i % step === 0),
    ...[...histories.keys()].slice(-COMPARED_MAX),
    ...counters.map(({ key }) => key),
  ];
  let found = 0;
  let absent = 0;
  let different = new Map<string, string>();
  const areEqual = async () => {
    different = new Map();
    const configs = await members.configs();
    await inGroups(left, async (key) => {
      const answers = await answersOf(members, configs, key);
      const [first] = answers;
      const isEqual = answers.length === MEMBERS && first!.isKnown &&
        answers.every(({ isKnown, value }) => isKnown && value === first!.value);
      if (!isEqual) different.set(key, JSON.stringify(answers.map(({ value }) => value ?? null)));
      else if (first!.value === undefined) absent++;
      else found++;
    });
    left = [...different.keys()];
    return left.length === 0;
  };
  await waitFor(areEqual, waitMs);
  for (const [key, values] of [...different].slice(0, 10)) {
    violations.push(`V5: members differ, primary first, "${key}": ${values}`);
  }
  if (different.size > 10) violations.push(`V5: and ${different.size - 10} rows more`);
  if (found < COMPARED_MIN) violations.push(`V5: only ${found} rows compared, it proves nothing`);
  summary.push(`V5 equal members: ${found} rows compared, ${absent} that nobody has`);
}

/** What a member says: a value, no row, or why it does not answer. */
interface Answer {
  readonly isKnown: boolean;
  readonly value: string | undefined;
}

/** Answers of all members, the primary's first. */
async function answersOf(
  members: Members,
  configs: readonly PartitionConfig[],
  key: string,
): Promise<Answer[]> {
  const index = partitionIndexOf(utf8(key), utf8(SORT), PARTITIONS);
  const { partition, primary, secondaries } = configs[index]!;
  return await Promise.all([primary, ...secondaries].map(async (node) => {
    try {
      return { isKnown: true, value: await members.readAt(node, partition, key) };
    } catch (error) {
      if (error instanceof StoreError) return { isKnown: false, value: `error ${error.message}` };
      throw error;
    }
  }));
}

/** Members of a real cluster. */
function membersOf(cluster: ChaosCluster): Members {
  return {
    configs: () => cluster.configs(),
    async readAt(node, partition, key) {
      const raw = encodeKey(utf8(key), utf8(SORT));
      const request = { partition, stale: true, stalenessMaxMs: 0, key: raw };
      const { value } = await cluster.direct.call(node, Get, request, 5000);
      return value === undefined ? undefined : fromUtf8(value);
    },
  };
}

async function inGroups<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < items.length; i += TOGETHER) {
    await Promise.all(items.slice(i, i + TOGETHER).map(work));
  }
}
