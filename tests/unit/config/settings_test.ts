// Settings: builders, flags, file, precedence and what people are told when something is wrong.

import assert from "node:assert/strict";
import fc from "fast-check";
import { bool, bytes, duration, hostPort, hostPorts, int } from "../../../src/config/field.ts";
import { configPage, roleHelp } from "../../../src/config/help.ts";
import { defaultSettings, loadSettings } from "../../../src/config/load.ts";
import { declaredSettings } from "../../../src/config/settings.ts";
import { nearest } from "../../../src/config/suggest.ts";
import { META_DEFAULTS } from "../../../src/placement/io.ts";
import { SERVER_DEFAULTS } from "../../../src/replication/server_io.ts";
import type { ReplicaSettings } from "../../../src/replication/io.ts";
import { nodeName } from "../../../roles/node_name.ts";
import { RPC_DEFAULTS } from "../../../src/rpc/contract.ts";

const noFile = (path: string): string => {
  throw new Error(`no such file: ${path}`);
};

function load(args: string[], files: Record<string, string> = {}) {
  return loadSettings("replica", args, (path) => files[path] ?? noFile(path));
}

function settingsOf(args: string[], files: Record<string, string> = {}) {
  const loaded = load(args, files);
  assert.equal(loaded.kind, "settings", JSON.stringify(loaded));
  return loaded.kind === "settings" ? loaded.settings : defaultSettings();
}

function problemsOf(args: string[], files: Record<string, string> = {}): string {
  const loaded = load(args, files);
  assert.equal(loaded.kind, "invalid", JSON.stringify(loaded));
  return loaded.kind === "invalid" ? loaded.problems.join("\n") : "";
}

Deno.test("Settings of the cores equal the defaults the cores declare", () => {
  const settings = defaultSettings();
  const replication: ReplicaSettings = settings.replication;
  assert.equal(replication.prepareTimeoutMs, 3000);
  assert.deepEqual(settings.rpc, RPC_DEFAULTS);
  const { beaconIntervalMs, leaseMs, graceMs } = settings.detector;
  assert.deepEqual(
    { ...SERVER_DEFAULTS, ...settings.contact, beaconIntervalMs, leaseMs },
    SERVER_DEFAULTS,
  );
  const { dropReserveMs, ...placement } = settings.placement;
  const dropReserveSeconds = dropReserveMs / 1000;
  assert.deepEqual({ ...placement, leaseMs, graceMs, dropReserveSeconds }, META_DEFAULTS);
});

Deno.test("loadSettings() puts flags above the file and the file above defaults", () => {
  const files = { "p.toml": 'prepare-timeout = "2s"\nqueued-writes-max = 7\ncluster = "c1"\n' };
  const settings = settingsOf(["--config", "p.toml", "--prepare-timeout=4s"], files);
  assert.equal(settings.replication.prepareTimeoutMs, 4000);
  assert.equal(settings.replication.queuedWritesMax, 7);
  assert.equal(settings.process.cluster, "c1");
  assert.equal(settings.replication.inflightMutationsMax, 64);
});

Deno.test("loadSettings() takes lists and addresses from flags and from the file", () => {
  const meta = ["10.0.0.1:34601", "10.0.0.2:34601"];
  assert.deepEqual(settingsOf(["--meta", meta.join(",")]).replicaServer.meta, meta);
  const file = { "p.toml": `meta = ${JSON.stringify(meta)}\n` };
  assert.deepEqual(settingsOf(["--config=p.toml"], file).replicaServer.meta, meta);
  assert.equal(settingsOf(["--listen", "[::1]:0"]).replicaServer.listen, "[::1]:0");
});

Deno.test("loadSettings() refuses unknown flags, keys, tables and words with a suggestion", () => {
  assert.match(problemsOf(["--prepare-timout=1s"]), /"--prepare-timout".*"--prepare-timeout"/);
  assert.match(problemsOf(["--zzz"]), /Unknown flag "--zzz"; see --help/);
  assert.match(problemsOf(["--config=p"], { p: "shard = 1\n" }), /"shard".*did you mean "shards"/);
  assert.match(problemsOf(["--config=p"], { p: "[rpc]\na = 1\n" }), /Unexpected table \[rpc\]/);
  assert.match(problemsOf(["extra"]), /Unexpected word "extra"/);
  assert.match(problemsOf(["-x"]), /Unknown flag "-x"/);
  assert.match(problemsOf(["--cure-interval=1s"]), /Unknown flag "--cure-interval"/);
});

