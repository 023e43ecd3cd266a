// HTTP of a real cluster: every server answers its paths, and monitoring can read its metrics. promtool, the
// checker of Prometheus, looks at the text where it is installed (Debian: package prometheus); its syntax is
// checked here in any case.

import assert from "node:assert/strict";
import { openCluster, type Table } from "../../src/client/mod.ts";
import type { Family } from "../../src/observe/metric.ts";
import { openMetrics } from "../../src/observe/metrics.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { missing } from "../missing.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const TOKEN = "a-token-for-tests-only";

/** Where a server said its HTTP is, in its log. */
function httpOf(cluster: TestCluster, name: string): string {
  const found = [...cluster.outputOf(name).matchAll(/HTTP listens address=(\S+)/g)].at(-1)?.[1];
  assert.ok(found !== undefined, `${name} does not tell its HTTP address`);
  return `http://${found}`;
}

// deno-lint-ignore no-explicit-any
async function getJson(url: string, init?: RequestInit): Promise<{ status: number; json: any }> {
  const response = await fetch(url, init);
  return { status: response.status, json: await response.json() };
}

async function metricsOf(url: string): Promise<string> {
  const response = await fetch(`${url}/metrics`);
  assert.equal(response.status, 200);
  return await response.text();
}

/** The value of one series; 0 if it is not there. */
function valueOf(text: string, series: string): number {
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? 0 : Number(line.slice(series.length + 1));
}

const SAMPLE =
  /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[\d.eE+-]+|NaN|[+-]Inf)$/;

/** Problems of a text in the Prometheus format. */
function syntaxProblems(text: string): string[] {
  const problems: string[] = [];
  const types = new Map<string, string>();
  const seen = new Set<string>();
  if (!text.endsWith("\n")) problems.push("The last line has no end");
  for (const line of text.split("\n")) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type !== null) {
      if (types.has(type[1]!)) problems.push(`Two types: ${line}`);
      types.set(type[1]!, type[2]!);
    } else if (line !== "" && !/^# HELP \S+ \S/.test(line)) {
      const sample = SAMPLE.exec(line);
      const series = line.slice(0, line.lastIndexOf(" "));
      const name = sample?.[1] ?? "";
      const base = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, "");
      if (sample === null) problems.push(`Not a sample: ${line}`);
      else if (!types.has(base)) problems.push(`No type: ${line}`);
      if (seen.has(series)) problems.push(`Twice: ${series}`);
      seen.add(series);
    }
  }
  return problems;
}

/** What promtool says; `undefined` if it is not installed. */
async function promtool(text: string): Promise<string | undefined> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command("promtool", {
      args: ["check", "metrics"],
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch {
    missing("promtool is not installed, it does not check metrics; apt-get install prometheus");
    return undefined;
  }
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(text));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return success ? "" : said || "failed";
}

/** What gets a line in a server's log, and what a server refuses, with a key and a value that can be found. */
async function abnormal(table: Table): Promise<void> {
  await table.set("private-key", "private-sort", "private-value ".repeat(72_000));
  await table.get("private-key", "private-sort");
  await assert.rejects(async () => {
    await table.set("private-key", "s", "private-value ".repeat(80_000));
  });
  await assert.rejects(table.incr("private-key", "private-sort", 1));
}

/** At level info there is neither a key nor a value of a user in any line. */
function checkLogs(cluster: TestCluster): void {
  const output = ["m1", "r1", "r2", "r3"].map((name) => cluster.outputOf(name)).join("");
  assert.match(output, /Large read/);
  assert.doesNotMatch(output, /private/);
}

