// The benchmark's own arithmetic: distributions, mixes, counting.

import assert from "node:assert/strict";
import { Prng } from "../../../src/base/prng.ts";
import { makeDistribution } from "../../../roles/bench/distribution.ts";
import { Values } from "../../../roles/bench/row_layout.ts";
import { Runner, type RunResult } from "../../../roles/bench/runner.ts";
import { type Target, WORKLOADS } from "../../../roles/bench/workload.ts";

function counts(name: "uniform" | "zipfian" | "latest", records: number, draws: number): number[] {
  const distribution = makeDistribution(name, () => records, new Prng("test"));
  const seen = new Array<number>(records).fill(0);
  for (let i = 0; i < draws; i++) {
    const record = distribution.next();
    assert(Number.isInteger(record) && record >= 0 && record < records, `${record}`);
    seen[record]!++;
  }
  return seen;
}

Deno.test("makeDistribution uniform touches every record about equally", () => {
  const seen = counts("uniform", 100, 100_000);
  assert(Math.min(...seen) > 800 && Math.max(...seen) < 1200, `${Math.min(...seen)}`);
});

Deno.test("makeDistribution zipfian gives the hottest record its share", () => {
  const seen = counts("zipfian", 1000, 100_000).sort((a, b) => b - a);
  // Share of rank 1 at theta 0.99 over 1000 records: 1 / zeta = 12.9 %.
  assert(seen[0]! > 12_000 && seen[0]! < 16_000, `${seen[0]}`);
});

Deno.test("makeDistribution latest prefers the newest record", () => {
  const seen = counts("latest", 1000, 10_000);
  assert.equal(seen.indexOf(Math.max(...seen)), 999);
});

Deno.test("Values gives values that do not repeat in what a block holds, so that nothing compresses them", async () => {
  for (const bytes of [10, 100, 4096, 100_000, 3_000_000]) {
    const values = new Values(bytes);
    const count = Math.max(2, Math.min(1000, Math.floor(1_000_000 / bytes)));
    const block = new Blob(
      Array.from({ length: count }, () => values.next() as Uint8Array<ArrayBuffer>),
    );
    assert.equal(block.size, count * bytes);
    if (bytes > 1_000_000) continue;
    const packed = block.stream().pipeThrough(new CompressionStream("deflate"));
    const { byteLength } = await new Response(packed).arrayBuffer();
    assert(byteLength > block.size, `${byteLength} of ${block.size}`);
  }
});

class CountingTarget implements Target {
  readonly name = "counting";
  readonly calls: Record<string, number> = {};
  outstanding = 0;
  outstandingMax = 0;
  fail = false;

  async #call(name: string): Promise<number> {
    this.calls[name] = (this.calls[name] ?? 0) + 1;
    this.outstandingMax = Math.max(this.outstandingMax, ++this.outstanding);
    await Promise.resolve();
    this.outstanding--;
    if (this.fail) throw new Error("refused");
    return 100;
  }
  get = () => this.#call("get");
  set = () => this.#call("set");
  readModifyWrite = () => this.#call("readModifyWrite");
  scan = () => this.#call("scan");
  multiSet = () => this.#call("multiSet");
  multiGet = () => this.#call("multiGet");
  incr = () => this.#call("incr");
  del = () => this.#call("del");
  close = () => Promise.resolve();
}

function runner(
  target: Target,
  workload: string,
  change: Partial<{ rate: number; durationMs: number }> = {},
) {
  return new Runner(target, {
    workload: WORKLOADS[workload]!,
    distribution: "uniform",
    records: 100,
    concurrency: 8,
    rate: 0,
    durationMs: 0,
    seed: "1",
    ...change,
  });
}

async function measured(runner: Runner): Promise<RunResult> {
  await runner.run(1000, () => {});
  return runner.result();
}

Deno.test("Runner adds up slices", async () => {
  const slices = runner(new CountingTarget(), "multi_set");
  await slices.run(300, () => {});
  const first = slices.result();
  await slices.run(700, () => {});
  const { operations, seconds, byOperation } = slices.result();
  assert.equal(first.operations, 300);
  assert.equal(operations, 1000);
  assert.equal(byOperation["multiSet"]?.count, 1000);
  assert.ok(seconds > first.seconds);
});

