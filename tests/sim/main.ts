// deno task sim: runs seeds and prints what they reached; on a violation what replays it, made as small as a bounded
// time allows.

import process from "node:process";
import { suggestion } from "../../src/config/suggest.ts";
import { Chance } from "./chance.ts";
import { Coverage, REQUIRED_SEEDS, unreached } from "./coverage.ts";
import { exitUsage, flagsOrExit, type Usage } from "../flags.ts";
import { runOrder, type SeedOrder, type SeedReport } from "./seed_report.ts";
import { type Bend, bendable, bendFlags, shrink } from "./shrink.ts";
import { drawSwarm } from "./swarm.ts";
import { formatEntry } from "./trace.ts";

const USAGE: Usage = {
  task: "sim",
  summary: "Runs production code under a seeded scheduler with a failing network, disk and clock.",
  flags: {
    "--seeds": { value: "N", help: "how many seeds (50)" },
    "--minutes": { value: "M", help: "until the time is over, instead of a number of seeds" },
    "--first": { value: "N", help: "number of the first seed (1)" },
    "--jobs": { value: "N", help: "threads (one per core; one with less than 100 seeds)" },
    "--keep-going": { value: "", help: "also after a violation" },
    "--seed": { value: "S", help: "one seed, by name" },
    "--trace": { value: "", help: "with --seed: every event, its effects and every fault" },
    "--whole": { value: "", help: "whole servers in every seed" },
    "--histories": { value: "DIR", help: "what clients saw, one file per seed (task linearize)" },
    "--without": { value: "A,B", help: "kinds of faults that are switched off, or network" },
    "--clients": { value: "N", help: "at most so many clients" },
    "--events": { value: "N", help: "at most so many events before faults end" },
    "--shrink": { value: "SECONDS", help: "time to make a failing seed smaller (20); 0: do not" },
  },
  exitCodes:
    "Exit codes: 0 all is well; 1 a rule was broken, or 500 seeds did not reach what they " +
    "must; 2 wrong flags.",
};

interface Flags extends Bend {
  seeds: number;
  first: number;
  seed: string | undefined;
  minutes: number | undefined;
  jobs: number;
  trace: boolean;
  whole: boolean;
  histories: string;
  keepGoing: boolean;
  shrinkMs: number;
}

function readFlags(): Flags {
  const { flags } = flagsOrExit(USAGE);
  const number = (flag: string, otherwise: number) => Number(flags.get(flag) ?? otherwise);
  const seed = flags.get("--seed");
  const minutes = flags.get("--minutes");
  const clash = (flag: string, others: readonly string[]) => {
    const other = flags.has(flag) ? others.find((name) => flags.has(name)) : undefined;
    if (other !== undefined) exitUsage(USAGE, `${flag} and ${other} exclude each other`);
  };
  clash("--seed", ["--seeds", "--minutes", "--first", "--keep-going", "--jobs"]);
  clash("--minutes", ["--seeds"]);
  if (flags.has("--trace") && seed === undefined) exitUsage(USAGE, "--trace needs --seed");
  const shrinkMs = 1000 * number("--shrink", 20);
  if (!(shrinkMs >= 0)) exitUsage(USAGE, "--shrink takes seconds, or 0");
  const seeds = number("--seeds", 50);
  const isShort = minutes === undefined && seeds < 100;
  return {
    ...{ seeds, seed, shrinkMs, first: number("--first", 1) },
    minutes: minutes === undefined ? undefined : Number(minutes),
    jobs: number("--jobs", isShort ? 1 : navigator.hardwareConcurrency),
    trace: flags.has("--trace"),
    whole: flags.has("--whole"),
    histories: flags.get("--histories") ?? "",
    keepGoing: flags.has("--keep-going"),
    without: kinds(flags.get("--without") ?? ""),
    clients: number("--clients", 0),
    events: number("--events", 0),
  };
}

function kinds(text: string): string[] {
  const known = bendable(drawSwarm(new Chance("any")));
  const named = text.split(",").filter((name) => name !== "");
  for (const name of named) {
    if (known.includes(name)) continue;
    const hint = suggestion(name, known) || `: ${known.join(", ")}`;
    exitUsage(USAGE, `--without knows no "${name}"${hint}`);
  }
  return named;
}

/** Runs one order after the other in another thread. */
class Thread {
  readonly #worker = new Worker(new URL("./seed_worker.ts", import.meta.url), { type: "module" });

  run(order: SeedOrder): Promise<SeedReport> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<SeedReport>) => resolve(data);
      this.#worker.onerror = (event) => reject(new Error(event.message));
      this.#worker.postMessage(order);
    });
  }

  close(): void {
    this.#worker.terminate();
  }
}

/** What all seeds so far gave. */
class Totals {
  readonly coverage = new Coverage();
  readonly failed: SeedReport[] = [];
  seeds = 0;
  events = 0;
  operations = 0;

  add(report: SeedReport): void {
    this.seeds++;
    this.events += report.events;
    this.operations += report.operations;
    this.coverage.addAll(report.coverage);
    if (report.failure !== undefined) this.failed.push(report);
  }
}

