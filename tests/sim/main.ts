// deno task sim: runs seeds and prints what they reached; on a violation what replays it.
//
//   --seeds N    how many seeds (default 50)     --first N   number of the first one (default 1)
//   --seed S     one seed, by name               --trace     with --seed: every event
//   --histories DIR   what the clients of every seed saw, as a file for deno task linearize
//   --minutes M  until the time is over instead of a number of seeds

import { Coverage, REQUIRED_SEEDS, unreached } from "./coverage.ts";
import { formatHeader, formatHistoryEntry } from "./history.ts";
import { formatEntry } from "./trace.ts";
import { type RunResult, runSeed } from "./world.ts";

interface Flags {
  seeds: number;
  first: number;
  seed: string | undefined;
  minutes: number | undefined;
  trace: boolean;
  /** Whole servers in every seed. */
  whole: boolean;
  /** Directory for histories; undefined: they are not written. */
  histories: string | undefined;
  keepGoing: boolean;
}

function parseFlags(args: readonly string[]): Flags {
  const flags: Flags = {
    seeds: 50,
    first: 1,
    seed: undefined,
    minutes: undefined,
    trace: false,
    whole: false,
    histories: undefined,
    keepGoing: false,
  };
  for (let i = 0; i < args.length; i++) {
    const value = args[i + 1] ?? "";
    switch (args[i]) {
      case "--seeds":
        flags.seeds = Number(value);
        i++;
        break;
      case "--first":
        flags.first = Number(value);
        i++;
        break;
      case "--seed":
        flags.seed = value;
        i++;
        break;
      case "--minutes":
        flags.minutes = Number(value);
        i++;
        break;
      case "--histories":
        flags.histories = value;
        i++;
        break;
      case "--whole":
        flags.whole = true;
        break;
      case "--trace":
        flags.trace = true;
        break;
      case "--keep-going":
        flags.keepGoing = true;
        break;
      default:
        console.error(`Unknown flag "${args[i]}"`);
        Deno.exit(2);
    }
  }
  return flags;
}

async function main(): Promise<void> {
  const flags = parseFlags(Deno.args);
  const adjust = flags.whole
    ? { adjust: (swarm: RunResult["swarm"]) => ({ ...swarm, whole: true }) }
    : {};
  if (flags.seed !== undefined) {
    const result = await runSeed({
      seed: flags.seed,
      ...adjust,
      ...(flags.trace ? { onTrace: (entry) => console.log(formatEntry(entry)) } : {}),
    });
    report(result);
    if (flags.histories !== undefined) writeHistory(flags.histories, result);
    Deno.exit(result.failure === undefined ? 0 : 1);
  }
  const total = new Coverage();
  const started = performance.now();
  const failed: RunResult[] = [];
  let seeds = 0;
  let events = 0;
  let operations = 0;
  for (let number = flags.first;; number++) {
    const passedMs = performance.now() - started;
    if (flags.minutes === undefined ? seeds >= flags.seeds : passedMs > flags.minutes * 60_000) {
      break;
    }
    const result = await runSeed({ seed: String(number), ...adjust });
    seeds++;
    events += result.events;
    operations += result.history.length;
    if (flags.histories !== undefined) writeHistory(flags.histories, result);
    total.add(result.coverage);
    if (result.failure !== undefined) {
      failed.push(result);
      if (!flags.keepGoing) {
        report(result);
        break;
      }
      console.log(`seed ${result.seed}: ${result.failure.message.slice(0, 300)}`);
    }
  }
  const seconds = (performance.now() - started) / 1000;
  for (const [name, count] of total.entries()) console.log(`${name.padEnd(28)} ${count}`);
  console.log(
    `${seeds} seeds, ${events} events, ${operations} operations, ` +
      `${Math.round(events / seconds)} events/s, ${failed.length} failed`,
  );
  const missing = unreached(total);
  if (missing.length > 0) console.log(`Never reached: ${missing.join(", ")}`);
  // Fewer seeds may miss something by chance.
  const isWeak = missing.length > 0 && seeds >= REQUIRED_SEEDS && failed.length === 0;
  if (isWeak) console.log(`That is a failure: ${REQUIRED_SEEDS} seeds must reach all of them`);
  Deno.exit(failed.length === 0 && !isWeak ? 0 : 1);
}

function writeHistory(dir: string, { seed, history }: RunResult): void {
  Deno.mkdirSync(dir, { recursive: true });
  const name = `sim-${seed.replace(/[^A-Za-z0-9_-]/g, "_")}.jsonl`;
  const lines = [formatHeader(`simulator, seed ${seed}`), ...history.map(formatHistoryEntry)];
  Deno.writeTextFileSync(`${dir}/${name}`, lines.join("\n") + "\n");
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

function report(result: RunResult): void {
  const { failure } = result;
  if (failure === undefined) {
    console.log(`seed ${result.seed}: ok, hash ${result.hash}, ${result.events} events`);
    return;
  }
  for (const line of result.tail(200)) console.log(line);
  console.log(JSON.stringify(result.swarm));
  console.log(failure.stack);
  console.log(`seed ${result.seed}: ${failure.rule} at event ${result.events}, commit ${commit()}`);
  console.log(`Replay: npx -y deno@2.9.6 task sim --seed ${result.seed} --trace`);
}

await main();
