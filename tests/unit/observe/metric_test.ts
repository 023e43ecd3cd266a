// Declared metrics become numbers and numbers become Prometheus text, without surprises in between.

import assert from "node:assert/strict";
import { counter, Family, gauge, histogram, MetricRegistry } from "../../../src/observe/metric.ts";
import { METRICS, openMetrics } from "../../../src/observe/metrics.ts";

const DECLARED = {
  test: {
    calls: counter({ name: "calls_total", labels: ["rpc"], doc: "Calls" }),
    level: gauge({ name: "level", doc: "Level" }),
    seconds: histogram({ name: "wait_seconds", labels: ["rpc"], bounds: [0.1, 1], doc: "Waits" }),
  },
};

Deno.test("MetricRegistry writes counters, gauges and cumulative buckets", async () => {
  const registry = new MetricRegistry(DECLARED);
  const { calls, level, seconds } = registry.live.test;
  calls.child("get").add();
  calls.child("get").add(2);
  level.child().set(-1.5);
  for (const value of [0.05, 0.1, 0.5, 7]) seconds.child("get").record(value);
  assert.equal(
    await registry.text(),
    [
      "# HELP calls_total Calls",
      "# TYPE calls_total counter",
      'calls_total{rpc="get"} 3',
      "",
      "# HELP level Level",
      "# TYPE level gauge",
      "level -1.5",
      "",
      "# HELP wait_seconds Waits",
      "# TYPE wait_seconds histogram",
      'wait_seconds_bucket{rpc="get",le="0.1"} 2',
      'wait_seconds_bucket{rpc="get",le="1"} 3',
      'wait_seconds_bucket{rpc="get",le="+Inf"} 4',
      'wait_seconds_sum{rpc="get"} 7.65',
      'wait_seconds_count{rpc="get"} 4',
      "",
    ].join("\n"),
  );
});

Deno.test("MetricRegistry leaves metrics without series out and escapes label values", async () => {
  const registry = new MetricRegistry(DECLARED);
  assert.equal((await registry.text()).trim(), "");
  registry.live.test.calls.child('a"b\\c\nd').add();
  assert.match(await registry.text(), /calls_total\{rpc="a\\"b\\\\c\\nd"\} 1/);
});

Deno.test("MetricRegistry measures at the scrape what was registered for it", async () => {
  const registry = new MetricRegistry(DECLARED);
  let scrapes = 0;
  registry.onScrape(async () => {
    await Promise.resolve();
    registry.live.test.level.child().set(++scrapes);
  });
  assert.match(await registry.text(), /^level 1$/m);
  assert.match(await registry.text(), /^level 2$/m);
});

Deno.test("MetricRegistry refuses two metrics of one name", () => {
  const twice = { a: { x: gauge({ name: "same", doc: "" }), y: gauge({ name: "same", doc: "" }) } };
  assert.throws(() => new MetricRegistry(twice), /same/);
});

Deno.test("Family bounds its series and counts the rest as other", () => {
  const family = new Family(DECLARED.test.calls, 3);
  for (const name of ["a", "b", "c", "d", "e", "a"]) family.child(name).add();
  const counts = [...family.entries()].map(({ values, series }) => [values[0], series.value]);
  assert.deepEqual(counts, [["a", 2], ["b", 1], ["c", 1], ["other", 2]]);
  family.clear();
  assert.ok(family.isEmpty);
});

Deno.test("METRICS have unique names in base units and a sentence each", () => {
  const all = Object.values(METRICS).flatMap((group) => Object.values(group));
  openMetrics();
  for (const { name, kind, doc, labels, bounds } of all) {
    assert.match(name, /^(pegasus|process)_[a-z_]+$/);
    assert.equal(name.endsWith("_total"), kind === "counter", name);
    assert.doesNotMatch(name, /_(ms|millis|kb|mb|count|sum|bucket)$/);
    assert.ok(/^[A-Z0-9].*[^.]$/.test(doc), doc);
    assert.ok(labels.every((label: string) => /^[a-z]+$/.test(label)));
    assert.deepEqual([...bounds], [...bounds].sort((a, b) => a - b));
  }
});

Deno.test("MetricRegistry keeps the sums of a thread that does not answer, and no gauge of it", async () => {
  const registry = new MetricRegistry(DECLARED);
  const threads = [new MetricRegistry(DECLARED), new MetricRegistry(DECLARED)];
  let isSlow = false;
  for (const [i, thread] of threads.entries()) {
    thread.live.test.calls.child("get").add(10);
    thread.live.test.seconds.child("get").record(0.5);
    thread.live.test.level.child().set(1);
    registry.addSource(() => {
      return i === 1 && isSlow ? Promise.reject(new Error("Slow")) : thread.dump();
    });
  }
  registry.live.test.calls.child("get").add(1);
  const told = async () => {
    const text = await registry.text();
    const numberOf = (name: string) => Number(new RegExp(`^${name} (.*)$`, "m").exec(text)![1]);
    const names = ['calls_total{rpc="get"}', 'wait_seconds_count{rpc="get"}', "level"];
    return names.map((name) => numberOf(name.replace(/[{}]/g, "\\$&")));
  };
  assert.deepEqual(await told(), [21, 2, 2]);
  isSlow = true;
  threads[0]!.live.test.calls.child("get").add(5);
  threads[1]!.live.test.calls.child("get").add(100);
  assert.deepEqual(await told(), [26, 2, 1]);
  isSlow = false;
  assert.deepEqual(await told(), [126, 2, 2]);
});

Deno.test("MetricRegistry takes the largest value of a gauge that every thread measures alike", async () => {
  const declared = { test: { full: gauge({ name: "full", together: "max", doc: "Full" }) } };
  const registry = new MetricRegistry(declared);
  for (const value of [1, 2, 0]) {
    const thread = new MetricRegistry(declared);
    thread.live.test.full.child().set(value);
    registry.addSource(() => thread.dump());
  }
  assert.match(await registry.text(), /^full 2$/m);
});
