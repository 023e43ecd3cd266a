// deno task sim: runs seeds and prints what they reached; on a violation what replays it.
//
//   --seeds N    how many seeds (default 50)     --first N   number of the first one (default 1)
//   --seed S     one seed, by name               --trace     with --seed: every event
//   --minutes M  until the time is over instead of a number of seeds
//   --jobs N     threads (default: one per core; one with less than 100 seeds)
//   --whole      whole servers in every seed     --keep-going   also after a violation
//   --histories DIR   what the clients of every seed saw, as a file for deno task linearize

import process from "node:process";
import { Coverage, REQUIRED_SEEDS, unreached } from "./coverage.ts";
import { runOrder, type SeedOrder, type SeedReport } from "./seed_report.ts";
import { formatEntry } from "./trace.ts";

interface Flags {
  seeds: number;
  first: number;
  seed: string | undefined;
  minutes: number | undefined;
  jobs: number;
  trace: boolean;
  whole: boolean;
  histories: string;
  keepGoing: boolean;
}

function parseFlags(args: readonly string[]): Flags {
  const flags: Flags = {
    ...{ seeds: 50, first: 1, seed: undefined, minutes: undefined, jobs: 0 },
    ...{ trace: false, whole: false, histories: "", keepGoing: false },
  };
  const rest = [...args];
  const text = (flag: string) => rest.shift() ?? usage(`${flag} needs a value`);
  const number = (flag: string) => {
    const value = Number(text(flag));
    return value > 0 ? value : usage(`${flag} takes a number above 0`);
  };
  for (let flag = rest.shift(); flag !== undefined; flag = rest.shift()) {
    if (flag === "--seeds") flags.seeds = number(flag);
    else if (flag === "--first") flags.first = number(flag);
    else if (flag === "--seed") flags.seed = text(flag);
    else if (flag === "--minutes") flags.minutes = number(flag);
    else if (flag === "--jobs") flags.jobs = number(flag);
    else if (flag === "--histories") flags.histories = text(flag);
    else if (flag === "--trace") flags.trace = true;
    else if (flag === "--whole") flags.whole = true;
    else if (flag === "--keep-going") flags.keepGoing = true;
    else usage(`Unknown flag "${flag}"`);
  }
  const isShort = flags.minutes === undefined && flags.seeds < 100;
  if (flags.jobs === 0) flags.jobs = isShort ? 1 : navigator.hardwareConcurrency;
  return flags;
}

function usage(problem: string): never {
  console.error(`${problem}; the head of tests/sim/main.ts lists the flags`);
  Deno.exit(2);
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
      const { whole, histories } = flags;
      const report = await run({ seed: String(next++), whole, histories });
      totals.add(report);
      if (report.failure === undefined) continue;
      if (flags.keepGoing) {
        console.log(`seed ${report.seed}: ${report.failure.message.slice(0, 300)}`);
      } else if (totals.failed.length === 1) tell(report);
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

async function main(): Promise<void> {
  const flags = parseFlags(Deno.args);
  if (flags.seed !== undefined) {
    const { seed, whole, histories } = flags;
    const onTrace = flags.trace
      ? (entry: Parameters<typeof formatEntry>[0]) => console.log(formatEntry(entry))
      : undefined;
    const report = await runOrder({ seed, whole, histories }, onTrace);
    tell(report);
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

function tell({ seed, hash, events, failure, swarm, tail }: SeedReport): void {
  if (failure === undefined) {
    console.log(`seed ${seed}: ok, hash ${hash}, ${events} events`);
    return;
  }
  for (const line of tail) console.log(line);
  console.log(JSON.stringify(swarm));
  console.log(failure.stack);
  console.log(`seed ${seed}: ${failure.rule} at event ${events}, commit ${commit()}`);
  console.log(`Replay: npx -y deno@2.9.6 task sim --seed ${seed} --trace`);
}

await main();
