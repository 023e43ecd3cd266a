// The benchmark against a cluster of real processes: what it does between the load and the measuring, and that it
// can be stopped at any time, and leaves nothing behind.

import assert from "node:assert/strict";
import { openCluster } from "../../src/client/mod.ts";
import { withCluster } from "./harness.ts";

const MAIN = new URL("../../roles/main.ts", import.meta.url).pathname;

function bench(...args: string[]): Deno.ChildProcess {
  return benchIn({}, ...args);
}

function benchIn(env: Record<string, string>, ...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, "bench", ...args],
    env,
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("The benchmark compacts what it loaded before it measures, unless told not to", async () => {
  await withCluster({ replicas: 3 }, async (cluster) => {
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    try {
      const { admin } = client;
      const finished = async () => {
        const nodes = await admin.listNodes();
        const texts = nodes.map(({ node }) => admin.remoteCommand(node, "compaction", []));
        return (await Promise.all(texts)).join("\n").split("\n")
          .filter((line) => line.includes("finished")).length;
      };
      const common = ["--meta", cluster.metas.join(","), "--partitions", "4", "--json"];
      const sizes = ["--records", "2000", "--operations", "500"];
      const run = async (...args: string[]) => {
        const { code, stdout, stderr } = await bench(...common, ...sizes, ...args).output();
        assert.equal(code, 0, new TextDecoder().decode(stderr));
        return JSON.parse(new TextDecoder().decode(stdout));
      };
      const raw = await run("--table", "raw", "--workload", "get", "--settle=false");
      assert.deepEqual([raw.settled, raw.operations, await finished()], [false, 500, 0]);
      const settled = await run("--table", "settled", "--workload", "get");
      assert.deepEqual([settled.settled, settled.misses, await finished()], [true, 0, 4 * 3]);
      const again = await run("--table", "settled", "--workload", "get", "--skip-load");
      assert.deepEqual([again.settled, again.misses], [false, 0]);
      const fill = await run("--table", "fill", "--workload", "fill");
      assert.equal(fill.settled, false, "nothing was loaded before");
      const nowhere = [
        "--table",
        "fill",
        "--workload",
        "fill",
        "--out",
        `${cluster.dir}/none/r.json`,
      ];
      const { code, stdout, stderr } = await bench(...common, ...sizes, ...nowhere).output();
      assert.equal(code, 1);
      assert.match(new TextDecoder().decode(stderr), /Cannot write ".*none\/r.json"/);
      assert.equal(JSON.parse(new TextDecoder().decode(stdout)).operations, 500, "it is not lost");
    } finally {
      await client.close();
    }
  });
});

Deno.test("The benchmark compares two tables with different records in turns", async () => {
  await withCluster({ replicas: 1 }, async (cluster) => {
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    try {
      const ours = ["--table", "large", "--records", "900"];
      const theirs = [
        "--against",
        "pegasus",
        "--against-table",
        "small",
        "--against-records",
        "40",
      ];
      const common = ["--meta", cluster.metas.join(","), "--workload", "get", "--json"];
      const operations = ["--operations", "600", "--rounds", "3"];
      const process = bench(...common, ...operations, ...ours, ...theirs);
      const { code, stdout, stderr } = await process.output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      const { target, records, operations: done, misses, settled, against, ratio } = JSON.parse(
        new TextDecoder().decode(stdout),
      );
      assert.deepEqual({ target, records, done, misses, settled }, {
        target: "pegasus",
        records: 900,
        done: 600,
        misses: 0,
        settled: true,
      });
      // Each side was loaded with its own number of records, and reads only those.
      assert.deepEqual(
        [against.target, against.records, against.operations, against.misses, against.settled],
        ['pegasus, table "small"', 40, 600, 0, true],
      );
      assert.ok(ratio.throughput > 0);
      assert.equal(await client.table("large").get("user40", "r00000") !== undefined, true);
      assert.equal(await client.table("small").get("user40", "r00000"), undefined);
    } finally {
      await client.close();
    }
  });
});

