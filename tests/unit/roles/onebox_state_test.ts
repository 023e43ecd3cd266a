// The state a onebox keeps between commands, and what is recognised in the output of its servers.

import assert from "node:assert/strict";
import { LocalCluster, readyAddress } from "../../../roles/onebox/local_cluster.ts";
import { isRunning } from "../../../roles/onebox/processes.ts";
import {
  nameOf,
  parseState,
  planServers,
  readState,
  writeState,
} from "../../../roles/onebox/state.ts";

Deno.test("planServers() gives the documented ports, or leaves them to the kernel", () => {
  const servers = planServers(1, 3, 34601);
  assert.deepEqual(servers.map(({ name, address }) => `${name} ${address}`), [
    "m1 127.0.0.1:34601",
    "r1 127.0.0.1:34801",
    "r2 127.0.0.1:34802",
    "r3 127.0.0.1:34803",
  ]);
  assert(planServers(1, 2, 0).every(({ address }) => address === "127.0.0.1:0"));
});

Deno.test("writeState() and readState() keep a state, and refuse what is none", () => {
  const dir = Deno.makeTempDirSync();
  try {
    assert.equal(readState(dir), undefined);
    const state = { version: 1, servers: planServers(1, 2, 34601) } as const;
    writeState(dir, state);
    assert.deepEqual(readState(dir), state);
    const shared = { ...state, coordinator: "zookeeper://h:1/r" };
    writeState(dir, shared);
    assert.deepEqual(readState(dir), shared);
    assert.equal(parseState(JSON.stringify({ ...state, coordinator: 1 })), undefined);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["onebox.json"]);
    Deno.writeTextFileSync(`${dir}/onebox.json`, '{"version":1,"servers":[{"name":"../x"}]}');
    assert.throws(() => readState(dir), /expected the state of a onebox/);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("parseState() refuses everything that is not a state", () => {
  const entry = { name: "r1", role: "replica", address: "h:1", pid: 5 };
  assert(parseState(JSON.stringify({ version: 1, servers: [entry] })) !== undefined);
  const bad = [
    { ...entry, name: "r0" },
    { ...entry, role: "shell" },
    { ...entry, address: "h" },
    { ...entry, pid: -1 },
    { ...entry, pid: "5" },
    null,
  ];
  for (const server of bad) {
    assert.equal(parseState(JSON.stringify({ version: 1, servers: [server] })), undefined);
  }
  for (const text of ["", "null", "[]", "{}", '{"version":2,"servers":[]}']) {
    assert.equal(parseState(text), undefined);
  }
});

Deno.test("isRunning() does not take a process id for a server of ours", () => {
  assert(!isRunning(Deno.pid, "/somewhere/r1/data"));
  assert(!isRunning(0, "/somewhere/r1/data"));
  assert(!isRunning(2 ** 22 + 1, "/somewhere/r1/data"));
});

Deno.test("LocalCluster sees servers of a stale state file as gone and signals nobody", async () => {
  const dir = Deno.makeTempDirSync();
  try {
    const cluster = new LocalCluster({ dir, cluster: "test" });
    // This very process has the recorded id: a signal to it would end the test.
    cluster.plan(planServers(1, 1, 34601).map((entry) => ({ ...entry, pid: Deno.pid })));
    assert.deepEqual(cluster.running(), []);
    assert.equal(await cluster.kill("r1"), false);
    await cluster.stopAll();
    assert.throws(() => cluster.entry("r9"), /expected one of m1, r1/);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("readyAddress() finds the line of a listening server in both formats", () => {
  assert.equal(readyAddress("log\npegasus replica ready at 127.0.0.1:40001\n"), "127.0.0.1:40001");
  assert.equal(readyAddress('{"ready":"meta","address":"[::1]:5"}\n'), "[::1]:5");
  assert.equal(readyAddress("x pegasus replica ready at 127.0.0.1:1\n"), undefined);
  assert.equal(readyAddress(""), undefined);
});

Deno.test("nameOf() takes a number for a replica server", () => {
  assert.equal(nameOf("2"), "r2");
  assert.equal(nameOf("m1"), "m1");
});
