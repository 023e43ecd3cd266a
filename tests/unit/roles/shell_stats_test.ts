// The shell's commands on load, against a fake cluster whose counters grow by known amounts.

import assert from "node:assert/strict";
import { OPERATIONS } from "../../../roles/request_metrics.ts";
import type { LoadAnswer } from "../../../roles/load_rates.ts";
import { utf8 } from "../../../src/base/bytes.ts";
import { Err, StoreError } from "../../../src/base/errors.ts";
import { partitionId } from "../../../src/base/ids.ts";
import type { Rpc } from "../../../src/schema/rpc.ts";
import { FakeCluster } from "../client/fake_cluster.ts";
import { runOn, type ShellRun } from "./fake_shell.ts";

/** n1 serves gets, n2 is silent, n3 is dead. Every look comes a second after the one before. */
class LoadedCluster extends FakeCluster {
  looks = 0;
  search = "stopped";

  override call<Q, A>(address: string, rpc: Rpc<Q, A>, request: Q, timeoutMs: number): Promise<A> {
    // deno-lint-ignore no-explicit-any
    const asked = request as any;
    switch (rpc.name) {
      case "replica_load":
        if (address !== "n1:1") return Promise.reject(new StoreError(Err.TIMEOUT, "Silent"));
        return Promise.resolve(this.#load(this.looks++) as A);
      case "detect_hotkey":
        if (asked.action === "start") this.search = "finished";
        if (asked.action === "stop") this.search = "stopped";
        return Promise.resolve({
          state: this.search,
          captured: 10,
          hashKey: this.search === "finished" ? utf8("hot") : undefined,
          share: 0.5,
        } as A);
      case "remote_command":
        return Promise.resolve({ output: this.#output(asked.command, asked.args) } as A);
      default:
        return super.call(address, rpc, request, timeoutMs);
    }
  }

  #load(look: number): LoadAnswer {
    const requests = OPERATIONS.map((name) => name === "get" ? look * 500 : 0);
    const numbers = { ballot: 1, committed: 1, applied: 1, durable: 1, lastPrepared: 1 };
    return {
      ...{ at: look * 1000, incarnation: 1, shard: 0, residentBytes: 2 ** 20, heapBytes: 1 },
      ...{ cpuMs: look * 250, logBytes: 0, logFailed: false, diskFull: false },
      operations: [...OPERATIONS],
      partitions: [0, 1].map((index) => ({
        ...{ partition: partitionId(1, index), status: "primary" as const, ...numbers, requests },
        ...{ bytes: 2048, writeBytes: 0, readBytes: look * 100, writeUnits: 0, errors: 0 },
        readUnits: look * 600,
      })),
      bounds: [0.001],
      latencies: [{ tableId: 1, operation: "get", counts: [look * 100, 0] }],
    };
  }

  #output(command: string, args: string[]): string {
    if (command === "hotspots") {
      return JSON.stringify([{ app_name: "t", gpid: "1.1", kind: "read", rate: 9, score: 4 }]);
    }
    if (command === "availability") return '{"minute":0.5,"hour":null,"day":null}';
    if (command === "config") {
      if (args[0] !== "a") throw new Error("Not asked here");
      return '{"value":"1","default":"2","allowed":"1 to 3","mutable":true}';
    }
    if (command === "data-version") return `shard 0: ${args[0]}.0 1\nshard 1: ${args[0]}.1 1`;
    return `${command}(${args.join(" ")})`;
  }
}

function run(...args: string[]): Promise<ShellRun> {
  const fake = new LoadedCluster();
  fake.addTable("t", 2);
  return runOn(fake, ...args);
}

async function rows(text: string): Promise<Record<string, unknown>[]> {
  const [, out] = await run("--json", "-e", text);
  return JSON.parse(out);
}

Deno.test("app_stat shows rates by table and by partition, and who is missing", async () => {
  const [t] = await rows("app_stat -i 100");
  assert.deepEqual([t!["app_name"], t!["GET"], t!["RCU"], t!["PUT"]], ["t", 1000, 1200, 0]);
  assert.deepEqual([t!["replicas"], t!["size"], t!["read_p99_ms"]], [2, "4.0 KiB", 0.99]);
  const partitions = await rows("app_stat t -i 100 -q");
  assert.deepEqual(partitions.map(({ pidx, GET }) => [pidx, GET]), [
    ["0", 500],
    ["1", 500],
    ["(total)", 1000],
  ]);
  assert.ok(!("RCU" in partitions[0]!));
  const [, , err] = await run("-e", "app_stat -i 100");
  assert.equal(err, "Without n2:1: TIMEOUT: Silent\nWithout n3:1: It is dead\n");
  assert.equal((await run("-e", "app_stat nope"))[0], 1);
  assert.equal((await run("-e", "app_stat -i 1"))[0], 2);
});

Deno.test("nodes, server_stat and app_disk show what servers use and do", async () => {
  const [n1, n2] = await rows("nodes -u -q -i 100");
  assert.deepEqual(
    [n1!["memory"], n1!["data"], n1!["reads"], n1!["cpu_percent"], n2!["memory"]],
    ["1.0 MiB", "4.0 KiB", 1000, 25, null],
  );
  const servers = await rows("server_stat -i 100");
  assert.deepEqual(servers.map(({ address, error }) => [address, error]), [
    ["m1:1", ""],
    ["m2:1", ""],
    ["n1:1", ""],
    ["n2:1", "TIMEOUT: Silent"],
    ["n3:1", "It is dead"],
  ]);
  assert.equal(servers[2]!["primaries"], 2);
  const [, disk] = await run("-e", "app_disk t");
  assert.match(disk, /replicas_size +: 4.0 KiB/);
  const replicas = await rows("app_disk t -d");
  assert.deepEqual(replicas[1], { gpid: "1.1", node: "n1:1", status: "primary", size: 2048 });
});

Deno.test("hotspots, availability and detect_hotkey tell what is watched", async () => {
  assert.equal((await rows("hotspots"))[0]!["gpid"], "1.1");
  const [, share] = await run("-e", "availability");
  assert.equal(share, "minute : 50.0000 %\nhour   : no probes\nday    : no probes\n");
  assert.deepEqual(await run("-e", "detect_hotkey t 1"), [
    0,
    '"hot": 50 % of the rows asked for\n',
    "",
  ]);
  const [, state] = await run("--json", "-e", "detect_hotkey -a 1 -p 0 -c query");
  assert.deepEqual(JSON.parse(state), { state: "stopped", captured: 10 });
  assert.equal((await run("-e", "detect_hotkey t 2"))[0], 2);
  assert.match((await run("-e", "detect_hotkey x 0"))[2], /There is no table "x"/);
});

Deno.test("data_version tells each server's, over the connection of everything else", async () => {
  assert.deepEqual(await rows("data_version t"), [
    { address: "n1:1", data_version: "1", error: "" },
    { address: "n2:1", data_version: "1", error: "" },
  ]);
});

Deno.test("remote_command and server_config ask every server and tell each answer", async () => {
  const [status, out, err] = await run("-e", "remote_command -t replica-server compact 1 2");
  assert.equal(status, 0);
  assert.equal(out, "[n1:1] compact(1 2)\n[n2:1] compact(1 2)\n[n3:1] compact(1 2)\n");
  assert.equal(err, "3 servers succeeded, 0 failed\n");
  assert.match(
    (await run("-e", "server_config a -t meta-server"))[1],
    /1 \(default 2; 1 to 3; can be/,
  );
  assert.equal(
    (await run("-e", "server_config a set 3 -l n1:1"))[1],
    "[n1:1] config-set(a 3)\n",
  );
  assert.equal((await run("-e", "server_config a set"))[0], 2);
  assert.match((await run("-e", "remote-command -l n1:1 version"))[1], /version\(\)/);
});
