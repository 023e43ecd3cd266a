// The shell's commands over whole tables, against the fake cluster.

import assert from "node:assert/strict";
import { FakeCluster } from "../client/fake_cluster.ts";
import { runOn } from "./fake_shell.ts";

/** Runs commands on table "t" of one cluster; returns status and output of each call. */
function openShell(): (text: string) => Promise<[status: number, out: string]> {
  const fake = new FakeCluster();
  fake.addTable("t", 4);
  fake.addTable("u", 2);
  return async (text) => {
    fake.closed = false;
    const [status, out, err] = await runOn(fake, "--table", "t", "-e", text);
    return [status, out + err];
  };
}

const FILL = "set h1 s1 v1; set h1 s2 v2 1000; set h2 s1 v3";

Deno.test("copy_data copies rows with their life, and refuses the same table", async () => {
  const run = openShell();
  await run(FILL);
  assert.deepEqual(await run("copy_data u"), [0, "3 rows copied\n"]);
  const [, copied] = await run("get h1 s2 --table u; ttl h1 s2 --table u; ttl h2 s1 --table u");
  assert.match(copied, /^"v2"\n(1000|999)\nInfinite\n$/);
  await run("copy_data u -e");
  assert.deepEqual(await run("ttl h1 s2 --table u"), [0, "Infinite\n"]);
  const [status, problem] = await run("copy_data t");
  assert.equal(status, 2);
  assert.match(problem, /cannot be copied to itself/);
});

Deno.test("clear_data removes what passes the filters, and only with -f", async () => {
  const run = openShell();
  await run(FILL);
  const [status, said] = await run("clear_data");
  assert.deepEqual([status, said], [1, "3 rows would be removed: add -f to do it\n"]);
  const some = await run(
    "clear_data -f --hash_key_filter_type prefix --hash_key_filter_pattern h1",
  );
  assert.deepEqual(some, [0, "OK, 2 rows removed\n"]);
  assert.deepEqual(await run("count_data"), [0, "1 row\n"]);
  assert.deepEqual(await run("clear_data -f; count_data"), [0, "OK, 1 row removed\n0 rows\n"]);
});

Deno.test("count_data estimates, and says so; any option counts", async () => {
  const run = openShell();
  await run(FILL);
  assert.deepEqual(await run("count_data"), [0, "3 rows\n"]);
  const many = Array.from({ length: 1234 }, (_, i) => `set h${i} s v`).join(";");
  await run(many);
  const about = "about 1240 rows (estimated; count_data -c counts them)\n";
  assert.deepEqual(await run("count_data"), [0, about]);
  assert.deepEqual(await run("count_data -j"), [0, '{"rows":1237,"exact":false}\n']);
  assert.deepEqual(await run("count_data -c"), [0, "1237 rows\n"]);
  assert.deepEqual(await run("count_data -x h1 -h exact -j"), [0, '{"rows":3,"exact":true}\n']);
});
