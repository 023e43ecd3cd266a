// The other stores of a comparison: their protocols, and that the same operations do the same there. A store that is
// not installed is not tried, and the test says so.

import assert from "node:assert/strict";
import { readBenchFlags } from "../../../roles/bench/flags.ts";
import { startEtcd } from "../../../roles/bench/peers/etcd_servers.ts";
import { EtcdTarget } from "../../../roles/bench/peers/etcd_target.ts";
import { PeerGroup } from "../../../roles/bench/peers/processes.ts";
import { startRedis } from "../../../roles/bench/peers/redis_servers.ts";
import { RedisTarget } from "../../../roles/bench/peers/redis_target.ts";
import { ReplyParser, RespClient } from "../../../roles/bench/peers/resp_client.ts";
import { ratiosOf, renderAgainst, type Report } from "../../../roles/bench/report.ts";
import type { Target } from "../../../roles/bench/workload.ts";
import { missing } from "../../missing.ts";

Deno.test("ReplyParser reads every kind of reply, however the stream is cut", () => {
  const text = "+OK\r\n:42\r\n$5\r\nab\r\nc\r\n$-1\r\n*2\r\n$1\r\nx\r\n:7\r\n-ERR no\r\n*0\r\n";
  const bytes = new TextEncoder().encode(text);
  const expected = ["OK", 42, bytes.slice(14, 19), null, [bytes.slice(34, 35), 7], "ERR", []];
  for (let cut = 1; cut < bytes.length; cut++) {
    const parser = new ReplyParser();
    const replies: unknown[] = [];
    for (let at = 0; at < bytes.length; at += cut) {
      parser.push(bytes.slice(at, at + cut));
      for (let reply = parser.next(); reply !== undefined; reply = parser.next()) {
        replies.push(reply instanceof Error ? "ERR" : reply);
      }
    }
    assert.deepEqual(replies, expected, `cut every ${cut} bytes`);
  }
});

Deno.test("A command on a connection that Redis has closed fails at once", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = listener.accept();
  const client = await RespClient.connect(`127.0.0.1:${listener.addr.port}`);
  const outstanding = client.command("GET", "k");
  (await accepted).close();
  await assert.rejects(outstanding);
  await assert.rejects(client.command("GET", "k"));
  client.close();
});

/** What every store has to do, with three rows per hash key. */
async function tryOut(target: Target): Promise<void> {
  assert.equal(await target.multiSet(0), 3);
  assert.equal(await target.multiGet(2), 3);
  await target.set(3);
  assert.equal(await target.scan(3), 1);
  assert.equal(await target.scan(0), 3);
  assert.equal((await target.get(3) as Uint8Array).length, 50);
  assert.ok(!(await target.get(4)), "a row that was never written");
  await target.readModifyWrite(4);
  await Promise.all(Array.from({ length: 40 }, (_, i) => target.set(6 + i)));
  assert.equal(await target.scan(6), 3);
  await target.del(3);
  assert.equal(await target.scan(3), 1);
}

const LAYOUT = { rowsPerHashKey: 3, valueBytes: 50 };

function isInstalled(program: string): boolean {
  try {
    new Deno.Command(program, { args: ["--version"] }).outputSync();
    return true;
  } catch {
    missing(`"${program}" is not installed`);
    return false;
  }
}

Deno.test("Redis does what the store does, alone and with replicas that wait", async () => {
  if (!isInstalled("redis-server")) return;
  for (const setup of ["single", "replicated"] as const) {
    const servers = await startRedis(setup);
    const replicas = setup === "single" ? 0 : 2;
    const how = { replicas, isShared: setup === "single" };
    const target = await RedisTarget.open(servers.addresses[0]!, how, LAYOUT);
    try {
      await tryOut(target);
      assert.equal(await target.incr(1), 1);
      assert.match(servers.description, /^redis \d/);
    } finally {
      await target.close();
      await servers.stop();
    }
  }
});

Deno.test("etcd does what the store does, over three members", async () => {
  if (!isInstalled("etcd")) return;
  const servers = await startEtcd("replicated");
  const target = new EtcdTarget(servers.addresses, LAYOUT);
  try {
    await tryOut(target);
    await assert.rejects(target.incr(), /has no increment/);
  } finally {
    await target.close();
    await servers.stop();
  }
});

Deno.test("A peer that is not installed is named with its package", async () => {
  const group = new PeerGroup("none");
  assert.throws(
    () => group.start("no-such-store", [], "no-such-package"),
    /apt-get install no-such-package/,
  );
  await group.stop();
});

Deno.test("readBenchFlags() knows workloads by YCSB's names and refuses what cannot be run", () => {
  const run = readBenchFlags(["--workload", "YCSB-A", "--against", "redis"]);
  assert.equal(run.kind === "run" && run.options.workload, "a");
  for (
    const [args, problem] of [
      [["--workload", "mixd"], /did you mean "mixed"/],
      [["--workload", "incr", "--against", "etcd"], /etcd: it has no increment/],
      [["--against-address", "h:1"], /needs --against/],
      [["--against", "mongo"], /"--against": expected/],
      [["--against", "pegasus"], /needs another table/],
      [["--against", "pegasus", "--against-table", "temp"], /needs another table/],
      [["--against", "pegasus", "--against-address", "127.0.0.1:34601"], /needs another table/],
      [["--against", "pegasus", "--against-address", "here"], /HOST:PORT.*got "here"/],
      [["--against", "redis", "--against-table", "t"], /"--against-table" needs/],
      [["--against-records", "5"], /"--against-records" needs/],
    ] as const
  ) {
    const refused = readBenchFlags(args);
    assert.match(refused.kind === "invalid" ? refused.problems.join() : refused.kind, problem);
  }
});

Deno.test("A comparison divides ours by the peer's", () => {
  const report = (throughput: number, p99: number): Report => {
    const latency = { count: 1, mean: 1, p50: 10, p90: 1, p99, p999: 0, max: 1 };
    const counts = { operations: 1, errors: 0, errorSamples: [], misses: 0, clientCpu: 1 };
    const rest = { seconds: 1, rowsPerSecond: throughput, byOperation: {}, settings: {} };
    return {
      ...counts,
      ...rest,
      throughput,
      latency,
      target: "x",
      workload: "get",
      machine: {},
      settled: false,
      records: 1,
      at: "",
    };
  };
  const [ours, theirs] = [report(300, 50), report(200, 100)];
  assert.deepEqual(ratiosOf(ours, theirs), { throughput: 1.5, p50: 1, p90: 1, p99: 0.5, p999: 0 });
  assert.match(renderAgainst(ours, theirs), /operations\/s +300 +200 +1\.50x/);
});