Deno.test("loadSettings() says what was wrong, what was expected and what to do", () => {
  const problem = problemsOf(["--prepare-timeout=3"]);
  assert.equal(
    problem,
    'Bad value of --prepare-timeout: got "3", expected a duration with a unit ' +
      '(ms, s, m, h, d), 20ms to 1m; leave it out for the default "3s"',
  );
  assert.match(problemsOf(["--shards", "x"]), /expected a whole number/);
  assert.match(problemsOf(["--config=p"], { p: "prepare-timeout = 3\n" }), /got 3, expected a dur/);
  assert.match(problemsOf(["--config=none"]), /Cannot read the settings file "none": no such file/);
  assert.match(problemsOf(["--config=p"], { p: "a = = 1" }), /Cannot read the settings file "p"/);
  assert.match(problemsOf(["--listen"]), /"--listen" needs a value/);
  assert.match(problemsOf(["--listen", "--shards=1"]), /"--listen" needs a value/);
  assert.match(problemsOf(["--shards=1", "--shards=1"]), /"--shards" is given twice/);
  assert.match(problemsOf(["--lease=6s"]), /"grace" \(6000ms\) must be longer than "lease"/);
});

Deno.test("loadSettings() checks keys of other roles in a shared file and leaves them alone", () => {
  assert.equal(settingsOf(["--config=p"], { p: 'cure-interval = "3s"\n' }).replicaServer.shards, 0);
  assert.match(problemsOf(["--config=p"], { p: 'cure-interval = "x"\n' }), /"cure-interval"/);
});

Deno.test("loadSettings() reports help whatever else is said", () => {
  assert.equal(load(["--help", "--nonsense"]).kind, "help");
  assert.equal(load(["-h"]).kind, "help");
});

Deno.test("duration() and bytes() read back what they format", () => {
  const time = duration({ default: "1s", min: "0", max: "30d", doc: "" });
  const size = bytes({ default: "1MiB", min: "0B", max: "8192TiB", doc: "" });
  fc.assert(fc.property(fc.integer({ min: 0, max: 2_592_000_000 }), (ms) => {
    assert.deepEqual(time.parse(time.format(ms)), { ok: true, value: ms });
  }));
  fc.assert(fc.property(fc.integer({ min: 0, max: 2 ** 52 }), (count) => {
    assert.deepEqual(size.parse(size.format(count)), { ok: true, value: count });
  }));
  assert.deepEqual(time.parse("1.5s"), { ok: true, value: 1500 });
  for (const bad of ["", "1", "1 s", "-1s", "1y", 5, null, "31d"]) assert(!time.parse(bad).ok);
  for (const bad of ["", "1MB", "-1", "1.5.5KiB", null, -1]) assert(!size.parse(bad).ok);
});

Deno.test("Builders refuse what is outside their bounds or of another type", () => {
  const count = int({ default: 1, min: 1, max: 9, doc: "" });
  for (const bad of ["0", "10", "1.5", "", "1e1", 0, 1.5, true, null]) assert(!count.parse(bad).ok);
  assert.deepEqual(count.parse(9), { ok: true, value: 9 });
  const flag = bool({ default: false, doc: "" });
  for (const bad of ["yes", 1, "TRUE", null]) assert(!flag.parse(bad).ok);
  const address = hostPort({ default: "a:1", doc: "" });
  for (const bad of ["", "a", "a:", ":1", "a:65536", "a b:1", "a:1:2", 5]) {
    assert(!address.parse(bad).ok, String(bad));
  }
  const list = hostPorts({ default: ["a:1"], doc: "" });
  for (const bad of ["", "a:1,", "a:1,b", [], [5]]) assert(!list.parse(bad).ok, String(bad));
  assert.throws(() => int({ default: 0, min: 1, doc: "" }), /outside its own bounds/);
});

