// The simulator's part in every run of the whole suite: a minute of seeds finds nothing, seeds go on until they reached
// all that is required, and a bug that is planted, another one every day, is found. Long runs are `deno task sim` and
// `deno task sim:mutants` (docs/testing.md).

import assert from "node:assert/strict";
import { Coverage, REQUIRED_SEEDS, unreached } from "./coverage.ts";
import { MUTANTS } from "./mutants.ts";
import type { SeedOrder, SeedReport } from "./seed_report.ts";

const ROOT = new URL("../../", import.meta.url);
/** Seeds run for so long, and longer only while something has not been reached. */
const BUSY_MS = 60_000;
const THREADS = 2;
const DAY_MS = 86_400_000;
/** A mutant that took more seeds the last time is left to long runs. */
const MUTANT_SEEDS_MAX = 30;

/** Runs seeds one after the other in a thread, as long as `next` gives any. */
async function runThread(
  next: () => string | undefined,
  take: (report: SeedReport) => void,
): Promise<void> {
  const worker = new Worker(new URL("./seed_worker.ts", import.meta.url), { type: "module" });
  const run = (order: SeedOrder) =>
    new Promise<SeedReport>((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<SeedReport>) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
      worker.postMessage(order);
    });
  const bend = { without: [], clients: 0, events: 0 };
  try {
    for (let seed = next(); seed !== undefined; seed = next()) {
      take(await run({ seed, whole: false, histories: "", bend }));
    }
  } finally {
    worker.terminate();
  }
}

// The seeds are those of `deno task sim --seeds 500`: all of them reach everything, so how far a minute comes does not
// decide whether this passes.
Deno.test("The simulator finds nothing in a minute of seeds, and they reach what is required", async () => {
  const total = new Coverage();
  const failed: SeedReport[] = [];
  const startedAt = performance.now();
  let seeds = 0;
  let reachedAt: number | undefined;
  const isEnough = () => performance.now() - startedAt > BUSY_MS && reachedAt !== undefined;
  const next = () =>
    failed.length > 0 || seeds >= REQUIRED_SEEDS || isEnough() ? undefined : String(++seeds);
  const take = (report: SeedReport) => {
    total.addAll(report.coverage);
    if (report.failure !== undefined) failed.push(report);
    if (reachedAt === undefined && unreached(total).length === 0) reachedAt = seeds;
  };
  await Promise.all(Array.from({ length: THREADS }, () => runThread(next, take)));
  console.log(`${seeds} seeds; ${reachedAt ?? "not even these"} reach all that is required`);
  const told = failed.map(({ seed, failure }) =>
    `seed ${seed}: ${failure!.message}\nReplay: npx -y deno@2.9.6 task sim --seed ${seed} --trace`
  );
  assert.equal(told.length, 0, told.join("\n"));
  assert.deepEqual(unreached(total), []);
});

/** Names of the mutants that were found soon, by the table of the page. */
function quickMutants(): string[] {
  const page = Deno.readTextFileSync(new URL("docs/testing.md", ROOT));
  const seeds = new Map(
    [...page.matchAll(/^\| (M\d+ .*?) +\| (\d+) +\| /gm)].map(([, name, n]) => [name, Number(n)]),
  );
  return MUTANTS.map(({ name }) => name)
    .filter((name) => (seeds.get(name) ?? Infinity) <= MUTANT_SEEDS_MAX);
}

const quick = quickMutants();
const mutant = quick[Math.floor(Date.now() / DAY_MS) % quick.length]!;

Deno.test(`The mutant of the day is found: ${mutant}`, async () => {
  assert.ok(quick.length > MUTANTS.length / 2, `Only ${quick.length} mutants are found soon`);
  const limits = ["--only", mutant, "--seeds", String(REQUIRED_SEEDS)];
  const args = ["run", "--no-prompt", "-A", "tests/sim/mutants_main.ts", ...limits];
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT })
    .output();
  const [said, problem] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${said}${problem}`);
  assert.match(said!, / found by \S+ after \d+ seeds\n$/);
});
