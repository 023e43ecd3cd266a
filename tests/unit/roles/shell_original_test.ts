// What users of the original type by heart: its flags, its names, and an answer where something is not here.

import assert from "node:assert/strict";
import { partitionId } from "../../../src/base/ids.ts";
import { FakeCluster } from "../client/fake_cluster.ts";
import { memoryIo, runOn } from "./fake_shell.ts";
import { runShell } from "../../../roles/shell/main_shell.ts";
import { Cluster } from "../../../src/client/cluster.ts";

function cluster(): FakeCluster {
  const fake = new FakeCluster();
  fake.addTable("t", 4);
  return fake;
}

Deno.test("propose takes the original's flags as well as arguments, and not both", async () => {
  const fake = cluster();
  const proposals = () =>
    fake.calls.splice(0).filter(({ name, address }) =>
      name === "propose" && address === fake.leader
    )
      .map(({ request }) => request);
  const wanted = {
    ...{ partition: partitionId(1, 3), change: "ADD_SECONDARY", node: "n2:1", target: "n1:1" },
    ...{ force: true, empty: false },
  };
  const flags = "propose -f -g 1.3 -p ADD_SECONDARY -t n1:1 -n n2:1";
  await runOn(fake, "-e", flags);
  assert.deepEqual(proposals().map((request) => ({ ...request })), [wanted]);
  fake.closed = false;
  await runOn(fake, "-e", "propose 1.3 ADD_SECONDARY n2:1 -t n1:1 -f");
  assert.deepEqual(proposals().map((request) => ({ ...request })), [wanted]);
  for (
    const [text, problem] of [
      ["propose", /<partition>, or --gpid, is missing/],
      ["propose 1.3 -g 1.3 REMOVE n1:1", /Choose one of <partition> and --gpid/],
      ["propose x REMOVE n1:1", /"x" is no partition, expected e.g. 1.3/],
      ["propose 1.3 DROP n1:1", /expected one of ASSIGN_PRIMARY/],
    ] as const
  ) {
    fake.closed = false;
    const [status, , err] = await runOn(fake, "-e", text);
    assert.equal(status, 2, text);
    assert.match(err, problem);
  }
  assert.deepEqual(proposals(), []);
});

Deno.test("atomic operations are idempotent, which can be asked and not be switched off", async () => {
  const run = (text: string) => runOn(cluster(), "--json", "-e", text);
  const told = '{"app_name":"t","atomic_idempotent":true}\n';
  assert.deepEqual(await run("get_atomic_idempotent t"), [0, told, ""]);
  assert.deepEqual(await run("enable_atomic_idempotent t"), [0, told, ""]);
  const [status, out] = await run("disable_atomic_idempotent t");
  assert.equal(status, 1);
  const { error } = JSON.parse(out);
  assert.deepEqual([error.code, error.outcome], ["OPERATION_DISABLED", "not done"]);
  assert.equal((await run("get_atomic_idempotent nope"))[0], 1);
});

Deno.test("-r shows host names where one is known", async () => {
  const { io, printed } = memoryIo();
  const named = {
    ...io,
    hostNameOf: (ip: string) => Promise.resolve(ip === "n1" ? "one.example" : undefined),
  };
  const open = (options: ConstructorParameters<typeof Cluster>[1]) =>
    new Cluster(cluster(), options);
  const text = "nodes -r; cluster_info; app t -d -r";
  assert.equal(await runShell(["-e", text], { io: named, open }), 0);
  assert.match(printed.out, /^one\.example:1 +ALIVE$/m);
  assert.match(printed.out, /^n2:1 +ALIVE$/m);
  assert.match(printed.out, /^ +0 +1\.0 +1 +3\/3 +one\.example:1 +n2:1,n3:1$/m);
  assert.match(printed.out, /^one\.example:1 +4 +0 +4$/m);
});

Deno.test("a kind of servers may stand first, as in admin-cli", async () => {
  const fake = cluster();
  const asked = () =>
    fake.calls.splice(0).filter(({ name }) => name === "remote_command")
      .map(({ address, request }) => `${address} ${request.command} ${request.args.join(" ")}`);
  await runOn(fake, "-e", "remote_command meta version");
  assert.deepEqual(asked(), ["m1:1 version ", "m2:1 version "]);
  fake.closed = false;
  await runOn(fake, "-e", "server_config replica list");
  assert.deepEqual(asked(), ["n1:1 config ", "n2:1 config ", "n3:1 config "]);
  fake.closed = false;
  assert.equal((await runOn(fake, "-e", "remote_command meta version -t all"))[0], 2);
});

Deno.test("a command of the original that is not here says what to do instead", async () => {
  const [status, , err] = await runOn(cluster(), "-e", "add_dup t east");
  assert.equal(status, 2);
  assert.match(err, /There is no "add_dup" here: copy_data -c CLUSTER/);
  assert.match((await runOn(cluster(), "-e", "help nodes-migrator"))[2], /drain moves everything/);
});

Deno.test("--help behind a command is help, and a value behind -- is none", async () => {
  const [status, out] = await runOn(cluster(), "-e", "set --help");
  assert.equal(status, 0);
  assert.match(out, /^set <hash_key> <sort_key> <value>/);
  assert.deepEqual(await runOn(cluster(), "--table", "t", "-e", "set h -- --help v"), [
    0,
    "OK\n",
    "",
  ]);
});
