// The life of a cluster of real processes: rows survive the crash of a server, its return, and a restart
// of everything; and the onebox commands as people type them.

import assert from "node:assert/strict";
import { fromUtf8 } from "../../src/base/bytes.ts";
import { openCluster, type Table } from "../../src/client/mod.ts";
import { isRunning, pathsOf, waitFor } from "../../roles/onebox/processes.ts";
import { readState } from "../../roles/onebox/state.ts";
import { withCluster } from "./harness.ts";

const ROWS = 50;
const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;

async function writeRows(table: Table, value: string): Promise<void> {
  const writes = Array.from({ length: ROWS }, (_, i) => table.set(`key ${i}`, "s", value));
  await Promise.all(writes);
}

async function assertRows(table: Table, value: string): Promise<void> {
  const reads = Array.from({ length: ROWS }, (_, i) => table.get(`key ${i}`, "s"));
  for (const found of await Promise.all(reads)) {
    assert.equal(found === undefined ? undefined : fromUtf8(found), value);
  }
}

Deno.test("A cluster keeps its rows through a crash, a return and a restart", async () => {
  await withCluster({ replicas: 3 }, async (cluster) => {
    await cluster.createTable("t", 4, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    try {
      const table = client.table("t");
      await writeRows(table, "first");
      await assertRows(table, "first");
      assert.equal(await table.incr("counter", "s", 2), 2n);

      // Whoever leads partitions on r1: the others take over, and nothing acknowledged is lost.
      await cluster.kill("r1");
      await assertRows(table, "first");
      await writeRows(table, "second");
      await cluster.waitForExactly(2);
      await cluster.waitForTable("t", 2);
      assert.equal(await table.incr("counter", "s", 2), 4n);

      await cluster.start("r1");
      await cluster.waitForTable("t", 3);
      await assertRows(table, "second");

      await cluster.stopAll();
      assert.deepEqual(cluster.running(), []);
      await cluster.startAll();
      await cluster.waitForNodes(3);
      await cluster.waitForTable("t", 3);
      await assertRows(table, "second");
      assert.equal(await table.incr("counter", "s", 2), 6n);
    } finally {
      await client.close();
    }
  });
});

Deno.test("A cluster that was stopped as a whole leads at the next start as before", async () => {
  // Nobody is declared dead because its start takes long.
  await withCluster({ settings: { lease: "50s", grace: "55s" } }, async (cluster) => {
    await cluster.createTable("t", 6, 3);
    const leaders = async () => (await cluster.probe.configs("t")).map(({ primary }) => primary);
    const before = await leaders();
    assert.equal(new Set(before).size, 3, "each server leads something");
    await cluster.stopAll();
    await cluster.startAll();
    await cluster.waitForNodes(3);
    await cluster.waitForTable("t", 3);
    assert.deepEqual(await leaders(), before);
  });
});

Deno.test("A cluster keeps its rows when all servers are killed at once", async () => {
  await withCluster({ replicas: 3 }, async (cluster) => {
    await cluster.createTable("t", 4, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    try {
      const table = client.table("t");
      await writeRows(table, "kept");
      await cluster.killAll();
      await cluster.startAll();
      await cluster.waitForTable("t", 3);
      await assertRows(table, "kept");
    } finally {
      await client.close();
    }
  });
});

function oneboxCommand(dir: string, ...args: string[]): Deno.Command {
  const permissions = ["read", "write", "net", "env", "sys", "ffi", "run"];
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      ...permissions.map((name) => `--allow-${name}`),
      MAIN,
      "onebox",
      ...args,
      "--dir",
      dir,
    ],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  });
}

async function onebox(dir: string, ...args: string[]) {
  const command = oneboxCommand(dir, ...args);
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, out: decoder.decode(stdout), err: decoder.decode(stderr) };
}

Deno.test("onebox starts, tells its status, kills, starts again, stops and clears", async () => {
  const dir = `${Deno.realPathSync(Deno.makeTempDirSync())}/onebox`;
  try {
    const started = await onebox(dir, "start", "--detach", "--replicas=2", "--port-base=0");
    assert.equal(started.code, 0, started.err);
    assert.match(started.out, /The cluster serves/);

    const status = await onebox(dir, "status", "--json");
    assert.equal(status.code, 0, status.out + status.err);
    const seen = JSON.parse(status.out);
    assert.deepEqual(
      seen.servers.map((server: { name: string; state: string }) =>
        `${server.name} ${server.state}`
      ),
      ["m1 running", "r1 running", "r2 running"],
    );
    assert.deepEqual(seen.cluster.tables, [{ name: "temp", partitionCount: 8, healthy: 8 }]);

    const again = await onebox(dir, "start", "--detach");
    assert.equal(again.code, 1);
    assert.match(again.err, /A onebox runs in/);
    assert.equal((await onebox(dir, "clear")).code, 1);

    assert.match((await onebox(dir, "kill", "2")).out, /Killed r2/);
    assert.equal((await onebox(dir, "status")).code, 1);
    assert.match((await onebox(dir, "start-one", "2")).out, /Started r2/);

    assert.match((await onebox(dir, "stop")).out, /Stopped m1, r1, r2/);
    const { address } = seen.servers[0];
    const elsewhere = await onebox(dir, "start", "--detach", "--port-base=1000");
    assert.equal(elsewhere.code, 1);
    assert.match(elsewhere.err, /keeps its addresses, from port \d+ on: leave out --port-base/);
    const repeated = await onebox(dir, "start", "--detach", "--replicas=2", "--port-base=0");
    assert.equal(repeated.code, 0, repeated.err);
    assert.match(
      repeated.out,
      new RegExp(`meta ${address}`),
      "the same command, the same addresses",
    );
    assert.match((await onebox(dir, "stop")).out, /Stopped m1, r1, r2/);
    const cleared = await onebox(dir, "clear");
    assert.equal(cleared.code, 0, cleared.err);
  } finally {
    await onebox(dir, "stop");
    Deno.removeSync(dir.replace(/\/onebox$/, ""), { recursive: true });
  }
});

Deno.test("onebox in the foreground keeps its state file and stops everything on SIGINT", async () => {
  const dir = `${Deno.realPathSync(Deno.makeTempDirSync())}/onebox`;
  const foreground = oneboxCommand(dir, "--replicas=1", "--port-base=0").spawn();
  try {
    const serving = async () => (await onebox(dir, "status")).code === 0;
    assert(await waitFor(serving, 60_000), "The onebox does not serve");
    const running = readState(dir)!.servers;
    // Removed below its feet: without the file nobody could find the servers again.
    Deno.removeSync(`${dir}/onebox.json`);
    assert(
      await waitFor(() => readState(dir) !== undefined, 20_000),
      "The state did not come back",
    );
    assert.deepEqual(readState(dir)!.servers, running);
    foreground.kill("SIGINT");
    const { code, stdout } = await foreground.output();
    assert.equal(code, 0, new TextDecoder().decode(stdout));
    for (const { name, pid } of running) {
      assert(!isRunning(pid, pathsOf(dir, name).dataDir), `${name} still runs`);
    }
  } finally {
    await onebox(dir, "stop");
    Deno.removeSync(dir.replace(/\/onebox$/, ""), { recursive: true });
  }
});
