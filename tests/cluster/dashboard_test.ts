// The dashboard of a real cluster under load, healthy and after the loss of a server. What the page is made
// from is always checked; the page itself is rendered and read where Chromium is installed (Debian: package
// chromium). Its pictures go to the directory of PEGASUS_SCREENSHOTS, or to a temporary one that is named.

import assert from "node:assert/strict";
import type { Overview } from "../../roles/http/dashboard/overview.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { openCluster, type Table } from "../../src/client/mod.ts";
import { missing } from "../missing.ts";
import { BROWSER_MISSING, photograph, PICTURES, renderedPage } from "./browser.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const WAIT_MS = 30_000;

/** Where the meta server said its HTTP is, in its log. */
function httpOf(cluster: TestCluster, name: string): string {
  const found = [...cluster.outputOf(name).matchAll(/HTTP listens address=(\S+)/g)].at(-1)?.[1];
  assert.ok(found !== undefined, `${name} does not tell its HTTP address`);
  return `http://${found}`;
}

async function overviewOf(meta: string, table = ""): Promise<Overview> {
  const response = await fetch(`${meta}/meta/overview${table && `?table=${table}`}`);
  assert.equal(response.status, 200);
  return await response.json();
}

/** Asks until the overview is as expected. */
async function waitForOverview(meta: string, isExpected: (o: Overview) => boolean) {
  let last: Overview | undefined;
  const found = await waitFor(async () => isExpected(last = await overviewOf(meta)), WAIT_MS);
  assert.ok(found, `The overview stays ${JSON.stringify(last?.problems)}`);
  return last!;
}

/** Reads and writes until it is stopped; what fails is the cluster's affair here. */
function load(table: Table): () => Promise<void> {
  let stopped = false;
  const run = async () => {
    for (let i = 0; !stopped; i = (i + 1) % 1000) {
      const work = [table.set(`h${i}`, "s", `v${i}`), table.get(`h${i}`, "s")];
      await Promise.allSettled([...work, table.get(`h${i + 1}`, "s")]);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const running = run();
  return async () => {
    stopped = true;
    await running;
  };
}

async function checkFiles(meta: string): Promise<void> {
  const asBrowser = { headers: { accept: "text/html,*/*" } };
  const page = await fetch(meta, asBrowser);
  assert.equal(new URL(page.url).pathname, "/dashboard", "/ brings a browser to the dashboard");
  const html = await page.text();
  assert.match(page.headers.get("content-security-policy") ?? "", /default-src 'none'/);
  assert.deepEqual(html.match(/(src|href)="(?!\/dashboard\/|data:)[^"]*"/g), null);
  const files = [...html.matchAll(/(?:src|href)="(\/dashboard\/[^"]+)"/g)].map(([, path]) => path!);
  assert.equal(files.length, 4);
  for (const path of [...files, "/dashboard/views.js", "/dashboard/charts.js"]) {
    const response = await fetch(meta + path);
    const text = await response.text();
    assert.equal(response.status, 200, path);
    assert.match(response.headers.get("content-type")!, /^text\/(javascript|css)/);
    assert.ok(text.length > 1000, path);
    // A sentence about a place elsewhere is fine, loading from there is not.
    assert.doesNotMatch(text, /(import|url\(|fetch\()[^;\n]{0,20}https?:/, path);
  }
  const list = await fetch(meta);
  assert.ok("/dashboard" in (await list.json()), "a program still gets the list of paths");
}

async function checkHealthy(meta: string, cluster: TestCluster): Promise<void> {
  const overview = await waitForOverview(
    meta,
    ({ problems, history, nodes }) =>
      nodes.every(({ diskTotalBytes }) => diskTotalBytes > 0) &&
      problems.every(({ text }) => text.includes("of its disk free")) && history.length > 1 &&
      history.at(-1)!.writesPerSecond > 0,
  );
  assert.deepEqual(overview.nodes.map(({ alive }) => alive), [true, true, true]);
  assert.ok(overview.nodes.every(({ numbers }) => numbers !== null), "all tell their numbers");
  const [users] = overview.tables;
  assert.ok(users!.name === "users" && users!.rates.readsPerSecond > 0);
  assert.ok(users!.rates.readP50Ms! <= users!.rates.readP99Ms!);
  assert.deepEqual(new Set(users!.partitions.map(({ health }) => health)), new Set(["healthy"]));
  assert.equal(overview.leader, cluster.addressOf("m1"));
  assert.ok(overview.changes.some(({ event }) => event === "config"));
  const other = await overviewOf(meta, "nobody");
  assert.ok(other.history.every(({ readsPerSecond }) => readsPerSecond === 0));
}

async function checkLoss(meta: string, dead: string): Promise<void> {
  const overview = await waitForOverview(meta, ({ problems, tables }) => {
    const isDegraded = tables[0]!.partitions.every(({ health }) => health === "degraded");
    return isDegraded && problems.some(({ text }) => text.includes(`Server ${dead} is dead`));
  });
  const texts = overview.problems.map(({ level, text }) => `${level}: ${text}`).join("\n");
  assert.match(texts, /^critical: Server/);
  assert.match(texts, /warning: Table users: 8 of 8 partitions with fewer than 3 members/);
  assert.match(texts, /Table users: 3 members are wanted, but only 2 servers are alive/);
  assert.equal(overview.changes.find(({ event }) => event === "nodeDead")?.details["node"], dead);
}

Deno.test("dashboard of a real cluster shows health, load and the loss of a server", async () => {
  await withCluster({}, async (cluster) => {
    const meta = httpOf(cluster, "m1");
    await cluster.createTable("users", 8, 3);
    const client = openCluster({ meta: cluster.metas, timeoutMs: 10_000 });
    const stop = load(client.table("users"));
    try {
      await checkFiles(meta);
      await checkHealthy(meta, cluster);
      const healthy = await renderedPage(meta);
      if (healthy === undefined) {
        missing(BROWSER_MISSING);
      } else {
        assert.match(healthy, /Healthy: 3 servers alive, 8 partitions with all members/);
        assert.match(healthy, /class="uplot/, "the charts are drawn");
        await photograph(meta, "healthy.png", false);
      }
      const dead = cluster.addressOf("r3");
      await cluster.kill("r3");
      await checkLoss(meta, dead);
      const lost = await renderedPage(meta);
      if (lost !== undefined) {
        assert.match(lost, /1 critical problem/);
        assert.ok(lost.includes(`Server ${dead} is dead`));
        await photograph(meta, "server_lost.png", true);
        console.log(`Pictures of the dashboard are in ${PICTURES}`);
      }
    } finally {
      await stop();
      await client.close();
    }
    await cluster.start("r3");
    await cluster.waitForTable("users", 3);
    await waitForOverview(
      meta,
      ({ problems }) => problems.every(({ text }) => text.includes("of its disk free")),
    );
  });
});
