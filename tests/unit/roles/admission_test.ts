// What a table's variables and partition count do to requests: handlers, core and engine together.

import assert from "node:assert/strict";
import { EMPTY, utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import { loggerOf, type LogLevel } from "../../../src/observe/logger.ts";
import {
  BatchGet,
  CheckAndSet,
  Get,
  Incr,
  MultiGet,
  MultiPut,
  MultiRemove,
  Put,
  Remove,
  SortKeyCount,
  Ttl,
} from "../../../src/schema/client_rpc.ts";
import { encodeKey, partitionIndexOf } from "../../../src/schema/key_format.ts";
import { key, multiGet } from "./reads_fixture.ts";
import { LeadShard, WRITE_HEAD } from "./shard_fixture.ts";

const GET = { stale: false, stalenessMaxMs: 0, key: key("h", "s") };
const PUT = { ...WRITE_HEAD, key: key("h", "s"), value: utf8("v"), expireTs: 0 };

Deno.test("A table's default_ttl reaches open replicas, later changes too", async () => {
  const shard = await LeadShard.start({ envs: { default_ttl: "100" } });
  await shard.must(Put, PUT);
  const ttl = async () => (await shard.must(Ttl, GET)).seconds;
  assert.equal(await ttl(), 100);
  shard.setEnvs({ default_ttl: "7" });
  assert.equal(await ttl(), 100, "Rows keep what they were written with");
  await shard.must(Put, PUT);
  assert.equal(await ttl(), 7);
  await shard.must(Put, { ...PUT, expireTs: shard.seconds + 50 });
  assert.equal(await ttl(), 50, "A TTL of the client's wins");
  shard.setEnvs({});
  await shard.must(Put, PUT);
  assert.equal(await ttl(), -1);
  await shard.close();
});

Deno.test("Requests for keys of another partition are refused, whatever the operation", async () => {
  const partitionCount = 4;
  const name = (index: number) => {
    for (let i = 0;; i++) {
      if (partitionIndexOf(utf8(`k${i}`), EMPTY, partitionCount) === index) return utf8(`k${i}`);
    }
  };
  const shard = await LeadShard.start({ partitionCount, index: 2 });
  const check = {
    ...WRITE_HEAD,
    checkSortKey: utf8("s"),
    checkType: 0,
    checkOperand: EMPTY,
    returnCheckValue: false,
    setSortKey: undefined,
    setValue: utf8("v"),
    expireTs: 0,
  };
  const ask = async (hashKey: Uint8Array) => {
    const raw = encodeKey(hashKey, utf8("s"));
    const rows = [{ sortKey: utf8("s"), value: utf8("v") }];
    const answers = [
      await shard.ask(Put, { ...PUT, key: raw }),
      await shard.ask(Remove, { ...WRITE_HEAD, key: raw }),
      await shard.ask(MultiPut, { ...WRITE_HEAD, hashKey, rows, expireTs: 0 }),
      await shard.ask(MultiRemove, { ...WRITE_HEAD, hashKey, sortKeys: [utf8("s")] }),
      await shard.ask(Incr, { ...WRITE_HEAD, key: raw, increment: 1n, expireTs: 0 }),
      await shard.ask(CheckAndSet, { ...check, hashKey }),
      await shard.ask(Get, { stale: false, stalenessMaxMs: 0, key: raw }),
      await shard.ask(Get, { stale: true, stalenessMaxMs: 0, key: raw }),
      await shard.ask(Ttl, { stale: false, stalenessMaxMs: 0, key: raw }),
      await shard.ask(MultiGet, multiGet({ partition: shard.partition, hashKey })),
      await shard.ask(SortKeyCount, { stale: false, stalenessMaxMs: 0, hashKey }),
      await shard.ask(BatchGet, {
        stale: false,
        stalenessMaxMs: 0,
        keys: [encodeKey(name(2), EMPTY), raw],
      }),
    ];
    return [...new Set(answers.map(({ error }) => error))];
  };
  assert.deepEqual(await ask(name(2)), [Err.OK]);
  for (const index of [0, 1, 3]) {
    assert.deepEqual(await ask(name(index)), [Err.PARENT_PARTITION_MISUSED]);
  }
  // Without hash key each row is placed by its sort key.
  const rows = (...sortKeys: Uint8Array[]) =>
    sortKeys.map((sortKey) => ({ sortKey, value: EMPTY }));
  const multi = { ...WRITE_HEAD, hashKey: EMPTY, expireTs: 0 };
  assert.equal((await shard.ask(MultiPut, { ...multi, rows: rows(name(2)) })).error, Err.OK);
  const mixed = await shard.ask(MultiPut, { ...multi, rows: rows(name(2), name(1)) });
  assert.equal(mixed.error, Err.PARENT_PARTITION_MISUSED);
  await shard.close();
});

Deno.test("replica.deny_client_request refuses or ignores what it names", async () => {
  const shard = await LeadShard.start();
  const errors = async (value: string) => {
    shard.setEnvs({ "replica.deny_client_request": value });
    const read = shard.call(Get, GET);
    const write = shard.call(Put, PUT);
    await shard.settle();
    return [read.error, write.error];
  };
  const refused = Err.INVALID_STATE;
  assert.deepEqual(await errors("reconfig*all"), [refused, refused]);
  assert.deepEqual(await errors("reconfig*read"), [refused, 0]);
  assert.deepEqual(await errors("reconfig*write"), [0, refused]);
  assert.deepEqual(await errors("timeout*all"), [undefined, undefined]);
  assert.deepEqual(await errors("timeout*write"), [0, undefined]);
  shard.setEnvs({});
  assert.equal((await shard.ask(Put, PUT)).error, 0);
  await shard.close();
});

Deno.test("Write throttling refuses after a pause, and delays in order", async () => {
  const shard = await LeadShard.start({
    envs: { "replica.write_throttling": "2*delay*200,3*reject*100" },
  });
  shard.pass(9000);
  const calls = Array.from({ length: 5 }, () => shard.call(Put, PUT, shard.now.mono + 1000));
  const errors = () => calls.map(({ error }) => error);
  await shard.settle();
  assert.deepEqual(errors(), [0, 0, 0, undefined, undefined]);
  shard.pass(99);
  await shard.settle();
  assert.deepEqual(errors(), [0, 0, 0, undefined, undefined]);
  shard.pass(2);
  await shard.settle();
  assert.deepEqual(errors(), [0, 0, 0, undefined, Err.BUSY]);
  shard.pass(100);
  await shard.settle();
  assert.deepEqual(errors(), [0, 0, 0, 0, Err.BUSY]);
  await shard.close();
});

Deno.test("Throttled requests wait for half of the caller's patience at most", async () => {
  const shard = await LeadShard.start({ envs: { "replica.read_throttling": "0*delay*5000" } });
  assert.equal(shard.call(Get, GET).error, 0);
  const late = shard.call(Get, GET, shard.now.mono + 100);
  shard.pass(49);
  assert.equal(late.error, undefined);
  shard.pass(2);
  assert.equal(late.error, 0);
  await shard.close();
});

Deno.test("Throttled requests are refused when the shard stops or loses its lease", async () => {
  const shard = await LeadShard.start({ envs: { "replica.write_throttling": "0*delay*500" } });
  const calls = [shard.call(Put, PUT), shard.call(Put, PUT), shard.call(Put, PUT)];
  await shard.settle();
  shard.now.mono += 10_000;
  shard.host.tick();
  assert.deepEqual(calls.map(({ error }) => error), [0, Err.INVALID_STATE, Err.INVALID_STATE]);
  shard.pass(0);
  shard.call(Put, PUT);
  const last = shard.call(Put, PUT);
  await shard.close();
  assert.equal(last.error, Err.INVALID_STATE);
});

Deno.test("Size throttling charges writes before and reads after", async () => {
  const shard = await LeadShard.start({
    envs: {
      "replica.write_throttling_by_size": "10K*reject*0",
      "replica.read_throttling_by_size": "10K",
    },
  });
  shard.pass(9000);
  const put = { ...PUT, value: new Uint8Array(6000) };
  assert.equal((await shard.ask(Put, put)).error, 0);
  assert.equal((await shard.ask(Put, put)).error, Err.BUSY);
  const reads = Array.from({ length: 4 }, () => shard.call(Get, GET).error);
  assert.deepEqual(reads, [0, 0, Err.BUSY, Err.BUSY], "The second read overdraws the account");
  shard.pass(1000);
  assert.equal(shard.call(Get, GET).error, 0);
  await shard.close();
});

Deno.test("Slow and large reads are logged without keys, and seldom; keys at debug level", async () => {
  const lines: { level: LogLevel; message: string; details: unknown }[] = [];
  const logger = loggerOf((level, message, details) => lines.push({ level, message, details }));
  const shard = await LeadShard.start({ logger });
  const secret = { ...PUT, key: key("secret\x00key", "s"), value: new Uint8Array(1_000_000) };
  await shard.must(Put, secret);
  lines.length = 0;
  for (let i = 0; i < 20; i++) {
    await shard.must(Get, { stale: false, stalenessMaxMs: 0, key: secret.key });
  }
  const warned = lines.filter(({ level }) => level === "warn");
  assert.equal(warned.length, 5, "The rest of a burst is held back");
  assert.equal(warned[0]!.message, "Large read");
  assert.doesNotMatch(JSON.stringify(warned), /secret/);
  const shown = lines.filter(({ level }) => level === "debug").map(({ details }) => details);
  assert.deepEqual(shown[0], { rpc: "get", key: "\\x00\\x0asecret\\x00keys" });
  lines.length = 0;
  shard.setEnvs({ "replica.slow_query_threshold": "20" });
  await shard.must(Put, PUT);
  const { engine } = shard.store;
  const get = engine.get.bind(engine);
  engine.get = (raw) => {
    shard.now.mono += 25;
    return get(raw);
  };
  await shard.must(Get, GET);
  assert.deepEqual(lines.map(({ message }) => message), ["Slow read", "Slow read: its key"]);
  await shard.close();
});
