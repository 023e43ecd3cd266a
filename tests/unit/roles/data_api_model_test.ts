// Random operations on random rows: every answer of a whole shard (handlers, core, translation, engine, reads)
// is the model's, over an engine in memory and over LevelDB.

import assert from "node:assert/strict";
import fc from "fast-check";
import { compareBytes, EMPTY, equalBytes, toHex, utf8 } from "../../../src/base/bytes.ts";
import { Err } from "../../../src/base/errors.ts";
import * as rpc from "../../../src/schema/client_rpc.ts";
import { decode } from "../../../src/schema/codec.ts";
import { encodeKey } from "../../../src/schema/key_format.ts";
import type { Filter, Row } from "../../../src/schema/types.ts";
import { openLevelEngine } from "../../../storage/level_engine.ts";
import { DataModel, matches, type ModelRow, REFUSED } from "./data_model.ts";
import { FF, type Operation, operation } from "./data_operations.ts";
import { LeadShard, WRITE_HEAD } from "./shard_fixture.ts";

const BURST = utf8("b");
const READ_HEAD = { stale: false, stalenessMaxMs: 0 };
const texts = (rows: readonly Row[]) =>
  rows.map((row) => toHex(row.key) + (row.value === undefined ? "" : `=${toHex(row.value)}`));
const sortTexts = (rows: readonly ModelRow[], noValue = false) =>
  rows.map((row) => toHex(row.sortKey) + (noValue ? "" : `=${toHex(row.value)}`));
const rawTexts = (rows: readonly ModelRow[]) =>
  rows.map((row) => `${toHex(row.raw)}=${toHex(row.value)}`);

/** Runs one operation on both and compares. */
class Pair {
  constructor(readonly shard: LeadShard, readonly model: DataModel) {}

  async run(operation: Operation): Promise<void> {
    this.model.now = this.shard.seconds;
    switch (operation.op) {
      case "put":
      case "remove":
      case "multiPut":
      case "multiRemove":
        return await this.#write(operation);
      case "incr":
        return await this.#incr(operation);
      case "burst":
        return await this.#burst(operation);
      case "checkAndSet":
      case "checkAndMutate":
        return await this.#checked(operation);
      case "point":
        return await this.#point(operation.hash, operation.sort);
      case "batchGet":
        return await this.#batchGet(operation);
      case "multiGet":
        return await this.#multiGet(operation);
      case "scan":
        return await this.#scan(operation);
      case "time":
        return this.shard.pass(operation.seconds * 1000);
    }
  }

