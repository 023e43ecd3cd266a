// From the previous version to this one without an outage: the program named in previous_release.txt
// is taken out of git, starts a cluster and fills it; then its servers are replaced one after the other
// while a client writes. Both orders of a mixed cluster come by: new replica servers under an old meta
// server, and old replica servers under a new one. Rules: docs/operations.md, "Upgrading".

import assert from "node:assert/strict";
import { type Cluster, openCluster } from "../../src/client/mod.ts";
import { waitFor } from "../../roles/onebox/processes.ts";
import { encodeChecked } from "../../storage/replica_dir.ts";
import { notRun } from "../missing.ts";
import { TEST_SETTINGS } from "./harness.ts";

const ROOT = decodeURIComponent(new URL("../../", import.meta.url).pathname).replace(/\/$/, "");
const ROWS = 200;
/** The previous version has fewer rights to ask for; it is trusted as it was then. */
const PERMISSIONS = ["--no-prompt", "--quiet", "-A"];

async function git(args: readonly string[]): Promise<Deno.CommandOutput> {
  return await new Deno.Command("git", {
    // A checkout that belongs to somebody else is read all the same.
    args: ["-c", `safe.directory=${ROOT}`, "-C", ROOT, ...args],
  }).output();
}

/** The commit to upgrade from; `undefined` if this clone does not have it. */
async function previousCommit(): Promise<string | undefined> {
  const file = new URL("./previous_release.txt", import.meta.url);
  const [commit = ""] = Deno.readTextFileSync(file).split("\n");
  assert.match(commit, /^[0-9a-f]{40}$/, "previous_release.txt names a commit");
  try {
    return (await git(["cat-file", "-e", `${commit}^{commit}`])).success ? commit : undefined;
  } catch {
    return undefined;
  }
}

/** Its files below `dir`, with the packages of this one. */
async function checkOut(commit: string, dir: string): Promise<void> {
  const { success, stdout } = await git(["archive", "--format=tar", commit]);
  assert.ok(success, "git archive");
  Deno.mkdirSync(dir);
  Deno.writeFileSync(`${dir}/all.tar`, stdout);
  const tar = new Deno.Command("tar", { args: ["-xf", "all.tar"], cwd: dir });
  assert.ok((await tar.output()).success, "tar");
  Deno.symlinkSync(`${ROOT}/node_modules`, `${dir}/node_modules`);
}

/** A server that is stopped and started again by another version, at the same address. */
class Server {
  address = "127.0.0.1:0";
  #process: Deno.ChildProcess | undefined;
  readonly #role: string;
  readonly #name: string;
  readonly #dir: string;

  constructor(role: "meta" | "replica", name: string, dir: string) {
    this.#role = role;
    this.#name = name;
    this.#dir = dir;
  }

  get dataDir(): string {
    return `${this.#dir}/${this.#name}`;
  }

  get log(): string {
    return `${this.#dir}/${this.#name}.log`;
  }

  /** @param program Directory of the version. */
  async start(program: string, flags: readonly string[]): Promise<void> {
    const common = [`--config=${this.#dir}/pegasus.toml`, "--cluster=upgrade", "--http=none"];
    const own = [
      `--listen=${this.address}`,
      `--data-dir=${this.dataDir}`,
      `--log-file=${this.log}`,
    ];
    this.#process = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", ...PERMISSIONS, `${program}/roles/main.ts`, this.#role],
        ...[...common, ...own, ...flags],
      ],
      cwd: program,
      stdout: "piped",
      stderr: "null",
      stdin: "null",
      env: { NO_COLOR: "1" },
    }).spawn();
    const reader = this.#process.stdout.getReader();
    let said = "";
    try {
      while (!said.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`${this.#name} does not start; see ${this.log}`);
        said += new TextDecoder().decode(value);
      }
    } finally {
      reader.releaseLock();
    }
    this.address = /ready at (\S+)/.exec(said)![1]!;
  }

  async stop(): Promise<void> {
    if (this.#process === undefined) return;
    try {
      this.#process.kill("SIGTERM");
    } catch {
      // It has ended by itself.
    }
    await this.#process.status;
    await this.#process.stdout.cancel();
    this.#process = undefined;
  }

  kill(): void {
    try {
      this.#process?.kill("SIGKILL");
    } catch {
      // It has ended.
    }
  }
}

/** Counts up while servers come and go; every acknowledged step must be there in the end. */
class Counter {
  acknowledged = 0n;
  unknown = 0n;
  #isOver = false;
  readonly #running: Promise<void>;

  constructor(cluster: Cluster) {
    this.#running = this.#run(cluster);
  }

