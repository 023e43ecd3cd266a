// deno task chaos:metas: several meta servers over a real ZooKeeper under load; the leader is killed, stopped,
// paused and cut off again and again, and the time until another one leads is printed. Page: docs/testing.md,
// "Hand-over".

import { TEST_SETTINGS } from "../cluster/harness.ts";
import { exitUsage, flagsOrExit, namesOf, type Usage } from "../flags.ts";
import { zooKeeperMissing } from "../zookeeper.ts";
import { FAULTS } from "./faults.ts";
import { runHandover } from "./run.ts";

const NUMBERS = { rounds: 2, metas: 3, replicas: 5, session: 4000, tick: 2000 };
const FAST = { ...NUMBERS, session: 2000, tick: 200 };

const USAGE: Usage = {
  task: "chaos:metas",
  summary: "Kills, stops, pauses and cuts off the leader of several meta servers under load.",
  flags: {
    "--rounds": { value: "N", help: "of all faults (2)" },
    "--faults": { value: "A,B", help: `only these of ${Object.keys(FAULTS).join(", ")}` },
    "--metas": { value: "N", help: "meta servers (3)" },
    "--replicas": { value: "N", help: "replica servers (5)" },
    "--session": { value: "N", help: "of meta in ZooKeeper, ms; at least two ticks (4000)" },
    "--tick": { value: "N", help: "of ZooKeeper, ms (2000, as installed)" },
    "--fast": { value: "", help: "as in the tests: lease 2 s, session 2 s, tick 200 ms" },
    "--seed": { value: "S", help: "which operations (the time)" },
  },
  exitCodes:
    "Exit codes: 0 no violation; 1 a violation, with the directory of the servers' logs; " +
    "2 wrong flags, or there is no ZooKeeper.",
};

async function main(): Promise<void> {
  const given = flagsOrExit(USAGE);
  const { flags } = given;
  const missing = zooKeeperMissing();
  if (missing !== undefined) exitUsage(USAGE, missing);
  const isFast = flags.has("--fast");
  const numberOf = (name: keyof typeof NUMBERS) =>
    Number(flags.get(`--${name}`) ?? (isFast ? FAST : NUMBERS)[name]);
  const faults = namesOf(USAGE, given, "--faults", Object.keys(FAULTS));
  const rounds = numberOf("rounds");
  const { handoverMs, violations, summary, dir } = await runHandover({
    seed: flags.get("--seed") ?? String(Date.now()),
    faults: Array.from({ length: rounds }, () => faults).flat(),
    metas: numberOf("metas"),
    replicas: numberOf("replicas"),
    sessionMs: numberOf("session"),
    tickMs: numberOf("tick"),
    settings: isFast ? { ...TEST_SETTINGS, "log-level": "info" } as Record<string, string> : {},
    print: (line) => console.log(line),
  });
  console.log("\nHand-over, ms:");
  for (const [name, times] of handoverMs) {
    const sorted = times.toSorted((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    const values = `median ${median}, longest ${sorted.at(-1)}`;
    console.log(`  ${name.padEnd(18)} ${values} (${times.length} times)`);
  }
  console.log(`\n${summary.join("\n")}`);
  if (violations.length === 0) return console.log("\nNo violation");
  console.error(`\n${violations.join("\n")}\nThe servers' logs are below ${dir}`);
  Deno.exit(1);
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(`\n${error instanceof Error ? error.message : String(error)}`);
    Deno.exit(1);
  });
}
