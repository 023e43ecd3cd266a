// The short form of `deno task chaos:metas`: a leading meta server dies, and another one loses the store
// together with a primary, under load. Nothing acknowledged is lost, nobody reads the past, and a dead process
// is not waited for until its session ends. docs/testing.md, "Hand-over".

import assert from "node:assert/strict";
import { runHandover } from "../handover/run.ts";
import { missing } from "../missing.ts";
import { zooKeeperMissing } from "../zookeeper.ts";
import { TEST_SETTINGS } from "./harness.ts";

/** Long, so that only the look at the leader's process can explain a quick hand-over. */
const LONG_SESSION_MS = 30_000;
const SESSION_MS = 2000;

const lacking = zooKeeperMissing();

async function run(faults: readonly string[], sessionMs: number) {
  const lines: string[] = [];
  const { violations, handoverMs, dir } = await runHandover({
    seed: faults.join(),
    faults,
    sessionMs,
    metas: 3,
    replicas: 3,
    tickMs: 200,
    settings: { ...TEST_SETTINGS } as Record<string, string>,
    print: (line) => lines.push(line),
  });
  assert.deepEqual(violations, [], `${lines.join("\n")}\nThe servers' logs are below ${dir}`);
  return handoverMs;
}

Deno.test("A killed meta leader is replaced before its session ends, and loses nothing", async () => {
  if (lacking !== undefined) return missing(lacking);
  const times = await run(["kill", "stop"], LONG_SESSION_MS);
  for (const ms of [...times.values()].flat()) {
    assert.ok(ms < LONG_SESSION_MS, `Another one led only after ${ms} ms`);
  }
});

Deno.test("A meta leader without its store keeps no old primary alive, and a deleted store loses nothing", async () => {
  if (lacking !== undefined) return missing(lacking);
  await run(["cut-with-server", "store-lost"], SESSION_MS);
});
