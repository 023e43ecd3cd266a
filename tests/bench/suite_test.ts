// The suite of benchmarks: what its verdicts say, what it reads from servers, and that it runs.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { atLeast, atMost, judge, paceOf, rate, time, wordsOf } from "./suite/aims.ts";
import { CHAPTERS } from "./suite/chapters.ts";
import { isAlone, READS, SCANS, SHARDS, sizeLines, UNSYNCED, WRITES, YCSB } from "./suite/lines.ts";
import { between, parseSample, quantileOf, sumOf } from "./suite/samples.ts";
import { figureTable } from "./suite/table.ts";
import { readBenchFlags } from "../../roles/bench/flags.ts";

const MAIN = new URL("./suite/main.ts", import.meta.url).pathname;

Deno.test("An aim counts as it stands, then at the machine's pace, and ratios know no pace", () => {
  const verdict = (...args: Parameters<typeof judge>) => judge(...args).verdict;
  assert.equal(verdict(rate(60_000, "op/s"), 60_000, 0.5), "held");
  assert.equal(verdict(rate(60_000, "op/s"), 59_999, 1), "missed");
  assert.equal(verdict(rate(60_000, "op/s"), 30_000, 0.5), "held at pace");
  assert.equal(verdict(rate(60_000, "op/s"), 29_999, 0.5), "missed");
  assert.equal(verdict(time(100, "us"), 100, 0.5), "held");
  assert.equal(verdict(time(100, "us"), 200, 0.5), "held at pace");
  assert.equal(verdict(time(100, "us"), 201, 0.5), "missed");
  assert.equal(verdict(atLeast(0.8, "x"), 0.79, 0.1), "missed");
  assert.equal(verdict(atMost(350, "MB"), 351, 0.1), "missed");
  assert.equal(verdict(atMost(350, "MB"), 350, 1), "held");
  assert.equal(verdict(atLeast(0.8, "x"), NaN, 1), "missed", "no number holds nothing");
});

Deno.test("A machine is never faster than the one the aims were set on, and unknown counts as it", () => {
  assert.deepEqual(paceOf({ many: 52_500, one: 40_000 }), { many: 0.5, one: 1 });
  assert.deepEqual(paceOf({ many: 0, one: 10_000 }), { many: 1, one: 0.5 });
});

Deno.test("A scrape of a server is read, and one without memory is refused", () => {
  const text = [
    'pegasus_event_loop_delay_seconds_bucket{le="0.01"} 90',
    'pegasus_event_loop_delay_seconds_bucket{le="0.025"} 99',
    'pegasus_event_loop_delay_seconds_bucket{le="+Inf"} 100',
    "process_cpu_seconds_total 2.5",
    "process_resident_memory_bytes 90000000",
  ];
  const sample = parseSample(text.join("\n"));
  assert.deepEqual([sample.residentBytes, sample.cpuSeconds], [90_000_000, 2.5]);
  assert.deepEqual([...sample.delays], [[0.01, 90], [0.025, 99], [Infinity, 100]]);
  assert.throws(() => parseSample(text.slice(0, 4).join("\n")), /process_resident_memory_bytes/);
});

Deno.test("A quantile of delays is that of the time between two scrapes, over all servers", () => {
  const before = new Map([[0.01, 100], [0.02, 110], [Infinity, 110]]);
  const after = new Map([[0.01, 150], [0.02, 200], [Infinity, 210]]);
  const grown = between(before, after);
  assert.deepEqual([...grown], [[0.01, 50], [0.02, 90], [Infinity, 100]]);
  assert.equal(quantileOf(grown, 0.5), 0.01);
  assert.equal(quantileOf(grown, 0.7), 0.015);
  assert.equal(
    quantileOf(grown, 0.999),
    0.02,
    "above the last bound nothing is known but the bound",
  );
  assert.equal(quantileOf(sumOf([grown, grown]), 0.7), 0.015);
  assert.ok(Number.isNaN(quantileOf(new Map(), 0.5)));
});

