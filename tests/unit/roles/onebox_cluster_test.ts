// Servers of a onebox as processes, played by shells that own a data directory: what is signalled, and what is
// remembered, also when the state cannot be written.

import assert from "node:assert/strict";
import { LocalCluster } from "../../../roles/onebox/local_cluster.ts";
import { lockDirectory } from "../../../roles/onebox/lock.ts";
import { Probe } from "../../../roles/onebox/probe.ts";
import { launch, outputFrom, pathsOf, waitFor } from "../../../roles/onebox/processes.ts";
import { waitForServers } from "../../../roles/onebox/recover.ts";
import { planServers, writeState } from "../../../roles/onebox/state.ts";
import { realPath } from "../../../roles/paths.ts";

const WAIT_MS = 60_000;

async function inDirectory(story: (dir: string) => Promise<void> | void): Promise<void> {
  const dir = Deno.realPathSync(Deno.makeTempDirSync());
  try {
    await story(dir);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

/** A cluster whose r1 is a shell that says when it is ready, and does as `script` says at SIGTERM. */
async function withFakeServer(
  script: string,
  story: (cluster: LocalCluster, child: Deno.ChildProcess) => Promise<void>,
): Promise<void> {
  await inDirectory(async (dir) => {
    const { dataDir } = pathsOf(dir, "r1");
    const text = `trap '${script}' TERM; echo ready; while :; do sleep 0.05; done`;
    const child = new Deno.Command("sh", {
      args: ["-c", text, "sh", `--data-dir=${dataDir}`],
      stdout: "piped",
    }).spawn();
    const output = child.stdout.getReader();
    try {
      await output.read();
      const cluster = new LocalCluster({ dir, cluster: "test" });
      const entries = planServers(1, 1, 34601);
      cluster.plan(entries.map((it) => it.name === "r1" ? { ...it, pid: child.pid } : it));
      await story(cluster, child);
    } finally {
      await output.cancel();
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
    }
  });
}

/** From now on the state cannot be written: where it is written first, a directory is in the way. */
function breakState(cluster: LocalCluster): void {
  Deno.mkdirSync(`${cluster.dir}/onebox.json.${Deno.pid}`);
  assert.throws(() => cluster.plan(cluster.state.servers));
}

Deno.test("LocalCluster ends a server also when the state cannot be written", async () => {
  await withFakeServer("exit 0", async (cluster, child) => {
    breakState(cluster);
    assert.equal(await cluster.stop("r1"), true);
    assert.equal((await child.status).code, 0);
    assert.deepEqual(cluster.running(), []);
  });
});

Deno.test("LocalCluster kills a server that it is stopping", async () => {
  await withFakeServer("", async (cluster, child) => {
    const stopped = cluster.stop("r1");
    assert.equal(cluster.entry("r1").pid, 0);
    assert.equal(await cluster.kill("r1"), true);
    assert.equal((await child.status).signal, "SIGKILL");
    assert.equal(await stopped, true);
  });
});

Deno.test("launch() tells the process id before it waits, and ends what nobody remembers", async () => {
  await inDirectory(async (dir) => {
    const paths = pathsOf(dir, "r1");
    let pid = 0;
    const launched = launch(paths, ["--help"], {}, (given) => {
      pid = given;
      throw new Error("No space left");
    });
    assert(pid > 0);
    await assert.rejects(launched, /No space left/);
    const isGone = () => !new Deno.Command("ps", { args: ["-p", `${pid}`] }).outputSync().success;
    assert(await waitFor(isGone, WAIT_MS), "the process goes on");
  });
});

Deno.test("LocalCluster starts nothing for somebody who gave up", async () => {
  await inDirectory(async (dir) => {
    const cluster = new LocalCluster({ dir, cluster: "test" });
    cluster.plan(planServers(1, 1, 0));
    await assert.rejects(cluster.startAll(() => true), /"m1" was not started: interrupted/);
    assert(cluster.state.servers.every(({ pid }) => pid === 0));
  });
});

Deno.test("Waits for a cluster end when they are given up", async () => {
  // Nobody listens there.
  const probe = new Probe("test", ["127.0.0.1:1"]);
  try {
    await assert.rejects(waitForServers(probe, 1, "/nowhere", () => true), /interrupted/);
    assert.equal(await probe.waitForTable("t", 1, WAIT_MS, () => true), false);
  } finally {
    await probe.close();
  }
});

Deno.test("outputFrom() gives what was appended", async () => {
  await inDirectory((dir) => {
    const paths = pathsOf(dir, "r1");
    assert.equal(outputFrom(paths, 0), "");
    Deno.mkdirSync(`${dir}/r1/log`, { recursive: true });
    Deno.writeTextFileSync(paths.outputFile, "before\n");
    assert.equal(outputFrom(paths, 7), "");
    Deno.writeTextFileSync(paths.outputFile, "after\n", { append: true });
    assert.equal(outputFrom(paths, 7), "after\n");
    assert.equal(outputFrom(paths, 100), "");
  });
});

Deno.test("lockDirectory() lets one in at a time, and tells the others who is in", async () => {
  await inDirectory(async (dir) => {
    const said = Promise.withResolvers<string>();
    const first = await lockDirectory(`${dir}/box`, "start");
    let isIn = false;
    const second = lockDirectory(`${dir}/box`, "stop", said.resolve).then((lock) => {
      isIn = true;
      return lock;
    });
    const line = `"onebox start" (pid ${Deno.pid}) is at work in "${dir}/box"; waiting for it`;
    assert.equal(await said.promise, line);
    assert(!isIn);
    first[Symbol.dispose]();
    (await second)[Symbol.dispose]();
  });
});

Deno.test("realPath() gives a directory one name, before it is there and after", async () => {
  await inDirectory((dir) => {
    Deno.mkdirSync(`${dir}/a`);
    Deno.symlinkSync(`${dir}/a`, `${dir}/link`);
    const written = [`${dir}/a/box`, `${dir}/a/box/`, `${dir}/link/./box`, `${dir}/x/../a//box`];
    const names = () => new Set(written.map(realPath));
    assert.deepEqual([...names()], [`${dir}/a/box`]);
    writeState(`${dir}/a/box`, { version: 1, servers: [] });
    Deno.mkdirSync(`${dir}/x`);
    assert.deepEqual([...names()], [`${dir}/a/box`]);
  });
});
