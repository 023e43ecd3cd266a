// Which writes leave at once, which together with others, and that none waits for long or is lost.

import assert from "node:assert/strict";
import { setImmediate } from "node:timers";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { Cluster } from "../../../src/client/cluster.ts";
import { type WaveMember, WriteWaves } from "../../../src/client/write_waves.ts";
import { FakeCluster } from "./fake_cluster.ts";

interface Write extends WaveMember {
  readonly name: number;
}

const endOfTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Waves whose time moves by hand; `sent` is what has left and is unanswered. */
function setUp() {
  let mono = 1000;
  let name = 0;
  const sent: Write[] = [];
  const clock = { now: () => ({ mono, wall: 1e12 }) };
  const waves = new WriteWaves<Write>(clock, (write) => sent.push(write));
  return {
    waves,
    sent,
    add: (count: number) => {
      for (let i = 0; i < count; i++) waves.add({ name: name++, wave: -1 }, mono);
    },
    /** Answers the oldest ones. */
    answer: (count: number) => {
      for (const { wave } of sent.splice(0, count)) waves.answered(wave);
    },
    names: () => sent.map((write) => write.name),
    pass: (ms: number) => mono += ms,
  };
}

Deno.test("few writes never wait", async () => {
  const { add, answer, sent } = setUp();
  for (let i = 0; i < 20; i++) {
    add(4);
    assert.equal(sent.length, 4);
    answer(1 + i % 4);
    add(1 + i % 4);
    assert.equal(sent.length, 4);
    answer(4);
    await endOfTurn();
  }
});

Deno.test("what is issued while a wave is on its way leaves together, in its order", async () => {
  const { add, answer, names } = setUp();
  add(20);
  assert.deepEqual(names(), [0, 1, 2, 3]);
  answer(1);
  // Not before the other answers of this turn have brought theirs.
  add(1);
  assert.deepEqual(names(), [1, 2, 3]);
  await endOfTurn();
  assert.deepEqual(names(), Array.from({ length: 20 }, (_, i) => i + 1));
  add(3);
  answer(17);
  await endOfTurn();
  assert.deepEqual(names(), [18, 19, 20, 21, 22, 23]);
});

Deno.test("a wave is over when an eighth of it is unanswered, and that eighth counts no more", async () => {
  const { waves, sent, add, answer, names } = setUp();
  add(68);
  answer(4);
  await endOfTurn();
  assert.equal(sent.length, 64);
  add(40);
  answer(55);
  await endOfTurn();
  assert.equal(sent.length, 9);
  answer(1);
  await endOfTurn();
  assert.equal(sent.length, 48);
  const slow = sent.splice(0, 8);
  add(1);
  for (const { wave } of slow) waves.answered(wave);
  await endOfTurn();
  assert.equal(names().length, 40, "late answers end no other wave");
});

Deno.test("writes behind a server that hangs leave all the same", async () => {
  const { waves, sent, add, pass } = setUp();
  add(10);
  await endOfTurn();
  assert.equal(sent.length, 4);
  pass(3);
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(sent.length, 4);
  pass(1);
  while (sent.length < 10) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(waves.drain(), []);
});

Deno.test("what has not left can be taken back", async () => {
  const { waves, sent, add, answer } = setUp();
  add(10);
  assert.deepEqual(waves.drain().map((write) => write.name), [4, 5, 6, 7, 8, 9]);
  answer(4);
  await endOfTurn();
  assert.equal(sent.length, 0);
});

Deno.test("a client that closes knows which writes never left", async () => {
  const fake = new FakeCluster();
  fake.addTable("t", 1);
  const cluster = new Cluster(fake, { meta: ["m1:1"], exactlyOnce: false });
  const table = cluster.table("t");
  await table.set("h", "s", "v");
  fake.fault = () => ({ silent: true });
  const failures = Array.from(
    { length: 10 },
    () => table.set("h", "s", "w").then(() => undefined, (error: unknown) => error),
  );
  await Promise.resolve();
  await cluster.close();
  for (const [i, failure] of failures.entries()) {
    if (i < 4) continue; // On their way: the connections, which are not here, would tell.
    const error = await failure;
    assert(error instanceof StoreError);
    assert.deepEqual([error.code, error.outcome], [Err.CLOSED, "not done"]);
  }
});
