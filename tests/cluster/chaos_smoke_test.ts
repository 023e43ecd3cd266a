// A short chaos run in every test run: a planned restart, a crash, a stop beyond the grace with reads waiting in the old primary's
// socket, and a partition. The full set of faults is `deno task chaos` (docs/testing.md, "Chaos").

import assert from "node:assert/strict";
import { resultTable, runChaos } from "../chaos/run.ts";

Deno.test("A cluster under crash, stop and partition keeps what it promised", async () => {
  const faults = ["stop", "kill", "stale-primary", "isolate"];
  const { results, violations, summary, dir } = await runChaos({
    seed: "smoke",
    replicas: 3,
    faults,
    // What is measured here is correctness; how long things take is for a machine of its own.
    patience: 10,
    print: (line) => console.log(line),
  });
  const report = `${resultTable(results)}\n${summary.join("\n")}`;
  assert.deepEqual(violations, [], `${report}\nThe servers' logs are below ${dir}`);
  assert.deepEqual(results.map(({ fault }) => fault), faults);
  for (const { fault, ballots } of results) {
    assert(ballots > 0, `${fault} changed no configuration: it did no harm\n${report}`);
  }
});