Deno.test("The benchmark ends on Ctrl-C while it loads", async () => {
  await withCluster({ replicas: 1 }, async (cluster) => {
    const client = openCluster({ meta: cluster.metas, timeoutMs: 20_000 });
    try {
      const records = ["--records", "1000000000", "--workload", "get"];
      const process = bench("--meta", cluster.metas.join(","), "--table", "t", ...records);
      // It loads: the first row is there.
      const isLoading = async () => {
        const { tables } = await client.admin.listTables("available");
        if (!tables.some(({ name }) => name === "t")) return false;
        return await client.table("t").get("user0", "r00000") !== undefined;
      };
      while (!await isLoading()) await new Promise((resolve) => setTimeout(resolve, 50));
      process.kill("SIGINT");
      const { code, stderr } = await process.output();
      assert.equal(code, 130);
      assert.match(new TextDecoder().decode(stderr), /Stopped before anything was measured/);
      const [server] = await client.admin.listNodes();
      const compactions = await client.admin.remoteCommand(server!.node, "compaction", []);
      assert.doesNotMatch(compactions, /queued|running|finished/, "what is half loaded is left");
    } finally {
      await client.close();
    }
  });
});

Deno.test("The benchmark compares two result files, for people and for programs", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-compare-" });
  try {
    const files = [100, 300].map((throughput) => {
      const latency = { count: 1, mean: 1, p50: 10, p90: 10, p99: 10, p999: 10, max: 10 };
      const path = `${dir}/${throughput}.json`;
      const report = { target: "x", workload: "get", throughput, latency, errors: 0 };
      Deno.writeTextFileSync(path, JSON.stringify(report));
      return path;
    });
    const compare = async (...args: string[]) => {
      const { code, stdout } = await bench("--compare", files.join(","), ...args).output();
      assert.equal(code, 0);
      return new TextDecoder().decode(stdout);
    };
    assert.match(await compare(), /operations\/s +100 +300 +3\.00x/);
    const { before, after, ratio } = JSON.parse(await compare("--json"));
    assert.deepEqual([before.throughput, after.throughput, ratio.throughput], [100, 300, 3]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

/** A stand-in for Redis: it never answers, and writes its process id beside its directory. */
const SILENT_REDIS = [
  "#!/bin/sh",
  '[ "$1" = --version ] && echo "Redis server v=0" && exit',
  'echo $$ > "$PIDS/$$"',
  "exec sleep 600",
].join("\n");

Deno.test("A benchmark that is ended by any signal takes its peer with it", async () => {
  for (const [signal, expected] of [["SIGTERM", 143], ["SIGHUP", 129], ["SIGINT", 130]] as const) {
    const dir = Deno.makeTempDirSync({ prefix: "pegasus-peer-" });
    try {
      for (const name of ["bin", "pids", "tmp"]) Deno.mkdirSync(`${dir}/${name}`);
      Deno.writeTextFileSync(`${dir}/bin/redis-server`, SILENT_REDIS, { mode: 0o755 });
      const process = benchIn(
        {
          PATH: `${dir}/bin:${Deno.env.get("PATH")}`,
          PIDS: `${dir}/pids`,
          TMPDIR: `${dir}/tmp`,
        },
        "--against",
        "redis",
      );
      const pids = () => [...Deno.readDirSync(`${dir}/pids`)].map(({ name }) => Number(name));
      while (pids().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      process.kill(signal);
      const { code, stderr } = await process.output();
      assert.equal(code, expected, new TextDecoder().decode(stderr));
      assert.deepEqual([...Deno.readDirSync(`${dir}/tmp`)], [], "its directory is removed");
      for (const pid of pids()) {
        assert.throws(() => Deno.kill(pid, "SIGCONT"), Deno.errors.NotFound);
      }
    } finally {
      Deno.removeSync(dir, { recursive: true });
    }
  }
});
