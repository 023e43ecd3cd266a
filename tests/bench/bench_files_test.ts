// The micro-benchmarks start: each builds what it measures and checks that it works before it measures. Nothing is
// measured here.

import assert from "node:assert/strict";

Deno.test("Every micro-benchmark builds what it measures", async () => {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["task", "--quiet", "bench:micro", "--no-check", "--filter", "/^none of them$/"],
    cwd: new URL("../..", import.meta.url).pathname,
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  const text = new TextDecoder().decode(stdout);
  for (const { name } of Deno.readDirSync(new URL(".", import.meta.url))) {
    if (!name.endsWith("_bench.ts") || name === "rpc_bench.ts") continue;
    assert(text.includes(name), `${name} is not in "task bench:micro"`);
  }
});
