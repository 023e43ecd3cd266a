// A secondary acknowledges a prepare only after fdatasync returned, as the kernel sees it (docs/protocol.md, I7).

import assert from "node:assert/strict";
import { openCluster } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { missing, notRun } from "../missing.ts";
import { type TestCluster, withCluster } from "./harness.ts";

const MARK = "MARKED-VALUE";
/** A frame of our protocol that carries a prepare_ack: kind one-way, no flags, code 201. */
const ACK = /sendto\(\d+, "PGS1.*?\\3\\0\\311\\0/;

function hasStrace(): boolean {
  try {
    return new Deno.Command("strace", { args: ["-V"], stdout: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** What a secondary asks the kernel during one write; `undefined` where nobody may watch, as in some containers. */
async function traceOneWrite(cluster: TestCluster): Promise<string[] | undefined> {
  await using client = openCluster({ meta: cluster.metas });
  const { partitions } = await client.admin.tableConfig("one");
  const secondary = partitions[0]!.secondaries[0]!;
  const name = cluster.running().find((running) => cluster.addressOf(running) === secondary)!;
  const table = client.table("one");
  await table.set("warm", "up", "the session is open");
  const file = `${cluster.dir}/strace.txt`;
  const calls = "trace=recvfrom,read,write,pwrite64,fdatasync,sendto,writev,sendmsg";
  const pid = String(cluster.pidOf(name));
  const strace = new Deno.Command("strace", {
    args: ["-f", "-s", "300", "-e", calls, "-p", pid, "-o", file],
    stderr: "piped",
  }).spawn();
  const said = new Response(strace.stderr).text();
  let isOver = false;
  const end = strace.status.then(() => isOver = true);
  const read = () => {
    try {
      return Deno.readTextFileSync(file).split("\n");
    } catch {
      return [];
    }
  };
  try {
    const isSeen = () => isOver || read().length > 1;
    assert(await waitFor(isSeen, 20_000), "strace does not see the server");
    if (isOver) {
      assert.match(await said, /not permitted|denied/);
      return void notRun(`strace may not watch a server: ${(await said).trim()}`);
    }
    await table.set("key", "row", MARK);
    const isDone = () => {
      const lines = read();
      const from = lines.findIndex((line) => line.includes(MARK));
      return from >= 0 && lines.slice(from).some((line) => ACK.test(line));
    };
    assert(await waitFor(isDone, 20_000), `No acknowledgement in ${file}`);
    return read();
  } finally {
    if (!isOver) strace.kill("SIGINT");
    await end;
    await said;
  }
}

Deno.test("A secondary acknowledges a prepare only after fdatasync", async () => {
  if (!hasStrace()) return missing("strace is not installed; apt-get install strace");
  await withCluster({}, async (cluster) => {
    await cluster.createTable("one", 1, 3);
    const lines = await traceOneWrite(cluster);
    if (lines === undefined) return;
    const received = lines.findIndex((line) => line.includes(MARK));
    const logged = lines.findIndex((line, i) => i > received && line.includes("PBLK"));
    const synced = lines.findIndex((line, i) => i > logged && /fdatasync.*= 0$/.test(line));
    const acknowledged = lines.findIndex((line, i) => i > received && ACK.test(line));
    const story = lines.slice(received, acknowledged + 1).map((line) => line.slice(0, 100));
    assert(received >= 0 && logged > received, story.join("\n"));
    assert(synced > logged && synced < acknowledged, story.join("\n"));
  });
});