Deno.test("Every line of the suite is one that the bench role takes", () => {
  const lines = [...READS, ...WRITES, ...SCANS, ...YCSB, ...UNSYNCED, ...SHARDS, ...sizeLines(1e6)];
  for (const { workload, records, operations, flags = [] } of lines) {
    const sizes = ["--records", String(records), "--operations", String(operations)];
    const request = readBenchFlags(["--workload", workload, ...sizes, ...flags]);
    assert.equal(request.kind, "run", JSON.stringify(request));
  }
});

Deno.test("What comes one at a time is judged at the pace of one connection", () => {
  assert.deepEqual(READS.map(isAlone), [false, false, true, false]);
  assert.deepEqual(UNSYNCED.map(isAlone), [true]);
});

Deno.test("A figure's line shows what was aimed for", () => {
  const judged = [judge(rate(300_000, "rows/s"), 1000, 1)];
  const table = figureTable([{ name: "a scan", text: "1 000 rows/s", judged }]);
  assert.match(table, /\| a scan \| 1 000 rows\/s \| >= 300,000 rows\/s: missed \|$/);
  assert.equal(wordsOf(atMost(90, "MB")), "<= 90 MB");
});

/** Runs the suite, tried out, with temporary files below a directory. */
function startSuite(dir: string, ...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", MAIN, "--scale=0.01", ...args],
    env: { TMPDIR: dir },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

Deno.test("The suite shows and writes what it has when a chapter fails", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-suite-test-" });
  try {
    const out = `${dir}/out.json`;
    // More records than the bench role takes.
    const bad = ["--only", "unsynced,rows", "--rows", "2000000000"];
    const { code, stdout, stderr } = await startSuite(dir, ...bad, "--out", out).output();
    const [said, problem] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 1, said);
    assert.match(said!, /\| set, 1 outstanding, fsync = none +\|/);
    assert.match(said!, /held at this machine's pace, \d+ missed\n$/);
    assert.match(problem!, /"--records": expected/);
    assert.equal(JSON.parse(Deno.readTextFileSync(out)).workloads.length, 1);
    assert.deepEqual([...Deno.readDirSync(dir)].map(({ name }) => name), ["out.json"]);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("The suite that is asked to end stops its servers and leaves no files", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-suite-test-" });
  try {
    const suite = startSuite(dir, "--only", "unsynced");
    const isRunning = () =>
      [...Deno.readDirSync(dir)].some(({ name }) =>
        name.startsWith("pegasus-suite-") && existsSync(`${dir}/${name}/onebox/onebox.json`)
      );
    while (!isRunning()) await new Promise((resolve) => setTimeout(resolve, 20));
    suite.kill("SIGTERM");
    const { code, stdout, stderr } = await suite.output();
    const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    assert.equal(code, 143, said);
    assert.deepEqual([...Deno.readDirSync(dir)], []);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("The suite runs its chapters on real servers and writes what it measured", async () => {
  const out = Deno.makeTempFileSync();
  try {
    // Those that need no peer: Redis may not be installed.
    const only = ["unsynced", "idle"];
    assert.ok(only.every((name) => name in CHAPTERS));
    const command = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", MAIN, "--scale=0.01", `--only=${only}`, "--out", out],
    });
    const { code, stdout, stderr } = await command.output();
    const said = new TextDecoder().decode(stdout);
    assert.equal(code, 0, said + new TextDecoder().decode(stderr));
    assert.match(said, /held at this machine's pace, \d+ missed\n$/);
    const { workloads, figures } = JSON.parse(Deno.readTextFileSync(out));
    assert.equal(workloads.length, 1);
    assert.ok(workloads[0].report.throughput > 0 && workloads[0].report.errors === 0);
    assert.equal(figures[0].name, "three idle servers, 256 partitions");
  } finally {
    Deno.removeSync(out);
  }
});
