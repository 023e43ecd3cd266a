// A test that lacks its program may pass on somebody's machine, and never in CI.

import assert from "node:assert/strict";
import { missing, notRun } from "../missing.ts";

function inEnv(ci: string | undefined): () => void {
  return () => missing("no such program", { get: (name) => name === "CI" ? ci : undefined });
}

Deno.test("missing fails in CI, and says elsewhere that a test did not run", () => {
  for (const ci of ["1", "true"]) assert.throws(inEnv(ci), /no such program\. In CI/);
  const said: unknown[] = [];
  const { warn } = console;
  console.warn = (line: unknown) => said.push(line);
  try {
    for (const ci of [undefined, "", "0", "false"]) inEnv(ci)();
    notRun("not permitted here");
  } finally {
    console.warn = warn;
  }
  assert.deepEqual(said.slice(3), ["NOT RUN: no such program", "NOT RUN: not permitted here"]);
});
