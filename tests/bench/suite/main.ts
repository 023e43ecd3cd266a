// deno task bench:suite: every number of docs/benchmark.md that has an aim, in one run beside its peers, with the
// verdict. Page: docs/benchmark.md, "All of it in one run".

import { EndSignals, type Stopped } from "../../../roles/bench/end_signals.ts";
import { startRedis } from "../../../roles/bench/peers/redis_servers.ts";
import { describeMachine } from "../../../roles/bench/report.ts";
import { exitUsage, flagsOrExit, namesOf, type Usage } from "../../flags.ts";
import { type Judged, type Pace, PACE_GETS, paceOf } from "./aims.ts";
import { CHAPTERS, type Extent } from "./chapters.ts";
import { SuiteCluster } from "./cluster.ts";
import { type FigureRow, figureTable, whole, type WorkloadRow, workloadTable } from "./table.ts";

const USAGE: Usage = {
  task: "bench:suite",
  summary:
    "Measures everything docs/benchmark.md aims for, on clusters of its own beside Redis and etcd.",
  flags: {
    "--only": { value: "A,B", help: `only these of ${Object.keys(CHAPTERS).join(", ")}` },
    "--minutes": { value: "M", help: "how long the steady load lasts, times --scale (10)" },
    "--rows": { value: "A,B", help: "numbers of rows that are compared with 10000 (1000000)" },
    "--scale": {
      value: "M",
      help: "factor of all operations and waits; below 1 to try it out (1)",
    },
    "--out": { value: "FILE", help: "also write all results as JSON" },
  },
  exitCodes:
    "Exit codes: 0 measured, whatever was held; 1 an operation failed; 2 wrong flags; 130 interrupted, and 128 + its " +
    "number after another signal. What was measured before is printed and written all the same.",
};

async function main(): Promise<void> {
  const given = flagsOrExit(USAGE);
  const { flags } = given;
  const names = namesOf(USAGE, given, "--only", Object.keys(CHAPTERS));
  const rows = (flags.get("--rows") ?? "1000000").split(",").map(Number);
  if (!rows.every((count) => Number.isSafeInteger(count) && count > 0)) {
    exitUsage(USAGE, "--rows takes whole numbers above 0, separated by commas");
  }
  let tellAll = () => {};
  const { signal } = new EndSignals();
  const pacing = paceGets(signal);
  signal.addEventListener("abort", async () => {
    try {
      tellAll();
      await pacing;
      await SuiteCluster.stopAll();
    } finally {
      Deno.exit((signal.reason as Stopped).exitCode);
    }
  });
  const gets = await pacing;
  // Whoever has seen the signal ends the process.
  if (signal.aborted) return;
  const extent: Extent = {
    scale: Number(flags.get("--scale") ?? 1),
    minutes: Number(flags.get("--minutes") ?? 10),
    rows,
    pace: paceOf(gets),
  };
  console.log(`${JSON.stringify(describeMachine())}\n${paceLine(gets, extent.pace)}\n`);
  const workloads: WorkloadRow[] = [];
  const figures: FigureRow[] = [];
  const out = flags.get("--out");
  tellAll = () => {
    for (const table of [workloadTable(workloads), figureTable(figures)]) console.log(`\n${table}`);
    console.log(`\n${summary([...workloads, ...figures].flatMap(({ judged }) => judged))}`);
    if (out === undefined) return;
    Deno.writeTextFileSync(out, `${JSON.stringify({ gets, extent, workloads, figures })}\n`);
  };
  const startedAt = performance.now();
  const tell = (text: string, judged: readonly Judged[]) => {
    const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
    console.log(`${minutes} min  ${text}  ${judged.map(({ verdict }) => verdict).join(", ")}`);
  };
  const record = {
    workload: (row: WorkloadRow) => {
      workloads.push(row);
      tell(`${row.name}: ${whole(row.report.throughput)}/s`, row.judged);
    },
    figure: (row: FigureRow) => {
      figures.push(row);
      tell(`${row.name}: ${row.text}`, row.judged);
    },
  };
  try {
    for (const name of names) if (!signal.aborted) await CHAPTERS[name]!(extent, record);
  } catch (error) {
    if (!signal.aborted) fail(error);
  }
  if (!signal.aborted) tellAll();
}

function fail(error: unknown): void {
  console.error(`\n${error instanceof Error ? error.message : String(error)}`);
  Deno.exitCode = 1;
}

function summary(judged: readonly Judged[]): string {
  const count = (verdict: string) => judged.filter((each) => each.verdict === verdict).length;
  return `${count("held")} held, ${count("held at pace")} held at this machine's pace, ` +
    `${count("missed")} missed`;
}

function paceLine(gets: Pace, pace: Pace): string {
  if (gets.many === 0) {
    return "There is no redis-benchmark to set the pace: aims count as they stand";
  }
  const line = (connections: string, of: keyof Pace) =>
    `redis-benchmark, ${connections}: ${whole(gets[of])} GET/s here, ${
      whole(PACE_GETS[of])
    } where ` +
    `the aims were set: pace ${pace[of].toFixed(2)}`;
  return `${line("50 connections", "many")}\n${line("1 connection", "one")}`;
}

/** GET/s of a Redis in memory; 0 where it is not installed, or when `signal` fires. Leaves nothing behind. */
async function paceGets(signal: AbortSignal): Promise<Pace> {
  try {
    const redis = await startRedis("single", signal);
    try {
      const gets = async (connections: number, operations: number) => {
        const [, port] = redis.addresses[0]!.split(":");
        const sizes = ["-n", String(operations), "-c", String(connections)];
        const args = ["-p", port!, ...sizes, "-t", "get", "--csv"];
        const { stdout } = await new Deno.Command("redis-benchmark", { args, signal }).output();
        return Number(/^"GET","([\d.]+)"/m.exec(new TextDecoder().decode(stdout))?.[1] ?? 0);
      };
      return { many: await gets(50, 300_000), one: await gets(1, 60_000) };
    } finally {
      await redis.stop();
    }
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return { many: 0, one: 0 };
  }
}

if (import.meta.main) {
  await main().catch(fail);
}
