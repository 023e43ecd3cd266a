// What the records of one replica mean after a restart, and what
// condemns it: one test per rule of
// docs/log_format.md, "Replay". The files around it are the business of recover_shard_test.ts.

import assert from "node:assert/strict";
import type { Mutation } from "../../../src/schema/mutation.ts";
import type { LogRecord } from "../../../storage/log.ts";
import { RECONCILE_END_NONE } from "../../../storage/log_format.ts";
import { ReplicaRecovery } from "../../../storage/recovery.ts";
import { ballotRecord, mutationRecord, PARTITION } from "./log_fixture.ts";

const START = { partition: PARTITION, generation: 1, ballot: 1, durable: 0, syncedSequence: 0 };
const NO_LOG = { previousSequence: 0, previousDecree: 0, damage: [] };
const DAMAGE = { file: "/log/x", offset: 7, reason: "No valid block" };

function recover(
  records: readonly LogRecord[],
  start: Partial<typeof START> = {},
  log: { previousSequence: number; previousDecree: number } = NO_LOG,
) {
  const recovery = new ReplicaRecovery({ ...START, ...start });
  for (const record of records) recovery.privateRecord(record);
  recovery.privateEnd({ ...log, damage: [], torn: false });
  return recovery;
}

function versions(mutations: readonly Mutation[]): string {
  return mutations.map(({ decree, ballot }) => `${decree}@${ballot}`).join(" ");
}

Deno.test("ReplicaRecovery rebuilds list, ballot and commit point", () => {
  const records = [
    ballotRecord(1, 3, RECONCILE_END_NONE),
    mutationRecord(2, { decree: 5, ballot: 3, lastCommitted: 4 }),
    mutationRecord(3, { decree: 6, ballot: 3, lastCommitted: 5 }),
    mutationRecord(4, { decree: 7, ballot: 3, lastCommitted: 5 }),
    mutationRecord(5, { decree: 8, ballot: 3, lastCommitted: 5 }),
    ballotRecord(6, 4, 7),
    mutationRecord(7, { decree: 6, ballot: 4, lastCommitted: 5 }),
    mutationRecord(8, { decree: 6, ballot: 3, lastCommitted: 5 }),
  ];
  const result = recover(records, { durable: 4 }).result();
  assert.equal(result.condemned, undefined);
  assert.equal(result.ballot, 4);
  assert.equal(versions(result.mutations), "5@3 6@4 7@3");
  assert.equal(result.committed, 5);
  assert.equal(result.lastSequence, 8);
  assert.equal(versions(recover(records, { durable: 6 }).result().mutations), "7@3");
  assert.equal(recover(records, { durable: 6, ballot: 9 }).result().ballot, 9);
});

Deno.test("ReplicaRecovery bounds the commit point by the first hole", () => {
  const records = [
    mutationRecord(1, { decree: 1 }),
    mutationRecord(2, { decree: 2 }),
    mutationRecord(3, { decree: 5, lastCommitted: 4 }),
  ];
  const result = recover(records).result();
  assert.equal(result.committed, 2);
  assert.equal(versions(result.mutations), "1@1 2@1 5@1");
  assert.equal(recover([], { durable: 7 }).result().committed, 7);
});

