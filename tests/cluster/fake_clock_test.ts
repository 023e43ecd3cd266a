// What the chaos faults with clocks stand on: a process whose wall clock is moved sees it, and only that one.

import assert from "node:assert/strict";
import { FakeClock, fakeClockMissing } from "../fake_clock.ts";
import { missing } from "../missing.ts";

const HOUR_MS = 3_600_000;

/** Prints monotonic and wall clock until its wall clock has jumped ahead and back. */
const WATCH = `
const first = [performance.now(), Date.now()];
const print = (what) =>
  console.log(JSON.stringify([what, performance.now() - first[0], Date.now() - first[1]]));
const until = async (isSo) => { while (!isSo()) await new Promise((done) => setTimeout(done, 20)); };
print("start");
await until(() => Date.now() - first[1] > ${HOUR_MS / 2});
print("ahead");
await until(() => Date.now() - first[1] < ${HOUR_MS / 2});
print("back");
`;

Deno.test("FakeClock moves the wall clock of a running process and leaves the monotonic one", async () => {
  const lacking = fakeClockMissing();
  if (lacking !== undefined) return missing(lacking);
  const dir = Deno.makeTempDirSync({ prefix: "pegasus-clock-" });
  const clock = new FakeClock(`${dir}/clock`);
  const startedAt = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["eval", WATCH],
    env: { ...clock.env, NO_COLOR: "1" },
    stdout: "piped",
  }).spawn();
  const seen = new Map<string, { mono: number; wall: number }>();
  const lines = child.stdout.pipeThrough(new TextDecoderStream());
  for await (const text of lines) {
    for (const line of text.trim().split("\n")) {
      const [what, mono, wall] = JSON.parse(line);
      seen.set(what, { mono, wall });
      if (what === "start") clock.set(HOUR_MS / 1000);
      if (what === "ahead") clock.set(0);
    }
  }
  assert((await child.status).success);
  const took = performance.now() - startedAt;
  for (const { mono } of seen.values()) assert(mono >= 0 && mono <= took);
  assert.ok(Math.abs(seen.get("ahead")!.wall - seen.get("ahead")!.mono - HOUR_MS) < 5000);
  assert.ok(Math.abs(seen.get("back")!.wall - seen.get("back")!.mono) < 5000);
  Deno.removeSync(dir, { recursive: true });
});