  #expiry(life: number): number {
    return life > 0 ? this.shard.seconds + life : life;
  }

  async #write(
    o: Extract<Operation, { op: "put" | "remove" | "multiPut" | "multiRemove" }>,
  ): Promise<void> {
    const { shard, model } = this;
    if (o.op === "put") {
      const expireTs = this.#expiry(o.life);
      const raw = encodeKey(o.hash, o.sort);
      await shard.must(rpc.Put, { ...WRITE_HEAD, key: raw, value: o.value, expireTs });
      return model.put(o.hash, o.sort, o.value, expireTs);
    }
    if (o.op === "remove") {
      await shard.must(rpc.Remove, { ...WRITE_HEAD, key: encodeKey(o.hash, o.sort) });
      return model.remove(o.hash, o.sort);
    }
    if (o.op === "multiPut") {
      const expireTs = this.#expiry(o.life);
      const rows = o.rows.map(([sortKey, value]) => ({ sortKey, value }));
      const { error } = await shard.ask(rpc.MultiPut, {
        ...WRITE_HEAD,
        hashKey: o.hash,
        rows,
        expireTs,
      });
      assert.equal(error, rows.length === 0 ? Err.INVALID_ARGUMENT : Err.OK);
      for (const row of rows) model.put(o.hash, row.sortKey, row.value, expireTs);
      return;
    }
    const request = { ...WRITE_HEAD, hashKey: o.hash, sortKeys: o.sorts };
    const { error, response } = await shard.ask(rpc.MultiRemove, request);
    assert.equal(error, o.sorts.length === 0 ? Err.INVALID_ARGUMENT : Err.OK);
    if (error !== Err.OK) return;
    const { count } = decode(rpc.multiRemoveResult, response!.result!, "count");
    assert.equal(count, o.sorts.length);
    for (const sort of o.sorts) model.remove(o.hash, sort);
  }

  async #incr(o: Extract<Operation, { op: "incr" }>): Promise<void> {
    const expireTs = this.#expiry(o.life);
    const request = { ...WRITE_HEAD, key: encodeKey(o.hash, o.sort), increment: o.by, expireTs };
    const { error, response } = await this.shard.ask(rpc.Incr, request);
    const expected = this.model.incr(o.hash, o.sort, o.by, expireTs);
    assert.equal(error, expected === REFUSED ? Err.INVALID_ARGUMENT : Err.OK);
    if (expected === REFUSED) return;
    assert.equal(decode(rpc.incrResult, response!.result!, "incr").newValue, expected);
  }

  /** Writes of one mutation: each sees those before it. */
  async #burst({ sort, first, by }: Extract<Operation, { op: "burst" }>): Promise<void> {
    const raw = encodeKey(BURST, sort);
    const put = this.shard.call(rpc.Put, { ...WRITE_HEAD, key: raw, value: first, expireTs: 0 });
    this.model.put(BURST, sort, first, 0);
    const calls = by.map((increment) => {
      return this.shard.call(rpc.Incr, { ...WRITE_HEAD, key: raw, increment, expireTs: 0 });
    });
    await this.shard.settle(() => [put, ...calls].every(({ error }) => error !== undefined));
    for (const [i, { error, response }] of calls.entries()) {
      const expected = this.model.incr(BURST, sort, by[i]!, 0);
      assert.equal(error, expected === REFUSED ? Err.INVALID_ARGUMENT : Err.OK);
      if (expected === REFUSED) continue;
      assert.equal(decode(rpc.incrResult, response!.result!, "incr").newValue, expected);
    }
  }

  async #checked(
    o: Extract<Operation, { op: "checkAndSet" | "checkAndMutate" }>,
  ): Promise<void> {
    const { model, shard } = this;
    const head = {
      ...WRITE_HEAD,
      hashKey: o.hash,
      checkSortKey: o.sort,
      checkType: o.checkType,
      checkOperand: o.operand,
      returnCheckValue: true,
    };
    const before = model.get(o.hash, o.sort)?.value;
    let expected = model.check(o.hash, o.sort, rpc.CHECK_TYPES[o.checkType]!, o.operand);
    let answer;
    if (o.op === "checkAndSet") {
      const set = {
        setSortKey: o.to ?? undefined,
        setValue: o.value,
        expireTs: this.#expiry(o.life),
      };
      answer = await shard.ask(rpc.CheckAndSet, { ...head, ...set });
      if (expected === true) model.put(o.hash, o.to ?? o.sort, o.value, set.expireTs);
    } else {
      const mutations = o.changes.map(([sortKey, value]) => ({
        kind: value === null ? "remove" as const : "put" as const,
        sortKey,
        value: value ?? EMPTY,
        expireTs: 0,
      }));
      answer = await shard.ask(rpc.CheckAndMutate, { ...head, mutations });
      if (mutations.length === 0) expected = REFUSED;
      for (const { kind, sortKey, value } of expected === true ? mutations : []) {
        if (kind === "put") model.put(o.hash, sortKey, value, 0);
        else model.remove(o.hash, sortKey);
      }
    }
    assert.equal(answer.error, expected === REFUSED ? Err.INVALID_ARGUMENT : Err.OK);
    if (expected === REFUSED) return;
    const outcome = decode(rpc.checkResult, answer.response!.result!, "check");
    assert.deepEqual([outcome.passed, outcome.checkExists], [expected, before !== undefined]);
    assert(equalBytes(outcome.checkValue ?? EMPTY, before ?? EMPTY));
  }

  async #point(hash: Uint8Array, sort: Uint8Array): Promise<void> {
    const row = this.model.get(hash, sort);
    const request = { ...READ_HEAD, key: encodeKey(hash, sort) };
    const { value } = await this.shard.must(rpc.Get, request);
    assert.equal(value === undefined ? undefined : toHex(value), row && toHex(row.value));
    const ttl = await this.shard.must(rpc.Ttl, request);
    assert.equal(ttl.exists, row !== undefined);
    if (row !== undefined) {
      assert.equal(ttl.seconds, row.expireTs === 0 ? -1 : row.expireTs - this.model.now);
    }
    const { count } = await this.shard.must(rpc.SortKeyCount, { ...READ_HEAD, hashKey: hash });
    assert.equal(count, this.model.group(hash).length);
    const sortKeys = [sort, EMPTY, FF(1)];
    const many = await this.shard.must(rpc.MultiGet, { ...WHOLE, hashKey: hash, sortKeys });
    const expected = sortKeys.flatMap((sortKey) => this.model.get(hash, sortKey) ?? []);
    assert.deepEqual(texts(many.rows.toArray()), sortTexts(expected));
  }

  async #batchGet(o: Extract<Operation, { op: "batchGet" }>): Promise<void> {
    const keys = o.keys.map(([hash, sort]) => encodeKey(hash, sort));
    const { rows, complete } = await this.shard.must(rpc.BatchGet, { ...READ_HEAD, keys });
    const expected = o.keys.flatMap(([hash, sort]) => this.model.get(hash, sort) ?? []);
    assert.deepEqual([texts(rows.toArray()), complete], [rawTexts(expected), true]);
  }

  async #multiGet(o: Extract<Operation, { op: "multiGet" }>): Promise<void> {
    const { rows, complete } = await this.shard.must(rpc.MultiGet, {
      ...WHOLE,
      hashKey: o.hash,
      startSortKey: o.start,
      stopSortKey: o.stop,
      startInclusive: o.startInclusive,
      stopInclusive: o.stopInclusive,
      sortKeyFilter: o.filter,
      reverse: o.reverse,
      noValue: o.noValue,
      countMax: o.countMax,
      bytesMax: o.bytesMax,
    });
    let expected = this.model.group(o.hash).filter(({ sortKey }) => {
      const low = compareBytes(sortKey, o.start);
      const high = compareBytes(sortKey, o.stop);
      return (o.startInclusive ? low >= 0 : low > 0) && matches(sortKey, o.filter) &&
        (o.stop.length === 0 || (o.stopInclusive ? high <= 0 : high < 0));
    });
    const all = expected.length;
    if (o.reverse) expected.reverse();
    let bytes = 0;
    expected = expected.filter((row, i) => {
      if ((o.countMax > 0 && i >= o.countMax) || (o.bytesMax > 0 && bytes >= o.bytesMax)) {
        return false;
      }
      bytes += row.sortKey.length + (o.noValue ? 0 : row.value.length);
      return true;
    });
    if (o.reverse) expected.reverse();
    assert.deepEqual(texts(rows.toArray()), sortTexts(expected, o.noValue));
    if (complete) assert.equal(rows.count, all);
    else assert(o.countMax > 0 || o.bytesMax > 0, "Nothing limited this read");
  }

  async #scan(o: Extract<Operation, { op: "scan" }>): Promise<void> {
    const opening = {
      ...READ_HEAD,
      startKey: EMPTY,
      startInclusive: true,
      stopKey: EMPTY,
      stopInclusive: false,
      batchSize: o.batchSize,
      noValue: false,
      hashKeyFilter: o.hashFilter,
      sortKeyFilter: o.sortFilter,
      countOnly: o.countOnly,
      returnExpireTs: false,
    };
    let batch = await this.shard.must(rpc.GetScanner, opening);
    const seen = texts(batch.rows.toArray());
    let { count } = batch;
    while (batch.context !== 0) {
      batch = await this.shard.must(rpc.Scan, { context: batch.context });
      seen.push(...texts(batch.rows.toArray()));
      count += batch.count;
    }
    const expected = this.model.living().filter((row) =>
      matches(row.hashKey, o.hashFilter) && matches(row.sortKey, o.sortFilter)
    );
    if (o.countOnly) assert.deepEqual([count, seen], [expected.length, []]);
    else assert.deepEqual(seen, rawTexts(expected));
  }
}

