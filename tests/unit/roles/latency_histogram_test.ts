// The histogram of the benchmark against sorted lists of the same values.

import assert from "node:assert/strict";
import fc from "fast-check";
import { LatencyHistogram } from "../../../roles/bench/latency_histogram.ts";

const value = fc.oneof(fc.nat(300), fc.nat(100_000), fc.nat(2 ** 31 - 1));

Deno.test("LatencyHistogram tells percentiles within 0.8 %, never too small", () => {
  fc.assert(fc.property(
    fc.array(value, { minLength: 1, maxLength: 200 }),
    fc.double({ min: 0, max: 100, noNaN: true }),
    (values, percent) => {
      const histogram = new LatencyHistogram();
      for (const one of values) histogram.record(one);
      const sorted = values.toSorted((a, b) => a - b);
      const exact = sorted[Math.max(1, Math.ceil((values.length * percent) / 100)) - 1]!;
      const told = histogram.percentile(percent);
      assert(told >= exact && told <= Math.max(exact, exact * 1.008), `${told} for ${exact}`);
      assert.equal(histogram.max, sorted.at(-1));
      assert.equal(histogram.count, values.length);
    },
  ));
});

Deno.test("LatencyHistogram is empty at first, after a reset, and bounds what is too large", () => {
  const histogram = new LatencyHistogram();
  assert.deepEqual([histogram.count, histogram.mean, histogram.percentile(99)], [0, 0, 0]);
  histogram.record(10);
  histogram.record(2 ** 40);
  assert.equal(histogram.max, 2 ** 31 - 1);
  assert.equal(histogram.percentile(50), 10);
  histogram.reset();
  assert.deepEqual([histogram.count, histogram.max, histogram.percentile(50)], [0, 0, 0]);
});