async function checkMetaPaths(meta: string, cluster: TestCluster): Promise<void> {
  const { json: info } = await getJson(`${meta}/meta/cluster`);
  assert.equal(info.primary_meta_server, cluster.addressOf("m1"));
  const { json: nodes } = await getJson(`${meta}/meta/nodes?detail`);
  assert.deepEqual(nodes.summary, {
    total_node_count: 3,
    alive_node_count: 3,
    unalive_node_count: 0,
  });
  const r1 = nodes.details[cluster.addressOf("r1")];
  assert.ok(httpOf(cluster, "r1").endsWith(`:${r1.http_port}`), "meta knows the HTTP port");
  const { json: apps } = await getJson(`${meta}/meta/apps?detail`);
  const [id] = Object.keys(apps.general_info);
  assert.deepEqual(
    [apps.general_info[id!].app_name, apps.healthy_info[id!].fully_healthy],
    ["users", 4],
  );
  const { json: app } = await getJson(`${meta}/meta/app?name=users&detail`);
  assert.deepEqual(Object.keys(app.replicas), ["0", "1", "2", "3"]);
  assert.equal(app.replicas["0"].replica_count, "3/3");
  assert.equal((await getJson(`${meta}/meta/app?name=nobody`)).status, 404);
  assert.deepEqual((await getJson(`${meta}/meta/app_envs?name=users`)).json, {});
  assert.ok("default_ttl" in (await getJson(`${meta}/envs/list`)).json);
  const unknown = await getJson(`${meta}/meta/nods`);
  assert.deepEqual(unknown, {
    status: 404,
    json: { error: 'Unknown path "/meta/nods"; did you mean "/meta/nodes"?' },
  });
  const { json: versions } = await getJson(
    `${httpOf(cluster, "r1")}/replica/data_version?app_id=${id}`,
  );
  assert.deepEqual(versions["0"], { data_version: "1" });
}

/** What the leader watches, once it has looked twice, and orders that need the token. */
async function checkWatched(meta: string, replica: string, id: string): Promise<void> {
  const looked = await waitFor(async () => {
    const { json } = await getJson(`${meta}/meta/load?name=users`);
    return Object.keys(json.users?.partitions ?? {}).length === 4;
  }, 20_000);
  assert.ok(looked, "the leader knows the load of every partition");
  assert.equal((await getJson(`${meta}/meta/load?name=nobody`)).status, 404);
  assert.deepEqual((await getJson(`${meta}/meta/hotspots`)).json, []);
  const { json: shares } = await getJson(`${meta}/meta/availability`);
  assert.deepEqual(shares, { minute: null, hour: null, day: null }, "there is no probe table yet");
  assert.equal((await getJson(`${meta}/meta/balance`)).json.running, false);
  const order = `${meta}/meta/app/start_compaction?app_name=users`;
  assert.equal((await getJson(order)).status, 401);
  const headers = { authorization: `Bearer ${TOKEN}` };
  const { json: told } = await getJson(order, { method: "POST", headers });
  assert.deepEqual(Object.values(told), Array(3).fill("4 replicas queued"));
  const compacted = await waitFor(async () => {
    const { json } = await getJson(`${replica}/replica/manual_compaction?app_id=${id}`);
    return json.finished === 4;
  }, 20_000);
  assert.ok(compacted, "every replica was compacted");
  assert.equal((await getJson(`${replica}/pprof/cmdline`)).status, 401);
  const words = await (await fetch(`${replica}/pprof/cmdline`, { headers })).text();
  assert.match(words, /\nreplica\n/);
  for (const server of [meta, replica]) {
    const profile = await fetch(`${server}/pprof/profile?seconds=1`, { headers });
    assert.equal(
      profile.status,
      200,
      await profile.clone().text().then((text) => text.slice(0, 200)),
    );
    assert.ok((await profile.json()).nodes.length > 0, "a profile of the processor");
  }
}

async function checkMetrics(cluster: TestCluster, writes: number): Promise<void> {
  let put = 0;
  let primaries = 0;
  const texts: string[] = [];
  for (const name of ["r1", "r2", "r3"]) {
    const text = await metricsOf(httpOf(cluster, name));
    texts.push(text);
    put += valueOf(text, 'pegasus_operation_seconds_count{operation="put",table="users"}');
    primaries += valueOf(text, 'pegasus_replicas{status="primary"}');
    assert.equal(valueOf(text, 'pegasus_meta_contact{state="connected"}'), 1);
    assert.ok(valueOf(text, "pegasus_lease_remaining_seconds") > 0);
    assert.ok(valueOf(text, "pegasus_log_sync_seconds_count") > 0);
    assert.ok(valueOf(text, "pegasus_log_group_bytes_sum") > 0);
    assert.ok(valueOf(text, "pegasus_replica_apply_rows_sum") > 0);
    assert.equal(valueOf(text, 'pegasus_replica_events_total{event="condemned"}'), 0);
  }
  // A write that was tried again counts again.
  assert.ok(put >= writes && put < writes * 2, `${put} puts`);
  assert.equal(primaries, 4);
  const meta = await metricsOf(httpOf(cluster, "m1"));
  texts.push(meta);
  assert.equal(valueOf(meta, 'pegasus_meta_nodes{state="alive"}'), 3);
  assert.equal(valueOf(meta, 'pegasus_meta_partitions{table="users",health="healthy"}'), 4);
  assert.equal(valueOf(meta, 'pegasus_meta_role{role="leading"}'), 1);
  assert.ok(valueOf(meta, 'pegasus_rpc_seconds_count{rpc="beacon"}') > 0);
  for (const text of texts) assert.deepEqual(syntaxProblems(text), []);
  for (const text of texts.slice(-2)) assert.equal((await promtool(text)) ?? "", "");
}

