// deno task chaos: real servers, real signals, a network that is cut; prints what every fault cost.
//
//   --minutes M     rounds of faults until the time is over (default: one round)
//   --faults A,B    only these (default: all)      --seed S    which victims and delays
//   --replicas N    replica servers (default 5)    --metas N     meta servers; more than one over ZooKeeper (default 1)
//   --timing NAME   "fast": lease 2 s, grace 2.5 s (default); "default": those of a cluster nobody tuned, 5 s and 6 s
//   --histories DIR writes what the clients of registers saw, for other judges
//
// Exit code 1: a violation, with the directory of the servers' logs. Page: docs/testing.md, "Chaos".

import { fakeClockMissing } from "../fake_clock.ts";
import { smallDiskMissing } from "../small_disk.ts";
import { FAULTS } from "./faults.ts";
import { resultTable, runChaos } from "./run.ts";
import { TIMINGS } from "./timing.ts";

const KNOWN = ["minutes", "faults", "seed", "replicas", "metas", "histories", "timing"];

function readFlags(args: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>();
  const words = args.flatMap((word) => word.split("=", 2));
  for (let i = 0; i < words.length; i += 2) {
    const name = words[i]!.replace(/^--/, "");
    const value = words[i + 1];
    if (!KNOWN.includes(name) || value === undefined) {
      fail(`Wrong flag "${words[i]}": expected --NAME VALUE with one of ${KNOWN.join(", ")}`);
    }
    flags.set(name, value);
  }
  return flags;
}

function fail(message: string): never {
  console.error(message);
  Deno.exit(2);
}

function numberOf(
  flags: Map<string, string>,
  name: string,
  otherwise: number,
  min: number,
): number {
  const value = Number(flags.get(name) ?? otherwise);
  if (value >= min) return value;
  fail(`Wrong --${name} "${flags.get(name)}": expected a number, ${min} or more`);
}

async function main(): Promise<void> {
  const flags = readFlags(Deno.args);
  const all = Object.keys(FAULTS);
  const faults = flags.get("faults")?.split(",") ?? all;
  const unknown = faults.filter((name) => !all.includes(name));
  if (unknown.length > 0) fail(`Unknown fault "${unknown[0]}": expected some of ${all.join(",")}`);
  const seed = flags.get("seed") ?? String(Date.now());
  console.log(`Seed ${seed}, faults ${faults.join(", ")}`);
  const timing = TIMINGS[flags.get("timing") ?? "fast"];
  if (timing === undefined) fail(`Unknown timing: expected ${Object.keys(TIMINGS).join(" or ")}`);
  const histories = flags.get("histories");
  const disks = smallDiskMissing();
  const clocks = fakeClockMissing();
  for (const missing of [disks, clocks]) if (missing !== undefined) console.warn(missing);
  const { results, violations, summary, dir } = await runChaos({
    seed,
    faults,
    timing,
    replicas: numberOf(flags, "replicas", 5, 3),
    metas: numberOf(flags, "metas", 1, 1),
    ...(histories === undefined ? {} : { histories }),
    minutes: numberOf(flags, "minutes", 0, 0),
    print: (line) => console.log(line),
  });
  console.log(`\n${resultTable(results)}\n\n${summary.join("\n")}`);
  if (violations.length === 0) return console.log("\nNo violation");
  console.error(`\n${violations.join("\n")}\nSeed ${seed}; the servers' logs are below ${dir}`);
  Deno.exit(1);
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(`\n${error instanceof Error ? error.message : String(error)}`);
    Deno.exit(1);
  });
}
