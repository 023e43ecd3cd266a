// deno task bench:suite: every number of docs/benchmark.md that has an aim, in one run beside its peers, with the
// verdict. Page: docs/benchmark.md, "All of it in one run".

import { startRedis } from "../../../roles/bench/peers/redis_servers.ts";
import { describeMachine } from "../../../roles/bench/report.ts";
import { exitUsage, flagsOrExit, namesOf, type Usage } from "../../flags.ts";
import { type Judged, PACE_GETS, paceOf } from "./aims.ts";
import { CHAPTERS } from "./chapters.ts";
import { SuiteCluster } from "./cluster.ts";
import { type FigureRow, figureTable, whole, type WorkloadRow, workloadTable } from "./table.ts";

const USAGE: Usage = {
  task: "bench:suite",
  summary:
    "Measures everything docs/benchmark.md aims for, on clusters of its own beside Redis and etcd.",
  flags: {
    "--only": { value: "A,B", help: `only these of ${Object.keys(CHAPTERS).join(", ")}` },
    "--minutes": { value: "M", help: "how long the steady load lasts (10)" },
    "--rows": { value: "A,B", help: "numbers of rows that are compared with 10000 (1000000)" },
    "--scale": {
      value: "M",
      help: "factor of all operations and waits; below 1 to try it out (1)",
    },
    "--out": { value: "FILE", help: "also write all results as JSON" },
  },
  exitCodes:
    "Exit codes: 0 measured, whatever was held; 1 an operation failed; 2 wrong flags; 130 interrupted.",
};

/** Exit code after Ctrl-C: 128 + SIGINT. */
const INTERRUPTED = 130;

async function main(): Promise<void> {
  const given = flagsOrExit(USAGE);
  const { flags } = given;
  const names = namesOf(USAGE, given, "--only", Object.keys(CHAPTERS));
  const rows = (flags.get("--rows") ?? "1000000").split(",").map(Number);
  if (!rows.every((count) => Number.isSafeInteger(count) && count > 0)) {
    exitUsage(USAGE, "--rows takes whole numbers above 0, separated by commas");
  }
  Deno.addSignalListener("SIGINT", interrupt);
  const gets = await paceGets();
  const extent = {
    scale: Number(flags.get("--scale") ?? 1),
    minutes: Number(flags.get("--minutes") ?? 10),
    rows,
    pace: paceOf(gets),
  };
  console.log(`${JSON.stringify(describeMachine())}\n${paceLine(gets, extent.pace)}\n`);
  const workloads: WorkloadRow[] = [];
  const figures: FigureRow[] = [];
  const startedAt = performance.now();
  const tell = (text: string, judged: readonly Judged[]) => {
    const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1);
    console.log(`${minutes} min  ${text}  ${judged.map(({ verdict }) => verdict).join(", ")}`);
  };
  for (const name of names) {
    await CHAPTERS[name]!(extent, {
      workload: (row) => {
        workloads.push(row);
        tell(`${row.name}: ${whole(row.report.throughput)}/s`, row.judged);
      },
      figure: (row) => {
        figures.push(row);
        tell(`${row.name}: ${row.text}`, row.judged);
      },
    });
  }
  for (const table of [workloadTable(workloads), figureTable(figures)]) console.log(`\n${table}`);
  console.log(`\n${summary([...workloads, ...figures].flatMap(({ judged }) => judged))}`);
  const out = flags.get("--out");
  if (out !== undefined) {
    Deno.writeTextFileSync(out, `${JSON.stringify({ gets, extent, workloads, figures })}\n`);
  }
}

function interrupt(): void {
  SuiteCluster.stopAll().finally(() => Deno.exit(INTERRUPTED));
}

function summary(judged: readonly Judged[]): string {
  const count = (verdict: string) => judged.filter((each) => each.verdict === verdict).length;
  return `${count("held")} held, ${count("held at pace")} held at this machine's pace, ` +
    `${count("missed")} missed`;
}

function paceLine(gets: number, pace: number): string {
  if (gets === 0) return "There is no redis-benchmark to set the pace: aims count as they stand";
  const here = `redis-benchmark makes ${whole(gets)} GET/s here`;
  if (pace === 1) return `${here}: aims count as they stand`;
  return `${here}, ${whole(PACE_GETS)} where the aims were set: the pace is ${pace.toFixed(2)}`;
}

/** GET/s of a Redis in memory over 50 connections; 0 where it is not installed. */
async function paceGets(): Promise<number> {
  try {
    const redis = await startRedis("single");
    try {
      const [, port] = redis.addresses[0]!.split(":");
      const args = ["-p", port!, "-n", "300000", "-c", "50", "-t", "get", "--csv"];
      const { stdout } = await new Deno.Command("redis-benchmark", { args }).output();
      return Number(/^"GET","([\d.]+)"/m.exec(new TextDecoder().decode(stdout))?.[1] ?? 0);
    } finally {
      await redis.stop();
    }
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 0;
  }
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(`\n${error instanceof Error ? error.message : String(error)}`);
    Deno.exit(1);
  });
}
