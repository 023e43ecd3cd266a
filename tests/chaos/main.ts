// deno task chaos: real servers, real signals, a network that is cut; prints what every fault cost.
// Page: docs/testing.md, "Chaos".

import { fakeClockMissing } from "../fake_clock.ts";
import { exitUsage, flagsOrExit, namesOf, type Usage } from "../flags.ts";
import { smallDiskMissing } from "../small_disk.ts";
import { FAULTS } from "./faults.ts";
import { resultTable, runChaos } from "./run.ts";
import { TIMINGS } from "./timing.ts";

const USAGE: Usage = {
  task: "chaos",
  summary:
    "Kills, stops, cuts off and damages real servers under load, and judges what clients saw.",
  flags: {
    "--minutes": { value: "M", help: "rounds of faults until the time is over (one round)" },
    "--faults": { value: "A,B", help: `only these of ${Object.keys(FAULTS).join(", ")}` },
    "--seed": { value: "S", help: "which victims and delays (the time)" },
    "--replicas": { value: "N", help: "replica servers, three or more (5)" },
    "--metas": { value: "N", help: "meta servers; more than one over ZooKeeper (1)" },
    "--timing": {
      value: "NAME",
      help: "fast: lease 2 s, grace 2.5 s; default: as nobody tuned it, 5 s and 6 s (fast)",
    },
    "--histories": { value: "DIR", help: "what the clients of registers saw (task linearize)" },
  },
  exitCodes:
    "Exit codes: 0 no violation; 1 a violation, with the directory of the servers' logs; " +
    "2 wrong flags.",
};

async function main(): Promise<void> {
  const given = flagsOrExit(USAGE);
  const { flags } = given;
  const faults = namesOf(USAGE, given, "--faults", Object.keys(FAULTS));
  const [timing] = namesOf(USAGE, given, "--timing", Object.keys(TIMINGS));
  const replicas = Number(flags.get("--replicas") ?? 5);
  if (replicas < 3) exitUsage(USAGE, "--replicas takes three or more");
  const seed = flags.get("--seed") ?? String(Date.now());
  console.log(`Seed ${seed}, faults ${faults.join(", ")}`);
  const histories = flags.get("--histories");
  const disks = smallDiskMissing();
  const clocks = fakeClockMissing();
  for (const missing of [disks, clocks]) if (missing !== undefined) console.warn(missing);
  const { results, violations, summary, dir } = await runChaos({
    seed,
    faults,
    timing: TIMINGS[flags.has("--timing") ? timing! : "fast"]!,
    replicas,
    metas: Number(flags.get("--metas") ?? 1),
    ...(histories === undefined ? {} : { histories }),
    minutes: Number(flags.get("--minutes") ?? 0),
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