async function runMany(flags: Flags): Promise<Totals> {
  const totals = new Totals();
  const startedAt = performance.now();
  let next = flags.first;
  const isOver = () => {
    if (totals.failed.length > 0 && !flags.keepGoing) return true;
    if (flags.minutes === undefined) return next - flags.first >= flags.seeds;
    return performance.now() - startedAt > flags.minutes * 60_000;
  };
  const work = async (run: (order: SeedOrder) => Promise<SeedReport>) => {
    while (!isOver()) {
      const report = await run(orderOf(flags, String(next++)));
      totals.add(report);
      if (report.failure === undefined) continue;
      if (flags.keepGoing) {
        console.log(`seed ${report.seed}: ${report.failure.message.slice(0, 300)}`);
      } else if (totals.failed.length === 1) await tell(report, flags);
    }
  };
  if (flags.jobs === 1) await work(runOrder);
  else {
    const threads = Array.from({ length: flags.jobs }, () => new Thread());
    await Promise.all(threads.map((thread) => work((order) => thread.run(order))));
    for (const thread of threads) thread.close();
  }
  return totals;
}

function orderOf({ whole, histories, without, clients, events }: Flags, seed: string): SeedOrder {
  return { seed, whole, histories, bend: { without, clients, events } };
}

async function main(): Promise<void> {
  const flags = readFlags();
  if (flags.seed !== undefined) {
    const onTrace = flags.trace
      ? (entry: Parameters<typeof formatEntry>[0]) => console.log(formatEntry(entry))
      : undefined;
    const report = await runOrder(orderOf(flags, flags.seed), onTrace);
    await tell(report, flags);
    Deno.exit(report.failure === undefined ? 0 : 1);
  }
  const startedAt = performance.now();
  const { coverage, failed, seeds, events, operations } = await runMany(flags);
  const seconds = (performance.now() - startedAt) / 1000;
  const { user, system } = process.cpuUsage();
  const cpuSeconds = (user + system) / 1e6;
  for (const [name, count] of coverage.entries()) console.log(`${name.padEnd(28)} ${count}`);
  console.log(
    `${seeds} seeds, ${events} events, ${operations} operations, ` +
      `${Math.round(events / seconds)} events/s, ${
        Math.round(events / cpuSeconds)
      } per CPU second, ` +
      `${failed.length} failed`,
  );
  const missing = unreached(coverage);
  if (missing.length > 0) console.log(`Never reached: ${missing.join(", ")}`);
  // Fewer seeds may miss something by chance.
  const isWeak = missing.length > 0 && seeds >= REQUIRED_SEEDS && failed.length === 0;
  if (isWeak) console.log(`That is a failure: ${REQUIRED_SEEDS} seeds must reach all of them`);
  Deno.exit(failed.length === 0 && !isWeak ? 0 : 1);
}

/** The commit that is checked out; a seed means something only together with it. */
function commit(): string {
  try {
    const root = new URL("../../", import.meta.url).pathname;
    let git = `${root}.git`;
    // A second working tree has a file that names the place.
    if (Deno.statSync(git).isFile) git = Deno.readTextFileSync(git).trim().slice(8);
    const head = Deno.readTextFileSync(`${git}/HEAD`).trim();
    if (!head.startsWith("ref: ")) return head;
    const common = git.replace(/\/worktrees\/[^/]+$/, "");
    return Deno.readTextFileSync(`${common}/${head.slice(5)}`).trim();
  } catch {
    return "unknown";
  }
}

async function tell(report: SeedReport, flags: Flags): Promise<void> {
  const { seed, hash, events, failure, swarm, tail } = report;
  if (failure === undefined) {
    console.log(`seed ${seed}: ok, hash ${hash}, ${events} events`);
    return;
  }
  for (const line of tail) console.log(line);
  console.log(JSON.stringify(swarm));
  console.log(failure.stack);
  console.log(`seed ${seed}: ${failure.rule} at event ${events}, commit ${commit()}`);
  const order = orderOf(flags, seed);
  console.log(`Replay: ${replay(order)}`);
  if (flags.trace || flags.shrinkMs === 0) return;
  const smaller = await shrunk(report, order, flags.shrinkMs);
  if (smaller === undefined) return console.log("Nothing smaller breaks the same rule");
  console.log(`Smaller, ${smaller.events} events: ${replay({ ...order, bend: smaller.bend })}`);
}

function replay({ seed, whole, bend }: SeedOrder): string {
  const name = /^[\w.-]+$/.test(seed) ? seed : JSON.stringify(seed);
  const flags = `${whole ? " --whole" : ""}${bendFlags(bend)}`;
  return `npx -y deno@2.9.6 task sim --seed ${name}${flags} --trace`;
}

/** A smaller run that breaks the same rule; undefined if none was found in time. */
async function shrunk(
  { failure, swarm }: SeedReport,
  order: SeedOrder,
  ms: number,
): Promise<{ bend: Bend; events: number } | undefined> {
  const isOver = ((until) => () => performance.now() > until)(performance.now() + ms);
  let found: { bend: Bend; events: number } | undefined;
  await shrink(swarm!, order.bend, async (bend) => {
    const report = await runOrder({ ...order, histories: "", bend });
    if (report.failure?.rule !== failure!.rule) return undefined;
    found = { bend, events: report.events };
    return report.events;
  }, isOver);
  return found;
}

await main();