  async #run(cluster: Cluster): Promise<void> {
    const table = cluster.table("t");
    while (!this.#isOver) {
      try {
        await table.incr("counter", "n", 1n);
        this.acknowledged++;
      } catch {
        this.unknown++;
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }
}

async function isWhole(cluster: Cluster): Promise<boolean> {
  const { partitions } = await cluster.admin.tableConfig("t");
  return partitions.every(({ primary, secondaries }) => primary !== "" && secondaries.length === 2);
}

async function fill(cluster: Cluster, table: string, value: string): Promise<void> {
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  await Promise.all(rows.map((i) => cluster.table(table).set(`h${i}`, "s", `${value}${i}`)));
}

async function check(cluster: Cluster, value: string): Promise<void> {
  const rows = Array.from({ length: ROWS }, (_, i) => i);
  const found = await Promise.all(rows.map((i) => cluster.table("t").get(`h${i}`, "s")));
  found.forEach((bytes, i) => {
    assert.equal(bytes && new TextDecoder().decode(bytes), `${value}${i}`);
  });
}

/** Data of a version after this one is left alone, and the log says what to do. */
async function refusesNewer(server: Server, flags: readonly string[]): Promise<void> {
  await server.stop();
  const path = `${server.dataDir}/node`;
  const before = Deno.readFileSync(path);
  Deno.writeFileSync(path, encodeChecked({ layout: 99, incarnation: 1 }));
  await assert.rejects(server.start(ROOT, flags), /does not start/);
  await server.stop();
  assert.match(Deno.readTextFileSync(server.log), /layout version is 99.*start a newer program/);
  Deno.writeFileSync(path, before);
  await server.start(ROOT, flags);
}

async function upgrade(dir: string, old: string): Promise<void> {
  const meta = new Server("meta", "m1", dir);
  const replicas = [1, 2, 3].map((n) => new Server("replica", `r${n}`, dir));
  const flags = () => [`--meta=${meta.address}`];
  try {
    await meta.start(old, []);
    for (const replica of replicas) await replica.start(old, flags());
    await using cluster = openCluster({ meta: [meta.address], timeoutMs: 30_000 });
    const alive = async () => (await cluster.admin.listNodes()).filter((n) => n.alive).length === 3;
    assert.ok(await waitFor(alive, 30_000), "the old servers find each other");
    await cluster.admin.createTable("t", { partitionCount: 4, replicaCount: 3 });
    await fill(cluster, "t", "old");
    const counter = new Counter(cluster);
    const [first, ...others] = replicas;
    // A new replica server under the old meta server, beside old ones; then the meta server; then the rest.
    for (
      const [server, own] of [
        [first!, flags()],
        [meta, []],
        ...others.map((other) => [other, flags()] as const),
      ] as const
    ) {
      await server.stop();
      await server.start(ROOT, own);
      const whole = () => isWhole(cluster).catch(() => false);
      assert.ok(await waitFor(whole, 60_000), "every partition has its members again");
      await check(cluster, "old");
    }
    await counter.stop();
    const total = await cluster.table("t").incr("counter", "n", 0n);
    const { acknowledged, unknown } = counter;
    assert.ok(acknowledged > 0n, "the client was served");
    assert.ok(
      total >= acknowledged && total <= acknowledged + unknown,
      `${total} steps, ` +
        `${acknowledged} acknowledged, ${unknown} of unknown outcome`,
    );
    await fill(cluster, "t", "new");
    await check(cluster, "new");
    await refusesNewer(first!, flags());
  } finally {
    for (const server of [...replicas, meta]) await server.stop().catch(() => server.kill());
  }
}

Deno.test("a cluster of the previous version is upgraded server by server under load", async () => {
  const commit = await previousCommit();
  if (commit === undefined) {
    return notRun(
      "the upgrade from the previous version, which this clone does not have. git fetch --unshallow, " +
        "then run tests/cluster/upgrade_test.ts again",
    );
  }
  const dir = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "security-upgrade-" }));
  const lines = Object.entries(TEST_SETTINGS).map(([key, value]) =>
    `${key} = ${JSON.stringify(value)}`
  );
  Deno.writeTextFileSync(`${dir}/pegasus.toml`, lines.join("\n") + "\n");
  await checkOut(commit, `${dir}/old`);
  try {
    await upgrade(dir, `${dir}/old`);
  } catch (cause) {
    throw new Error(`${(cause as Error).message}\nThe servers' logs are in ${dir}`, { cause });
  }
  Deno.removeSync(dir, { recursive: true });
});