Deno.test("loadSettings() takes labels, and refuses names nobody reads", () => {
  const { labels } = settingsOf(["--labels=zone=a, rack=r1"]).replicaServer;
  assert.deepEqual([...labels], [["zone", "a"], ["rack", "r1"]]);
  for (const bad of ["zon=a", "zone", "zone=", "zone=a,zone=b", "zone=a b", "zone=a=b"]) {
    assert.match(problemsOf([`--labels=${bad}`]), /names zone, rack, host/, bad);
  }
});

Deno.test("loadSettings() takes several data directories, with and without tags", () => {
  const dirs = (...args: string[]) => settingsOf(args).replicaServer.dataDir;
  assert.deepEqual(dirs("--data-dir=/a"), [{ tag: "data1", path: "/a" }]);
  assert.deepEqual(dirs("--data-dir=ssd:/a/, rel/b"), [
    { tag: "ssd", path: "/a" },
    { tag: "data2", path: "rel/b" },
  ]);
  const file = { "p.toml": 'data-dir = ["/a", "hdd:/b"]\n' };
  assert.deepEqual(settingsOf(["--config=p.toml"], file).replicaServer.dataDir.length, 2);
  const { field } = declaredSettings("replica").find(({ key }) => key === "data-dir")!;
  assert.equal(field.format(dirs("--data-dir=/a,hdd:/b,data3:/c")), "/a,hdd:/b,/c");
  for (const bad of ["", "/a,", "/a,/a", "x:/a,x:/b", "data2:/a,/b", "x:"]) {
    assert.match(problemsOf([`--data-dir=${bad}`]), /each tag.*each path once/, bad);
  }
  for (const bad of ["{ a = 1 }", "[1]", "[]", "5", "true"]) {
    const problem = problemsOf(["--config=p"], { p: `data-dir = ${bad}\n` });
    assert.match(problem, /Bad value of "data-dir" in "p": got .*expected PATH,PATH,/, bad);
  }
});

Deno.test("loadSettings() wants a name for a server that listens everywhere", () => {
  for (const listen of ["0.0.0.0:1", "[::]:1", "[0:0:0:0:0:0:0:0]:1"]) {
    assert.match(problemsOf([`--listen=${listen}`]), /nobody can dial.*--advertise/);
    const given = [`--listen=${listen}`, "--advertise=db1.local:34801"];
    assert.equal(settingsOf(given).replicaServer.advertise, "db1.local:34801");
  }
  assert.match(problemsOf(["--advertise=0.0.0.0:1"]), /"advertise".*others can dial/);
  assert.match(problemsOf(["--advertise=db1"]), /HOST:PORT/);
});

Deno.test("nodeName() is the advertised address, with the port that was taken", () => {
  const bound = "0.0.0.0:5001";
  assert.equal(nodeName({ listen: "0.0.0.0:0", advertise: "db1:0" }, bound), "db1:5001");
  assert.equal(nodeName({ listen: "0.0.0.0:5001", advertise: "db1:80" }, bound), "db1:80");
  assert.equal(nodeName({ listen: "127.0.0.1:0" }, "127.0.0.1:5001"), "127.0.0.1:5001");
  assert.equal(nodeName({ listen: "localhost:5001" }, "127.0.0.1:5001"), "localhost:5001");
});

Deno.test("nearest() suggests slips of the finger only", () => {
  const known = ["meta", "replica", "shell", "onebox"];
  assert.equal(nearest("replcia", known), "replica");
  assert.equal(nearest("onbox", known), "onebox");
  assert.equal(nearest("zookeeper", known), undefined);
  assert.equal(nearest("x", []), undefined);
});

Deno.test("Help and the generated page name every setting", () => {
  const page = configPage();
  for (const { key } of declaredSettings()) assert(page.includes(`| \`${key}\` `), key);
  const help = roleHelp("replica", "Serves");
  for (const { key } of declaredSettings("replica")) assert(help.includes(`--${key}`), key);
  assert(!help.includes("--cure-interval"));
});