Deno.test("ReplicaRecovery condemns gaps, losses and strangers", () => {
  const condemned = (recovery: ReplicaRecovery) => recovery.result().condemned;
  const three = [1, 2, 3].map((i) => mutationRecord(i));
  assert.match(condemned(recover([three[0]!, three[2]!]))!, /from sequence 1 to 3/);
  assert.match(condemned(recover(three.slice(1)))!, /starts at sequence 2/);
  assert.equal(
    condemned(recover(three.slice(1), {}, { previousSequence: 1, previousDecree: 0 })),
    undefined,
  );
  const collected = { previousSequence: 1, previousDecree: 1 };
  assert.match(condemned(recover(three.slice(1), {}, collected))!, /collected up to decree 1/);
  assert.equal(condemned(recover(three.slice(1), { durable: 1 }, collected)), undefined);
  assert.match(condemned(recover(three, { syncedSequence: 4 }))!, /manifest knows of 4/);
  assert.match(condemned(recover([mutationRecord(1, { partition: 9 })]))!, /another replica/);
  assert.match(condemned(recover([mutationRecord(1, { generation: 9 })]))!, /another replica/);
  const short: LogRecord = { ...three[0]!, payload: new Uint8Array(3) };
  assert.match(condemned(recover([short]))!, /cannot be decoded/);
  const damaged = new ReplicaRecovery(START);
  damaged.privateEnd({ ...NO_LOG, damage: [DAMAGE], torn: false });
  assert.match(condemned(damaged)!, /private log is damaged/);
});

Deno.test("ReplicaRecovery continues the private log with the shared one", () => {
  const records = [1, 2, 3, 4, 5].map((i) => mutationRecord(i));
  const recovery = recover(records.slice(0, 3));
  assert.deepEqual(records.map((record) => recovery.sharedRecord(record)), [
    false,
    false,
    false,
    true,
    true,
  ]);
  assert.equal(recovery.sharedRecord(mutationRecord(6, { generation: 2 })), false);
  assert.equal(recovery.sharedRecord(mutationRecord(6, { partition: 1 })), false);
  assert.equal(recovery.result().lastSequence, 5);
  assert.equal(recovery.sharedRecord(mutationRecord(7)), false);
  assert.match(recovery.result().condemned!, /goes on at sequence 7/);
});

Deno.test("ReplicaRecovery is cleared of damage only by proof", () => {
  const suspect = () => {
    const recovery = recover([mutationRecord(1), mutationRecord(2)]);
    recovery.sharedDamage(DAMAGE);
    return recovery;
  };
  const byRecord = suspect();
  byRecord.sharedRecord(mutationRecord(2));
  byRecord.sharedEnd();
  assert.equal(byRecord.result().condemned, undefined);
  const byTable = suspect();
  byTable.sharedTable(2);
  byTable.sharedEnd();
  assert.equal(byTable.result().condemned, undefined);
  const byLoss = suspect();
  byLoss.sharedTable(3);
  assert.match(byLoss.result().condemned!, /up to sequence 3/);
  const byGap = suspect();
  byGap.sharedRecord(mutationRecord(4));
  assert.match(byGap.result().condemned!, /goes on at sequence 4/);
  const unproven = suspect();
  unproven.sharedRecord(mutationRecord(5, { partition: 77 }));
  unproven.sharedEnd();
  assert.match(unproven.result().condemned!, /may be lost/);
});

Deno.test("ReplicaRecovery knows that the end of its logs may have been more", () => {
  const NONE = { ...NO_LOG, torn: false };
  const TORN = { ...NO_LOG, torn: true };
  const records = [mutationRecord(1, { decree: 1 }), mutationRecord(2, { decree: 2 })];
  const read = (log: typeof TORN, shared: readonly LogRecord[], sharedTorn = false) => {
    const recovery = new ReplicaRecovery(START);
    for (const record of records) recovery.privateRecord(record);
    recovery.privateEnd(log);
    for (const record of shared) recovery.sharedRecord(record);
    if (sharedTorn) recovery.sharedTorn();
    recovery.sharedEnd();
    return recovery.result().tornTail;
  };
  assert.equal(read(NONE, []), false);
  assert.equal(read(TORN, []), true);
  // The shared log holds what follows, or would.
  assert.equal(read(TORN, [mutationRecord(3, { decree: 3 })]), false);
  assert.equal(read(TORN, [records[1]!]), false);
  assert.equal(read(TORN, [records[0]!]), true);
  assert.equal(read(NONE, [mutationRecord(3, { decree: 3 })], true), true);
});