Deno.test("HTTP of a real cluster: health, meta paths, settings, metrics", async () => {
  const tokenFile = Deno.makeTempFileSync();
  Deno.writeTextFileSync(tokenFile, `${TOKEN}\n`);
  const settings = {
    "admin-token-file": tokenFile,
    "log-level": "info",
    "load-interval": "500ms",
    "probe-interval": "200ms",
  };
  await withCluster({ settings }, async (cluster) => {
    await cluster.createTable("users", 4, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 30_000 });
    const table = client.table("users");
    for (let i = 0; i < 100; i++) await table.set(`h${i}`, "s", "v");
    await abnormal(table);
    await client.close();
    checkLogs(cluster);
    for (const name of ["m1", "r1", "r2", "r3"]) {
      const http = httpOf(cluster, name);
      assert.equal((await getJson(`${http}/healthz`)).status, 200, name);
      assert.deepEqual(await getJson(`${http}/readyz`), { status: 200, json: { status: "ready" } });
      assert.equal((await getJson(`${http}/updateConfig?log-level=warn`)).status, 401);
      const headers = { authorization: `Bearer ${TOKEN}` };
      const changed = await getJson(`${http}/updateConfig?log-level=debug`, { headers });
      assert.deepEqual([changed.json.before, changed.json.now], ["info", "debug"]);
    }
    await checkMetaPaths(httpOf(cluster, "m1"), cluster);
    const [id] = Object.keys(
      (await getJson(`${httpOf(cluster, "m1")}/meta/apps`)).json.general_info,
    );
    await checkWatched(httpOf(cluster, "m1"), httpOf(cluster, "r1"), id!);
    await checkMetrics(cluster, 101);
    await cluster.createTable("__stat", 2, 3);
    const probed = await waitFor(async () => {
      const { json } = await getJson(`${httpOf(cluster, "m1")}/meta/availability`);
      return json.hour !== null && json.hour > 0;
    }, 20_000);
    assert.ok(probed, "probes succeed");
    assert.match(
      await metricsOf(httpOf(cluster, "m1")),
      /pegasus_availability_ratio\{window="day"\}/,
    );
    await cluster.stop("m1");
    const { status } = await getJson(`${httpOf(cluster, "r1")}/healthz`);
    assert.equal(status, 200, "a replica server without meta is alive");
    await cluster.start("m1");
  });
  Deno.removeSync(tokenFile);
});

Deno.test("every declared metric passes the checks of Prometheus", async () => {
  const registry = openMetrics();
  for (
    const family of Object.values(registry.live).flatMap<Family>((group) => Object.values(group))
  ) {
    family.child(...family.declared.labels.map(() => "x"));
  }
  const text = await registry.text();
  assert.deepEqual(syntaxProblems(text), []);
  assert.equal((await promtool(text)) ?? "", "");
});

Deno.test("syntaxProblems() sees what is wrong with a text", () => {
  const good = '# HELP a_total A\n# TYPE a_total counter\na_total{x="1\\"2"} 3\n';
  assert.deepEqual(syntaxProblems(good), []);
  for (
    const bad of [
      good.trimEnd(),
      good + 'a_total{x="1\\"2"} 4\n',
      "b 1\n",
      good + "a_total{x=1} 2\n",
      good + "# TYPE a_total gauge\n",
      good + "a_total one\n",
    ]
  ) {
    assert.equal(syntaxProblems(bad).length > 0, true, bad);
  }
});