Deno.test("Runner counts reads that find nothing", async () => {
  const target = new CountingTarget();
  let reads = 0;
  target.get = () => Promise.resolve(++reads % 4 === 0 ? undefined as unknown as number : 1);
  assert.equal((await measured(runner(target, "get"))).misses, 250);
});

Deno.test("Runner reads no record whose insert is not acknowledged", async () => {
  const target = new CountingTarget();
  const written = new Set<number>();
  let early = 0;
  const read = (record: number) => {
    if (record >= 100 && !written.has(record)) early++;
    return Promise.resolve(1);
  };
  // Later inserts are acknowledged before earlier ones.
  const write = async (record: number) => {
    for (let i = 0; i < 20 - record % 20; i++) await Promise.resolve();
    written.add(record);
    return 1;
  };
  Object.assign(target, { get: read, set: write });
  const latest = new Runner(target, {
    workload: WORKLOADS["d"]!,
    distribution: "latest",
    records: 100,
    concurrency: 32,
    rate: 0,
    durationMs: 0,
    seed: "1",
  });
  await latest.run(20_000, () => {});
  assert.equal(early, 0);
  assert.ok(written.size > 500, `${written.size} inserts`);
});

Deno.test("Runner keeps the mix and the number of operations outstanding", async () => {
  const target = new CountingTarget();
  const result = await measured(runner(target, "b"));
  assert.equal(result.operations, 1000);
  assert.equal(target.outstandingMax, 8);
  assert(target.calls["get"]! > 900 && target.calls["set"]! > 20, JSON.stringify(target.calls));
});

Deno.test("Runner counts rows of operations on many", async () => {
  const result = await measured(runner(new CountingTarget(), "multi_set"));
  assert.equal(Math.round(result.rowsPerSecond / result.throughput), 100);
});

Deno.test("Runner leaves the warm-up out", async () => {
  const warm = runner(new CountingTarget(), "get");
  await warm.warmUp(400);
  assert.equal((await measured(warm)).operations, 1000);
});

Deno.test("Runner leaves the failures of the warm-up out, unless nothing else came", async () => {
  const target = new CountingTarget();
  let reads = 0;
  target.get = () => ++reads % 2 === 0 ? Promise.reject(new Error("cold")) : Promise.resolve(1);
  const warm = runner(target, "get");
  await warm.warmUp(400);
  target.get = () => Promise.resolve(1);
  const { errors, errorSamples } = await measured(warm);
  assert.deepEqual([errors, errorSamples], [0, []]);
  target.get = () => Promise.reject(new Error("gone"));
  const cold = runner(target, "get");
  await cold.warmUp(400);
  assert.ok((await measured(cold)).errors > 0, "a store that is gone is no success");
});

Deno.test("Runner measures for as long as it is told, and warms up without a limit", async () => {
  const target = new CountingTarget();
  target.get = () => new Promise((resolve) => setTimeout(() => resolve(1), 1));
  const limited = runner(target, "get", { durationMs: 20 });
  let warm = 0;
  const counting = target.get;
  target.get = () => (warm++, counting());
  await limited.warmUp(400);
  assert.equal(warm, 400);
  await limited.run(1e9, () => {});
  assert.ok(limited.result().operations > 0);
});

Deno.test("Runner counts failures apart and shows a sample", async () => {
  const target = new CountingTarget();
  let reads = 0;
  target.get = () => ++reads % 20 === 0 ? Promise.resolve(1) : Promise.reject(new Error("refused"));
  const result = await measured(runner(target, "get"));
  assert.equal(result.errors, 950);
  assert.equal(result.operations, 50);
  assert.deepEqual(result.errorSamples, ["Error: refused"]);
});

Deno.test("Runner ends when nothing but failures comes, and says so", async () => {
  const target = new CountingTarget();
  target.fail = true;
  const one = runner(target, "get");
  const result = await measured(one);
  assert.ok(result.errors >= 24 && result.errors < 24 + 8, `${result.errors} of 8 outstanding`);
  assert.equal(result.operations, 0);
  const reason = "Ended early: the last 24 operations failed";
  assert.deepEqual(result.errorSamples, ["Error: refused", reason]);
  assert.deepEqual((await measured(one)).errorSamples, result.errorSamples, "no further slice");
});

Deno.test("Runner starts operations at the given rate in an open loop", async () => {
  const result = await measured(runner(new CountingTarget(), "get", { rate: 1_000_000 }));
  assert.equal(result.operations, 1000);
});
