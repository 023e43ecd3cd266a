// The shell's commands over whole tables, against the fake cluster.

import assert from "node:assert/strict";
import { neighbours } from "../../../roles/shell/commands/copy.ts";
import { utf8 } from "../../../src/base/bytes.ts";
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

Deno.test("copy_data -n leaves rows alone that exist, with and without a hash key", async () => {
  const run = openShell();
  await run(`${FILL}; set '' s1 v4; set '' s2 v5 1000`);
  await run("set h1 s1 old --table u; set '' s1 old --table u");
  assert.deepEqual(await run("copy_data u -n"), [0, "3 rows copied, 2 existed\n"]);
  const found = await run(
    "get h1 s1 --table u; get '' s1 --table u; get '' s2 --table u; ttl '' s2 --table u",
  );
  assert.match(found[1], /^"old"\n"old"\n"v5"\n(1000|999)\n$/);
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
  assert.match((await run("count_data -a -p 1"))[1], /^\d+ rows\nhash_key_bytes : average /);
  assert.deepEqual(await run("count_data -x h1 -h exact -j"), [0, '{"rows":3,"exact":true}\n']);
});

Deno.test("copy_data -u stores the rows of a hash key together, each with its life", async () => {
  const fake = new FakeCluster();
  fake.addTable("t", 4);
  fake.addTable("u", 2);
  const run = async (text: string) => {
    fake.closed = false;
    const [status, out, err] = await runOn(fake, "--table", "t", "-e", text);
    return [status, out + err];
  };
  await run("multi_set h a 1 b 2 c 3; multi_set h d 4 e 5 --ttl 1000; set '' x y; set other s v");
  fake.calls.length = 0;
  assert.deepEqual(await run("copy_data u -u"), [0, "7 rows copied\n"]);
  const writes = fake.takeNames().filter((name) => name === "put" || name === "multi_put");
  assert.deepEqual(writes.toSorted(), ["multi_put", "multi_put", "put", "put"]);
  const [, found] = await run("count h --table u; ttl h a --table u; ttl h e --table u; get '' x");
  assert.match(String(found), /^5\nInfinite\n(1000|999)\n"y"\n$/);
  const [status, problem] = await run("copy_data u -u -n");
  assert.equal(status, 2);
  assert.match(String(problem), /cannot go with --no_overwrite/);
});

Deno.test("neighbours are of one hash key and one life, and fit into one write", () => {
  const row = (hashKey: string, expireTs: number, bytes = 1) => ({
    ...{ hashKey: utf8(hashKey), sortKey: utf8("s"), value: new Uint8Array(bytes), expireTs },
  });
  const sizes = (...rows: ReturnType<typeof row>[]) => neighbours(rows).map(({ length }) => length);
  assert.deepEqual(sizes(), []);
  assert.deepEqual(sizes(row("a", 0), row("a", 0), row("b", 0), row("b", 5), row("b", 5)), [
    2,
    1,
    2,
  ]);
  assert.deepEqual(sizes(row("", 0), row("", 0)), [1, 1], "no hash key, no common partition");
  const half = 300 * 1024;
  assert.deepEqual(sizes(row("a", 0, half), row("a", 0, half), row("a", 0)), [1, 2]);
});