const WHOLE = {
  ...READ_HEAD,
  sortKeys: [],
  countMax: 0,
  bytesMax: 0,
  noValue: false,
  startSortKey: EMPTY,
  startInclusive: true,
  stopSortKey: EMPTY,
  stopInclusive: false,
  sortKeyFilter: { type: "none", pattern: EMPTY } as Filter,
  reverse: false,
};

for (const kind of ["memory", "LevelDB"] as const) {
  Deno.test(`A shard answers like the model of a table (${kind})`, async () => {
    const dir = Deno.makeTempDirSync({ prefix: "pegasus_model_" });
    let number = 0;
    const property = fc.asyncProperty(
      fc.array(operation, { minLength: 20, maxLength: 120 }),
      fc.constantFrom(0, 0, 25),
      async (operations, defaultTtl) => {
        const engine = kind === "LevelDB" ? await openLevelEngine(`${dir}/${number++}`) : undefined;
        const shard = await LeadShard.start({
          envs: { default_ttl: String(defaultTtl) },
          sweepRowsPerSecond: 1000,
          ...(engine === undefined ? {} : { engine }),
        });
        try {
          const model = new DataModel();
          model.defaultTtl = defaultTtl;
          const pair = new Pair(shard, model);
          for (const one of operations) await pair.run(one);
        } finally {
          await shard.close();
        }
      },
    );
    await fc.assert(property, { numRuns: kind === "LevelDB" ? 30 : 60 });
    Deno.removeSync(dir, { recursive: true });
  });
}
