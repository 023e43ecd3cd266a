// A short slice of the fuzzing for every run of the tests (deno task fuzz goes on for as long as one
// likes), and proof that the fuzzer finds what it looks for.

import assert from "node:assert/strict";
import { Fuzzer, FuzzFailure } from "../fuzz/fuzzer.ts";
import type { FuzzTarget } from "../fuzz/target.ts";
import { TARGETS } from "../fuzz/targets.ts";

/** About 100 ms for each target. */
const CASES: Readonly<Record<string, number>> = {
  shell: 400,
  flags: 600,
  settings: 800,
  meta_store: 200,
  manifest: 1500,
  meta_state: 1500,
};
const CASES_USUAL = 3000;

/** What is slow is found by `deno task fuzz`; here other tests may hold the processor for a while. */
const BUSY_MACHINE_MS = 60_000;

for (const target of TARGETS) {
  Deno.test(`fuzz ${target.name}: ${target.about}`, async () => {
    const fuzzer = new Fuzzer(target, "ci", BUSY_MACHINE_MS);
    const cases = CASES[target.name] ?? CASES_USUAL;
    while (fuzzer.cases < cases) {
      const running = fuzzer.step();
      if (running !== undefined) await running;
    }
    // It got past the first check, or its corpus is worth nothing.
    assert.ok(fuzzer.outcomes >= 5, `only ${fuzzer.outcomes} different outcomes`);
  });
}

/** Breaks only for the bytes "bug", each of which leads to the next. */
const PLANTED: FuzzTarget = {
  name: "planted",
  about: "",
  corpus: () => [new TextEncoder().encode("....")],
  run(input) {
    let right = 0;
    for (const [i, byte] of [...new TextEncoder().encode("bug")].entries()) {
      if (input[i] !== byte) break;
      right++;
    }
    if (right === 3) throw new Error("planted");
    return `${right}`;
  },
};

Deno.test("Fuzzer finds a bug that hides behind three bytes, the same one for the same seed", () => {
  const hunt = () => {
    const fuzzer = new Fuzzer(PLANTED, "1");
    try {
      while (fuzzer.cases < 100_000) fuzzer.step();
    } catch (error) {
      assert.ok(error instanceof FuzzFailure);
      assert.equal(new TextDecoder().decode(error.input.subarray(0, 3)), "bug");
      return fuzzer.cases;
    }
    throw new Error("not found");
  };
  assert.equal(hunt(), hunt());
});

Deno.test("Fuzzer reports an input that takes too long", () => {
  const slow: FuzzTarget = {
    ...PLANTED,
    run() {
      const end = performance.now() + 15;
      while (performance.now() < end);
      return "";
    },
  };
  assert.throws(() => new Fuzzer(slow, "1", 10).step(), /Took \d+ ms/);
});
