// deno task chaos:metas: several meta servers over a real ZooKeeper under load; the leader is killed, stopped,
// paused and cut off again and again, and the time until another one leads is printed.
//
//   --rounds N      of all faults (default 2)        --faults A,B   only these
//   --metas N       default 3                        --replicas N   default 5
//   --session MS    of meta in ZooKeeper, default 4000
//   --tick MS       of ZooKeeper, default 2000 as installed: no session is shorter than two ticks
//   --fast          settings of the tests: lease 2 s, session 2 s, tick 200 ms
//   --seed S        which operations
//
// Exit code 1: a violation, with the directory of the servers' logs. Page: docs/testing.md, "Hand-over".

import { TEST_SETTINGS } from "../cluster/harness.ts";
import { zooKeeperMissing } from "../zookeeper.ts";
import { FAULTS } from "./faults.ts";
import { runHandover } from "./run.ts";

const NUMBERS: Readonly<Record<string, number>> = {
  rounds: 2,
  metas: 3,
  replicas: 5,
  session: 4000,
  tick: 2000,
};
const FAST: Readonly<Record<string, number>> = { session: 2000, tick: 200 };

function fail(message: string): never {
  console.error(message);
  Deno.exit(2);
}

/** Flags by name; "" for one without a value. */
function readFlags(args: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>();
  const words = args.flatMap((word) => word.split("=", 2));
  for (let i = 0; i < words.length; i++) {
    const name = words[i]!.replace(/^--/, "");
    if (name === "fast") {
      flags.set(name, "");
      continue;
    }
    const value = words[++i];
    if (!(name in NUMBERS) && name !== "faults" && name !== "seed" || value === undefined) {
      const known = [...Object.keys(NUMBERS), "faults", "seed", "fast"].join(", ");
      fail(`Wrong flag "${name}": expected --NAME VALUE with one of ${known}`);
    }
    if (name in NUMBERS && !(Number(value) >= 1)) fail(`Wrong --${name} "${value}"`);
    flags.set(name, value);
  }
  return flags;
}

async function main(): Promise<void> {
  const missing = zooKeeperMissing();
  if (missing !== undefined) fail(missing);
  const flags = readFlags(Deno.args);
  const isFast = flags.has("fast");
  const numberOf = (name: string) =>
    Number(flags.get(name) ?? (isFast ? FAST[name] : undefined) ?? NUMBERS[name]);
  const all = Object.keys(FAULTS);
  const faults = flags.get("faults")?.split(",") ?? all;
  const unknown = faults.filter((name) => !all.includes(name));
  if (unknown.length > 0) fail(`Unknown fault "${unknown[0]}": expected some of ${all.join(",")}`);
  const rounds = numberOf("rounds");
  const { handoverMs, violations, summary, dir } = await runHandover({
    seed: flags.get("seed") ?? String(Date.now()),
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
